/*
 * libkimi: Kimi K2.5 and its siblings on ordinary CPU servers, behind one C header.
 *
 * What is not in this file is not public. The shortest way through it:
 *
 *     kimi_model *model = NULL;      kimi_session *session = NULL;      kimi_error *error = NULL;
 *     if (kimi_model_open("Kimi-K2.5", KIMI_NUL, NULL, NULL, NULL, &model, &error) == KIMI_OK &&
 *         kimi_session_create(model, NULL, &session, &error) == KIMI_OK)
 *         kimi_session_generate_text(session, "Once upon a time", KIMI_NUL, NULL, on_event, NULL, &error);
 *
 * Sections, in order of use: status and errors, version, model, tokenizer, session, generation, pictures and videos, conversation,
 * queue, swarm, rewards, statistics.
 *
 * Rules that hold everywhere
 *   Status     Every fallible call returns a kimi_status: KIMI_OK, or a negative code. Details come as an optional
 *              kimi_error: pass NULL if they are not wanted. Out-parameters are set to NULL or 0 on failure.
 *   Handles    kimi_model, kimi_session, kimi_generation, kimi_image, kimi_video, kimi_chat, kimi_queue, kimi_swarm,
 *              kimi_tool_result, kimi_decoder and kimi_error are opaque.
 *              A handle that is NULL, destroyed, or was never made by this library is recognised and gives
 *              KIMI_ERROR_INVALID_HANDLE; it is never dereferenced. Destroying NULL does nothing.
 *   Strings    Input strings are a pointer and a length in bytes, UTF-8, copied during the call. The length KIMI_NUL means
 *              "ends at its NUL byte". Lengths are at most KIMI_TEXT_LIMIT; arrays have at most 2^28 ids, or 2^22
 *              entries of another kind. Out-parameters for a count or length must not be NULL unless it says so.
 *   Ownership  "borrowed": stays the library's, valid until the stated moment. "copied": the caller's own buffer is
 *              filled, or the caller's data is read and not kept. "transferred": the caller frees it with kimi_free.
 *   Options    Option structs begin with struct_size. Fill them with their _init function, then change what you want. Fields are
 *              only ever appended: a shorter struct from an older caller works, and a longer one works as long as the
 *              part this library does not know is zero (else KIMI_ERROR_UNSUPPORTED). Reserved fields must be zero.
 *   Callbacks  Run on the thread that made the call, never after the call has returned. They may call functions that are
 *              marked "any thread", and destroy functions; any other call on the session in use returns KIMI_ERROR_BUSY.
 *   Process    The library prints nothing, installs no handlers, and never ends the process. It reads no environment
 *              variable; hwloc, which it asks for the topology, honours its own (HWLOC_XMLFILE and the like). Worker
 *              threads belong to a model. After fork(), a child must not use handles of its parent.
 *
 * Threads
 *   model, its tokenizer      immutable: any number of threads at once
 *   image, video              likewise; they belong to no model
 *   session, generation, chat one call at a time; a second caller gets KIMI_ERROR_BUSY and changes nothing
 *   queue, swarm              _next one call at a time, likewise; all else any thread, while _next waits and from callbacks, too
 *   kimi_session_cancel       any thread, at any time while the session exists; so _messages, _turn, _add_tool and _remove_tool
 *   close and destroy         any thread, at any time: the handle is invalid from then on; what a running call still
 *                             uses is freed when that call returns (a session's running call is cancelled)
 *   error, decoder            one thread at a time
 */
#ifndef KIMI_H
#define KIMI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------------------
 * Status and errors
 */

/** 0 for success, negative for a failure of the library. A positive value is a callback's own, handed back unchanged. */
typedef int32_t kimi_status;

#define KIMI_OK 0
/** An argument is out of its range, or a combination of arguments makes no sense. */
#define KIMI_ERROR_INVALID_ARGUMENT (-1)
/** A handle is NULL, was destroyed, or never came from this library. */
#define KIMI_ERROR_INVALID_HANDLE (-2)
/** Another call, or an unfinished generation, is using this session. */
#define KIMI_ERROR_BUSY (-3)
/** The call was cancelled, by kimi_session_cancel or by a progress callback. */
#define KIMI_ERROR_CANCELLED (-4)
/** Memory for weights, cache or work space could not be had. */
#define KIMI_ERROR_OUT_OF_MEMORY (-5)
/** The operating system refused a file operation, or a file changed while it was in use. */
#define KIMI_ERROR_IO (-6)
/** A file does not follow its format. */
#define KIMI_ERROR_FORMAT (-7)
/** Well-formed, but nothing this library serves: another model family, an instruction set this processor lacks. */
#define KIMI_ERROR_UNSUPPORTED (-8)
/** The session's context limit would be passed. */
#define KIMI_ERROR_CONTEXT_FULL (-9)
/** NaN or infinity where a number must be: the logits of a damaged checkpoint. */
#define KIMI_ERROR_NUMERIC (-10)
/** Two things that belong together do not fit: a session file and another checkpoint. */
#define KIMI_ERROR_MISMATCH (-11)
/** Something the library promises itself did not hold; please report it. */
#define KIMI_ERROR_INTERNAL (-12)
/** A buffer of the caller's is too small; the needed count has been stored. */
#define KIMI_ERROR_TOO_SMALL (-13)

/** As a string's length: the string ends at its first NUL byte. */
#define KIMI_NUL ((size_t)-1)
/** The longest input string in bytes: 1 GiB. */
#define KIMI_TEXT_LIMIT ((size_t)1 << 30)

/** What went wrong in one call. Owned by the caller; destroy it. */
typedef struct kimi_error kimi_error;

/** The name of a status code, such as "KIMI_ERROR_BUSY"; "unknown status" for any other number. Borrowed, for ever. */
const char *kimi_status_name(kimi_status status);

/** The code of an error; KIMI_ERROR_INVALID_HANDLE for an invalid handle. */
kimi_status kimi_error_code(const kimi_error *error);

/** One English line that says what was found and what would be right. Borrowed until the error is destroyed; never NULL. */
const char *kimi_error_message(const kimi_error *error);

/** The file at fault, or NULL. Borrowed until the error is destroyed. */
const char *kimi_error_file(const kimi_error *error);

/** The tensor, field, option or argument at fault, or NULL. Borrowed until the error is destroyed. */
const char *kimi_error_subject(const kimi_error *error);

/** Frees an error. */
void kimi_error_destroy(kimi_error *error);

/** Frees memory that was transferred to the caller. A pointer that was not, or was freed before, is ignored. */
void kimi_free(void *memory);

/* ------------------------------------------------------------------------------------------------------------------
 * Version
 */

#define KIMI_VERSION_MAJOR 0
#define KIMI_VERSION_MINOR 1
#define KIMI_VERSION_PATCH 0
/** The generation of the binary interface: the 1 of libkimi.so.1. */
#define KIMI_ABI_VERSION 1

/** The library's version, "0.1.0". Borrowed, for ever. */
const char *kimi_version(void);

/** KIMI_ABI_VERSION of the library that is loaded; a program may compare it with its own. */
int32_t kimi_abi_version(void);

/**
 * What this library finds on this machine, as JSON: version, abi, build, cpu; isa_best and isa_available, and isa, the
 * level a model uses by default (kimi_model_info has the one it does use); of the topology as the process may use it: packages,
 * nodes, cores, threads (the default of a model), memory_nodes (the system's number, package, cores, memory_bytes; no cores: a
 * node of memory alone); and memory_limit, memory_limit_from ("machine" or "cgroup") and memory_available at this moment, in bytes.
 * HWLOC_SYNTHETIC and HWLOC_XMLFILE describe a machine in place of this one, for plans and tests; one that is malformed is
 * KIMI_ERROR_INVALID_ARGUMENT here and in kimi_model_open.
 * out_json is transferred (NUL-terminated); out_length may be NULL.
 */
kimi_status kimi_features(char **out_json, size_t *out_length, kimi_error **out_error);

/** The size in bytes of an option or result struct in this library, by its name ("kimi_model_options"); 0 if unknown. */
size_t kimi_struct_size(const char *name);

/* ------------------------------------------------------------------------------------------------------------------
 * Model
 */

/** An opened checkpoint: weights, tokenizer, worker threads. Immutable; shared by any number of threads and sessions. */
typedef struct kimi_model kimi_model;

#define KIMI_ISA_AUTO 0 /**< the best this processor has */
#define KIMI_ISA_SCALAR 1
#define KIMI_ISA_AVX2 2
#define KIMI_ISA_AVX512 3
#define KIMI_ISA_AVX512_VNNI 4 /**< AVX-512 with byte products */
#define KIMI_ISA_AMX 5 /**< and tiles of bfloat16, for pictures */

#define KIMI_CACHE_AUTO 0 /**< KIMI_CACHE_F32 */
#define KIMI_CACHE_F32 1 /**< exact */
#define KIMI_CACHE_BF16 2 /**< half the memory; the latents are rounded to bfloat16 */
#define KIMI_CACHE_INT8 3 /**< a little over a quarter of the memory; a latent is signed bytes with one scale */

/** Mapped if all weights have room in memory, or copied to their nodes where there are several; else streamed. */
#define KIMI_LOAD_AUTO 0
#define KIMI_LOAD_MAP 1 /**< weights stay in the mapped files; opening reads almost nothing */
#define KIMI_LOAD_COPY 2 /**< weights are read into memory; the files may change or vanish afterwards */
#define KIMI_LOAD_STREAM 3 /**< as _COPY, but routed experts are read when they are chosen, and kept up to resident_bytes */

#define KIMI_PLACEMENT_AUTO 0 /**< the one that is predicted to be fastest */
#define KIMI_PLACEMENT_SLICE 1 /**< the rows of every matrix are split over the memory nodes */
#define KIMI_PLACEMENT_EXPERT 2 /**< routed experts lie whole on one node each, dealt by heat; all else is split */
#define KIMI_PLACEMENT_REPLICATE 3 /**< as _EXPERT, and the hottest experts lie on every node, up to replicate_bytes */

#define KIMI_PAGES_AUTO 0 /**< huge where the system makes them so by itself (transparent huge pages) */
#define KIMI_PAGES_SMALL 1
#define KIMI_PAGES_HUGE 2 /**< from the pool that the administrator has set apart (hugetlbfs) */

