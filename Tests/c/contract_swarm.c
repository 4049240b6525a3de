/* Parts of contract.c: swarms by callback and by polling, results from the host, cancelling. */
#include "contract_swarm.h"

#include <unistd.h>

int32_t looked(const kimi_tool_call *call, kimi_tool_result *result, void *user_data) {
    ++*(int *)user_data;
    char text[128];
    CHECK(strcmp(call->name, "look") == 0 && call->struct_size >= sizeof *call, "%s", call->name);
    snprintf(text, sizeof text, "seen by %d '%s'", call->agent, call->agent_name);
    return kimi_tool_result_set(result, text, KIMI_NUL, NULL) == KIMI_OK ? 0 : 1;
}

/* A line for each event of an agent: what they say does not depend on who else works, and when. */
static void line(swarm_log *log, int32_t agent, const char *format, ...) {
    if (agent < 0 || agent >= AGENTS) return;
    va_list arguments;
    va_start(arguments, format);
    size_t room = sizeof log->text[agent] - log->length[agent];
    int written = vsnprintf(log->text[agent] + log->length[agent], room, format, arguments);
    va_end(arguments);
    if (written > 0) log->length[agent] += (size_t)written < room ? (size_t)written : room - 1;
}

static void log_chat(swarm_log *log, const kimi_swarm_event *event) {
    const kimi_chat_event *chat = event->chat;
    CHECK(chat && chat->struct_size >= sizeof *chat && strlen(chat->text) == chat->text_length, "a chat event of agent %d",
          event->agent);
    /* How much of a prompt is cached, and how it is cut, may differ. */
    if (chat->type == KIMI_CHAT_PROMPT) return;
    if (chat->type == KIMI_CHAT_RESULT) log->results++;
    line(log, event->agent, "%d.%d %d %s %s %d '%s'\n", event->task, chat->type, chat->step, chat->call_id, chat->name, chat->code,
         chat->text);
}

int32_t log_event(const kimi_swarm_event *event, void *user_data) {
    swarm_log *log = user_data;
    int32_t agent = event->agent;
    log->events++;
    CHECK(log->counts[KIMI_SWARM_FINISH] == 0, "event %d after the last", event->type);
    CHECK(event->struct_size >= sizeof *event && event->swarm && event->name && strlen(event->text) == event->text_length,
          "event %d", event->type);
    CHECK((event->parent == -1) == (agent == 0) && (agent == 0 || event->parent == 0), "agent %d has parent %d", agent,
          event->parent);
    CHECK((strcmp(event->name, "main") == 0) == (agent == 0), "agent %d is '%s'", agent, event->name);
    CHECK((event->chat != NULL) == (event->type == KIMI_SWARM_CHAT), "event %d with a chat event", event->type);
    if (!CHECK(event->type >= KIMI_SWARM_CHAT && event->type <= KIMI_SWARM_FINISH && agent < AGENTS, "event %d of agent %d",
               event->type, agent))
        return 0;
    log->counts[event->type]++;
    switch (event->type) {
    case KIMI_SWARM_CHAT:
        CHECK(agent == 0 || log->task[agent] == event->task, "agent %d, task %d without its beginning", agent, event->task);
        log_chat(log, event);
        break;
    case KIMI_SWARM_CREATED:
        log->agents++;
        CHECK(agent == log->agents && event->task == 0, "agent %d is created as number %d", agent, log->agents);
        line(log, agent, "created '%s' '%s'\n", event->name, event->text);
        break;
    case KIMI_SWARM_TASK_BEGIN:
        log->begun[agent]++;
        CHECK(agent > 0 && agent <= log->agents && log->task[agent] == 0 && event->task == log->begun[agent],
              "task %d of agent %d begins", event->task, agent);
        log->task[agent] = event->task;
        line(log, agent, "begins %d '%s'\n", event->task, event->text);
        break;
    case KIMI_SWARM_TASK_END:
        CHECK(log->task[agent] == event->task, "task %d of agent %d ends", event->task, agent);
        log->task[agent] = 0;
        log->outcomes[event->outcome % 11]++;
        log->cuts += event->cut;
        snprintf(log->result, sizeof log->result, "%s", event->text);
        line(log, agent, "ends %d %d %d '%s'\n", event->task, event->outcome, event->cut, event->text);
        break;
    case KIMI_SWARM_BUDGET:
        CHECK(event->budget >= 1 && event->budget <= KIMI_BUDGET_AGENTS && *event->text, "budget %d '%s'", event->budget,
              event->text);
        log->budgets[event->budget % 8]++;
        break;
    case KIMI_SWARM_FINISH:
        log->finish_reason = event->finish_reason;
        log->swarm = event->swarm;
        for (int i = 0; i < AGENTS; i++) CHECK(log->task[i] == 0, "agent %d has a task at the end", i);
        break;
    }
    if (log->act && log->events == log->act_at) return log->act(event, log);
    return 0;
}

