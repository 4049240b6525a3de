// Sizes that attention's callers and kernels agree on.
#include "kernels.h"

size_t ck_attention_span(size_t tokens) {
    size_t span = CK_SPAN_LEAST;
    while (span * CK_SPANS_MOST < tokens) span *= 2;
    return span;
}

size_t ck_cache_token_bytes(int32_t cache_type, size_t latent, size_t rope) {
    switch (cache_type) {
    case CK_F32: return 4 * (latent + rope);
    case CK_BF16: return 2 * (latent + rope);
    case CK_INT8: return (latent + 2 * rope + sizeof(float) + 15) / 16 * 16;
    default: return 0;
    }
}

void ck_pack_queries(float *to, const float *q, size_t ldq, size_t n, size_t size) {
    for (size_t first = 0; first < n; first += CK_PACKED_ROWS, to += size * CK_PACKED_ROWS) {
        const float *rows = q + first * ldq;
        size_t count = ck_smaller(n - first, CK_PACKED_ROWS);
        if (count < CK_PACKED_ROWS) memset(to, 0, size * CK_PACKED_ROWS * sizeof *to);
        for (size_t d = 0; d < size; d++)
            for (size_t r = 0; r < count; r++) to[d * CK_PACKED_ROWS + r] = rows[r * ldq + d];
    }
}
