-- Generates text from a checkpoint folder: luajit generate.lua DIR PROMPT [MAX_TOKENS [SEED]]
--
-- By polling: LuaJIT calls C at full speed, and C needs no way back. Without a seed the most likely token is taken each
-- time. The library is the file that KIMI_LIBRARY names, else what the loader finds.

local ffi = require("ffi")

-- The part of kimi.h that this program uses.
ffi.cdef [[
typedef int32_t kimi_status;
typedef struct kimi_error kimi_error;
typedef struct kimi_model kimi_model;
typedef struct kimi_session kimi_session;
typedef struct kimi_generation kimi_generation;
typedef struct kimi_generation_options {
    uint32_t struct_size; int32_t greedy; int64_t max_tokens; uint64_t seed;
    float temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
    int32_t top_k, top_logprobs;
    const void *logit_bias; size_t logit_bias_count;
    const void *stop_strings; size_t stop_string_count;
    const int32_t *stop_ids; size_t stop_id_count;
    int32_t ignore_end, reserved;
} kimi_generation_options;
typedef struct kimi_event {
    uint32_t struct_size; int32_t type; int64_t done, total; int32_t id, finish_reason;
    const char *text; size_t text_length;
    float logprob; int32_t top_count; const void *top; int32_t stop_string, reserved;
} kimi_event;

int32_t kimi_abi_version(void);
const char *kimi_error_message(const kimi_error *);
void kimi_error_destroy(kimi_error *);
kimi_status kimi_model_open(const char *, size_t, const void *, void *, void *, kimi_model **, kimi_error **);
void kimi_model_close(kimi_model *);
kimi_status kimi_tokenize(const kimi_model *, const char *, size_t, uint32_t, int32_t *, size_t, size_t *, kimi_error **);
kimi_status kimi_session_create(kimi_model *, const void *, kimi_session **, kimi_error **);
void kimi_session_destroy(kimi_session *);
kimi_status kimi_generation_options_init(kimi_generation_options *, size_t);
kimi_status kimi_generation_start(kimi_session *, const int32_t *, size_t, const kimi_generation_options *,
                                  kimi_generation **, kimi_error **);
kimi_status kimi_generation_next(kimi_generation *, kimi_event *, kimi_error **);
void kimi_generation_destroy(kimi_generation *);
]]

local EVENT_PROMPT, EVENT_FINISH = 1, 3

if #arg < 2 then
    io.stderr:write("usage: luajit generate.lua DIR PROMPT [MAX_TOKENS [SEED]]\n")
    os.exit(2)
end
local folder, prompt, max_tokens, seed = arg[1], arg[2], tonumber(arg[3] or 64), tonumber(arg[4])

local kimi = ffi.load(os.getenv("KIMI_LIBRARY") or "libkimi.so.1")
assert(kimi.kimi_abi_version() == 1, "this program is written for libkimi.so.1")

-- Calls a function whose last argument is an error; raises what it says.
local function call(name, ...)
    local failure = ffi.new("kimi_error *[1]")
    local arguments = { ... }
    arguments[#arguments + 1] = failure
    if kimi[name](unpack(arguments, 1, #arguments)) ~= 0 then
        local message = ffi.string(kimi.kimi_error_message(failure[0]))
        kimi.kimi_error_destroy(failure[0])
        error(name .. ": " .. message, 0)
    end
end

-- A handle that a function makes and that the collector hands back.
local function make(kind, destroy, name, ...)
    local out = ffi.new(kind .. " *[1]")
    local arguments = { ... }
    arguments[#arguments + 1] = out
    call(name, unpack(arguments, 1, #arguments))
    return ffi.gc(out[0], destroy)
end

local function generate()
    local none = ffi.cast("void *", nil)
    local model = make("kimi_model", kimi.kimi_model_close, "kimi_model_open", folder, #folder, none, none, none)
    local session = make("kimi_session", kimi.kimi_session_destroy, "kimi_session_create", model, none)

    local count = ffi.new("size_t[1]")
    local ids = ffi.new("int32_t[?]", #prompt + 16)
    call("kimi_tokenize", model, prompt, #prompt, 0, ids, #prompt + 16, count)

    local options = ffi.new("kimi_generation_options")
    kimi.kimi_generation_options_init(options, ffi.sizeof(options))
    options.max_tokens = max_tokens
    options.greedy = seed and 0 or 1
    if seed then options.seed = seed end

    local generation = make("kimi_generation", kimi.kimi_generation_destroy,
        "kimi_generation_start", session, ids, count[0], options)
    local event = ffi.new("kimi_event")
    event.struct_size = ffi.sizeof(event)
    repeat
        call("kimi_generation_next", generation, event)
        if event.type ~= EVENT_PROMPT then
            io.write(ffi.string(event.text, event.text_length))
            io.flush()
        end
    until event.type == EVENT_FINISH
    io.write("\n")
end

local done, message = pcall(generate)
if not done then
    io.stderr:write("generate: ", tostring(message), "\n")
    os.exit(1)
end
