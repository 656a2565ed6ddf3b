/* Operators of two operands with numpy broadcasting, row by row. An operator gives three functions of
 * a row: its value, and what each element contributes to the gradient of either operand; pair walks
 * the operands in step and adds up over the repeats of a broadcast one, in a fixed order. */
#ifndef GRAFT_WORKER_ENGINE_OPS_PAIR_H
#define GRAFT_WORKER_ENGINE_OPS_PAIR_H

#include "worker/engine/ops/op.h"

struct pair {
    const struct shape *space, *a_shape, *b_shape; /* space: that of the result */
    const float *a, *b;
};

/* `n` elements from a and b on; a step is 0 (the operand repeats) or 1. */
struct pair_row {
    const float *a, *b;
    size_t step_a, step_b, n;
};

/* Overwrites y; the function may read what is in `out`. */
void pair_forward(const struct pair *pair, void (*value)(const struct pair_row *row, float *out),
                  float *y);

/* Overwrites dx, the gradient of operand `side` (0: a, 1: b), with Σ of the contributions. */
void pair_backward(const struct pair *pair, int side,
                   void (*contribution)(const struct pair_row *row, const float *dy, float *out),
                   const float *dy, float *dx);

/* A site's inputs `a` and `b` over its output. */
static inline struct pair pair_of(const struct op_site *site, const float *const *x, size_t a,
                                  size_t b)
{
    return (struct pair){&site->y_shape, &site->x_shape[a], &site->x_shape[b], x[a], x[b]};
}

/* out[i] = expression of p (of a), q (of b); the kinds of steps are spelled out so that each loop
 * vectorises. */
#define PAIR_EACH(row, expression)                                                                 \
    do {                                                                                           \
        const float *restrict a_ = (row)->a, *restrict b_ = (row)->b;                              \
        const size_t n_ = (row)->n, step_b_ = (row)->step_b;                                       \
        if ((row)->step_a == 1 && step_b_ == 1)                                                    \
            for (size_t i = 0; i < n_; i++) {                                                      \
                const float p = a_[i], q = b_[i];                                                  \
                (void)p, (void)q;                                                                  \
                out[i] = (expression);                                                             \
            }                                                                                      \
        else if ((row)->step_a == 1)                                                               \
            for (size_t i = 0; i < n_; i++) {                                                      \
                const float p = a_[i], q = b_[0];                                                  \
                (void)p, (void)q;                                                                  \
                out[i] = (expression);                                                             \
            }                                                                                      \
        else                                                                                       \
            for (size_t i = 0; i < n_; i++) {                                                      \
                const float p = a_[0], q = b_[i * step_b_];                                        \
                (void)p, (void)q;                                                                  \
                out[i] = (expression);                                                             \
            }                                                                                      \
    } while (0)

#define PAIR_VALUE(name, expression)                                                               \
    OP_CLONES static void name(const struct pair_row *row, float *restrict out)                    \
    {                                                                                              \
        PAIR_EACH(row, expression);                                                                \
    }

/* With dy[i] for ∂/∂y. */
#define PAIR_CONTRIBUTION(name, expression)                                                        \
    OP_CLONES static void name(const struct pair_row *row, const float *restrict dy,               \
                               float *restrict out)                                                \
    {                                                                                              \
        PAIR_EACH(row, expression);                                                                \
    }

#define PAIR_FORWARD(name)                                                                         \
    OP_FORWARD(name##_forward)                                                                     \
    {                                                                                              \
        const struct pair pair = pair_of(site, x, 0, 1);                                           \
        (void)scratch;                                                                             \
        pair_forward(&pair, name##_value, y);                                                      \
    }

/* The kernel op_name of `value` and its two contributions. */
#define PAIR_KERNEL(name, value, toward_a, toward_b)                                               \
    PAIR_VALUE(name##_value, value)                                                                \
    PAIR_CONTRIBUTION(name##_toward_a, toward_a)                                                   \
    PAIR_CONTRIBUTION(name##_toward_b, toward_b)                                                   \
    PAIR_FORWARD(name)                                                                             \
    OP_BACKWARD(name##_backward)                                                                   \
    {                                                                                              \
        const struct pair pair = pair_of(site, x, 0, 1);                                           \
        (void)y, (void)scratch;                                                                    \
        if (site->wanted[0])                                                                       \
            pair_backward(&pair, 0, name##_toward_a, dy, dx[0]);                                   \
        if (site->wanted[1])                                                                       \
            pair_backward(&pair, 1, name##_toward_b, dy, dx[1]);                                   \
    }                                                                                              \
    const struct op_kernel op_##name = {.forward = name##_forward, .backward = name##_backward};

#endif