#define KIMI_DENSE_STORED 0 /**< as in the files */
/**
 * Attention projections, dense layers, shared experts and the head as bytes with a scale for each group of 32, made while opening, in
 * memory: about half of what BF16 takes, and of what a token reads of them. Not exact; matrices whose rows are no whole groups
 * of 32 stay as stored. Prompts are evaluated faster still, and with more error; see `exact` of kimi_model_options.
 */
#define KIMI_DENSE_INT8 1

/** Features of pictures within 1e-3 of their scale of what the published weights make of them. */
#define KIMI_VISION_FULL 0
/**
 * On processors with AMX products of the vision tower read bfloat16, as the reference's do, with half the multiplications: features
 * are off by about 5e-3 of their scale. Other processors have nothing to gain by it: they compute as with _FULL. kimi_model_info
 * tells which way runs.
 */
#define KIMI_VISION_BF16 1

#define KIMI_LOG_DEBUG 0
#define KIMI_LOG_INFO 1
#define KIMI_LOG_WARNING 2
#define KIMI_LOG_ERROR 3

/**
 * A message of the library's to its host. `message` is UTF-8, NUL-terminated, borrowed during the call. Comes on the thread
 * whose call caused it; may be called from several threads at once. Must not call the library.
 */
typedef void (*kimi_log_callback)(int32_t level, const char *message, void *user_data);

/**
 * Progress of a long call: `done` of `total`. Returns 0 to go on; anything else stops the call, which then returns
 * KIMI_ERROR_CANCELLED. Runs on the calling thread. While opening it counts bytes of weights that are copied or converted, is called
 * every tenth of a second or 32 MiB at least, never with less than before, and with both equal when all is done.
 */
typedef int32_t (*kimi_progress_callback)(uint64_t done, uint64_t total, void *user_data);

typedef struct kimi_model_options {
    uint32_t struct_size;
    /** Threads that compute, the caller's included: 1 to 4096; 0: one for each core the process may use. */
    int32_t threads;
    /** The highest instruction set to use, KIMI_ISA_...; one this processor lacks is KIMI_ERROR_UNSUPPORTED. */
    int32_t isa;
    /** KIMI_CACHE_... */
    int32_t cache_type;
    /** The most tokens a session may hold: 1 to the checkpoint's own limit; 0: that limit. */
    int64_t context_limit;
    /** KIMI_LOAD_... */
    int32_t load_policy;
    /** The most prompt tokens in one step: 1 to 4096; 0: 512. Does not change results of the exact path. */
    int32_t chunk_size;
    /** Receives messages; NULL: silence. */
    kimi_log_callback log;
    void *log_user_data;
    /** The lowest level that `log` receives, KIMI_LOG_... */
    int32_t log_level;
    /**
     * To how many bits activations are rounded before products, where `exact` promises none: for generated tokens and short prompts.
     * 0 or 24: as many as a float has. 16: as on the fast path, with logits that far off; not with KIMI_DENSE_INT8. 8: integers with
     * a scale for each group of 32, and, on processors with AMX, plain bfloat16 before products with bfloat16 weights: what other engines
     * compute with, and several times as far off, while many sequences generate up to twice as fast. A result depends on nothing
     * but a sequence's own tokens with any of them. Not with `exact`.
     */
    int32_t decode_bits;
    /** KIMI_DENSE_... */
    int32_t dense;
    /**
     * 1: only the exact path: the precision of floats, and a result depends on nothing but a sequence's own tokens. 0: that path
     * for generated tokens and for steps of few rows; a step of at least 160 tokens of a prompt (64 with KIMI_DENSE_INT8), which
     * arithmetic limits, takes the fast path: activations as integers of 16 bits (8 with KIMI_DENSE_INT8), and attention with
     * expanded keys and values. 16 bits move logits by about a thousandth of their deviation, unless a tie of two experts falls
     * the other way. Results of the fast path do not depend on threads or other sequences, nor on how a prompt is cut as long as
     * every step is so long; but a token that is evaluated again in a shorter step, after a truncation or a load, gives slightly
     * other logits. A prompt goes in equal shares where that keeps it on the fast path.
     * Only with 1 are the bits the same on every instruction set, too: with 0 processors with AMX add up the products of bfloat16
     * weights in tiles, a float as the sum of three bfloat16, on the fast path of two; as near as a sum of floats, in another order.
     */
    int32_t exact;
    /**
     * The most bytes that the model and its sessions may use; 0: what the machine and the process's cgroup allow. Counts weights
     * that are copied or made, work space, caches and logits; not mapped weights, which the system takes back as it needs to.
     * What would pass it is KIMI_ERROR_OUT_OF_MEMORY: at opening, at kimi_session_create for a context_limit that could never
     * be reached, and where a session grows. That session then is as it was, and all others go on.
     */
    int64_t memory_limit;
    /** How weights are dealt over memory nodes: KIMI_PLACEMENT_... */
    int32_t placement;
    /** The most memory nodes to compute on: 1 to 64; 0: all. */
    int32_t nodes;
    /** With KIMI_PLACEMENT_REPLICATE, bytes on each node for copies of the hottest experts; 0: what is free. */
    int64_t replicate_bytes;
    /** Bytes for routed experts in memory; 0: all of them, or as many as fit. */
    int64_t resident_bytes;
    /** Pages of copied weights and of room for experts, with KIMI_PAGES_SMALL also of caches and work space: KIMI_PAGES_... */
    int32_t huge_pages;
    /** What the vision tower may round: KIMI_VISION_...; with `exact` only KIMI_VISION_FULL. */
    int32_t vision_arithmetic;
    /** The path of a heat file (kimi_model_save_heat), NUL-terminated, copied; NULL: all experts are taken to be chosen alike. */
    const char *heat;
    /**
     * The most bytes to keep of what the vision tower made of pictures, for those that come again: the least recently used give
     * way, and all where memory runs short. 0: 512 MiB; below 0: nothing is kept.
     */
    int64_t features_limit;
    /**
     * The most bytes of cache to keep of what sessions have evaluated, in blocks of 64 tokens, for prompts that begin alike, those of
     * other sessions included: the least recently used give way, and all that no session holds where memory runs short. A prompt
     * takes over what is there, of the last block 16 tokens or more; what it computes is the same bit for bit if it would be exact
     * alone, which then takes over nothing of the fast path's. 0: a sixteenth of the memory limit there is; below 0: nothing is kept.
     */
    int64_t prefix_limit;
} kimi_model_options;

/** Fills in the defaults. `size` is the caller's sizeof(kimi_model_options). NULL or a size under 4 is KIMI_ERROR_INVALID_ARGUMENT. */
kimi_status kimi_model_options_init(kimi_model_options *options, size_t size);

/**
 * Opens a checkpoint folder as it was published: config.json, safetensors, tokenizer.
 *
 * options may be NULL for the defaults; progress may be NULL. On success *out_model is the caller's, to be closed.
 * Errors: KIMI_ERROR_IO (missing, unreadable), _FORMAT (damaged), _UNSUPPORTED (another family), _OUT_OF_MEMORY, _CANCELLED.
 * A shard that is cut or written to later makes the next step that needs it fail with KIMI_ERROR_IO, and all after it, until the
 * folder is opened again; one that is replaced by renaming, or removed, does no harm. During a step that reads mapped shards the
 * library holds read leases (fcntl F_SETLEASE), so that a writer waits for the layer that runs and the step then fails, too. Where
 * the file system or the file's owner allows no lease, lengths and times are compared before each layer, and a host whose files
 * may be cut by others in that gap uses KIMI_LOAD_COPY.
 */
kimi_status kimi_model_open(const char *path, size_t path_length, const kimi_model_options *options,
                            kimi_progress_callback progress, void *progress_user_data,
                            kimi_model **out_model, kimi_error **out_error);

/** Gives the model up. Its sessions go on working; memory, files and threads are freed when the last of them is destroyed. */
void kimi_model_close(kimi_model *model);

/**
 * What was opened, as JSON: architecture, model_type, sizes, parameters, bytes by kind, context_length, context_limit,
 * vocabulary, end_tokens, digest, and how it runs: isa, threads, cache_type, load_policy, cache_bytes_per_token, dense, exact, and
 * weight_bytes: how many are mapped, copied, and converted (in memory, in another format than the files'); placement: policy,
 * topology in words, nodes (the system's number or null, workers, bound_workers, bytes of weights, and of the pages that the system
 * was asked about how many lie here, elsewhere, or are absent, not touched yet), verified (whether the system told), huge_page_bytes,
 * shortfalls (what was asked for and could not be had, in sentences); and memory: limit
 * (bytes, or null), limit_from ("memory_limit", "cgroup", "machine" or null), used (bytes of weights, tables, workspace, attention,
 * experts, cache, sessions, features) and available (what may still be used at this moment, or null). vision is null for a checkpoint
 * without a vision tower, else an object: layers, width, heads, mlp_width, patch_size and token_size (pixels of their sides), patch_limit
 * and frame_patch_limit (of a picture, and of a frame of a video, or null; larger ones are made smaller), side_limit (patches), sample_fps,
 * frames_per_chunk, weight_bytes (that are not mapped), arithmetic (what products read: "floats", "integers" of 16 bits, "pairs" of
 * bfloat16, or "bf16"), and features: limit, bytes and pictures (chunks of videos included) that are kept,
 * hits (that were asked for and there) and encoded (that were not) since the model was opened. steps, since then: passes through the
 * model, rows (tokens) and shares (what one session had in a pass, added up) of all, most_shares of one pass, seconds in the model,
 * between_seconds (what passes waited for sessions to come back with their next token) and waiting (sessions at this moment).
 * prefixes is null where none are kept, else an object: limit, bytes and blocks (of 64 tokens; those that sessions hold as well
 * included) that are kept; hits and misses (prompts of a block or more that found their first block, and that did not),
 * reused_tokens and evictions (blocks) since the model was opened.
 * Only where routed experts are read when they are chosen (KIMI_LOAD_STREAM): expert_store, whose counts begin with the opening of
 * the model and are as of the end of the latest layer that was computed: slots (experts that have room in memory at once),
 * slot_bytes (of one of them), experts (routed experts of all layers), uses (an expert that one or more rows of a step chose in a
 * layer is one use), hits (uses whose expert was in memory), on_the_way (uses whose expert an earlier step had asked for), bytes_read
 * (from the files, whole blocks of 4,096 counted), stall_seconds (in which nothing was computed because of reads), retries (pieces
 * of reads that failed or came short and were read again), backend ("io_uring" or "threads") and direct (whether all files are
 * read past the page cache). What is neither a hit nor on the way was read for its use.
 * May be called from any thread, while the model computes, too. out_json is transferred; out_length may be NULL.
 */
