/* Add, Sub, Mul, Div with numpy broadcasting (ONNX operator definitions of the same names). */
#include <string.h>

#include "common/base/check.h"
#include "worker/engine/ops/op.h"
#include "worker/engine/ops/op_walk.h"

#define PIECE ((size_t)1024)
#define LANES ((size_t)16)

enum arithmetic { ARITHMETIC_ADD, ARITHMETIC_SUB, ARITHMETIC_MUL, ARITHMETIC_DIV };

/* The steps of a row are 0 or 1; spelled out so that each loop vectorises. */
#define EACH(expression)                                                                           \
    do {                                                                                           \
        if (step_a == 1 && step_b == 1)                                                            \
            for (size_t i = 0; i < n; i++) {                                                       \
                const float p = a[i], q = b[i];                                                    \
                out[i] = (expression);                                                             \
            }                                                                                      \
        else if (step_a == 1)                                                                      \
            for (size_t i = 0; i < n; i++) {                                                       \
                const float p = a[i], q = b[0];                                                    \
                out[i] = (expression);                                                             \
            }                                                                                      \
        else                                                                                       \
            for (size_t i = 0; i < n; i++) {                                                       \
                const float p = a[0], q = b[i * step_b];                                           \
                out[i] = (expression);                                                             \
            }                                                                                      \
    } while (0)

static void row_forward(enum arithmetic kind, const float *restrict a, size_t step_a, const float *restrict b,
                        size_t step_b, float *restrict out, size_t n)
{
    switch (kind) {
    case ARITHMETIC_ADD:
        EACH(p + q);
        break;
    case ARITHMETIC_SUB:
        EACH(p - q);
        break;
    case ARITHMETIC_MUL:
        EACH(p * q);
        break;
    case ARITHMETIC_DIV:
        EACH(p / q);
        break;
    }
}

static void forward(const struct op_site *site, enum arithmetic kind, const float *const *x, float *y)
{
    struct op_walk walk = op_walk_broadcast(&site->y_shape, &site->x_shape[0], &site->x_shape[1]);
    size_t n = op_walk_length(&walk), a, b;
    for (size_t row = 0; row < walk.rows; row++) {
        op_walk_row(&walk, row, &a, &b);
        row_forward(kind, x[0] + a, op_walk_step_a(&walk), x[1] + b, op_walk_step_b(&walk), y + row * n, n);
    }
}

/* Per element: the gradient toward operand `side`, dy times ∂y/∂a or ∂y/∂b. */
static void row_backward(enum arithmetic kind, int side, const float *restrict a, size_t step_a,
                         const float *restrict b, size_t step_b, const float *restrict dy, float *restrict out,
                         size_t n)
{
    switch (kind) {
    case ARITHMETIC_ADD:
        memcpy(out, dy, n * sizeof *out);
        break;
    case ARITHMETIC_SUB:
        for (size_t i = 0; i < n; i++)
            out[i] = side == 0 ? dy[i] : -dy[i];
        break;
    case ARITHMETIC_MUL:
        for (size_t i = 0; i < n; i++)
            out[i] = dy[i] * (side == 0 ? b[i * step_b] : a[i * step_a]);
        break;
    case ARITHMETIC_DIV:
        if (side == 0)
            for (size_t i = 0; i < n; i++)
                out[i] = dy[i] / b[i * step_b];
        else
            for (size_t i = 0; i < n; i++)
                out[i] = -dy[i] * a[i * step_a] / (b[i * step_b] * b[i * step_b]);
        break;
    }
}

/* Fixed order: lanes, then the lanes one after another. */
static double lane_sum(const float *values, size_t n)
{
    double lanes[LANES] = {0}, total = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += (double)values[i + lane];
    for (; i < n; i++)
        total += (double)values[i];
    for (size_t lane = 0; lane < LANES; lane++)
        total += lanes[lane];
    return total;
}

static void deliver(float *to, size_t step, const float *piece, size_t n, double *sum)
{
    if (step == 0)
        *sum += lane_sum(piece, n);
    else
        for (size_t i = 0; i < n; i++)
            to[i] += piece[i];
}

static void backward_side(const struct op_site *site, enum arithmetic kind, int side, const float *const *x,
                          const float *dy, float *dx)
{
    struct op_walk walk = op_walk_broadcast(&site->y_shape, &site->x_shape[0], &site->x_shape[1]);
    size_t step_a = op_walk_step_a(&walk), step_b = op_walk_step_b(&walk), n = op_walk_length(&walk), a, b;
    size_t step = side == 0 ? step_a : step_b;
    float piece[PIECE];
    memset(dx, 0, op_elements(&site->x_shape[side]) * sizeof *dx);
    for (size_t row = 0; row < walk.rows; row++) {
        double sum = 0;
        op_walk_row(&walk, row, &a, &b);
        float *to = dx + (side == 0 ? a : b);
        for (size_t at = 0; at < n; at += PIECE) {
            size_t count = n - at < PIECE ? n - at : PIECE;
            row_backward(kind, side, x[0] + a + at * step_a, step_a, x[1] + b + at * step_b, step_b,
                         dy + row * n + at, piece, count);
            deliver(to + at * step, step, piece, count, &sum);
        }
        if (step == 0)
            to[0] += (float)sum;
    }
}

static void backward(const struct op_site *site, enum arithmetic kind, const float *const *x, const float *dy,
                     float *const *dx)
{
    for (int side = 0; side < 2; side++)
        if (site->wanted[side])
            backward_side(site, kind, side, x, dy, dx[side]);
}

#define ARITHMETIC(name, kind)                                                                     \
    OP_FORWARD(name##_forward)                                                                     \
    {                                                                                              \
        (void)scratch;                                                                             \
        forward(site, kind, x, y);                                                                 \
    }                                                                                              \
    OP_BACKWARD(name##_backward)                                                                   \
    {                                                                                              \
        (void)y, (void)scratch;                                                                    \
        backward(site, kind, x, dy, dx);                                                           \
    }                                                                                              \
    const struct op_kernel op_##name = {.forward = name##_forward, .backward = name##_backward};

ARITHMETIC(add, ARITHMETIC_ADD)
ARITHMETIC(sub, ARITHMETIC_SUB)
ARITHMETIC(mul, ARITHMETIC_MUL)
ARITHMETIC(div, ARITHMETIC_DIV)
