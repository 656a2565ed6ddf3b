/* Every operator in double precision, written as plainly as its definition: the oracle for
 * worker/engine/ops. */
#ifndef GRAFT_TESTS_UNIT_OP_ORACLE_H
#define GRAFT_TESTS_UNIT_OP_ORACLE_H

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

static inline double oracle_pair(enum op op, double a, double b)
{
    return op == OP_ADD ? a + b : op == OP_SUB ? a - b : op == OP_MUL ? a * b : a / b;
}

static inline double oracle_unary(const struct node *node, double v)
{
    const struct attributes *a = &node->attributes;
    switch ((int)node->op) {
    case OP_CLIP:
        return fmin(fmax(v, (double)a->low), (double)a->high);
    case OP_RELU:
        return fmax(v, 0);
    case OP_LEAKY_RELU:
        return v > 0 ? v : (double)a->alpha * v;
    case OP_SIGMOID:
        return 1 / (1 + exp(-v));
    case OP_TANH:
        return tanh(v);
    case OP_HARD_SIGMOID:
        return fmin(fmax((double)a->alpha * v + (double)a->beta, 0), 1);
    case OP_HARD_SWISH:
        return v * fmin(fmax(v + 3, 0), 6) / 6;
    default:
        return v; /* everything that only moves data in order */
    }
}

static inline void oracle_conv(const struct op_site *site, const double *const *x, double *y)
{
    const struct attributes *a = &site->node->attributes;
    const int64_t *xd = site->x_shape[0].dims, *wd = site->x_shape[1].dims,
                  *yd = site->y_shape.dims;
    size_t out = 0;
    for (int64_t n = 0; n < yd[0]; n++)
        for (int64_t m = 0; m < yd[1]; m++)
            for (int64_t i = 0; i < yd[2]; i++)
                for (int64_t j = 0; j < yd[3]; j++, out++) {
                    int64_t group = m / (yd[1] / a->groups);
                    y[out] = site->input_count > 2 ? x[2][m] : 0;
                    for (int64_t c = 0; c < wd[1]; c++)
                        for (int64_t r = 0; r < wd[2]; r++)
                            for (int64_t q = 0; q < wd[3]; q++) {
                                int64_t h = i * a->strides[0] + r * a->dilations[0] - a->pads[0];
                                int64_t w = j * a->strides[1] + q * a->dilations[1] - a->pads[1];
                                if (h < 0 || w < 0 || h >= xd[2] || w >= xd[3])
                                    continue;
                                y[out] +=
                                    x[0]
                                     [((n * xd[1] + group * wd[1] + c) * xd[2] + h) * xd[3] + w] *
                                    x[1][((m * wd[1] + c) * wd[2] + r) * wd[3] + q];
                            }
                }
}

static inline void oracle_pool(const struct op_site *site, const double *x, double *y)
{
    const struct attributes *a = &site->node->attributes;
    const int64_t *xd = site->x_shape[0].dims, *yd = site->y_shape.dims;
    size_t out = 0;
    for (int64_t plane = 0; plane < yd[0] * yd[1]; plane++)
        for (int64_t i = 0; i < yd[2]; i++)
            for (int64_t j = 0; j < yd[3]; j++, out++) {
                double sum = 0, most = -INFINITY, taps = 0, padded = 0;
                for (int64_t r = 0; r < a->kernel[0]; r++)
                    for (int64_t q = 0; q < a->kernel[1]; q++) {
                        int64_t h = i * a->strides[0] + r * a->dilations[0] - a->pads[0];
                        int64_t w = j * a->strides[1] + q * a->dilations[1] - a->pads[1];
                        padded += h < xd[2] + a->pads[2] && w < xd[3] + a->pads[3];
                        if (h < 0 || w < 0 || h >= xd[2] || w >= xd[3])
                            continue;
                        double v = x[(plane * xd[2] + h) * xd[3] + w];
                        sum += v;
                        most = fmax(most, v);
                        taps++;
                    }
                y[out] = site->node->op == OP_MAX_POOL
                             ? most
                             : sum / (a->count_include_pad ? padded : taps);
            }
}