kimi_status kimi_model_info(const kimi_model *model, char **out_json, size_t *out_length, kimi_error **out_error);

/**
 * How often the router has chosen each expert since the model was opened, as JSON: format "kimi-heat", version 1, layers, experts,
 * and counts, a row of numbers for each layer (zeros where a layer is dense). Waits for the step in progress. It is what
 * kimi_model_options.heat reads. out_json is transferred; out_length may be NULL.
 */
kimi_status kimi_model_heat(const kimi_model *model, char **out_json, size_t *out_length, kimi_error **out_error);

/** Writes that to a file, by way of a temporary file beside it. */
kimi_status kimi_model_save_heat(const kimi_model *model, const char *path, size_t path_length, kimi_error **out_error);

/**
 * Writes the beginnings that are kept at this moment (kimi_model_options.prefix_limit) to a file, by way of a temporary file beside it, so
 * that a later process need not evaluate them again: a system prompt, tools, documents. As large as their cache: see bytes of prefixes in
 * kimi_model_info. Ids of tokens are in it, so only its owner may read it. From any thread, while the model computes, too.
 * KIMI_ERROR_UNSUPPORTED where none are kept.
 */
kimi_status kimi_model_save_prefixes(const kimi_model *model, const char *path, size_t path_length, kimi_error **out_error);

/**
 * Takes in what such a file holds, beside what is kept already: as if it had been used just now, so beyond the limit older ones give
 * way. Sessions take it over as they take over each other's, to the same bits. Whoever can write the file decides what they go on from:
 * the checksum is against damage only.
 *
 * Errors, with which nothing is taken in: KIMI_ERROR_MISMATCH for a file of another checkpoint, or of a model whose latents have other
 * bits (cache_type, dense, decode_bits, vision_arithmetic, an instruction set with tiles against one without); KIMI_ERROR_FORMAT,
 * KIMI_ERROR_IO, KIMI_ERROR_OUT_OF_MEMORY, KIMI_ERROR_UNSUPPORTED where none are kept. From any thread, while the model computes, too.
 */
kimi_status kimi_model_load_prefixes(const kimi_model *model, const char *path, size_t path_length, kimi_error **out_error);

/** The number of logits of one token; 0 for an invalid handle. */
int32_t kimi_model_vocabulary_size(const kimi_model *model);

/** The most tokens a session of this model may hold; 0 for an invalid handle. */
int64_t kimi_model_context_limit(const kimi_model *model);

/* ------------------------------------------------------------------------------------------------------------------
 * Plan: where everything would lie, and how fast that would be, before anything is loaded; any thread
 */

typedef struct kimi_plan_options {
    uint32_t struct_size;
    /** Threads in all: 1 to 4096; 0: one for each core. */
    int32_t threads;
    /**
     * The machine to plan for, in hwloc's synthetic form such as "pack:2 [numa(memory=512GB)] core:48 pu:1", or as an XML file that
     * lstopo writes; at most one of them. NUL-terminated; both NULL: this machine, as far as the process may use it.
     */
    const char *synthetic;
    const char *topology;
    /** The path of a heat file (kimi_model_save_heat), NUL-terminated; NULL: all experts are taken to be chosen alike. */
    const char *heat;
    /** The most bytes to use in all; 0: what the nodes have, less a 64th for the system, and what the process's cgroup allows. */
    int64_t memory_limit;
    /** Tokens of each sequence: 1 to the checkpoint's limit; 0: 8192, or that limit if it is less. */
    int64_t context;
    /** Sequences at the same time: 1 to 65536; 0: 1. */
    int32_t sequences;
    /** KIMI_CACHE_... */
    int32_t cache_type;
    /** KIMI_DENSE_... */
    int32_t dense;
    /** KIMI_PLACEMENT_... */
    int32_t placement;
    /** The most memory nodes to compute on: 1 to 64; 0: all. */
    int32_t nodes;
    /** The most prompt tokens in one step: 1 to 4096; 0: 512. */
    int32_t chunk_size;
    /** Bytes on each node for copies of the hottest experts; 0: what is free. */
    int64_t replicate_bytes;
    /** Bytes for routed experts in memory, the others being streamed; 0: all of them, or as many as fit. */
    int64_t resident_bytes;
    /** 1: all weights must fit; 0: experts that do not fit may be read from the files when they are chosen. */
    int32_t no_streaming;
    /** 1: other policies, and one package alone, are predicted as well. */
    int32_t compare;
    /**
     * What predictions go by, in bytes a second: what a node reads from its own memory, what a package reads from the others, what the
     * disk gives; 0: a range from assumptions, which the plan states.
     */
    double bandwidth;
    double link_bandwidth;
    double disk_bandwidth;
    /** Seconds in which all threads meet; 0: a range from assumptions. */
    double barrier;
} kimi_plan_options;

/** Fills in the defaults. `size` is the caller's sizeof(kimi_plan_options). NULL or a size under 4 is KIMI_ERROR_INVALID_ARGUMENT. */
kimi_status kimi_plan_options_init(kimi_plan_options *options, size_t size);

/**
 * Plans a model on a machine, from config.json and the headers of the shards, or config.json alone: no weights are read.
 *
 * options may be NULL for the defaults. *out_json is one JSON object: format "kimi-plan", version 1; model (from_config_alone, sizes);
 * machine; policy, and policy_chosen if it was chosen by prediction; context, sequences, cache; nodes, each with node (its index),
 * number, package, threads, computes, memory_bytes (or null), usable_bytes, bytes by kind (embedding, attention, dense_mlp, router,
 * shared_experts, routed_experts, replicas, norms, head, cache, buffers, vision, all), free_bytes and read_per_token; bytes of all nodes;
 * experts (how many are split, whole, everywhere, distant, streamed; resident_bytes or null, streamed_bytes, hit_rate,
 * read_from_disk_per_token); imbalance and worst_layer_imbalance (largest over mean of what nodes read, less 1); prediction
 * (tokens_per_second: single and batch, each low and high; assumptions); comparison, if asked for; notes. Speeds are predictions, not
 * measurements. It is transferred; out_length may be NULL.
 *
 * Errors: KIMI_ERROR_IO, _FORMAT, _UNSUPPORTED as kimi_model_open; _INVALID_ARGUMENT for an option out of its range or a text that
 * describes no machine; _OUT_OF_MEMORY if it cannot work, with the changes that would each help alone.
 */
kimi_status kimi_plan(const char *path, size_t path_length, const kimi_plan_options *options, char **out_json,
                      size_t *out_length, kimi_error **out_error);

/* ------------------------------------------------------------------------------------------------------------------
 * Tokenizer: part of the model, any thread
 */

/** Text that spells a special token becomes that token. Without it, text never becomes one: right for text from users. */
#define KIMI_TOKENIZE_SPECIAL 1

/**
 * Text to ids. Stores at most `capacity` ids (copied) and the full count in *out_count; if that is more than `capacity` the
 * result is KIMI_ERROR_TOO_SMALL, unless ids is NULL and capacity 0, which only counts. Text that is not UTF-8 is
 * KIMI_ERROR_INVALID_ARGUMENT and the message names the byte.
 */
kimi_status kimi_tokenize(const kimi_model *model, const char *text, size_t length, uint32_t flags,
                          int32_t *ids, size_t capacity, size_t *out_count, kimi_error **out_error);

/**
 * Ids to bytes: the exact bytes, which need not be UTF-8 if the ids were cut within a character. Special tokens give their
 * names. Buffer rules as in kimi_tokenize; no NUL is appended.
 */
kimi_status kimi_detokenize(const kimi_model *model, const int32_t *ids, size_t count,
                            char *bytes, size_t capacity, size_t *out_length, kimi_error **out_error);

/** The bytes of one id. Buffer rules as in kimi_tokenize. */
kimi_status kimi_token_piece(const kimi_model *model, int32_t id, char *bytes, size_t capacity, size_t *out_length,
                             kimi_error **out_error);

/** The id whose bytes or special name are exactly `piece`; KIMI_ERROR_INVALID_ARGUMENT if there is none. */
kimi_status kimi_token_id(const kimi_model *model, const char *piece, size_t length, int32_t *out_id, kimi_error **out_error);

/** 1 if the id is a special token, 0 if it is not or the id or model is invalid. */
int32_t kimi_token_is_special(const kimi_model *model, int32_t id);

/** Names and ids of the special tokens, as one JSON object. out_json is transferred; out_length may be NULL. */
kimi_status kimi_special_tokens(const kimi_model *model, char **out_json, size_t *out_length, kimi_error **out_error);

/** Turns ids into text one at a time without ever cutting a UTF-8 character. */
typedef struct kimi_decoder kimi_decoder;

kimi_status kimi_decoder_create(const kimi_model *model, kimi_decoder **out_decoder, kimi_error **out_error);

/**
 * The bytes that are complete now; may be none. *out_bytes is borrowed until the next call on this decoder. All outputs in
 * order, the one of kimi_decoder_finish included, are exactly what kimi_detokenize gives for all ids.
 */
kimi_status kimi_decoder_feed(kimi_decoder *decoder, int32_t id, const char **out_bytes, size_t *out_length,
                              kimi_error **out_error);

/** What was held back: the bytes of an unfinished character. The decoder is then as new. */
kimi_status kimi_decoder_finish(kimi_decoder *decoder, const char **out_bytes, size_t *out_length, kimi_error **out_error);

void kimi_decoder_destroy(kimi_decoder *decoder);

/* ------------------------------------------------------------------------------------------------------------------
 * Session: one sequence of tokens and its latent cache
 *
 * Sessions of one model may compute at the same time, each from its own thread: what they want at the same moment is computed in one
 * step, so that weights are read once for all of them. The bits of a session's results do not depend on the others. Between two generated
 * tokens of a session there is at most one step of other sessions' prompts, of at most chunk_size tokens. Where cancelling ends the call of
 * a session that computes alone within a layer, it ends that of one in company with the step.
 */

typedef struct kimi_session kimi_session;

