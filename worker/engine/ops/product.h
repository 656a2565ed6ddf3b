/* Products of dense row-major matrices, by OpenBLAS on one thread or, large ones, by oneDNN: the order
 * of the sums depends on the sizes (and the number of oneDNN's threads) only. */
#ifndef GRAFT_WORKER_ENGINE_OPS_PRODUCT_H
#define GRAFT_WORKER_ENGINE_OPS_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

/* Y [rows, columns] = alpha·A'·B', A' [rows, inner] being A or its transpose, B' [inner, columns] the
 * same of B. */
struct product {
    size_t rows, inner, columns;
    bool trans_a, trans_b;
    float alpha;
};

/* y = A'·B'·alpha + keep·y */
void product_forward(const struct product *p, const float *a, const float *b, float keep, float *y);

/* da (as A lies) and db from dy; each = its gradient + keep·itself. */
void product_toward_a(const struct product *p, const float *b, const float *dy, float keep,
                      float *da);
void product_toward_b(const struct product *p, const float *a, const float *dy, float keep,
                      float *db);

#endif
