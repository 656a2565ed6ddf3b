/* Reductions in double precision. */
#ifndef GRAFT_TESTS_UNIT_ORACLE_REDUCE_H
#define GRAFT_TESTS_UNIT_ORACLE_REDUCE_H

#include "tests/unit/oracle_index.h"

/* What the axes of a reduction leave of the input's shape, with extents of 1. */
static inline struct shape oracle_kept(const struct op_site *site)
{
    const struct attributes *a = &site->node->attributes;
    struct shape kept = site->x_shape[0];
    bool global = site->node->op == OP_GLOBAL_AVERAGE_POOL || site->node->op == OP_GLOBAL_MAX_POOL;
    for (size_t i = 0; i < kept.rank; i++) {
        bool reduced = global ? i >= 2 : site->node->op == OP_ARG_MAX && a->axis == (int64_t)i;
        for (size_t k = 0; k < a->axes_count && !global; k++)
            reduced |= a->axes[k] == (int64_t)i || a->axes[k] + (int64_t)kept.rank == (int64_t)i;
        kept.dims[i] = reduced ? 1 : kept.dims[i];
    }
    return kept;
}

/* One result from its `count` elements. */
static inline double oracle_gathered(const struct op_site *site, const double *v, size_t count)
{
    double sum = 0, squares = 0, most = -INFINITY, least = INFINITY, place = 0;
    for (size_t i = 0; i < count; i++) {
        if (v[i] > most || (v[i] >= most && site->node->attributes.last_index))
            place = (double)i;
        sum += v[i];
        squares += v[i] * v[i];
        most = fmax(most, v[i]);
        least = fmin(least, v[i]);
    }
    switch ((int)site->node->op) {
    case OP_ARG_MAX:
        return place;
    case OP_REDUCE_SUM:
        return sum;
    case OP_REDUCE_L2:
        return sqrt(squares);
    case OP_REDUCE_MIN:
        return least;
    case OP_REDUCE_MAX:
    case OP_GLOBAL_MAX_POOL:
        return most;
    default:
        return sum / (double)count;
    }
}

static inline void oracle_reduce(const struct op_site *site, const double *x, double *y)
{
    const struct shape *from = &site->x_shape[0], kept = oracle_kept(site);
    size_t outputs = op_elements(&site->y_shape), elements = op_elements(from);
    double *taken = calloc(elements, sizeof *taken);
    for (size_t o = 0; o < outputs; o++) {
        size_t count = 0;
        for (size_t i = 0; i < elements; i++)
            if (oracle_pick(from, &kept, i) == o)
                taken[count++] = x[i];
        y[o] = oracle_gathered(site, taken, count);
    }
    free(taken);
}

#endif