/** Its call is KIMI_ERROR_OUT_OF_MEMORY, and the session is as it was. */
#define KIMI_SHORTAGE_FAIL 0
/**
 * Its call waits until another session gives memory up, and is KIMI_ERROR_OUT_OF_MEMORY only where none has any that could become free.
 * In return such a session's cache is given up for others that wait: at once while no call runs on it, the longest idle first, and
 * between two steps of a call for those of higher priority and those whose call began earlier. Its tokens stay, and what was given
 * up is evaluated again, to the same bits, when it goes on; not what comes before the end of its last picture or from a file, which is kept.
 */
#define KIMI_SHORTAGE_WAIT 1

typedef struct kimi_session_options {
    uint32_t struct_size;
    /**
     * Of sessions that compute at the same time, those of higher priority have their steps first where not all find room in one: -100 to
     * 100, 0 if not given. No session waits for ever. Forks have their original's.
     */
    int32_t priority;
    /**
     * The most tokens this session may hold: 1 to the model's limit; 0: that limit. Memory is taken as tokens come. A limit whose
     * cache could never fit is KIMI_ERROR_OUT_OF_MEMORY, and the message has the longest that would.
     */
    int64_t context_limit;
    /** What the session does that finds no memory for its next tokens: KIMI_SHORTAGE_... Forks and sub-agents do as their original. */
    int32_t on_shortage;
    int32_t reserved;
} kimi_session_options;

kimi_status kimi_session_options_init(kimi_session_options *options, size_t size);

/** An empty session. options may be NULL. Destroy it; it keeps what it needs of the model alive. */
kimi_status kimi_session_create(kimi_model *model, const kimi_session_options *options,
                                kimi_session **out_session, kimi_error **out_error);

/** A second session with the same past. The past is shared, not copied; each goes on alone. KIMI_ERROR_BUSY while in use. */
kimi_status kimi_session_fork(kimi_session *session, kimi_session **out_session, kimi_error **out_error);

/** Frees the session. A call that is running on it is cancelled and ends by itself. */
void kimi_session_destroy(kimi_session *session);

/** Forgets all tokens. */
kimi_status kimi_session_reset(kimi_session *session, kimi_error **out_error);

/**
 * Keeps the first `position` tokens, 0 to kimi_session_position. In the midst of a picture its first tokens stay, and the same
 * conversation goes on from there; but a generation without a prompt, which needs the picture, is KIMI_ERROR_INVALID_ARGUMENT.
 */
kimi_status kimi_session_truncate(kimi_session *session, int64_t position, kimi_error **out_error);

/** How many tokens the session holds; -1 for an invalid handle. Any thread. */
int64_t kimi_session_position(const kimi_session *session);

/** The ids the session holds; for tokens of pictures that of <|media_pad|>. Buffer rules as in kimi_tokenize. */
kimi_status kimi_session_ids(kimi_session *session, int32_t *ids, size_t capacity, size_t *out_count, kimi_error **out_error);

/** Logits after each of the evaluated tokens instead of after the last one only. */
#define KIMI_EVALUATE_ALL 1

/**
 * Appends `count` (at least 1) tokens and computes the logits that follow them.
 *
 * logits (copied, may be NULL) receives vocabulary_size floats, or with KIMI_EVALUATE_ALL count times as many, token after
 * token; `capacity` is its size in floats, and too small a one is KIMI_ERROR_TOO_SMALL before anything is computed.
 * Results are the same bits for any thread count, and on the exact path however the tokens are split over calls.
 * Errors: _INVALID_ARGUMENT (an id outside the vocabulary: the message names it), _CONTEXT_FULL, _NUMERIC, _CANCELLED, _IO,
 * _OUT_OF_MEMORY. The session then holds the tokens of the steps that were completed (kimi_session_position); after _OUT_OF_MEMORY
 * those that it held before.
 */
kimi_status kimi_session_evaluate(kimi_session *session, const int32_t *ids, size_t count, uint32_t flags,
                                  float *logits, size_t capacity, kimi_error **out_error);

/**
 * Stops the call that is running on this session, or the open generation: it returns KIMI_ERROR_CANCELLED within one
 * layer of one step, and the session stays usable. Returns at once, without waiting. With nothing running it does nothing.
 * Any thread, callbacks included.
 */
kimi_status kimi_session_cancel(kimi_session *session);

/**
 * Writes tokens, digests of pictures and cache to a file, by way of a temporary file beside it. The file is tied to the checkpoint's digest and the
 * cache type, carries a checksum, and is its owner's alone to read (mode 0600).
 */
kimi_status kimi_session_save(kimi_session *session, const char *path, size_t path_length, kimi_error **out_error);

/** Replaces the session's content by a saved one. On failure the session is unchanged. */
kimi_status kimi_session_load(kimi_session *session, const char *path, size_t path_length, kimi_error **out_error);

/* ------------------------------------------------------------------------------------------------------------------
 * Generation
 */

typedef struct kimi_string_view {
    const char *bytes;
    size_t length; /**< or KIMI_NUL */
} kimi_string_view;

typedef struct kimi_logit_bias {
    int32_t id;
    float bias; /**< added to the logit; finite, or -INFINITY, which forbids the token (not all of them) */
} kimi_logit_bias;

typedef struct kimi_token_logprob {
    int32_t id;
    float logprob; /**< natural logarithm of the probability in the model's own distribution, before any option */
} kimi_token_logprob;

/** The value of `seed` that asks for a new random seed. */
#define KIMI_SEED_RANDOM 0

/**
 * How to choose tokens. In this order: penalties, logit_bias, temperature, top_k, top_p, min_p, draw.
 * All arrays are borrowed during the call (generate) or copied (start).
 */
typedef struct kimi_generation_options {
    uint32_t struct_size;
    /** 0: sample with the options below. 1: always the most likely token, whatever the temperature. */
    int32_t greedy;
    /** The most tokens to generate; 0: as many as the context holds. */
    int64_t max_tokens;
    /** Equal seeds give equal draws; KIMI_SEED_RANDOM: a new one each time. */
    uint64_t seed;
    /** 0 is not "the default" here but means greedy; _init sets 1. At most 100. */
    float temperature;
    /** Keeps the most likely tokens that together reach this probability: 0 < top_p <= 1; 0: off. */
    float top_p;
    /** Drops tokens less likely than min_p times the most likely one: 0 to 1. */
    float min_p;
    /** Divides positive and multiplies negative logits of every token of text in the session: 0.01 to 100; 0 and 1: off. */
    float repetition_penalty;
    /** Subtracted once from the logit of each token generated in this call: -100 to 100. */
    float presence_penalty;
    /** Subtracted for each time the token was generated in this call: -100 to 100. */
    float frequency_penalty;
    /** Keeps the k most likely tokens; 0: all. */
    int32_t top_k;
    /** How many alternatives to report for each token: 0 to 20; -1: no log-probabilities at all. _init sets -1. */
    int32_t top_logprobs;
    const kimi_logit_bias *logit_bias;
    size_t logit_bias_count;
    /** Ends before the first of these strings appears in the text; it is not part of the text. At most 64, of 1 to 4096 bytes. */
    const kimi_string_view *stop_strings;
    size_t stop_string_count;
    /** Ends at any of these tokens, besides the checkpoint's own end tokens; its text is not emitted. */
    const int32_t *stop_ids;
    size_t stop_id_count;
    /** 1: the checkpoint's own end tokens do not end the generation. */
    int32_t ignore_end;
    int32_t reserved;
} kimi_generation_options;

kimi_status kimi_generation_options_init(kimi_generation_options *options, size_t size);

#define KIMI_EVENT_PROMPT 1 /**< a step of the prompt is done: `done` of `total` tokens */
#define KIMI_EVENT_TOKEN 2 /**< one token was generated */
#define KIMI_EVENT_FINISH 3 /**< the last event */

#define KIMI_FINISH_STOP 1 /**< an end token, a stop id or a stop string */
#define KIMI_FINISH_LENGTH 2 /**< max_tokens */
#define KIMI_FINISH_CONTEXT 3 /**< the context is full */
#define KIMI_FINISH_CANCELLED 4 /**< kimi_session_cancel; only seen by polling */

typedef struct kimi_event {
    uint32_t struct_size;
    int32_t type; /**< KIMI_EVENT_... */
    /** PROMPT: prompt tokens evaluated and to evaluate. TOKEN: tokens generated so far, and max_tokens or 0. */
    int64_t done;
    int64_t total;
    /** TOKEN: the id. FINISH: the token that ended it, or -1. */
    int32_t id;
    /** FINISH: KIMI_FINISH_... */
    int32_t finish_reason;
    /**
     * TOKEN, FINISH: text that is complete now, borrowed until the event function returns or the next poll. Never cuts a
     * UTF-8 character, never holds a part of a stop string; so it can lag behind the ids, and be empty (never NULL).
     */
    const char *text;
    size_t text_length;
    /** TOKEN, with log-probabilities on: that of `id`, and the most likely alternatives, best first, borrowed as `text`. */
    float logprob;
    int32_t top_count;
    const kimi_token_logprob *top;
    /** FINISH by a stop string: its index in stop_strings; else -1. */
    int32_t stop_string;
    int32_t reserved;
} kimi_event;

/** Receives events on the calling thread. Non-zero stops the generation, which then returns that value unchanged (use positive ones). */
typedef int32_t (*kimi_event_callback)(const kimi_event *event, void *user_data);

/**
 * Evaluates the prompt (may be empty if the session holds tokens) and generates until something ends it.
 *
 * options and callback may be NULL. The session then holds prompt and generated tokens, the last one and an end token
 * included. Events: PROMPT for each step, TOKEN for each token, FINISH once at the end (not after an error).
 * Errors: as kimi_session_evaluate.
 */
kimi_status kimi_session_generate(kimi_session *session, const int32_t *ids, size_t count,
                                  const kimi_generation_options *options, kimi_event_callback callback, void *user_data,
                                  kimi_error **out_error);

/** The same with a text, tokenized without special tokens. */
kimi_status kimi_session_generate_text(kimi_session *session, const char *text, size_t length,
                                       const kimi_generation_options *options, kimi_event_callback callback, void *user_data,
                                       kimi_error **out_error);

/** A generation that the host drives by polling. Until it has finished or is destroyed, its session is busy. */
typedef struct kimi_generation kimi_generation;

/** Nothing is computed yet. */
kimi_status kimi_generation_start(kimi_session *session, const int32_t *ids, size_t count,
                                  const kimi_generation_options *options,
                                  kimi_generation **out_generation, kimi_error **out_error);

/**
 * Computes until the next event and stores it; set event->struct_size first (at least 8). After FINISH, gives FINISH again. After an error
 * the generation is over: it gives the same error again.
 */
