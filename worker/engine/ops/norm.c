/* BatchNormalization with frozen statistics (Ioffe & Szegedy 2015, inference form) and Softmax. */
#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/engine/ops/op.h"

struct planes {
    size_t samples, channels, n; /* n: elements of one channel of one sample */
};

static struct planes planes_of(const struct op_site *site)
{
    const struct shape *x = &site->x_shape[0];
    struct planes p = {.samples = (size_t)x->dims[0], .channels = (size_t)x->dims[1]};
    p.n = op_elements(x) / (p.samples * p.channels);
    return p;
}

/* y = (x - mean)/√(variance + ε)·scale + bias; inputs: x, scale, bias, mean, variance. */
OP_FORWARD(batch_norm_forward)
{
    struct planes p = planes_of(site);
    (void)scratch;
    for (size_t i = 0; i < p.samples * p.channels; i++) {
        size_t c = i % p.channels;
        float factor = x[1][c] / sqrtf(x[4][c] + site->node->attributes.epsilon);
        float shift = x[2][c] - x[3][c] * factor;
        for (size_t k = 0; k < p.n; k++)
            y[i * p.n + k] = x[0][i * p.n + k] * factor + shift;
    }
}

/* Over one plane: Σdy and Σdy·(x - mean). */
static void plane_sums(const float *x, const float *dy, float mean, size_t n, double *sum,
                       double *product)
{
    for (size_t k = 0; k < n; k++) {
        *sum += (double)dy[k];
        *product += (double)dy[k] * (double)(x[k] - mean);
    }
}

OP_BACKWARD(batch_norm_backward)
{
    struct planes p = planes_of(site);
    CHECK(!site->wanted[3] && !site->wanted[4]); /* running statistics are never live */
    (void)y, (void)scratch;
    for (size_t c = 0; c < p.channels; c++) {
        double sum = 0, product = 0;
        float inverse = 1 / sqrtf(x[4][c] + site->node->attributes.epsilon);
        for (size_t s = 0; s < p.samples; s++) {
            size_t at = (s * p.channels + c) * p.n;
            plane_sums(x[0] + at, dy + at, x[3][c], p.n, &sum, &product);
            for (size_t k = 0; k < p.n && site->wanted[0]; k++)
                dx[0][at + k] = dy[at + k] * x[1][c] * inverse;
        }
        if (site->wanted[1])
            dx[1][c] = (float)(product * (double)inverse);
        if (site->wanted[2])
            dx[2][c] = (float)sum;
    }
}

/* Softmax over groups of `count` elements that lie `step` apart. */
struct groups {
    size_t outer, count, step;
};

static struct groups groups_of(const struct op_site *site)
{
    const struct attributes *at = &site->node->attributes;
    const struct shape *x = &site->x_shape[0];
    struct groups g = {1, 1, 1};
    for (size_t i = 0; i < x->rank; i++) {
        size_t axis = (size_t)at->axis, dim = (size_t)x->dims[i];
        if (i < axis)
            g.outer *= dim;
        else if (i == axis || at->softmax_flat)
            g.count *= dim;
        else
            g.step *= dim;
    }
    return g;
}

static void softmax_one(const float *x, size_t count, size_t step, float *y)
{
    float largest = x[0];
    double sum = 0;
    for (size_t i = 1; i < count; i++)
        largest = x[i * step] > largest ? x[i * step] : largest;
    for (size_t i = 0; i < count; i++) {
        y[i * step] = expf(x[i * step] - largest);
        sum += (double)y[i * step];
    }
    for (size_t i = 0; i < count; i++)
        y[i * step] = (float)((double)y[i * step] / sum);
}

OP_FORWARD(softmax_forward)
{
    struct groups g = groups_of(site);
    (void)scratch;
    for (size_t o = 0; o < g.outer; o++)
        for (size_t s = 0; s < g.step; s++)
            softmax_one(x[0] + o * g.count * g.step + s, g.count, g.step,
                        y + o * g.count * g.step + s);
}

/* dx = y·(dy - Σ dy·y) */
OP_BACKWARD(softmax_backward)
{
    struct groups g = groups_of(site);
    (void)x, (void)scratch;
    for (size_t o = 0; o < g.outer; o++)
        for (size_t s = 0; s < g.step; s++) {
            size_t begin = o * g.count * g.step + s;
            double sum = 0;
            for (size_t i = 0; i < g.count; i++)
                sum += (double)dy[begin + i * g.step] * (double)y[begin + i * g.step];
            for (size_t i = 0; i < g.count; i++) {
                size_t at = begin + i * g.step;
                dx[0][at] = y[at] * (float)((double)dy[at] - sum);
            }
        }
}

const struct op_kernel op_batch_norm = {.forward = batch_norm_forward,
                                        .backward = batch_norm_backward};
const struct op_kernel op_softmax = {.forward = softmax_forward, .backward = softmax_backward};
