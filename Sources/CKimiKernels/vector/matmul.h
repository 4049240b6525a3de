// y = x w^T: which path a product takes. Few rows of x are streamed over (stream.h), more pass by panels (panel.h).
#include "product.h"

#include "panel.h"
#include "stream.h"

void CK_NAME(matmul)(float *y, size_t ldy, const float *x, size_t ldx, size_t n, const ck_matrix *w, size_t begin,
                     size_t end) {
    if (n == 0 || begin >= end) return;
    product p = {y, ldy, x, ldx, w, begin, end};
    if (n <= CK_STREAM_X)
        streams[w->type][n - 1](&p);
    else
        multiply_shares(&p, n);
}