kimi_status kimi_generation_next(kimi_generation *generation, kimi_event *event, kimi_error **out_error);

/** Ends and frees the generation; the session keeps the tokens it has. */
void kimi_generation_destroy(kimi_generation *generation);

/* ------------------------------------------------------------------------------------------------------------------
 * Pictures and videos: what a conversation shows to a model with a vision tower; any thread
 *
 * A request may hold them as data: URLs, or name a handle by its URL, which needs no base64. Nothing is ever fetched. Pixels, bytes,
 * frames and sides are bounded, and looked at before memory is taken; what is beyond is KIMI_ERROR_INVALID_ARGUMENT, what is damaged or
 * ends early KIMI_ERROR_FORMAT, what nobody here decodes KIMI_ERROR_UNSUPPORTED.
 */

/** A picture: pixels. */
typedef struct kimi_image kimi_image;

/**
 * Decodes a PNG, JPEG, WebP or GIF (its first frame), told apart by content: upright as EXIF says, on white where it is transparent.
 * The bytes are read during the call. Destroy the image; what a request has taken of it stays.
 */
kimi_status kimi_image_from_bytes(const void *bytes, size_t count, kimi_image **out_image, kimi_error **out_error);

/** The same from a regular file. */
kimi_status kimi_image_from_path(const char *path, size_t path_length, kimi_image **out_image, kimi_error **out_error);

/** The same from a data: URL, base64 or percent-encoded. Other URLs are KIMI_ERROR_UNSUPPORTED. */
kimi_status kimi_image_from_url(const char *url, size_t length, kimi_image **out_image, kimi_error **out_error);

/**
 * Pixels as they are (copied): rows from the top, `stride` bytes apart (0: without gaps), each of width pixels of `channels` bytes, 3: R,
 * G, B, or 4: with opacity, which is composed on white. `count` is the bytes at `pixels`.
 */
kimi_status kimi_image_from_pixels(const uint8_t *pixels, size_t count, int64_t width, int64_t height, int32_t channels, size_t stride,
                                   kimi_image **out_image, kimi_error **out_error);

/** Pixels; 0 for an invalid handle. */
int64_t kimi_image_width(const kimi_image *image);
int64_t kimi_image_height(const kimi_image *image);

/**
 * What names this picture in a request, as image_url.url: "kimi-image:" and 32 random digits. It means something as long as the image
 * lives. Borrowed until the image is destroyed; NULL for an invalid handle.
 */
const char *kimi_image_url(const kimi_image *image);

/** SHA-256 of size and pixels, 64 hexadecimal digits: equal for equal pictures, whatever their files. Borrowed as the URL; or NULL. */
const char *kimi_image_digest(const kimi_image *image);

void kimi_image_destroy(kimi_image *image);

/** A video: a file, or frames. Which of its frames a model sees is the model's; a file is decoded when it is used. */
typedef struct kimi_video kimi_video;

/**
 * A file: MP4, MOV, WebM, MKV and others by FFmpeg's libraries where those are installed (without them KIMI_ERROR_UNSUPPORTED names the
 * packages when the video is used), GIF without them. The path is copied, and opened whenever the video is used.
 */
kimi_status kimi_video_from_path(const char *path, size_t path_length, kimi_video **out_video, kimi_error **out_error);

/** The same from bytes (copied). */
kimi_status kimi_video_from_bytes(const void *bytes, size_t count, kimi_video **out_video, kimi_error **out_error);

/**
 * Frames of one size, at least one. timestamps are their seconds from the beginning, finite, not below 0, rising or equal; NULL: they are
 * as far apart as a model samples them. Closer frames are thinned, others all shown.
 */
kimi_status kimi_video_from_frames(const kimi_image *const *frames, const double *timestamps, size_t count, kimi_video **out_video,
                                   kimi_error **out_error);

/** What names this video in a request, as video_url.url: "kimi-video:" and 32 digits. As kimi_image_url. */
const char *kimi_video_url(const kimi_video *video);

void kimi_video_destroy(kimi_video *video);

/**
 * The tokens that a picture of this size will take in a prompt of this model, without the five around it.
 * KIMI_ERROR_UNSUPPORTED: a checkpoint without a vision tower, here and below.
 */
kimi_status kimi_media_tokens(const kimi_model *model, int64_t width, int64_t height, int64_t *out_tokens, kimi_error **out_error);

/** The same for a video of so many seconds and frames a second; out_chunks, which may be NULL: the chunks, each with a time before it. */
kimi_status kimi_video_tokens(const kimi_model *model, double seconds, double fps, int64_t width, int64_t height, int64_t *out_tokens,
                              int64_t *out_chunks, kimi_error **out_error);

/**
 * What the vision tower makes of a picture: *out_tokens rows of the model's hidden size (copied), which stand in a prompt in place of
 * embeddings. `capacity` is the floats at `rows`; too few is KIMI_ERROR_TOO_SMALL, and NULL with 0 only counts, without encoding.
 */
kimi_status kimi_model_encode_image(const kimi_model *model, const kimi_image *image, float *rows, size_t capacity, size_t *out_tokens,
                                    kimi_error **out_error);

/** The same for a video: the rows of all chunks, one after another. Counting decodes the video, too. */
kimi_status kimi_model_encode_video(const kimi_model *model, const kimi_video *video, float *rows, size_t capacity, size_t *out_tokens,
                                    kimi_error **out_error);

/* ------------------------------------------------------------------------------------------------------------------
 * Conversation: requests in OpenAI's JSON in, typed events out
 *
 * A request is one JSON object as OpenAI's chat completions take it: messages, tools, tool_choice, parallel_tool_calls,
 * response_format, max_completion_tokens, temperature, top_p, seed, stop and so on; besides, "mode" ("instant", "thinking",
 * "agent", "swarm"), "reasoning_budget", and both public switches of thinking: "chat_template_kwargs": {"thinking": false} and
 * "thinking": {"type": "disabled"}. Text in any of its fields never becomes a special token.
 *
 * Content may be a list of parts, in messages of every role, results of tools too: {"type": "text", "text": ...}, {"type": "image_url",
 * "image_url": {"url": ...}} and {"type": "video_url", "video_url": {"url": ...}}, or "input_image" and "image", "input_video" and "video",
 * with the URL as the member's own text. A URL is a data: URL, that of a handle (kimi_image_url), or with allow_files a path or file: URL.
 * A conversation has at most 1,024 of them. A picture that a conversation has shown is read once, and encoded again only where neither the
 * session's cache nor the model has it; one by handle is kept by the conversation, one from a file must still be there then.
 *
 * The session keeps what its cache already holds of the prompt: only what is new is evaluated. Its tokens are the conversation's
 * as long as nothing else is evaluated on it. Sources/KimiChat/EVENTS.md has all events and their order.
 */

#define KIMI_MODE_AUTO 0 /**< what the request says, else KIMI_MODE_THINKING */
#define KIMI_MODE_INSTANT 1 /**< no reasoning; temperature 0.6 */
#define KIMI_MODE_THINKING 2 /**< reasoning first, at most 8,192 tokens; temperature 1 */
#define KIMI_MODE_AGENT 3 /**< thinking, and tools are called in a loop of up to 300 steps */
#define KIMI_MODE_SWARM 4 /**< kimi_swarm_run's, of up to 15 steps; in other requests an agent without sub-agents, which a NOTICE says */

#define KIMI_CONTEXT_STOP 0 /**< finish with KIMI_FINISH_CONTEXT */
#define KIMI_CONTEXT_DROP_RESULTS 1 /**< put a note in place of the oldest tool results and go on */
#define KIMI_CONTEXT_ASK 2 /**< ask the context callback each time */

/** Says what to do when the next step does not fit: `needed` tokens with a limit of `limit`. KIMI_CONTEXT_STOP or _DROP_RESULTS. */
typedef int32_t (*kimi_context_callback)(int64_t needed, int64_t limit, void *user_data);

/** What a request does not say, and what overrides it. */
typedef struct kimi_chat_options {
    uint32_t struct_size;
    /** KIMI_MODE_... */
    int32_t mode;
    /** The most tokens of one step's answer, reasoning included; 0: what the request says, else what the context holds. */
    int64_t max_tokens;
    /** The most reasoning tokens of a step, then the thought is closed; -1 (_init): what the request says, else the mode's. */
    int64_t reasoning_budget;
    /** As in kimi_generation_options; 0: the request's, else a random one. */
    uint64_t seed;
    /** Below 0 (_init): the request's, else the mode's. */
    float temperature;
    float top_p;
    /**
     * 1 (_init): a call has the name of a declared tool, its arguments satisfy the tool's schema, and an answer the
     * response_format. 0: nothing is enforced; a damaged call is reported as KIMI_CHAT_CALL_REJECTED.
     */
    int32_t constrain;
    /** Steps of an agent: 1 to 10,000; 0: the mode's. With 1 step, calls finish the turn and the host answers with a next request. */
    int32_t step_limit;
    /** 0: the messages are the whole conversation. 1: they follow what was said on this session before. */
    int32_t append;
    /** How many tool callbacks may run at the same time, 1 to 64, if they allow other threads; 0: 1. */
    int32_t parallel_calls;
    /** KIMI_CONTEXT_... */
    int32_t context_policy;
    int32_t reserved;
    /** For KIMI_CONTEXT_ASK. */
    kimi_context_callback context_callback;
    void *context_user_data;
    /**
     * 1: pictures and videos of the request may be paths and file: URLs, which are then read with the host's rights. 0: they are
     * refused, which is right for requests from others.
     */
    int32_t allow_files;
    int32_t reserved2;
} kimi_chat_options;

kimi_status kimi_chat_options_init(kimi_chat_options *options, size_t size);

