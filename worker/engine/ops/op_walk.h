/* Walks two tensors A and B in step over a common index space, row by row: axes that both tensors
 * step through alike are merged, so that the inner row is as long as possible. A stride of 0
 * repeats (broadcasting, reducing). */
#ifndef GRAFT_WORKER_ENGINE_OPS_OP_WALK_H
#define GRAFT_WORKER_ENGINE_OPS_OP_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/tensor/tensor.h"

struct op_walk {
    size_t rank; /* merged axes, at least 1; the last is the row */
    size_t extent[TENSOR_RANK_MAX];
    size_t stride_a[TENSOR_RANK_MAX], stride_b[TENSOR_RANK_MAX];
    size_t rows;
};

/* Over `space`: `a` and `b` are its broadcast operands (numpy's rule, aligned at the end). */
struct op_walk op_walk_broadcast(const struct shape *space, const struct shape *a,
                                 const struct shape *b);

/* Over `space` (A itself, dense) with B's strides given per axis of the space. */
struct op_walk op_walk_strided(const struct shape *space, const size_t *stride_b);

/* Element offsets at which row `row` begins in A and B. */
void op_walk_row(const struct op_walk *walk, size_t row, size_t *a, size_t *b);

static inline size_t op_walk_length(const struct op_walk *walk)
{
    return walk->extent[walk->rank - 1];
}

static inline size_t op_walk_step_a(const struct op_walk *walk)
{
    return walk->stride_a[walk->rank - 1];
}

static inline size_t op_walk_step_b(const struct op_walk *walk)
{
    return walk->stride_b[walk->rank - 1];
}

#endif
