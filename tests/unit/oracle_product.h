/* Products of matrices in double precision. */
#ifndef GRAFT_TESTS_UNIT_ORACLE_PRODUCT_H
#define GRAFT_TESTS_UNIT_ORACLE_PRODUCT_H

#include "tests/unit/oracle_index.h"

static inline void oracle_gemm(const struct op_site *site, const double *const *x, double *y)
{
    const struct attributes *a = &site->node->attributes;
    size_t rows = (size_t)site->y_shape.dims[0], columns = (size_t)site->y_shape.dims[1];
    size_t inner = (size_t)site->x_shape[1].dims[a->trans_b ? 1 : 0];
    for (size_t i = 0; i < rows * columns; i++) {
        size_t r = i / columns, c = i % columns;
        y[i] = site->input_count < 3
                   ? 0
                   : (double)a->beta * x[2][oracle_pick(&site->y_shape, &site->x_shape[2], i)];
        for (size_t k = 0; k < inner; k++)
            y[i] += (double)a->alpha * x[0][a->trans_a ? k * rows + r : r * inner + k] *
                    x[1][a->trans_b ? c * inner + k : k * columns + c];
    }
}

/* The matrix of one side that belongs to matrix `stack` of the result. */
static inline size_t oracle_matrix(const struct op_site *site, size_t side, size_t stack)
{
    struct shape lead = site->y_shape, own = site->x_shape[side];
    lead.rank -= site->x_shape[0].rank > 1 ? 1 : 0;
    lead.rank -= site->x_shape[1].rank > 1 ? 1 : 0;
    own.rank = own.rank > 2 ? own.rank - 2 : 0;
    return oracle_pick(&lead, &own, stack);
}

static inline void oracle_matmul(const struct op_site *site, const double *const *x, double *y)
{
    const struct shape *a = &site->x_shape[0], *b = &site->x_shape[1];
    size_t rows = a->rank > 1 ? (size_t)a->dims[a->rank - 2] : 1;
    size_t inner = (size_t)a->dims[a->rank - 1];
    size_t columns = b->rank > 1 ? (size_t)b->dims[b->rank - 1] : 1;
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        size_t stack = i / (rows * columns), r = i / columns % rows, c = i % columns;
        const double *left = x[0] + oracle_matrix(site, 0, stack) * rows * inner;
        const double *right = x[1] + oracle_matrix(site, 1, stack) * inner * columns;
        y[i] = 0;
        for (size_t k = 0; k < inner; k++)
            y[i] += left[r * inner + k] * right[k * columns + c];
    }
}

#endif