#define KIMI_CHAT_START 1 /**< a step's prompt has `total` tokens, `done` of them in the cache; code 1: reasoning comes first */
#define KIMI_CHAT_PROMPT 2 /**< `done` of `total` new prompt tokens are evaluated */
#define KIMI_CHAT_REASONING 3 /**< `text`: more reasoning */
#define KIMI_CHAT_CONTENT 4 /**< `text`: more of the answer */
#define KIMI_CHAT_CALL_BEGIN 5 /**< a call of tool `name` with `call_id` begins */
#define KIMI_CHAT_CALL_ARGUMENTS 6 /**< `text`: more of its arguments */
#define KIMI_CHAT_CALL_END 7 /**< `text`: all of its arguments, a JSON object */
#define KIMI_CHAT_CALL_REJECTED 8 /**< no call: `code` is KIMI_REJECTED_..., `text` its beginning */
#define KIMI_CHAT_RESULT_NEEDED 9 /**< polling: the host is to call kimi_chat_submit for `call_id` */
#define KIMI_CHAT_RESULT 10 /**< `text`: what a tool answered; code KIMI_RESULT_... */
#define KIMI_CHAT_NOTICE 11 /**< `text`: something worth knowing; code KIMI_NOTICE_... */
#define KIMI_CHAT_FINISH 12 /**< the last event: `finish_reason`, and the counts of all steps */
/**
 * `done` of `total` pictures and chunks of videos in the prompt are ready. text: the part's path in its request ("messages[0].content[1]");
 * code 1: a picture, 2: a chunk, `name` its time; media_tokens: what it takes; cached_tokens: the same if nothing had to be encoded, else 0
 */
#define KIMI_CHAT_MEDIA 13

#define KIMI_FINISH_TOOL_CALLS 5 /**< the answer is calls, and the host is to answer them with a next request */
#define KIMI_FINISH_STEPS 6 /**< the step limit is reached and the model wants to call more tools */

#define KIMI_REJECTED_UNKNOWN_TOOL 1 /**< no declared tool has this name, or several might be meant */
#define KIMI_REJECTED_ARGUMENTS 2 /**< its arguments are no JSON object */
#define KIMI_REJECTED_UNFINISHED 3 /**< the answer ended within the call */

#define KIMI_RESULT_OK 0
#define KIMI_RESULT_FAILED 1 /**< the callback returned non-zero, or the host submitted a failure */
#define KIMI_RESULT_TIMED_OUT 2

#define KIMI_NOTICE_IGNORED_FIELD 1 /**< a field of the request that this library does not know */
#define KIMI_NOTICE_SCHEMA 2 /**< a keyword of a schema that cannot be enforced: what it would forbid is allowed */
#define KIMI_NOTICE_REASONING_BUDGET 3 /**< the reasoning budget is used up; the thought was closed and the answer follows */
#define KIMI_NOTICE_CONTEXT 4 /**< less than an eighth of the context is left */
#define KIMI_NOTICE_RESULTS_DROPPED 5 /**< notes took the place of old tool results, to make room */
#define KIMI_NOTICE_MODE 6 /**< something the mode promises is not in this request: sub-agents, where no swarm was asked for */
#define KIMI_NOTICE_UNANSWERED 7 /**< a call in the history has no result */

typedef struct kimi_chat_event {
    uint32_t struct_size;
    int32_t type; /**< KIMI_CHAT_... */
    int32_t step; /**< the step it belongs to, from 0 */
    int32_t call; /**< the number of the call in the request, from 0; -1 if the event is of no call */
    /** Borrowed until the event function returns or the next poll; NUL-terminated, never NULL. UTF-8 characters are never cut. */
    const char *text;
    size_t text_length;
    const char *call_id; /**< "functions.NAME:INDEX", as `text`; "" if the event is of no call */
    const char *name; /**< of the tool, as `text` */
    int32_t code;
    int32_t finish_reason; /**< FINISH: KIMI_FINISH_... */
    int64_t done;
    int64_t total;
    /** FINISH: tokens of all steps: of prompts, of those found in the cache, and generated, reasoning included. */
    int64_t prompt_tokens;
    int64_t cached_tokens;
    int64_t generated_tokens;
    int64_t reasoning_tokens;
    /** MEDIA: see there. FINISH: of prompt_tokens, those of pictures and videos. */
    int64_t media_tokens;
} kimi_chat_event;

/** Receives events on the calling thread. Non-zero stops the turn; the call returns that value unchanged (use positive ones). */
typedef int32_t (*kimi_chat_callback)(const kimi_chat_event *event, void *user_data);

/**
 * Answers a request: renders it, evaluates what the session's cache does not hold, and generates until the turn ends. Calls of
 * tools that have a callback (kimi_session_add_tool) are answered in a loop, as many steps as the mode or options allow; calls of
 * other tools end the turn with KIMI_FINISH_TOOL_CALLS.
 *
 * options and callback may be NULL. Errors: KIMI_ERROR_INVALID_ARGUMENT (the request: the subject is the field's path, such as
 * messages[2].role), _UNSUPPORTED (a checkpoint without chat tokens; pictures without a vision tower), _CONTEXT_FULL (the prompt does not fit), and
 * as kimi_session_evaluate. After an error or a cancellation the conversation is as before the request.
 */
kimi_status kimi_session_send(kimi_session *session, const char *request, size_t length, const kimi_chat_options *options,
                              kimi_chat_callback callback, void *user_data, kimi_error **out_error);

/** One user message, appended to the session's conversation: kimi_session_send with `append` and nothing but a text. */
kimi_status kimi_session_say(kimi_session *session, const char *text, size_t length, const kimi_chat_options *options,
                             kimi_chat_callback callback, void *user_data, kimi_error **out_error);

/**
 * The last assistant message as OpenAI JSON: role, content, reasoning_content, tool_calls. While a request runs, that of the requests
 * before it. Any thread. out_json is transferred; out_length may be NULL.
 */
kimi_status kimi_session_turn(kimi_session *session, char **out_json, size_t *out_length, kimi_error **out_error);

/** The whole conversation, as a JSON array of messages. Any thread. out_json is transferred; out_length may be NULL. */
kimi_status kimi_session_messages(kimi_session *session, char **out_json, size_t *out_length, kimi_error **out_error);

/* Tools with callbacks */

/** One call, borrowed during the callback. */
typedef struct kimi_tool_call {
    uint32_t struct_size;
    int32_t step;
    const char *id;
    const char *name;
    const char *arguments; /**< a JSON object that satisfies the tool's schema, NUL-terminated */
    size_t arguments_length;
    int32_t agent; /**< of a swarm, as in kimi_swarm_event; 0 also outside of one */
    int32_t reserved;
    const char *agent_name; /**< "main" or the sub-agent's; "" outside of a swarm */
} kimi_tool_call;

/** Where a callback puts its answer; invalid after it has returned. */
typedef struct kimi_tool_result kimi_tool_result;

/** Sets the answer, UTF-8 (copied); a second call replaces it. The thread of the callback. */
kimi_status kimi_tool_result_set(kimi_tool_result *result, const char *text, size_t length, kimi_error **out_error);

/**
 * Puts a picture behind the text, a screenshot for instance; each call one more, up to 64. The thread of the callback. The image may be
 * destroyed afterwards.
 */
kimi_status kimi_tool_result_add_image(kimi_tool_result *result, const kimi_image *image, kimi_error **out_error);

/**
 * Runs a tool. 0: what was set is the answer, or an empty one. Anything else: the model is told that the tool failed, with what was
 * set as the reason. Of the session that calls it, it may use what is for any thread; else it gets KIMI_ERROR_BUSY.
 */
typedef int32_t (*kimi_tool_callback)(const kimi_tool_call *call, kimi_tool_result *result, void *user_data);

#define KIMI_SCOPE_ALL 0 /**< main agent and sub-agents */
#define KIMI_SCOPE_MAIN 1 /**< the main agent of a swarm, and requests of other kinds */
#define KIMI_SCOPE_AGENTS 2 /**< sub-agents alone */

typedef struct kimi_tool {
    uint32_t struct_size;
    /**
     * 0: no limit. Else the callback must return within so many milliseconds (1 to 86,400,000), or the model is told that it timed
     * out, and what it does afterwards is ignored. With a limit it runs on a thread of the library's.
     */
    int32_t timeout_milliseconds;
    const char *name; /**< 1 to 128 of A-Z, a-z, 0-9, _, - and .; copied, as all strings here */
    const char *description; /**< or NULL */
    const char *parameters; /**< a JSON Schema of an object; NULL: no parameters */
    kimi_tool_callback callback; /**< NULL: the host answers by polling or with a next request */
    void *user_data;
    /** 1: the callback may run on threads of the library's, beside others, see parallel_calls. 0: on the calling thread. */
    int32_t any_thread;
    /**
     * The most calls that run at the same time, of all agents of a swarm and of forks of the session: 1 to 10,000; 0: no limit. Waiting
     * is part of the time limit. For tools that run on threads of the library's.
     */
    int32_t parallel_limit;
    /** Whose tool it is in a swarm: KIMI_SCOPE_... */
    int32_t scope;
    int32_t reserved;
} kimi_tool;

/** Declares a tool for all later requests of this session, after theirs; one of the same name is replaced. Any thread. */
kimi_status kimi_session_add_tool(kimi_session *session, const kimi_tool *tool, kimi_error **out_error);

/** Takes it away from later requests; KIMI_ERROR_INVALID_ARGUMENT if there is none of this name. Any thread. */
kimi_status kimi_session_remove_tool(kimi_session *session, const char *name, size_t length, kimi_error **out_error);

/* The same by polling */

/** A request that the host drives by polling. Until it has finished or is destroyed, its session is busy. */
typedef struct kimi_chat kimi_chat;

/** Nothing is computed yet; the request is read and checked. */
kimi_status kimi_chat_start(kimi_session *session, const char *request, size_t length, const kimi_chat_options *options,
                            kimi_chat **out_chat, kimi_error **out_error);

/**
 * Computes until the next event and stores it; set event->struct_size first (at least 8). Where steps are left, a call of a tool
 * without callback gives RESULT_NEEDED; when all that are needed were given, the next poll waits for kimi_chat_submit: it is
 * KIMI_ERROR_INVALID_ARGUMENT until each has a result. After FINISH gives FINISH again, and after an error the same error.
 */
kimi_status kimi_chat_next(kimi_chat *chat, kimi_chat_event *event, kimi_error **out_error);

/** The result of one call. code is KIMI_RESULT_OK or _FAILED. An id that is not waited for is KIMI_ERROR_INVALID_ARGUMENT. */
kimi_status kimi_chat_submit(kimi_chat *chat, const char *call_id, size_t call_id_length, const char *text, size_t length,
                             int32_t code, kimi_error **out_error);

/**
 * The same with content as a tool's message in a request has it, JSON: a string, or a list of parts, pictures among them. What it holds
 * is checked here, and read when the next step begins.
 */
kimi_status kimi_chat_submit_content(kimi_chat *chat, const char *call_id, size_t call_id_length, const char *content, size_t length,
                                     int32_t code, kimi_error **out_error);