static inline void oracle_product(const struct op_site *site, const double *const *x, double *y)
{
    const struct attributes *a = &site->node->attributes;
    bool gemm = site->node->op == OP_GEMM, ta = gemm && a->trans_a, tb = gemm && a->trans_b;
    size_t columns = (size_t)site->y_shape.dims[site->y_shape.rank - 1];
    size_t rows = op_elements(&site->y_shape) / columns;
    size_t inner = (size_t)site->x_shape[1].dims[tb ? 1 : 0];
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            double sum = 0;
            for (size_t k = 0; k < inner; k++)
                sum += x[0][ta ? k * rows + i : i * inner + k] *
                       x[1][tb ? j * inner + k : k * columns + j];
            y[i * columns + j] = gemm ? (double)a->alpha * sum : sum;
            if (gemm && site->input_count > 2)
                y[i * columns + j] +=
                    (double)a->beta * x[2][op_elements(&site->x_shape[2]) == 1 ? 0 : j];
        }
}

static inline void oracle_norm(const struct op_site *site, const double *const *x, double *y)
{
    size_t channels = (size_t)site->y_shape.dims[1], elements = op_elements(&site->y_shape);
    size_t n = elements / ((size_t)site->y_shape.dims[0] * channels);
    for (size_t i = 0; i < elements; i++) {
        size_t c = i / n % channels;
        y[i] =
            (x[0][i] - x[3][c]) / sqrt(x[4][c] + (double)site->node->attributes.epsilon) * x[1][c] +
            x[2][c];
    }
}

/* Works on (outer, axis, inner) for the axis of Softmax or Concat. */
static inline void oracle_softmax(const struct op_site *site, const double *x, double *y)
{
    const struct attributes *a = &site->node->attributes;
    size_t count = 1, inner = 1, elements = op_elements(&site->y_shape);
    for (size_t i = (size_t)a->axis; i < site->y_shape.rank; i++)
        *(i == (size_t)a->axis || a->softmax_flat ? &count : &inner) *=
            (size_t)site->y_shape.dims[i];
    for (size_t i = 0; i < elements; i++) {
        size_t base = i / (count * inner) * count * inner + i % inner;
        double sum = 0;
        for (size_t k = 0; k < count; k++)
            sum += exp(x[base + k * inner]);
        y[i] = exp(x[i]) / sum;
    }
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

static inline void oracle_reduce(const struct op_site *site, const double *x, double *y)
{
    const struct attributes *a = &site->node->attributes;
    const struct shape *from = &site->x_shape[0];
    size_t outputs = op_elements(&site->y_shape), elements = op_elements(from);
    struct shape kept = *from;
    bool global = site->node->op == OP_GLOBAL_AVERAGE_POOL;
    for (size_t i = 0; i < from->rank; i++) {
        bool reduced = global ? i >= 2 : a->axes_count == 0;
        for (size_t k = 0; k < a->axes_count && !global; k++)
            reduced |= a->axes[k] == (int64_t)i || a->axes[k] + (int64_t)from->rank == (int64_t)i;
        kept.dims[i] = reduced ? 1 : from->dims[i];
    }
    memset(y, 0, outputs * sizeof *y);
    for (size_t i = 0; i < elements; i++) {
        size_t at[TENSOR_RANK_MAX];
        oracle_coordinates(from, i, at);
        for (size_t k = 0; k < from->rank; k++)
            at[k] = kept.dims[k] == 1 ? 0 : at[k];
        y[oracle_flat(&kept, at)] += x[i] * (double)outputs / (double)elements;
    }
}

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

static inline void oracle_forward(const struct op_site *site, const double *const *x, double *y)
{
    switch ((int)site->node->op) {
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_DIV:
        for (size_t i = 0; i < op_elements(&site->y_shape); i++)
            y[i] =
                oracle_pair(site->node->op, x[0][oracle_pick(&site->y_shape, &site->x_shape[0], i)],
                            x[1][oracle_pick(&site->y_shape, &site->x_shape[1], i)]);
        break;
    case OP_CONV:
        oracle_conv(site, x, y);
        break;
    case OP_AVERAGE_POOL:
    case OP_MAX_POOL:
        oracle_pool(site, x[0], y);
        break;
    case OP_GEMM:
    case OP_MATMUL:
        oracle_product(site, x, y);
        break;
    case OP_BATCH_NORM:
        oracle_norm(site, x, y);
        break;
    case OP_SOFTMAX:
        oracle_softmax(site, x[0], y);
        break;
    case OP_GLOBAL_AVERAGE_POOL:
    case OP_REDUCE_MEAN:
        oracle_reduce(site, x[0], y);
        break;
    case OP_TRANSPOSE:
        oracle_transpose(site, x[0], y);
        break;
    case OP_CONCAT:
        oracle_concat(site, x, y);
        break;
    default:
        for (size_t i = 0; i < op_elements(&site->y_shape); i++)
            y[i] = oracle_unary(site->node, x[0][i]);
    }
}

#endif
