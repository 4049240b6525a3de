/* The parts of contract.c. Each opens what it needs and leaves nothing behind. */
#ifndef KIMI_TEST_CONTRACT_H
#define KIMI_TEST_CONTRACT_H

#include "support.h"

/* Options for so many of the likeliest tokens, whatever they are. */
kimi_generation_options greedy_options(int64_t max_tokens);
/* Generates in a session of its own and checks what holds for every generation. To be freed. */
record *generate(kimi_model *model, const prompt *prompt, const kimi_generation_options *options);

void contract_open(void);
void contract_process(void);
void contract_cut_shard(void);
void contract_tokenizer(void);
void contract_reference(void);
void contract_same_bits(void);
void contract_generate(void);
void contract_options(void);
void contract_polling(void);
void contract_callbacks(void);
void contract_memory(void);
void contract_plan(void);
void contract_threads(void);
void contract_chat(void);
void contract_chat_tools(void);
void contract_chat_cancel(void);
void contract_images(void);
void contract_videos(void);
void contract_chat_media(void);
void contract_queue(void);
void contract_swarm(void);
void contract_swarm_limits(void);
void contract_rewards(void);

#endif
