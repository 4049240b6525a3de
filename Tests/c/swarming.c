/* See swarming.h. */
#include "swarming.h"

#define SCHEMA "{\"type\": \"object\", \"properties\": {\"kind\": {\"type\": \"string\"}}, \"required\": [\"kind\"], " \
               "\"additionalProperties\": false}"

const char look_polled[] =
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"look\", \"parameters\": " SCHEMA "}}]";

static int32_t id_of(kimi_model *model, const char *piece) {
    kimi_error *error = NULL;
    int32_t id = -1;
    EXPECT(KIMI_OK, kimi_token_id(model, piece, KIMI_NUL, &id, &error));
    return id;
}

/*
 * A request's logit_bias: of all pieces that may go on within a text the one that is a blank and its end is the likeliest; and so
 * are these. Blank tokens are unlikely, for JSON allows as many as one likes.
 */
static void bias(char *text, size_t capacity, kimi_model *model, const char *const *likely, const int *how, int count) {
    static char blanks[8192];
    kimi_error *error = NULL;
    if (!*blanks) {
        size_t end = 0;
        for (int32_t id = 0; id < kimi_model_vocabulary_size(model) && end < sizeof blanks - 32; id++) {
            char piece[256];
            size_t length = 0;
            EXPECT(KIMI_OK, kimi_token_piece(model, id, piece, sizeof piece, &length, &error));
            while (length > 0 && strchr(" \t\r\n", piece[length - 1])) length--;
            if (length == 0) end += (size_t)sprintf(blanks + end, ", \"%d\": -100", id);
        }
    }
    size_t end = (size_t)snprintf(text, capacity, "\"logit_bias\": {\"%d\": 100%s", id_of(model, " \""), blanks);
    for (int i = 0; i < count; i++)
        end += (size_t)snprintf(text + end, capacity - end, ", \"%d\": %d", id_of(model, likely[i]), how[i]);
    snprintf(text + end, capacity - end, "}");
}

static const char *request_of(kimi_model *model, const char *const *likely, const int *how, int count, const char *more,
                              const char *members) {
    static char json[32768], weights[16384];
    bias(weights, sizeof weights, model, likely, how, count);
    snprintf(
        json, sizeof json,
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Look everywhere.\"}], \"max_tokens\": 1500, %s, %s, \"tool_choice\": "
        "{\"type\": \"function\", \"function\": {\"name\": \"create_subagent\"}}%s%s}",
        weights, more, *members ? ", " : "", members);
    return json;
}

const char *main_request(kimi_model *model, const char *members) {
    static const char *const likely[] = {"<|tool_calls_section_begin|>", "as"};
    static const int how[] = {100, 50};
    return request_of(model, likely, how, 2, "\"parallel_tool_calls\": false", members);
}

const char *named_request(kimi_model *model, const char *piece, int how) {
    const char *const likely[] = {"<|tool_calls_section_begin|>", piece};
    const int hows[] = {100, how};
    return request_of(model, likely, hows, 2, "\"parallel_tool_calls\": false", "");
}

const char *many_request(kimi_model *model, const char *members) {
    static const char *const likely[] = {"<|tool_calls_section_begin|>", "as"};
    static const int how[] = {100, 100};
    return request_of(model, likely, how, 2, "\"parallel_tool_calls\": true", members);
}

const char *agent_request(kimi_model *model, const char *members) {
    static char json[32768], weights[16384];
    static const char *const likely[] = {"<|im_end|>"};
    static const int how[] = {100};
    bias(weights, sizeof weights, model, likely, how, 1);
    snprintf(json, sizeof json, "{\"max_tokens\": 400, %s, \"tool_choice\": \"required\", \"parallel_tool_calls\": false%s%s}",
             weights, *members ? ", " : "", members);
    return json;
}

kimi_swarm_options swarm_options(kimi_model *model, uint64_t seed, int32_t main_steps) {
    static kimi_chat_options chat;
    kimi_swarm_options options;
    EXPECT_STATUS(KIMI_OK, kimi_chat_options_init(&chat, sizeof chat));
    EXPECT_STATUS(KIMI_OK, kimi_swarm_options_init(&options, sizeof options));
    chat.seed = seed;
    options.chat = &chat;
    options.main_steps = main_steps;
    options.main_mode = KIMI_MODE_INSTANT;
    options.agent_mode = KIMI_MODE_INSTANT;
    options.agent_request = agent_request(model, "");
    options.agent_request_length = KIMI_NUL;
    return options;
}

kimi_tool look_tool(kimi_tool_callback callback, void *user_data) {
    return (kimi_tool){
        .struct_size = sizeof(kimi_tool), .name = "look", .parameters = SCHEMA, .callback = callback, .user_data = user_data};
}
