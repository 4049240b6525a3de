// Media for the model: decoding by the system's libraries, and what else is best said in C.
#ifndef CKIMI_MEDIA_H
#define CKIMI_MEDIA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A running SHA-256.
typedef struct ckm_digest ckm_digest;

/// NULL if there is no memory.
ckm_digest *ckm_digest_create(void);
void ckm_digest_update(ckm_digest *digest, const void *bytes, size_t count);
/// Writes the 32 bytes; the digest is of no more use then.
void ckm_digest_finish(ckm_digest *digest, uint8_t out[32]);
void ckm_digest_destroy(ckm_digest *digest);

#ifdef __cplusplus
}
#endif
#endif