/** Ends and frees the request; the session's conversation is as before it unless it had finished. */
void kimi_chat_destroy(kimi_chat *chat);

/* Without a session */

/**
 * The prompt of a request as text, special tokens by their names, a picture as one <|media_pad|> and a video as its placeholder. mode
 * is KIMI_MODE_... out_text is transferred; out_length may be NULL.
 */
kimi_status kimi_render(const kimi_model *model, const char *request, size_t length, int32_t mode,
                        char **out_text, size_t *out_length, kimi_error **out_error);

/**
 * The prompt of a request as ids, with as many for its pictures and videos as they take; files are refused. Buffer rules as in
 * kimi_tokenize.
 */
kimi_status kimi_render_ids(const kimi_model *model, const char *request, size_t length, int32_t mode,
                            int32_t *ids, size_t capacity, size_t *out_count, kimi_error **out_error);

/**
 * What a model's output says, as JSON: content, reasoning_content (null if there is none), tool_calls (id, name, arguments),
 * finish_reason. thinking is 1 if the prompt ended within a thought. out_json is transferred; out_length may be NULL.
 */
kimi_status kimi_parse_output(const kimi_model *model, const int32_t *ids, size_t count, int32_t thinking,
                              char **out_json, size_t *out_length, kimi_error **out_error);

/** The same for output on record as text, in which the names of markers are those markers. */
kimi_status kimi_parse_output_text(const char *text, size_t length, int32_t thinking,
                                   char **out_json, size_t *out_length, kimi_error **out_error);

/**
 * OpenAI tools, a JSON array, as the TypeScript namespace that the model was trained on, or as JSON where that cannot say one of the
 * schemas. out_text is transferred; out_length may be NULL.
 */
kimi_status kimi_tools_to_typescript(const char *tools, size_t length, char **out_text, size_t *out_length, kimi_error **out_error);

/* ------------------------------------------------------------------------------------------------------------------
 * Queue: what many sessions do, as one stream of events, for hosts that poll
 *
 * The host starts generations and requests of any sessions, of several models, too, and takes what comes of them from one place. Each
 * runs on a thread of the library's, and callbacks of tools and of the context on it. The queue is bounded: a session whose event finds
 * no room waits until the host has taken some. None is lost. kimi_session_cancel ends what a session does, and it alone: FINISH with
 * KIMI_FINISH_CANCELLED.
 */

typedef struct kimi_queue kimi_queue;

#define KIMI_QUEUE_NONE 0 /**< no event: none came in time, or nothing runs */
#define KIMI_QUEUE_GENERATION 1 /**< `generation` */
#define KIMI_QUEUE_CHAT 2 /**< `chat`; a RESULT_NEEDED waits for kimi_queue_submit, and its session with it */
#define KIMI_QUEUE_ERROR 3 /**< it failed, as `status` and `text` say, and is over */

typedef struct kimi_queue_event {
    uint32_t struct_size;
    int32_t type; /**< KIMI_QUEUE_... */
    uint64_t tag; /**< the host's own, under which it was started */
    int32_t last; /**< 1: nothing more will come of it, and its session is free */
    kimi_status status; /**< ERROR: what kimi_generation_next or kimi_chat_next would return */
    /** Borrowed until the next event is taken, as all here; NULL if it is none. */
    const kimi_event *generation;
    const kimi_chat_event *chat;
    const char *text; /**< ERROR: the message, UTF-8, NUL-terminated; never NULL */
    size_t text_length;
} kimi_queue_event;

/** capacity: events that wait for the host before sessions do, 1 to 1,000,000; 0: 1024. */
kimi_status kimi_queue_create(int32_t capacity, kimi_queue **out_queue, kimi_error **out_error);

/** Starts kimi_generation_start's work. The session is busy until its last event. Errors: those, and none then comes as an event. */
kimi_status kimi_queue_generate(kimi_queue *queue, kimi_session *session, const int32_t *ids, size_t count,
                                const kimi_generation_options *options, uint64_t tag, kimi_error **out_error);

/** The same of kimi_chat_start's. */
kimi_status kimi_queue_send(kimi_queue *queue, kimi_session *session, const char *request, size_t length,
                            const kimi_chat_options *options, uint64_t tag, kimi_error **out_error);

/**
 * Takes the next event; set event->struct_size first (at least 8). timeout_milliseconds: how long to wait for one; 0: not at all; below
 * 0: as long as anything runs. One thread at a time: another gets KIMI_ERROR_BUSY.
 */
kimi_status kimi_queue_next(kimi_queue *queue, int32_t timeout_milliseconds, kimi_queue_event *event, kimi_error **out_error);

/**
 * The result of a call of the request with this tag, as in kimi_chat_submit. Any thread. A tag under which no request runs is
 * KIMI_ERROR_INVALID_ARGUMENT.
 */
kimi_status kimi_queue_submit(kimi_queue *queue, uint64_t tag, const char *call_id, size_t call_id_length, const char *text,
                              size_t length, int32_t code, kimi_error **out_error);

/** The same with content as in kimi_chat_submit_content. */
kimi_status kimi_queue_submit_content(kimi_queue *queue, uint64_t tag, const char *call_id, size_t call_id_length,
                                      const char *content, size_t length, int32_t code, kimi_error **out_error);

/**
 * A descriptor that is readable, for poll, epoll and event loops, while an event waits. It stays the queue's: do not read or close it;
 * it is closed when the queue is destroyed.
 */
kimi_status kimi_queue_descriptor(kimi_queue *queue, int32_t *out_descriptor, kimi_error **out_error);

/**
 * Ends all that runs and frees the queue: when this returns nothing of it computes any more, and its sessions are free. Events that
 * nobody took are gone. A callback of a tool that it runs may call this; that callback's own request ends when it has returned.
 */
void kimi_queue_destroy(kimi_queue *queue);

/* ------------------------------------------------------------------------------------------------------------------
 * Swarm: a main agent that creates sub-agents and gives them tasks, which they work on at the same time
 *
 * The main agent works on the session's conversation and has two more tools, create_subagent(name, system_prompt) and assign_task(agent,
 * prompt). A sub-agent is a conversation of its own on the same model, with the session's tools (see `scope` of kimi_tool) and without
 * those two; the main agent reads the results of its tasks. Agents compute on threads of the library's, and wait where the host
 * does not take their events: none is lost. Tools that are for the calling thread run there, between two events, whichever agent
 * calls them. A tool that fails, is late or never returns, a task that fails or is cancelled: the others go on.
 *
 * With a seed, and tools that answer alike, a run has the same bits whatever threads and host do, budgets of all tokens and of time
 * aside. Sources/SWARM.md has the whole: stages, budgets, the account, rewards.
 */

/** Budgets and limits; 0, unless said otherwise: the default in brackets. What is beyond its range is KIMI_ERROR_INVALID_ARGUMENT. */
typedef struct kimi_swarm_options {
    uint32_t struct_size;
    /** Sub-agents that may be created, 1 to 1000 [100]; they are alive until the end. */
    int32_t agent_limit;
    /** Steps of the main agent [15] and of each task [100], 1 to 10,000. */
    int32_t main_steps;
    int32_t task_steps;
    /** Generated tokens of a task, and of all agents together [no limit]. */
    int64_t task_tokens;
    int64_t all_tokens;
    /** Milliseconds of a task from its beginning, and of the whole run: 1 to 7 days [no limit]. */
    int64_t task_milliseconds;
    int64_t all_milliseconds;
    /** The most bytes of a task's result that the main agent reads, 1 to 16 MiB [32 KiB]; the rest is cut, with a note. */
    int64_t result_bytes;
    /** Sub-agents that work at the same time, 1 to 1000 [all]; others wait in line. */
    int32_t parallel_agents;
    /** Callbacks of any_thread tools that run at the same time, 1 to 10,000 [no limit]; see `parallel_limit` of kimi_tool, too. */
    int32_t parallel_tools;
    /** Of sub-agents' sessions, as in kimi_session_options. */
    int32_t priority;
    /** Events that wait for the host before agents do, 1 to 1,000,000 [1024]. */
    int32_t queue_limit;
    /** Of sub-agents' sessions [the model's]. */
    int64_t context_limit;
    /** KIMI_MODE_... of the main agent and of sub-agents [what the requests say, else KIMI_MODE_SWARM and KIMI_MODE_AGENT]. */
    int32_t main_mode;
    int32_t agent_mode;
    /**
     * What holds for the requests of all agents, borrowed during the call; NULL: the defaults. `mode` and `step_limit` must be 0: they are
     * above. `append` is the main agent's. Each task gets a seed that is made of `seed`, or the request's.
     */
    const kimi_chat_options *chat;
    /**
     * What the requests of sub-agents have beside their messages: a JSON object with the members of a request but `messages`, such as
     * max_tokens, tools that are answered by polling, or a response_format that every result then satisfies. Borrowed during the call;
     * NULL: nothing.
     */
    const char *agent_request;
    size_t agent_request_length; /**< or KIMI_NUL */
} kimi_swarm_options;

/** Fills in the defaults. `size` is the caller's sizeof(kimi_swarm_options). NULL or a size under 4 is KIMI_ERROR_INVALID_ARGUMENT. */
kimi_status kimi_swarm_options_init(kimi_swarm_options *options, size_t size);

#define KIMI_SWARM_NONE 0 /**< no event: nothing came within the time that kimi_swarm_next was given */
#define KIMI_SWARM_CHAT 1 /**< `chat`: what an agent's own request reports, its FINISH too */
#define KIMI_SWARM_CREATED 2 /**< the sub-agent is there; `text`: its system prompt */
#define KIMI_SWARM_TASK_BEGIN 3 /**< the agent begins `task`; `text`: the prompt */
#define KIMI_SWARM_TASK_END 4 /**< `outcome`, and `text`: what the main agent reads; `cut`: 1 if it is not the whole */
#define KIMI_SWARM_BUDGET 5 /**< `budget` is used up; `text`: in words */
#define KIMI_SWARM_MEMORY 6 /**< the agent waits for memory until another's task ends */
#define KIMI_SWARM_FINISH 7 /**< the last event: `finish_reason` is that of the main agent, KIMI_FINISH_... */

