/* BatchNormalization (Ioffe & Szegedy 2015): x̂ = (x - mean)/√(variance + ε), y = x̂·scale + bias, by
 * running statistics or, in a run that learns where those are live, by the micro-batch's own.
 * Inputs: x, scale, bias, mean, variance. */
#include <math.h>
#include <string.h>

#include "worker/engine/ops/op.h"
#include "worker/engine/ops/sums.h"

struct planes {
    size_t samples, channels, n; /* n: elements of one channel of one sample */
    size_t counted;              /* samples that statistics are made of */
};

static struct planes planes_of(const struct op_site *site)
{
    const struct shape *x = &site->x_shape[0];
    struct planes p = {.samples = (size_t)x->dims[0], .channels = (size_t)x->dims[1]};
    p.n = op_elements(x) / (p.samples * p.channels);
    p.counted = op_by_batch(site) ? site->run->samples : p.samples;
    return p;
}

static size_t plane_at(const struct planes *p, size_t sample, size_t c)
{
    return (sample * p->channels + c) * p->n;
}

bool op_by_batch(const struct op_site *site)
{
    return site->node->op == OP_BATCH_NORM && site->wanted[3] && site->run->learns;
}

/* y = x·factor + shift */
OP_CLONES static void row_affine(const float *restrict x, float factor, float shift, size_t n,
                                 float *restrict y)
{
    for (size_t k = 0; k < n; k++)
        y[k] = x[k] * factor + shift;
}

struct moments {
    double mean, variance; /* that x̂ is made with: biased */
    double unbiased;       /* that the running one follows */
};

/* Of one value no variance can be made: the running statistics stand in. */
static struct moments moments_of(const struct op_site *site, const struct planes *p,
                                 const float *const *x, size_t c)
{
    const double count = (double)(p->counted * p->n);
    struct moments m = {(double)x[3][c], (double)x[4][c], (double)x[4][c]};
    if (!op_by_batch(site) || p->counted * p->n < 2)
        return m;
    double sum = 0, deviation = 0;
    for (size_t s = 0; s < p->counted; s++)
        sum += sums_row(x[0] + plane_at(p, s, c), p->n);
    m.mean = sum / count;
    for (size_t s = 0; s < p->counted; s++)
        deviation += sums_deviation(x[0] + plane_at(p, s, c), m.mean, p->n);
    m.variance = deviation / count;
    m.unbiased = deviation / (count - 1);
    return m;
}

static void forward_by_batch(const struct op_site *site, const struct planes *p,
                             const float *const *x, float *y)
{
    for (size_t c = 0; c < p->channels; c++) {
        const struct moments m = moments_of(site, p, x, c);
        double factor = (double)x[1][c] / sqrt(m.variance + (double)site->node->attributes.epsilon);
        double shift = (double)x[2][c] - m.mean * factor;
        for (size_t s = 0; s < p->samples; s++)
            row_affine(x[0] + plane_at(p, s, c), (float)factor, (float)shift, p->n,
                       y + plane_at(p, s, c));
    }
}

OP_FORWARD(batch_norm_forward)
{
    struct planes p = planes_of(site);
    (void)scratch;
    if (op_by_batch(site)) {
        forward_by_batch(site, &p, x, y);
        return;
    }
    for (size_t i = 0; i < p.samples * p.channels; i++) {
        size_t c = i % p.channels;
        float factor = x[1][c] / sqrtf(x[4][c] + site->node->attributes.epsilon);
        float shift = x[2][c] - x[3][c] * factor;
        row_affine(x[0] + i * p.n, factor, shift, p.n, y + i * p.n);
    }
}

static void backward_by_running(const struct op_site *site, const struct planes *p,
                                const float *const *x, const float *dy, float *const *dx)
{
    for (size_t c = 0; c < p->channels; c++) {
        double sum = 0, product = 0;
        float inverse = 1 / sqrtf(x[4][c] + site->node->attributes.epsilon);
        for (size_t s = 0; s < p->samples; s++) {
            size_t at = plane_at(p, s, c);
            sum += sums_row(dy + at, p->n);
            if (site->wanted[1])
                product += sums_product(dy + at, x[0] + at, p->n);
            if (site->wanted[0])
                row_affine(dy + at, x[1][c] * inverse, 0, p->n, dx[0] + at);
        }
        if (site->wanted[1])
            dx[1][c] = (float)((product - sum * (double)x[3][c]) * (double)inverse);
        if (site->wanted[2])
            dx[2][c] = (float)sum;
    }
}

/* dx = dy·a + x·b + shift */
OP_CLONES static void row_dx(const float *restrict dy, const float *restrict x, float a, float b,
                             float shift, size_t n, float *restrict dx)
{
    for (size_t k = 0; k < n; k++)
        dx[k] = dy[k] * a + x[k] * b + shift;
}

/* Ioffe & Szegedy 2015, section 3, put together: with N values of a channel,
 * dx = scale/√(variance + ε)·(dy - Σdy/N - x̂·Σ(dy·x̂)/N). */
static void channel_dx(const struct planes *p, size_t c, const struct moments *m, double factor,
                       double inverse, double sum, double product, const float *x, const float *dy,
                       float *dx)
{
    const double count = (double)(p->counted * p->n);
    double slope = -factor * inverse * product / count;
    double shift = -factor * sum / count - slope * m->mean;
    for (size_t s = 0; s < p->samples; s++) {
        size_t at = plane_at(p, s, c);
        if (s < p->counted)
            row_dx(dy + at, x + at, (float)factor, (float)slope, (float)shift, p->n, dx + at);
        else
            memset(dx + at, 0, p->n * sizeof *dx);
    }
}

static void backward_by_batch(const struct op_site *site, const struct planes *p,
                              const float *const *x, const float *dy, float *const *dx)
{
    const bool alone = p->counted * p->n < 2;
    for (size_t c = 0; c < p->channels; c++) {
        const struct moments m = moments_of(site, p, x, c);
        double inverse = 1 / sqrt(m.variance + (double)site->node->attributes.epsilon);
        double sum = 0, product = 0;
        for (size_t s = 0; s < p->counted; s++) {
            sum += sums_row(dy + plane_at(p, s, c), p->n);
            product += sums_product(dy + plane_at(p, s, c), x[0] + plane_at(p, s, c), p->n);
        }
        product = (product - sum * m.mean) * inverse;
        if (site->wanted[0]) /* alone: running statistics are no function of x */
            channel_dx(p, c, &m, (double)x[1][c] * inverse, inverse, alone ? 0 : sum,
                       alone ? 0 : product, x[0], dy, dx[0]);
        if (site->wanted[1])
            dx[1][c] = (float)product;
        if (site->wanted[2])
            dx[2][c] = (float)sum;
        dx[3][c] = (float)((double)p->counted * m.mean);
        dx[4][c] = (float)((double)p->counted * m.unbiased);
    }
}

OP_BACKWARD(batch_norm_backward)
{
    struct planes p = planes_of(site);
    (void)y, (void)scratch;
    (op_by_batch(site) ? backward_by_batch : backward_by_running)(site, &p, x, dy, dx);
}

const struct op_kernel op_batch_norm = {.forward = batch_norm_forward,
                                        .backward = batch_norm_backward};
