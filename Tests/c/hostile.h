/* What the groups of hostile.c share. */
#ifndef KIMI_TEST_HOSTILE_H
#define KIMI_TEST_HOSTILE_H

#include "support.h"

enum kind { MODEL, SESSION, DECODER, OTHER };

/** Opened by open_all, in the child process of the group. */
extern kimi_model *model;
extern kimi_session *session;
void open_all(void);

/** The i-th pointer that is no handle of the kind `own`; false behind the last. */
bool stranger(int i, enum kind own, void **out);

void hostile_open(void);
void hostile_model(void);
void hostile_tokenizer(void);
void hostile_decoder(void);
void hostile_session(void);
void hostile_evaluate(void);
void hostile_files(void);
void hostile_options(void);
void hostile_generate(void);
void hostile_polling(void);
void hostile_statistics(void);
void hostile_chat(void);
void hostile_chat_options(void);
void hostile_requests(void);
void hostile_tools(void);
void hostile_swarm(void);
void hostile_swarm_options(void);
void hostile_swarm_tools(void);
void hostile_swarm_blocking(void);
void hostile_swarm_hosts(void);
void hostile_swarm_names(void);

#endif
