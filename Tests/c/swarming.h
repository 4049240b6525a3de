/* What the tests of swarms share: requests that make random weights create sub-agents and give them tasks. */
#ifndef KIMI_TEST_SWARMING_H
#define KIMI_TEST_SWARMING_H

#include "support.h"

/**
 * The main agent's request, with these members beside its own: it calls create_subagent in its first step and in all others
 * assign_task, one call a step, until its steps are used up. Texts of calls are " ". In a static buffer.
 */
const char *main_request(kimi_model *model, const char *members);

/** The same with several calls a step, and names "as ", "asas " and so on. */
const char *many_request(kimi_model *model, const char *members);

/** As main_request, and this piece may stand in texts of calls, the likelier the more it is above 100. */
const char *named_request(kimi_model *model, const char *piece, int how);

/**
 * What sub-agents' requests have, with these members beside it: the first step calls a tool, the second ends the answer at once.
 * In a static buffer.
 */
const char *agent_request(kimi_model *model, const char *members);

/** Options for those, everybody in mode instant. `chat` is static. */
kimi_swarm_options swarm_options(kimi_model *model, uint64_t seed, int32_t main_steps);

/** A tool `look` with a callback: {"kind": ANY TEXT}. */
kimi_tool look_tool(kimi_tool_callback callback, void *user_data);
/** The same as OpenAI's JSON, to be answered by polling. */
extern const char look_polled[];

#endif
