// Spans of one query's attention put together.
#include "../exp.h"
#include "specification.h"

CK_SPECIFICATION void ck_scalar_attention_fold(float *out, float *state, const float *part, const float *part_state,
                                               size_t n, size_t latent) {
    for (size_t i = 0; i < n; i++) {
        float *s = state + 2 * i;
        const float *p = part_state + 2 * i;
        float top = p[0] > s[0] ? p[0] : s[0];
        float kept = ck_exp_inline(s[0] - top), added = ck_exp_inline(p[0] - top);
        float before = s[1] * kept, more = p[1] * added;
        s[0] = top;
        s[1] = before + more;
        for (size_t c = i * latent; c < (i + 1) * latent; c++) {
            float carried = out[c] * kept;
            out[c] = fmaf(part[c], added, carried);
        }
    }
}

CK_SPECIFICATION void ck_scalar_attention_finish(float *y, size_t ldy, const float *out, const float *state, size_t n,
                                                 size_t latent) {
    for (size_t i = 0; i < n; i++) {
        float scale = 1.0f / state[2 * i + 1];
        for (size_t c = 0; c < latent; c++) y[i * ldy + c] = out[i * latent + c] * scale;
    }
}
