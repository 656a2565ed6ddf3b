/* BatchNormalization with frozen statistics (Ioffe & Szegedy 2015, inference form). */
#include <math.h>

#include "worker/engine/ops/op.h"
#include "worker/engine/ops/sums.h"

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

/* y = x·factor + shift */
OP_CLONES static void row_affine(const float *restrict x, float factor, float shift, size_t n,
                                 float *restrict y)
{
    for (size_t k = 0; k < n; k++)
        y[k] = x[k] * factor + shift;
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
        row_affine(x[0] + i * p.n, factor, shift, p.n, y + i * p.n);
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
            sum += sums_row(dy + at, p.n);
            if (site->wanted[1])
                product += sums_product(dy + at, x[0] + at, p.n);
            if (site->wanted[0])
                row_affine(dy + at, x[1][c] * inverse, 0, p.n, dx[0] + at);
        }
        if (site->wanted[1])
            dx[1][c] = (float)((product - sum * (double)x[3][c]) * (double)inverse);
        if (site->wanted[2])
            dx[2][c] = (float)sum;
    }
}

const struct op_kernel op_batch_norm = {.forward = batch_norm_forward,
                                        .backward = batch_norm_backward};
