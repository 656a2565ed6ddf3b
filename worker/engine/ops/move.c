/* Operators that only move data: Flatten, Reshape, Squeeze, Unsqueeze, Identity (a copy of the same
 * order), Transpose, Concat. */
#include <string.h>

#include "worker/engine/ops/op.h"
#include "worker/engine/ops/op_walk.h"

OP_FORWARD(copy_forward)
{
    (void)scratch;
    memcpy(y, x[0], op_elements(&site->y_shape) * sizeof *y);
}

OP_BACKWARD(copy_backward)
{
    (void)x, (void)y, (void)scratch;
    memcpy(dx[0], dy, op_elements(&site->y_shape) * sizeof *dy);
}

/* A: the output; B: the input, with its strides permuted. */
static struct op_walk transpose_walk(const struct op_site *site)
{
    const struct shape *x = &site->x_shape[0];
    size_t dense[TENSOR_RANK_MAX], strides[TENSOR_RANK_MAX], stride = 1;
    for (size_t i = x->rank; i-- > 0;) {
        dense[i] = stride;
        stride *= (size_t)x->dims[i];
    }
    for (size_t i = 0; i < x->rank; i++)
        strides[i] = dense[site->node->attributes.axes[i]];
    return op_walk_strided(&site->y_shape, strides);
}

OP_FORWARD(transpose_forward)
{
    struct op_walk walk = transpose_walk(site);
    size_t n = op_walk_length(&walk), step = op_walk_step_b(&walk), a, b;
    (void)scratch;
    for (size_t row = 0; row < walk.rows; row++) {
        op_walk_row(&walk, row, &a, &b);
        for (size_t i = 0; i < n; i++)
            y[a + i] = x[0][b + i * step];
    }
}

OP_BACKWARD(transpose_backward)
{
    struct op_walk walk = transpose_walk(site);
    size_t n = op_walk_length(&walk), step = op_walk_step_b(&walk), a, b;
    (void)x, (void)y, (void)scratch;
    for (size_t row = 0; row < walk.rows; row++) {
        op_walk_row(&walk, row, &a, &b);
        for (size_t i = 0; i < n; i++)
            dx[0][b + i * step] = dy[a + i];
    }
}

/* Elements of one input from the concatenated axis on: what lies together in input and output. */
static size_t stretch(const struct shape *shape, size_t axis)
{
    size_t product = 1;
    for (size_t i = axis; i < shape->rank; i++)
        product *= (size_t)shape->dims[i];
    return product;
}

OP_FORWARD(concat_forward)
{
    size_t axis = (size_t)site->node->attributes.axis, row = stretch(&site->y_shape, axis), at = 0;
    size_t rows = op_elements(&site->y_shape) / row;
    (void)scratch;
    for (size_t k = 0; k < site->input_count; k++) {
        size_t n = stretch(&site->x_shape[k], axis);
        for (size_t i = 0; i < rows; i++)
            memcpy(y + i * row + at, x[k] + i * n, n * sizeof *y);
        at += n;
    }
}

OP_BACKWARD(concat_backward)
{
    size_t axis = (size_t)site->node->attributes.axis, row = stretch(&site->y_shape, axis), at = 0;
    size_t rows = op_elements(&site->y_shape) / row;
    (void)x, (void)y, (void)scratch;
    for (size_t k = 0; k < site->input_count; k++) {
        size_t n = stretch(&site->x_shape[k], axis);
        for (size_t i = 0; i < rows && site->wanted[k]; i++)
            memcpy(dx[k] + i * n, dy + i * row + at, n * sizeof *dy);
        at += n;
    }
}

const struct op_kernel op_copy = {.forward = copy_forward, .backward = copy_backward};
const struct op_kernel op_transpose = {.forward = transpose_forward,
                                       .backward = transpose_backward};
const struct op_kernel op_concat = {.forward = concat_forward, .backward = concat_backward};
