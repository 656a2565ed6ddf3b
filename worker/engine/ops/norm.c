/* BatchNormalization with frozen statistics (Ioffe & Szegedy 2015, inference form). */
#include <math.h>

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

const struct op_kernel op_batch_norm = {.forward = batch_norm_forward,
                                        .backward = batch_norm_backward};
