// Spans of one query's attention put together.
#include "tile.h"

CK_INLINE void fold(float *out, const float *part, float kept, float added, size_t latent) {
    lanes a = lanes_all(kept), b = lanes_all(added);
    size_t c = 0;
    for (; c + 16 <= latent; c += 16)
        lanes_store(out + c, lanes_fma(lanes_load(part + c), b, lanes_mul(lanes_load(out + c), a)));
    if (c < latent) {
        size_t rest = latent - c;
        lanes sum = lanes_fma(lanes_load_part(part + c, rest), b, lanes_mul(lanes_load_part(out + c, rest), a));
        lanes_store_part(out + c, sum, rest);
    }
}

void CK_NAME(attention_fold)(float *out, float *state, const float *part, const float *part_state, size_t n, size_t latent) {
    for (size_t i = 0; i < n; i++) {
        float *s = state + 2 * i;
        const float *p = part_state + 2 * i;
        float top = p[0] > s[0] ? p[0] : s[0];
        float kept = ck_exp_inline(s[0] - top), added = ck_exp_inline(p[0] - top);
        float before = s[1] * kept, more = p[1] * added;
        s[0] = top;
        s[1] = before + more;
        fold(out + i * latent, part + i * latent, kept, added, latent);
    }
}

void CK_NAME(attention_finish)(float *y, size_t ldy, const float *out, const float *state, size_t n, size_t latent) {
    for (size_t i = 0; i < n; i++) {
        lanes scale = lanes_all(1.0f / state[2 * i + 1]);
        const float *sum = out + i * latent;
        float *result = y + i * ldy;
        size_t c = 0;
        for (; c + 16 <= latent; c += 16) lanes_store(result + c, lanes_mul(lanes_load(sum + c), scale));
        if (c < latent) {
            size_t rest = latent - c;
            lanes_store_part(result + c, lanes_mul(lanes_load_part(sum + c, rest), scale), rest);
        }
    }
}
