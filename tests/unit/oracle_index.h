/* What the oracles of operators share: elements by their coordinates. */
#ifndef GRAFT_TESTS_UNIT_ORACLE_INDEX_H
#define GRAFT_TESTS_UNIT_ORACLE_INDEX_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/ops/op.h"

/* Index of the operand element that broadcasting pairs with element `flat` of `y`. */
static inline size_t oracle_pick(const struct shape *y, const struct shape *x, size_t flat)
{
    size_t index = 0, stride = 1;
    for (size_t i = 0; i < y->rank; i++) {
        size_t axis = y->rank - 1 - i, at = flat % (size_t)y->dims[axis];
        flat /= (size_t)y->dims[axis];
        if (i >= x->rank)
            continue;
        size_t dim = (size_t)x->dims[x->rank - 1 - i];
        index += dim == 1 ? 0 : at * stride;
        stride *= dim;
    }
    return index;
}

static inline void oracle_coordinates(const struct shape *shape, size_t flat, size_t *at)
{
    for (size_t i = shape->rank; i-- > 0;) {
        at[i] = flat % (size_t)shape->dims[i];
        flat /= (size_t)shape->dims[i];
    }
}

static inline size_t oracle_flat(const struct shape *shape, const size_t *at)
{
    size_t flat = 0;
    for (size_t i = 0; i < shape->rank; i++)
        flat = flat * (size_t)shape->dims[i] + at[i];
    return flat;
}

#endif
