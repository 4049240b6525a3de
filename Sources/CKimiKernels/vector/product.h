// What the two paths of the product share.
#ifndef CK_VECTOR_PRODUCT_H
#define CK_VECTOR_PRODUCT_H

#include "tile.h"

/// Which part of y = x w^T a call makes.
typedef struct product {
    float *y;
    size_t ldy;
    const float *x;
    size_t ldx;
    const ck_matrix *w;
    size_t begin, end; ///< weight rows
} product;

#endif
