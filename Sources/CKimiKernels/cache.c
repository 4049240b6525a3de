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
