/* Softmax and LogSoftmax (Bridle 1990), over groups of `count` elements that lie `step` apart. */
#include <math.h>

#include "worker/engine/ops/curves.h"
#include "worker/engine/ops/op.h"
#include "worker/engine/ops/sums.h"

#define LANES ((size_t)16)

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

/* Runs `body` for every group, `begin` being the offset of its first element. */
#define EACH_GROUP(g, body)                                                                        \
    for (size_t outer_ = 0; outer_ < (g).outer; outer_++)                                          \
        for (size_t step_ = 0; step_ < (g).step; step_++) {                                        \
            const size_t begin = outer_ * (g).count * (g).step + step_;                            \
            body                                                                                   \
        }

/* Side by side in lanes: which comes first does not matter to a maximum. */
OP_CLONES static float row_largest(const float *x, size_t n)
{
    float lanes[LANES], largest = x[0];
    for (size_t lane = 0; lane < LANES; lane++)
        lanes[lane] = largest;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
    for (; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (size_t lane = 0; lane < LANES; lane++)
        largest = lanes[lane] > largest ? lanes[lane] : largest;
    return largest;
}

static float largest_of(const float *x, size_t count, size_t step)
{
    float largest = x[0];
    for (size_t i = 1; i < count; i++)
        largest = x[i * step] > largest ? x[i * step] : largest;
    return largest;
}

OP_CLONES static void row_exp(const float *restrict x, float largest, size_t n, float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = curve_exp(x[i] - largest);
}

OP_CLONES static void row_scale(float *y, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= factor;
}

static void softmax_row(const float *x, size_t n, float *y)
{
    row_exp(x, row_largest(x, n), n, y);
    row_scale(y, (float)(1 / sums_row(y, n)), n);
}

static void softmax_apart(const float *x, size_t count, size_t step, float *y)
{
    float largest = largest_of(x, count, step);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        y[i * step] = curve_exp(x[i * step] - largest);
        sum += (double)y[i * step];
    }
    for (size_t i = 0; i < count; i++)
        y[i * step] *= (float)(1 / sum);
}

OP_FORWARD(softmax_forward)
{
    struct groups g = groups_of(site);
    (void)scratch;
    EACH_GROUP(g, {
        if (g.step == 1)
            softmax_row(x[0] + begin, g.count, y + begin);
        else
            softmax_apart(x[0] + begin, g.count, g.step, y + begin);
    })
}

OP_CLONES static void row_softmax_backward(const float *restrict y, const float *restrict dy,
                                           float sum, size_t n, float *restrict dx)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = y[i] * (dy[i] - sum);
}

/* dx = y·(dy - Σ dy·y) */
OP_BACKWARD(softmax_backward)
{
    struct groups g = groups_of(site);
    (void)x, (void)scratch;
    EACH_GROUP(g, {
        double sum = 0;
        if (g.step == 1) {
            sum = sums_product(dy + begin, y + begin, g.count);
            row_softmax_backward(y + begin, dy + begin, (float)sum, g.count, dx[0] + begin);
            continue;
        }
        for (size_t i = 0; i < g.count; i++)
            sum += (double)dy[begin + i * g.step] * (double)y[begin + i * g.step];
        for (size_t i = 0; i < g.count; i++) {
            const size_t at = begin + i * g.step;
            dx[0][at] = y[at] * (float)((double)dy[at] - sum);
        }
    })
}

/* x - ln Σ eˣ */
OP_FORWARD(log_softmax_forward)
{
    struct groups g = groups_of(site);
    (void)scratch;
    EACH_GROUP(g, {
        const float largest = largest_of(x[0] + begin, g.count, g.step);
        double sum = 0;
        for (size_t i = 0; i < g.count; i++)
            sum += (double)curve_exp(x[0][begin + i * g.step] - largest);
        const double shift = (double)largest + log(sum);
        for (size_t i = 0; i < g.count; i++)
            y[begin + i * g.step] = (float)((double)x[0][begin + i * g.step] - shift);
    })
}

/* dx = dy - eʸ·Σ dy */
OP_BACKWARD(log_softmax_backward)
{
    struct groups g = groups_of(site);
    (void)x, (void)scratch;
    EACH_GROUP(g, {
        double sum = 0;
        for (size_t i = 0; i < g.count; i++)
            sum += (double)dy[begin + i * g.step];
        for (size_t i = 0; i < g.count; i++) {
            const size_t at = begin + i * g.step;
            dx[0][at] = (float)((double)dy[at] - (double)curve_exp(y[at]) * sum);
        }
    })
}

const struct op_kernel op_softmax = {.forward = softmax_forward, .backward = softmax_backward};
const struct op_kernel op_log_softmax = {.forward = log_softmax_forward,
                                         .backward = log_softmax_backward};
