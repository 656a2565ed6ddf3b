/* Functions of one element. Derivatives at a kink take the value of the flat side, as ONNX Runtime
 * and PyTorch do. */
#include <math.h>

#include "worker/engine/ops/op.h"

/* `p` is x, `r` is y; `slope` is ∂y/∂x. */
#define ACTIVATION(name, value, slope)                                                             \
    OP_CLONES OP_FORWARD(name##_forward)                                                           \
    {                                                                                              \
        const struct attributes *at = &site->node->attributes;                                     \
        const float *restrict from = x[0];                                                         \
        size_t n = op_elements(&site->y_shape);                                                    \
        (void)at, (void)scratch;                                                                   \
        for (size_t i = 0; i < n; i++) {                                                           \
            const float p = from[i];                                                               \
            y[i] = (value);                                                                        \
        }                                                                                          \
    }                                                                                              \
    OP_CLONES OP_BACKWARD(name##_backward)                                                         \
    {                                                                                              \
        const struct attributes *at = &site->node->attributes;                                     \
        const float *restrict from = x[0];                                                         \
        float *restrict to = dx[0];                                                                \
        size_t n = op_elements(&site->y_shape);                                                    \
        (void)at, (void)scratch;                                                                   \
        for (size_t i = 0; i < n; i++) {                                                           \
            const float p = from[i], r = y[i];                                                     \
            (void)p, (void)r;                                                                      \
            to[i] = dy[i] * (slope);                                                               \
        }                                                                                          \
    }                                                                                              \
    const struct op_kernel op_##name = {.forward = name##_forward, .backward = name##_backward};

static inline float bound(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

ACTIVATION(clip, bound(p, at->low, at->high), p > at->low && p < at->high ? 1.0f : 0.0f)
ACTIVATION(relu, p > 0 ? p : 0, p > 0 ? 1.0f : 0.0f)
ACTIVATION(leaky_relu, p > 0 ? p : at->alpha * p, p > 0 ? 1.0f : at->alpha)
ACTIVATION(sigmoid, 1 / (1 + expf(-p)), r *(1 - r))
ACTIVATION(tanh, tanhf(p), 1 - r * r)
ACTIVATION(hard_sigmoid, bound(at->alpha *p + at->beta, 0, 1), r > 0 && r < 1 ? at->alpha : 0.0f)
/* x·clip(x+3, 0, 6)/6 (Howard et al., "Searching for MobileNetV3", 2019, eq. in 5.2) */
ACTIVATION(hard_swish, p *bound(p + 3, 0, 6) * (1 / 6.0f),
           p <= -3  ? 0.0f
           : p >= 3 ? 1.0f
                    : (2 * p + 3) * (1 / 6.0f))
