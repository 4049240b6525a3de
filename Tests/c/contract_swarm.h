/* What the parts of contract.c on swarms share. */
#ifndef KIMI_TEST_CONTRACT_SWARM_H
#define KIMI_TEST_CONTRACT_SWARM_H

#include "contract.h"
#include "swarming.h"

#define AGENTS 24

/** What an event function has seen. `act` is called at the event of number `act_at`, and its answer handed back. */
typedef struct swarm_log swarm_log;
struct swarm_log {
    int events;
    int counts[8];
    int agents, begun[AGENTS], task[AGENTS]; /* task: the one in hand */
    int outcomes[11], budgets[8], cuts, results;
    int32_t finish_reason;
    char result[4096]; /* of the latest task */
    char text[AGENTS][65536];
    size_t length[AGENTS];
    kimi_swarm *swarm;
    kimi_session *session;
    int32_t whom;
    int act_at;
    int32_t (*act)(const kimi_swarm_event *event, swarm_log *log);
};

/** Checks what holds for every event, and their order. */
int32_t log_event(const kimi_swarm_event *event, void *user_data);
/** Waits for one event. */
kimi_status poll_event(kimi_swarm *swarm, kimi_swarm_event *event);
void poll_to_end(kimi_swarm *swarm, swarm_log *log);

/** A tool that says who called, and counts its calls in an int. */
int32_t looked(const kimi_tool_call *call, kimi_tool_result *result, void *user_data);

#endif
