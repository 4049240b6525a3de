/* The kernels that go element by element, in place too, and ck_exp over all kinds of numbers. */
#include "support.h"

#include <math.h>

void check_elementwise(size_t rounds) {
    for (size_t round = 0; round < rounds; round++) {
        mood mood = below(MOODS);
        size_t n = 1 + below(below(2) ? 40 : 2000), bytes = n * sizeof(float);
        float *x = floats(n, mood), *w = floats(n, below(2) ? mood : ORDINARY), *right = floats(4 * n, ORDINARY);
        float factor = number(mood), epsilon = below(2) ? 1e-5f : 1e-6f;
        levels[0]->rms_norm(right, x, w, n, epsilon);
        levels[0]->swiglu(right + n, x, w, n);
        memcpy(right + 2 * n, w, bytes);
        levels[0]->add_scaled(right + 2 * n, factor, x, n);
        const size_t pairs = n / 2;
        levels[0]->rope(right + 3 * n, x, w, pairs);
        int32_t finite = levels[0]->all_finite(x, n);
        for (size_t l = 1; l < level_count; l++) {
            const ck_kernels *k = levels[l];
            float *y = floats(n, ORDINARY);
            k->rms_norm(y, x, w, n, epsilon);
            same_floats(y, right, n, "rms_norm", k->name);
            memcpy(y, x, bytes);
            k->rms_norm(y, y, w, n, epsilon);
            same_floats(y, right, n, "rms_norm in place", k->name);
            memcpy(y, x, bytes);
            k->swiglu(y, y, w, n);
            same_floats(y, right + n, n, "swiglu in place of gate", k->name);
            memcpy(y, w, bytes);
            k->swiglu(y, x, y, n);
            same_floats(y, right + n, n, "swiglu in place of up", k->name);
            memcpy(y, w, bytes);
            k->add_scaled(y, factor, x, n);
            same_floats(y, right + 2 * n, n, "add_scaled", k->name);
            memcpy(y, x, bytes);
            k->rope(y, y, w, pairs);
            same_floats(y, right + 3 * n, 2 * pairs, "rope in place", k->name);
            REQUIRE(k->all_finite(x, n) == finite, "all_finite on %s", k->name);
            give_back(y);
        }
        for (size_t i = 0; i < n; i++) {
            float found = ck_exp(x[i]);
            REQUIRE(isnan(x[i]) ? isnan(found) : found >= 0, "exp(%a) is %a", (double)x[i], (double)found);
        }
        give_back(right);
        give_back(w);
        give_back(x);
    }
}
