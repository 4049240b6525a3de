/*
 * What the C tests share: checks that count, the fixture's numbers, a model and a session in one call.
 *
 * Every program takes the fixture folder (Tests/Fixtures) as its first argument, prints what fails and nothing else, and
 * exits with 0 or 1.
 */
#ifndef KIMI_TEST_SUPPORT_H
#define KIMI_TEST_SUPPORT_H

#include <kimi.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int failures;
extern int checks;
extern const char *fixtures; /* the folder, from the command line */

/** Counts; prints place and a printf message if `condition` does not hold. Gives the condition back. */
#define CHECK(condition, ...) check((condition), __FILE__, __LINE__, #condition, __VA_ARGS__)
bool check(bool condition, const char *file, int line, const char *text, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/**
 * Calls a function whose last argument is `&error` (a variable of the place) and compares its status. A failure must come with
 * an error of that code, with one line of message. The error is destroyed. Gives the status back.
 */
#define EXPECT(wanted, call) expect((call), (wanted), (wanted), &error, NULL, __FILE__, __LINE__, #call)
/** The same where two statuses are right. */
#define EXPECT_EITHER(first, second, call) expect((call), (first), (second), &error, NULL, __FILE__, __LINE__, #call)
/** The same, and the message or the subject must hold `words`. */
#define EXPECT_SAYING(words, wanted, call) expect((call), (wanted), (wanted), &error, (words), __FILE__, __LINE__, #call)
/** For functions without an error. */
#define EXPECT_STATUS(wanted, call) expect((call), (wanted), (wanted), NULL, NULL, __FILE__, __LINE__, #call)
kimi_status expect(kimi_status status, kimi_status first, kimi_status second, kimi_error **error, const char *words,
                   const char *file, int line, const char *text);

/** Reads the fixture folder from the command line; exits with a usage line otherwise. */
void begin(int count, char **arguments);
/** What main returns: says how many checks failed, if any. */
int finish(void);

/** How many entries a folder has: of /proc/self/fd and /proc/self/task, whether something was left open or running. */
int entries(const char *folder);

/** `fixtures`/name, in one of a few static buffers. */
const char *fixture(const char *name);

/** One prompt of the reference. Everything is freed with prompt_free. */
typedef struct {
    int32_t *ids;
    size_t count;
    bool has_greedy;
    int32_t greedy[32];
    float margin[32];
    float *logits; /* after the last token; `vocabulary` of them */
    size_t vocabulary;
    int32_t *argmax; /* after each token; NULL where the reference has none */
} prompt;
prompt prompt_read(const char *name);
void prompt_free(prompt *prompt);

/** The place of the largest. */
int32_t largest(const float *values, size_t count);

/** The fixture with `options` (NULL: defaults); exits if it does not open: nothing after it would mean anything. */
kimi_model *open_model(const kimi_model_options *options);
/** An empty session; exits if there is none. */
kimi_session *new_session(kimi_model *model);
/** Evaluates and gives the last logits, to be freed. Checks that it worked; zeros if it did not. */
float *evaluate(kimi_session *session, const int32_t *ids, size_t count);
/** Whether two rows of logits are the same bits. */
bool same_bits(const float *a, const float *b, size_t count);

/** What a callback has seen: events in the order they came. */
typedef struct {
    int prompts, tokens, finishes;
    int64_t prompt_done, prompt_total;
    int32_t ids[8192];
    float logprobs[8192];
    int32_t finish_reason, finish_id, stop_string;
    char text[65536];
    size_t text_length;
    bool out_of_order;
    /* Return `answer` at the `answer_at`-th event, counted from 1; 0: never. */
    int32_t answer;
    int answer_at, events;
} record;
int32_t record_event(const kimi_event *event, void *user_data);

#endif
