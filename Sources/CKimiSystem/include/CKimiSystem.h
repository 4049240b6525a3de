// What the operating system offers and Swift cannot import by itself.
#ifndef CKIMI_SYSTEM_H
#define CKIMI_SYSTEM_H

#include "cks_affinity.h"
#include "cks_event.h"
#include "cks_file.h"
#include "cks_float.h"
#include "cks_memory.h"
#include "cks_pool.h"
#include "cks_reader.h"

#endif
