/* Operators that move elements, in double precision. */
#ifndef GRAFT_TESTS_UNIT_ORACLE_MOVE_H
#define GRAFT_TESTS_UNIT_ORACLE_MOVE_H

#include "tests/unit/oracle_index.h"

static inline void oracle_transpose(const struct op_site *site, const double *x, double *y)
{
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        size_t at[TENSOR_RANK_MAX], from[TENSOR_RANK_MAX];
        oracle_coordinates(&site->y_shape, i, at);
        for (size_t k = 0; k < site->y_shape.rank; k++)
            from[site->node->attributes.axes[k]] = at[k];
        y[i] = x[oracle_flat(&site->x_shape[0], from)];
    }
}

static inline void oracle_concat(const struct op_site *site, const double *const *x, double *y)
{
    size_t axis = (size_t)site->node->attributes.axis;
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        size_t at[TENSOR_RANK_MAX], k = 0;
        oracle_coordinates(&site->y_shape, i, at);
        while (at[axis] >= (size_t)site->x_shape[k].dims[axis])
            at[axis] -= (size_t)site->x_shape[k++].dims[axis];
        y[i] = x[k][oracle_flat(&site->x_shape[k], at)];
    }
}

/* Coordinate of the input that coordinate `at` of the output's axis reads; -1: the fill. */
static inline int64_t oracle_source(const struct node *node, size_t axis, int64_t n, int64_t at)
{
    const struct attributes *a = &node->attributes;
    if (node->op == OP_TILE || node->op == OP_EXPAND)
        return at % n;
    if (node->op == OP_SLICE)
        return a->starts[axis] + at * a->steps[axis];
    at -= a->starts[axis];
    if (a->pad_mode == PAD_CONSTANT)
        return at < 0 || at >= n ? -1 : at;
    if (a->pad_mode == PAD_EDGE)
        return at < 0 ? 0 : at >= n ? n - 1 : at;
    while (at < 0 || at >= n) /* step by step from the border inwards */
        at = a->pad_mode == PAD_WRAP ? (at < 0 ? at + n : at - n)
             : n == 1                ? 0
                                     : (at < 0 ? -at : 2 * (n - 1) - at);
    return at;
}

static inline void oracle_copy_by_axis(const struct op_site *site, const double *x, double *y)
{
    const struct shape *from = &site->x_shape[0];
    size_t lead = site->y_shape.rank - from->rank;
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        size_t at[TENSOR_RANK_MAX];
        bool fill = false;
        oracle_coordinates(&site->y_shape, i, at);
        for (size_t k = 0; k < from->rank; k++) {
            int64_t source = oracle_source(site->node, k, from->dims[k], (int64_t)at[k + lead]);
            fill |= source < 0;
            at[k] = (size_t)source;
        }
        y[i] = fill ? (double)site->node->attributes.fill : x[oracle_flat(from, at)];
    }
}

static inline size_t oracle_index(const struct op_site *site, double index)
{
    int64_t extent = site->x_shape[0].dims[site->node->attributes.axis];
    return (size_t)((int64_t)index + (index < 0 ? extent : 0));
}

static inline void oracle_gather(const struct op_site *site, const double *const *x, double *y)
{
    const struct shape *data = &site->x_shape[0], *indices = &site->x_shape[1];
    size_t axis = (size_t)site->node->attributes.axis;
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        size_t at[TENSOR_RANK_MAX], from[TENSOR_RANK_MAX] = {0};
        oracle_coordinates(&site->y_shape, i, at);
        for (size_t k = 0; k < data->rank; k++)
            from[k] = k < axis ? at[k] : k > axis ? at[k - 1 + indices->rank] : 0;
        from[axis] = oracle_index(site, x[1][oracle_flat(indices, at + axis)]);
        y[i] = x[0][oracle_flat(data, from)];
    }
}

static inline void oracle_gather_elements(const struct op_site *site, const double *const *x,
                                          double *y)
{
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        size_t at[TENSOR_RANK_MAX];
        oracle_coordinates(&site->y_shape, i, at);
        at[site->node->attributes.axis] = oracle_index(site, x[1][i]);
        y[i] = x[0][oracle_flat(&site->x_shape[0], at)];
    }
}

#endif