#define KIMI_OUTCOME_FINISHED 0
#define KIMI_OUTCOME_FAILED 1 /**< an error, in the words of the result */
#define KIMI_OUTCOME_CANCELLED 2
#define KIMI_OUTCOME_STEPS 3 /**< task_steps */
#define KIMI_OUTCOME_TOKENS 4 /**< task_tokens */
#define KIMI_OUTCOME_ALL_TOKENS 5
#define KIMI_OUTCOME_TIME 6 /**< task_milliseconds */
#define KIMI_OUTCOME_ALL_TIME 7
#define KIMI_OUTCOME_LENGTH 8 /**< an answer was cut at max_tokens */
#define KIMI_OUTCOME_CONTEXT 9 /**< the context is full */
#define KIMI_OUTCOME_MEMORY 10 /**< there is not enough memory, and nobody to wait for */

#define KIMI_BUDGET_MAIN_STEPS 1
#define KIMI_BUDGET_TASK_STEPS 2
#define KIMI_BUDGET_TASK_TOKENS 3
#define KIMI_BUDGET_ALL_TOKENS 4
#define KIMI_BUDGET_TASK_TIME 5
#define KIMI_BUDGET_ALL_TIME 6
#define KIMI_BUDGET_AGENTS 7 /**< agent_limit; said once */

/** A swarm at work. Until it has finished or is destroyed, its session is busy. */
typedef struct kimi_swarm kimi_swarm;

typedef struct kimi_swarm_event {
    uint32_t struct_size;
    int32_t type; /**< KIMI_SWARM_... */
    int32_t agent; /**< 0: the main agent; sub-agents count from 1 in the order of their creation */
    int32_t parent; /**< the agent that created it; -1: none */
    /** Of the agent, "main" for the first. Borrowed until the event function returns or the next poll, as all here; never NULL. */
    const char *name;
    int32_t task; /**< the number of the agent's task, from 1; 0 for the main agent, and before the first */
    int32_t outcome; /**< TASK_END: KIMI_OUTCOME_... */
    int32_t budget; /**< BUDGET: KIMI_BUDGET_... */
    int32_t finish_reason; /**< FINISH: KIMI_FINISH_... */
    int32_t cut; /**< TASK_END: see there */
    int32_t reserved;
    const char *text; /**< UTF-8, NUL-terminated, never NULL */
    size_t text_length;
    const kimi_chat_event *chat; /**< CHAT: the event; else NULL */
    kimi_swarm *swarm; /**< the one that it is of, for the functions below */
} kimi_swarm_event;

/** Receives events on the calling thread. Non-zero ends the swarm; the call returns that value unchanged (use positive ones). */
typedef int32_t (*kimi_swarm_callback)(const kimi_swarm_event *event, void *user_data);

/**
 * Answers a request as kimi_session_send does, by a main agent with sub-agents; when it returns, no agent computes any more.
 *
 * options and callback may be NULL. A handle of the swarm is in every event and valid until the call returns; destroying it ends the
 * swarm as cancelled. A swarm that was cancelled (kimi_session_cancel, kimi_swarm_cancel of agent 0) or ran out of time gives
 * FINISH with KIMI_FINISH_CANCELLED, and then the call returns KIMI_ERROR_CANCELLED; the conversation is as before the request.
 * Errors: KIMI_ERROR_INVALID_ARGUMENT (an option, by its name; a tool that is called as one of the swarm's own), those of
 * kimi_session_send for the main agent, and KIMI_ERROR_OUT_OF_MEMORY where the system gives no thread.
 */
kimi_status kimi_swarm_run(kimi_session *session, const char *request, size_t length, const kimi_swarm_options *options,
                           kimi_swarm_callback callback, void *user_data, kimi_error **out_error);

/** The same by polling. The agents begin to compute, as far as their events have room. */
kimi_status kimi_swarm_open(kimi_session *session, const char *request, size_t length, const kimi_swarm_options *options,
                            kimi_swarm **out_swarm, kimi_error **out_error);

/**
 * Waits for the next event and stores it; set event->struct_size first (at least 8). Callbacks of tools that are for the calling thread
 * run within. timeout_milliseconds: how long to wait; 0: not at all; below 0: as long as it takes. If nothing came, the type is
 * KIMI_SWARM_NONE. A call of a tool without callback gives a CHAT event RESULT_NEEDED, and its agent, it alone, waits for
 * kimi_swarm_submit: a host with nothing else to wait for submits before it asks again. After FINISH gives FINISH again, and after an
 * error of the main agent the same error.
 */
kimi_status kimi_swarm_next(kimi_swarm *swarm, int32_t timeout_milliseconds, kimi_swarm_event *event, kimi_error **out_error);

/**
 * The result of one call of an agent. code is KIMI_RESULT_OK or _FAILED. An agent or id that is not waited for, a task's that has ended
 * among them, is KIMI_ERROR_INVALID_ARGUMENT.
 */
kimi_status kimi_swarm_submit(kimi_swarm *swarm, int32_t agent, const char *call_id, size_t call_id_length, const char *text,
                              size_t length, int32_t code, kimi_error **out_error);

/** The same with content as in kimi_chat_submit_content. */
kimi_status kimi_swarm_submit_content(kimi_swarm *swarm, int32_t agent, const char *call_id, size_t call_id_length,
                                      const char *content, size_t length, int32_t code, kimi_error **out_error);

/**
 * Ends the task that an agent works on and those it has in line: each as KIMI_OUTCOME_CANCELLED, which the main agent reads. Agent 0
 * ends the swarm. Returns at once. An agent that there is not is KIMI_ERROR_INVALID_ARGUMENT.
 */
kimi_status kimi_swarm_cancel(kimi_swarm *swarm, int32_t agent, kimi_error **out_error);

/**
 * What was done so far, all of it at FINISH, as JSON: critical_steps, total_steps, stages, agent_limit, tokens (prompt, cached, generated),
 * seconds, serial_seconds, speedup, finish ("stop", ... or null), agents (agent, name, parent, steps, tokens, busy_seconds), tasks
 * (agent, task, stage, steps, generated_tokens, outcome or null, result_bytes, cut, times), timeline (agent, kind, step, times in
 * microseconds). Read by kimi_reward_compute. out_json is transferred; out_length may be NULL.
 */
kimi_status kimi_swarm_account(kimi_swarm *swarm, char **out_json, size_t *out_length, kimi_error **out_error);

/** The timeline so far in Chrome's trace format, for chrome://tracing and Perfetto. out_json is transferred; out_length may be NULL. */
kimi_status kimi_swarm_trace(kimi_swarm *swarm, char **out_json, size_t *out_length, kimi_error **out_error);

/**
 * Ends the swarm and returns when no agent computes any more, which takes a layer of a step; callbacks that run are left alone, and may
 * call this themselves. The session's conversation is as before unless the swarm had finished.
 */
void kimi_swarm_destroy(kimi_swarm *swarm);

/* ------------------------------------------------------------------------------------------------------------------
 * Rewards: the terms of PARL, parallel-agent reinforcement learning, for those who train an orchestrator; any thread
 *
 * Sources/SWARM.md says what of them is published and what is this library's reading.
 */

#define KIMI_ANNEALING_LINEAR 1 /**< weights fall on a line */
#define KIMI_ANNEALING_COSINE 2 /**< by half a cosine */

typedef struct kimi_reward_options {
    uint32_t struct_size;
    /** KIMI_ANNEALING_...: how the weights go to zero; _init sets _LINEAR. */
    int32_t annealing;
    /** The weights of `parallel` and `finish` where training begins, 0 or more; _init sets 0.1. */
    double lambda1;
    double lambda2;
    /** How far training has come, 0 to 1. */
    double progress;
    /** Agents at the same time that earn the whole of `parallel`, 2 or more; 0: the account's agent_limit. */
    int64_t width;
} kimi_reward_options;

kimi_status kimi_reward_options_init(kimi_reward_options *options, size_t size);

typedef struct kimi_rewards {
    uint32_t struct_size;
    int32_t reserved;
    double parallel; /**< r_parallel, 0 to 1: how many sub-agents worked at the same time */
    double finish; /**< r_finish, 0 to 1: the share of tasks that were finished */
    double quality; /**< r_perf: the caller's */
    double efficiency; /**< 0 to 1: 1 - critical_steps / total_steps */
    double lambda1; /**< the weights at this progress */
    double lambda2;
    double training; /**< lambda1 parallel + lambda2 finish + quality */
    double final_form; /**< 0.8 quality + 0.2 efficiency */
} kimi_rewards;

/**
 * The rewards of a run, from its account (kimi_swarm_account, at any later time, too) and `quality`, the caller's judgement of the
 * answer, 0 to 1. options may be NULL; set rewards->struct_size first. KIMI_ERROR_INVALID_ARGUMENT: a value that is NaN or out of its
 * range, by its name; a text that is no account.
 */
kimi_status kimi_reward_compute(const char *account, size_t length, double quality, const kimi_reward_options *options,
                                kimi_rewards *rewards, kimi_error **out_error);

/* ------------------------------------------------------------------------------------------------------------------
 * Statistics
 */

typedef struct kimi_session_stats {
    uint32_t struct_size;
    int32_t preemptions; /**< how often the cache was given up for other sessions */
    int64_t position; /**< tokens held now */
    int64_t prompt_tokens; /**< evaluated as input since the session was created */
    int64_t reused_tokens; /**< that came with a fork or a loaded file, or that other sessions had evaluated */
    int64_t generated_tokens;
    int64_t steps; /**< passes through the model */
    int64_t prompt_nanoseconds; /**< in steps of the prompt */
    int64_t generation_nanoseconds; /**< in steps of generated tokens */
    int64_t bytes_read; /**< weights and cache that the steps had to read, by count */
    int64_t cache_bytes; /**< held by this session, shared blocks included */
    int64_t rows_exact; /**< tokens that went through the model on the exact path */
    int64_t rows_fast; /**< and on the fast one, or rounded by decode_bits; see `exact` of kimi_model_options */
    int64_t media_tokens; /**< of prompt_tokens, those of pictures and videos */
    int64_t media_encoded; /**< pictures and chunks of videos that this session's prompts had the vision tower look at */
    int64_t media_reused; /**< and those whose features were at hand; neither counts what the session's own cache held */
    int64_t restored_tokens; /**< evaluated again after preemptions; in no other count of tokens */
} kimi_session_stats;

/** Set stats->struct_size first. KIMI_ERROR_BUSY while in use. */
kimi_status kimi_session_get_stats(kimi_session *session, kimi_session_stats *stats, kimi_error **out_error);

#ifdef __cplusplus
}
#endif
#endif
