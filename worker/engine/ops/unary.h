/* Loops over functions of one element. `p` is x, `r` is y; `slope` is ∂y/∂x; the attributes stand
 * ready under their own names. */
#ifndef GRAFT_WORKER_ENGINE_OPS_UNARY_H
#define GRAFT_WORKER_ENGINE_OPS_UNARY_H

#include "worker/engine/ops/op.h"

/* Copies: what is stored to y could else be thought to change them, and the loop would not vectorise.
 */
#define UNARY_ATTRIBUTES(site)                                                                     \
    const float alpha = (site)->node->attributes.alpha, beta = (site)->node->attributes.beta,      \
                low = (site)->node->attributes.low, high = (site)->node->attributes.high;          \
    (void)alpha, (void)beta, (void)low, (void)high

#define UNARY_FORWARD(name, value)                                                                 \
    OP_CLONES OP_FORWARD(name##_forward)                                                           \
    {                                                                                              \
        UNARY_ATTRIBUTES(site);                                                                    \
        const float *restrict from = x[0];                                                         \
        const size_t n = op_elements(&site->y_shape);                                              \
        (void)scratch;                                                                             \
        for (size_t i = 0; i < n; i++) {                                                           \
            const float p = from[i];                                                               \
            y[i] = (value);                                                                        \
        }                                                                                          \
    }

#define UNARY_BACKWARD(name, slope)                                                                \
    OP_CLONES OP_BACKWARD(name##_backward)                                                         \
    {                                                                                              \
        UNARY_ATTRIBUTES(site);                                                                    \
        const float *restrict from = x[0];                                                         \
        float *restrict to = dx[0];                                                                \
        const size_t n = op_elements(&site->y_shape);                                              \
        (void)scratch;                                                                             \
        for (size_t i = 0; i < n; i++) {                                                           \
            const float p = from[i], r = y[i];                                                     \
            (void)p, (void)r;                                                                      \
            to[i] = dy[i] * (slope);                                                               \
        }                                                                                          \
    }

#define UNARY_KERNEL(name, value, slope)                                                           \
    UNARY_FORWARD(name, value)                                                                     \
    UNARY_BACKWARD(name, slope)                                                                    \
    const struct op_kernel op_##name = {.forward = name##_forward, .backward = name##_backward};

#endif