kimi_status poll_event(kimi_swarm *swarm, kimi_swarm_event *event) {
    kimi_error *error = NULL;
    event->struct_size = sizeof *event;
    return EXPECT(KIMI_OK, kimi_swarm_next(swarm, -1, event, &error));
}

void poll_to_end(kimi_swarm *swarm, swarm_log *log) {
    kimi_swarm_event event;
    while (log->counts[KIMI_SWARM_FINISH] == 0 && poll_event(swarm, &event) == KIMI_OK) log_event(&event, log);
}

static bool same_events(const swarm_log *one, const swarm_log *other) {
    for (int i = 0; i < AGENTS; i++)
        if (!CHECK(strcmp(one->text[i], other->text[i]) == 0, "agent %d:\n%s\n--- and ---\n%s", i, one->text[i], other->text[i]))
            return false;
    return true;
}

/* What a function that gives JSON gives holds these words. */
static void json_holds(kimi_status (*function)(kimi_swarm *, char **, size_t *, kimi_error **), kimi_swarm *swarm,
                       const char *const *words) {
    kimi_error *error = NULL;
    char *json = NULL;
    size_t length = 0;
    if (EXPECT(KIMI_OK, function(swarm, &json, &length, &error)) != KIMI_OK) return;
    CHECK(strlen(json) == length, "%zu bytes", length);
    for (; *words; words++) CHECK(strstr(json, *words), "no %s in %s", *words, json);
    kimi_free(json);
}

static int32_t keep_account(const kimi_swarm_event *event, swarm_log *log) {
    (void)log;
    /* While the main agent's first step is evaluated: its own steps are all there is. */
    static const char *const words[] = {"\"agent_limit\":100", "\"finish\":null", "\"name\":\"main\"", NULL};
    json_holds(kimi_swarm_account, event->swarm, words);
    return 0;
}

static void by_callback_and_polling(kimi_model *model) {
    kimi_error *error = NULL;
    kimi_session *session = new_session(model);
    static swarm_log first, second;
    int calls = 0;
    kimi_tool tool = look_tool(looked, &calls);
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    for (uint64_t seed = 1; seed <= 3; seed++) {
        kimi_swarm_options options = swarm_options(model, seed, 4);
        /* First step: one agent. Two steps with a task each, whose first step calls the tool. The fourth has no results. */
        memset(&first, 0, sizeof first);
        calls = 0;
        first.act = keep_account;
        first.act_at = 2;
        EXPECT(KIMI_OK, kimi_swarm_run(session, main_request(model, ""), KIMI_NUL, &options, log_event, &first, &error));
        CHECK(calls == 2 && first.agents == 1 && first.counts[KIMI_SWARM_TASK_END] == 2, "%d calls\n%s\n%s", calls, first.text[0],
              first.text[1]);
        CHECK(first.outcomes[KIMI_OUTCOME_FINISHED] == 2 && first.results == 5, "%d results\n%s", first.results, first.text[0]);
        CHECK(first.finish_reason == KIMI_FINISH_STEPS && first.budgets[KIMI_BUDGET_MAIN_STEPS] == 1, "%d", first.finish_reason);
        CHECK(strstr(first.text[1], "created ' ' ' '\nbegins 1 ' '\n") == first.text[1] && strstr(first.text[1], "'seen by 1 ' ''"),
              "%s", first.text[1]);
        /* The handle was the call's. */
        char *json = (char *)16;
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_swarm_account(first.swarm, &json, NULL, &error));
        CHECK(json == NULL, "an account of a swarm that is gone");
        EXPECT(KIMI_OK, kimi_session_turn(session, &json, NULL, &error));
        CHECK(strstr(json, "assign_task"), "%s", json);
        kimi_free(json);

        memset(&second, 0, sizeof second);
        kimi_swarm *swarm = NULL;
        EXPECT(KIMI_OK, kimi_swarm_open(session, main_request(model, ""), KIMI_NUL, &options, &swarm, &error));
        EXPECT(KIMI_ERROR_BUSY, kimi_session_reset(session, &error));
        poll_to_end(swarm, &second);
        same_events(&first, &second);
        kimi_swarm_event event;
        for (int i = 0; i < 2; i++)
            CHECK(poll_event(swarm, &event) == KIMI_OK && event.type == KIMI_SWARM_FINISH, "event %d after the end", event.type);
        /* Its session is free, and what was done stays known. */
        EXPECT(KIMI_OK, kimi_session_reset(session, &error));
        static const char *const account[] = {"\"critical_steps\":8", "\"total_steps\":8", "\"stages\":4", "\"finish\":\"steps\"",
                                              "\"outcome\":\"finished\"", "\"timeline\":[{", NULL};
        static const char *const trace[] = {"\"traceEvents\":[", "\"ph\":\"X\"", "\"task 2\"", NULL};
        json_holds(kimi_swarm_account, swarm, account);
        json_holds(kimi_swarm_trace, swarm, trace);
        kimi_swarm_destroy(swarm);
        kimi_swarm_destroy(swarm);
        EXPECT(KIMI_ERROR_INVALID_HANDLE, kimi_swarm_next(swarm, 0, &event, &error));
    }
    /* Nobody has to look. */
    kimi_swarm_options options = swarm_options(model, 1, 2);
    EXPECT(KIMI_OK, kimi_swarm_run(session, main_request(model, ""), KIMI_NUL, &options, NULL, NULL, &error));
    kimi_session_destroy(session);
}

