#include "cks_file.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct cks_digest {
    XXH3_state_t state;
};

cks_digest *cks_digest_create(void) {
    /* The state wants 64-byte alignment, more than malloc promises. */
    cks_digest *digest = aligned_alloc(64, (sizeof(cks_digest) + 63) / 64 * 64);
    if (digest) XXH3_128bits_reset(&digest->state);
    return digest;
}

void cks_digest_update(cks_digest *digest, const void *bytes, size_t count) {
    if (count > 0) XXH3_128bits_update(&digest->state, bytes, count);
}

void cks_digest_finish(const cks_digest *digest, uint8_t out[16]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&digest->state));
    for (int i = 0; i < 16; i++) out[i] = canonical.digest[i];
}

void cks_digest_destroy(cks_digest *digest) { free(digest); }
