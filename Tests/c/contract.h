/* The parts of contract.c. Each opens what it needs and leaves nothing behind. */
#ifndef KIMI_TEST_CONTRACT_H
#define KIMI_TEST_CONTRACT_H

#include "support.h"

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
void contract_threads(void);

#endif
