#include "worker/engine/ops/op_walk.h"

#include "common/base/check.h"

/* Strides of a dense operand inside a space of `rank` axes: 0 where it has no axis or repeats. */
static void broadcast_strides(size_t rank, const struct shape *operand, size_t *strides)
{
    size_t stride = 1;
    CHECK(operand->rank <= rank);
    for (size_t i = rank; i-- > 0;) {
        size_t lead = rank - operand->rank;
        int64_t dim = i >= lead ? operand->dims[i - lead] : 1;
        strides[i] = dim == 1 ? 0 : stride;
        stride *= (size_t)dim;
    }
}

/* Axis `outer` continues axis `inner` in a tensor when stepping over the whole inner axis is one
 * outer step. */
static bool continues(size_t stride_outer, size_t stride_inner, size_t extent_inner)
{
    return stride_outer == stride_inner * extent_inner;
}

static struct op_walk merge(const struct shape *space, const size_t *stride_a,
                            const size_t *stride_b)
{
    struct op_walk walk = {.rank = 0, .rows = 1};
    for (size_t i = 0; i < space->rank; i++) {
        size_t extent = (size_t)space->dims[i];
        if (extent == 1)
            continue;
        size_t last = walk.rank - 1;
        if (walk.rank > 0 && continues(walk.stride_a[last], stride_a[i], extent) &&
            continues(walk.stride_b[last], stride_b[i], extent)) {
            walk.extent[last] *= extent;
        } else {
            last = walk.rank++;
            walk.extent[last] = extent;
        }
        walk.stride_a[last] = stride_a[i];
        walk.stride_b[last] = stride_b[i];
    }
    if (walk.rank == 0) {
        walk.rank = 1;
        walk.extent[0] = 1;
        walk.stride_a[0] = walk.stride_b[0] = 1;
    }
    for (size_t i = 0; i + 1 < walk.rank; i++)
        walk.rows *= walk.extent[i];
    return walk;
}

struct op_walk op_walk_broadcast(const struct shape *space, const struct shape *a,
                                 const struct shape *b)
{
    size_t stride_a[TENSOR_RANK_MAX], stride_b[TENSOR_RANK_MAX];
    broadcast_strides(space->rank, a, stride_a);
    broadcast_strides(space->rank, b, stride_b);
    return merge(space, stride_a, stride_b);
}

struct op_walk op_walk_strided(const struct shape *space, const size_t *stride_b)
{
    size_t stride_a[TENSOR_RANK_MAX];
    broadcast_strides(space->rank, space, stride_a);
    return merge(space, stride_a, stride_b);
}

void op_walk_row(const struct op_walk *walk, size_t row, size_t *a, size_t *b)
{
    *a = *b = 0;
    for (size_t i = walk->rank - 1; i-- > 0;) {
        size_t index = row % walk->extent[i];
        row /= walk->extent[i];
        *a += index * walk->stride_a[i];
        *b += index * walk->stride_b[i];
    }
}
