// SHA-256 by libmd, which the systems this library runs on have anyway (libbsd needs it).
#include "CKimiMedia.h"

#include <sha2.h>
#include <stdlib.h>

struct ckm_digest {
    SHA2_CTX context;
};

ckm_digest *ckm_digest_create(void) {
    ckm_digest *digest = malloc(sizeof *digest);
    if (digest) SHA256Init(&digest->context);
    return digest;
}

void ckm_digest_update(ckm_digest *digest, const void *bytes, size_t count) { SHA256Update(&digest->context, bytes, count); }

void ckm_digest_finish(ckm_digest *digest, uint8_t out[32]) { SHA256Final(out, &digest->context); }

void ckm_digest_destroy(ckm_digest *digest) { free(digest); }
