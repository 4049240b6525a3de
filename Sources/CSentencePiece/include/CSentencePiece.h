// A C door to libsentencepiece for Swift. No exception leaves it, and nothing is printed.
#ifndef CSENTENCEPIECE_H
#define CSENTENCEPIECE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// A loaded model. It does not change after csp_open, so any number of threads may encode with it at once.
typedef struct csp_model csp_model;

typedef enum csp_status {
    CSP_OK = 0,
    // The library refused the model or the text; the message is its own.
    CSP_REFUSED = 1,
    CSP_NO_MEMORY = 2,
} csp_status;

// Loads a serialized model of `size` bytes, which are copied. On success `*model` is owned by the caller (csp_close);
// on failure it is NULL and the reason is written to `message`, cut to `message_size` bytes with the final NUL.
//
// The library trusts its character map and a few other parts; the caller has checked them (SentencePieceFile.swift).
csp_status csp_open(const void *bytes, size_t size, csp_model **model, char *message, size_t message_size);

// Frees a model; NULL is allowed.
void csp_close(csp_model *model);

// The number of pieces, which are the ids 0 to count - 1.
size_t csp_count(const csp_model *model);

// Encodes `size` bytes of UTF-8. On success `*ids` is owned by the caller (csp_free) and NULL where `*count` is 0.
csp_status csp_encode(const csp_model *model, const char *text, size_t size, int32_t **ids, size_t *count,
                      char *message, size_t message_size);

void csp_free(int32_t *ids);

#ifdef __cplusplus
}
#endif

#endif