/* Tools of sub-agents that the host answers, with what is no answer before. */
static void submitting(kimi_model *model) {
    kimi_error *error = NULL;
    kimi_session *session = new_session(model);
    static swarm_log log;
    memset(&log, 0, sizeof log);
    kimi_swarm_options options = swarm_options(model, 7, 4);
    options.agent_request = agent_request(model, look_polled);
    kimi_swarm *swarm = NULL;
    EXPECT(KIMI_OK, kimi_swarm_open(session, main_request(model, ""), KIMI_NUL, &options, &swarm, &error));
    EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_submit(swarm, 1, "functions.look:0", KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
    int answered = 0;
    kimi_swarm_event event;
    while (log.counts[KIMI_SWARM_FINISH] == 0 && poll_event(swarm, &event) == KIMI_OK) {
        log_event(&event, &log);
        if (event.type != KIMI_SWARM_CHAT || event.chat->type != KIMI_CHAT_RESULT_NEEDED) continue;
        CHECK(event.agent == 1 && strstr(event.chat->text, "\" \""), "agent %d: %s", event.agent, event.chat->text);
        char id[128];
        snprintf(id, sizeof id, "%s", event.chat->call_id);
        /* Nothing else is on its way: it waits for us, and we for nothing. */
        event.struct_size = sizeof event;
        EXPECT(KIMI_OK, kimi_swarm_next(swarm, 20, &event, &error));
        CHECK(event.type == KIMI_SWARM_NONE && event.chat == NULL && event.swarm == swarm && event.parent == -1, "event %d",
              event.type);
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT,
               kimi_swarm_submit(swarm, 1, "functions.look:77", KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_submit(swarm, 0, id, KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
        EXPECT_SAYING("agent", KIMI_ERROR_INVALID_ARGUMENT,
                      kimi_swarm_submit(swarm, 2, id, KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
        EXPECT_SAYING("agent", KIMI_ERROR_INVALID_ARGUMENT,
                      kimi_swarm_submit(swarm, -1, id, KIMI_NUL, "x", 1, KIMI_RESULT_OK, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_submit(swarm, 1, id, KIMI_NUL, "x", 1, KIMI_RESULT_TIMED_OUT, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_submit(swarm, 1, id, KIMI_NUL, "\xff", 1, KIMI_RESULT_OK, &error));
        EXPECT(KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_submit_content(swarm, 1, id, KIMI_NUL, "5", 1, KIMI_RESULT_OK, &error));
        if (answered++ == 0) {
            EXPECT(KIMI_OK, kimi_swarm_submit(swarm, 1, id, KIMI_NUL, "a text", 6, KIMI_RESULT_FAILED, &error));
        } else {
            const char *content = "[{\"type\": \"text\", \"text\": \"a part\"}]";
            EXPECT(KIMI_OK, kimi_swarm_submit_content(swarm, 1, id, KIMI_NUL, content, KIMI_NUL, KIMI_RESULT_OK, &error));
        }
    }
    CHECK(answered == 2 && strstr(log.text[1], "'a text'") && strstr(log.text[1], "'a part'"), "%d answered\n%s", answered,
          log.text[1]);
    CHECK(log.outcomes[KIMI_OUTCOME_FINISHED] == 2, "%s", log.text[1]);
    kimi_swarm_destroy(swarm);

    /* By callback nobody could answer: the task says so, and the main agent goes on. */
    memset(&log, 0, sizeof log);
    EXPECT(KIMI_OK, kimi_swarm_run(session, main_request(model, ""), KIMI_NUL, &options, log_event, &log, &error));
    CHECK(log.outcomes[KIMI_OUTCOME_FAILED] == 2 && log.finish_reason == KIMI_FINISH_STEPS, "%s", log.text[1]);
    CHECK(strstr(log.result, "nobody answers"), "%s", log.result);
    kimi_session_destroy(session);
}

static int32_t cancel_agent(const kimi_swarm_event *event, swarm_log *log) {
    kimi_error *error = NULL;
    EXPECT(KIMI_OK, kimi_swarm_cancel(event->swarm, log->whom, &error));
    return 0;
}
static int32_t cancel_session(const kimi_swarm_event *event, swarm_log *log) {
    (void)event;
    EXPECT_STATUS(KIMI_OK, kimi_session_cancel(log->session));
    return 0;
}
static int32_t destroy_swarm(const kimi_swarm_event *event, swarm_log *log) {
    (void)log;
    kimi_swarm_destroy(event->swarm);
    return 0;
}
static int32_t stop(const kimi_swarm_event *event, swarm_log *log) {
    (void)event, (void)log;
    return 77;
}

static void ending_early(kimi_model *model) {
    kimi_error *error = NULL;
    kimi_session *session = new_session(model);
    kimi_swarm_options options = swarm_options(model, 7, 4);
    options.agent_request = agent_request(model, look_polled);
    kimi_swarm *swarm = NULL;
    kimi_swarm_event event;

    /* An agent that waits for a result: its task ends, the main agent gives it another. */
    static swarm_log log;
    memset(&log, 0, sizeof log);
    EXPECT(KIMI_OK, kimi_swarm_open(session, main_request(model, ""), KIMI_NUL, &options, &swarm, &error));
    EXPECT_SAYING("agent", KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_cancel(swarm, 1000, &error));
    EXPECT_SAYING("agent", KIMI_ERROR_INVALID_ARGUMENT, kimi_swarm_cancel(swarm, -1, &error));
    while (log.counts[KIMI_SWARM_FINISH] == 0 && poll_event(swarm, &event) == KIMI_OK) {
        log_event(&event, &log);
        if (event.type == KIMI_SWARM_CHAT && event.chat->type == KIMI_CHAT_RESULT_NEEDED)
            EXPECT(KIMI_OK, kimi_swarm_cancel(swarm, event.agent, &error));
    }
    CHECK(log.outcomes[KIMI_OUTCOME_CANCELLED] == 2 && log.finish_reason == KIMI_FINISH_STEPS, "%s\n%s", log.text[0], log.text[1]);
    kimi_swarm_destroy(swarm);

    /* All of it, from within: at every place the conversation stays as it was. */
    static const struct {
        int32_t (*act)(const kimi_swarm_event *, swarm_log *);
        kimi_status status;
        bool finishes;
    } ways[] = {
        {cancel_agent, KIMI_ERROR_CANCELLED, true}, {cancel_session, KIMI_ERROR_CANCELLED, true},
        {destroy_swarm, KIMI_ERROR_CANCELLED, false}, {stop, 77, false},
    };
    int calls = 0;
    kimi_tool tool = look_tool(looked, &calls);
    EXPECT(KIMI_OK, kimi_session_add_tool(session, &tool, &error));
    EXPECT(KIMI_OK, kimi_session_reset(session, &error));
    options.agent_request = agent_request(model, "");
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        for (int at = 1; at < 60; at += 13) {
            memset(&log, 0, sizeof log);
            log.act = ways[way].act;
            log.act_at = at;
            log.session = session;
            const char *request = main_request(model, "");
            kimi_status status = kimi_swarm_run(session, request, KIMI_NUL, &options, log_event, &log, &error);
            CHECK(status == ways[way].status, "way %zu at %d: %s", way, at, kimi_status_name(status));
            CHECK((error != NULL) == (status < 0) && kimi_error_code(error) == (status < 0 ? status : KIMI_ERROR_INVALID_HANDLE),
                  "%s", kimi_error_message(error));
            kimi_error_destroy(error);
            error = NULL;
            CHECK((log.counts[KIMI_SWARM_FINISH] == 1) == ways[way].finishes, "way %zu at %d: %d ends", way, at,
                  log.counts[KIMI_SWARM_FINISH]);
            if (ways[way].finishes) CHECK(log.finish_reason == KIMI_FINISH_CANCELLED, "%d", log.finish_reason);
            EXPECT(KIMI_OK, kimi_session_reset(session, &error));
        }
    }
    kimi_session_destroy(session);
}

void contract_swarm(void) {
    kimi_model *model = open_model(NULL);
    by_callback_and_polling(model);
    submitting(model);
    ending_early(model);
    kimi_model_close(model);
}
