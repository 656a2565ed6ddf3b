/* Gather and GatherElements: indices come as floats that hold whole numbers, negative ones count from
 * the end. An index outside its axis is a fault of the run (op.h). Indices take no gradient; what
 * several of them take from one place adds up there in the order of the indices. */
#include <math.h>
#include <string.h>

#include "worker/engine/ops/op.h"
#include "worker/engine/ops/op_walk.h"
#include "worker/engine/ops/sums.h"

static size_t position(const struct op_site *site, float index, size_t extent)
{
    float place = index < 0 ? index + (float)extent : index;
    if (place >= 0 && place < (float)extent && truncf(place) == place)
        return (size_t)place; /* exact: extents are at most GRAPH_WHOLE_MAX */
    if (site->fault->node == NULL)
        *site->fault = (struct op_fault){site->node, index, extent};
    return 0;
}

/* data [outer, extent, inner], indices [count] → [outer, count, inner] */
struct table {
    size_t outer, extent, inner, count;
};

static struct table table_of(const struct op_site *site)
{
    const struct shape *data = &site->x_shape[0];
    size_t axis = (size_t)site->node->attributes.axis;
    struct table t = {1, (size_t)data->dims[axis], 1, op_elements(&site->x_shape[1])};
    for (size_t i = 0; i < axis; i++)
        t.outer *= (size_t)data->dims[i];
    for (size_t i = axis + 1; i < data->rank; i++)
        t.inner *= (size_t)data->dims[i];
    return t;
}

OP_FORWARD(gather_forward)
{
    struct table t = table_of(site);
    (void)scratch;
    for (size_t o = 0; o < t.outer; o++)
        for (size_t i = 0; i < t.count; i++) {
            size_t row = o * t.extent + position(site, x[1][i], t.extent);
            memcpy(y + (o * t.count + i) * t.inner, x[0] + row * t.inner, t.inner * sizeof *y);
        }
}

OP_BACKWARD(gather_backward)
{
    struct table t = table_of(site);
    (void)y, (void)scratch;
    memset(dx[0], 0, t.outer * t.extent * t.inner * sizeof **dx);
    for (size_t o = 0; o < t.outer; o++)
        for (size_t i = 0; i < t.count; i++) {
            size_t row = o * t.extent + position(site, x[1][i], t.extent);
            sums_add(dx[0] + row * t.inner, dy + (o * t.count + i) * t.inner, t.inner);
        }
}

/* ---- GatherElements: y[i, j, k] = data[i, indices[i, j, k], k] (axis 1) ---- */

/* A: indices and output; B: the data, standing still along the axis. */
static struct op_walk element_walk(const struct op_site *site, size_t *stride)
{
    const struct shape *data = &site->x_shape[0];
    size_t axis = (size_t)site->node->attributes.axis, dense = 1;
    size_t strides[TENSOR_RANK_MAX] = {0};
    for (size_t i = data->rank; i-- > 0;) {
        strides[i] = i == axis ? 0 : dense;
        *stride = i == axis ? dense : *stride;
        dense *= (size_t)data->dims[i];
    }
    return op_walk_strided(&site->x_shape[1], strides);
}

/* Runs `body` for every element, with `at` its offset in indices and output and `from` that of the
 * data it takes. */
#define EACH_ELEMENT(site, indices, body)                                                          \
    do {                                                                                           \
        size_t stride_ = 1, begin_, still_;                                                        \
        const struct op_walk walk_ = element_walk(site, &stride_);                                 \
        const size_t extent_ = (size_t)(site)->x_shape[0].dims[(site)->node->attributes.axis];     \
        for (size_t row_ = 0; row_ < walk_.rows; row_++) {                                         \
            op_walk_row(&walk_, row_, &begin_, &still_);                                           \
            for (size_t i_ = 0; i_ < op_walk_length(&walk_); i_++) {                               \
                const size_t at = begin_ + i_;                                                     \
                const size_t from = still_ + i_ * op_walk_step_b(&walk_) +                         \
                                    position(site, (indices)[at], extent_) * stride_;              \
                body                                                                               \
            }                                                                                      \
        }                                                                                          \
    } while (0)

OP_FORWARD(elements_forward)
{
    (void)scratch;
    EACH_ELEMENT(site, x[1], { y[at] = x[0][from]; });
}

OP_BACKWARD(elements_backward)
{
    (void)y, (void)scratch;
    memset(dx[0], 0, op_elements(&site->x_shape[0]) * sizeof **dx);
    EACH_ELEMENT(site, x[1], { dx[0][from] += dy[at]; });
}

const struct op_kernel op_gather = {.forward = gather_forward, .backward = gather_backward};
const struct op_kernel op_gather_elements = {.forward = elements_forward,
                                             .backward = elements_backward};
