/* What the parts of contract.c on conversation share. */
#ifndef KIMI_TEST_CONTRACT_CHAT_H
#define KIMI_TEST_CONTRACT_CHAT_H

#include "contract.h"

/** Members of a request: one call a step, and a tool without a callback whose argument is kind. */
#define FORCED "\"tool_choice\": \"required\", \"parallel_tool_calls\": false"
#define FIND "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"find\", \"parameters\": {\"type\": \"object\", " \
             "\"properties\": {\"kind\": {\"enum\": [\"a\", \"b\"]}}, \"required\": [\"kind\"], \"additionalProperties\": false}}}]"

/** The schema of one argument, kind: "a" or "b". */
extern const char find_tool[];

/**
 * One user message in mode instant, with these members beside it. In a static buffer. Blank tokens are made unlikely: of random
 * weights come long runs of white space, which JSON allows.
 */
const char *request(kimi_model *model, const char *members);

kimi_chat_options seeded(uint64_t seed, int32_t steps);

/** Of the session's conversation; -1 after an error. */
int message_count(kimi_session *session);

/** What an event function has seen. `act` is called at the event of number `act_at`, and its answer handed back. */
typedef struct turn {
    int events;
    int counts[16];
    int32_t step, finish_reason;
    int64_t generated;
    char log[65536];
    size_t length;
    int act_at;
    int32_t (*act)(struct turn *seen);
    kimi_session *session;
} turn;
int32_t record_turn(const kimi_chat_event *event, void *user_data);

/** A tool that answers "found" and counts its calls in an int. */
int32_t found(const kimi_tool_call *call, kimi_tool_result *result, void *user_data);

#endif
