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

OP_CLONES static void row_forward(enum arithmetic kind, const float *restrict a, size_t step_a,
                                  const float *restrict b, size_t step_b, float *restrict out,
                                  size_t n)
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

static void forward(const struct op_site *site, enum arithmetic kind, const float *const *x,
                    float *y)
{
    struct op_walk walk = op_walk_broadcast(&site->y_shape, &site->x_shape[0], &site->x_shape[1]);
    size_t n = op_walk_length(&walk), a, b;
    for (size_t row = 0; row < walk.rows; row++) {
        op_walk_row(&walk, row, &a, &b);
        row_forward(kind, x[0] + a, op_walk_step_a(&walk), x[1] + b, op_walk_step_b(&walk),
                    y + row * n, n);
    }
}

/* Per element: the gradient toward operand `side`, dy times ∂y/∂a or ∂y/∂b. */
OP_CLONES static void row_backward(enum arithmetic kind, int side, const float *restrict a,
                                   size_t step_a, const float *restrict b, size_t step_b,
                                   const float *restrict dy, float *restrict out, size_t n)
{
    const float *other = side == 0 ? b : a;
    size_t step = side == 0 ? step_b : step_a;
    if (kind == ARITHMETIC_ADD || (kind == ARITHMETIC_SUB && side == 0)) {
        memcpy(out, dy, n * sizeof *out);
    } else if (kind == ARITHMETIC_SUB) {
        for (size_t i = 0; i < n; i++)
            out[i] = -dy[i];
    } else if (kind == ARITHMETIC_MUL && step == 0) {
        const float factor = other[0];
        for (size_t i = 0; i < n; i++)
            out[i] = dy[i] * factor;
    } else if (kind == ARITHMETIC_MUL) {
        for (size_t i = 0; i < n; i++)
            out[i] = dy[i] * other[i];
    } else if (side == 0) {
        for (size_t i = 0; i < n; i++)
            out[i] = dy[i] / b[i * step_b];
    } else {
        for (size_t i = 0; i < n; i++)
            out[i] = -dy[i] * a[i * step_a] / (b[i * step_b] * b[i * step_b]);
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

OP_CLONES static void row_add(float *restrict to, const float *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

/* One row in pieces: the contributions of a piece, then into dx, or into one sum where the operand
 * repeats. */
static void row_reduce(enum arithmetic kind, int side, const float *a, size_t step_a,
                       const float *b, size_t step_b, const float *dy, size_t n, float *to)
{
    float piece[PIECE];
    size_t step = side == 0 ? step_a : step_b;
    double sum = 0;
    for (size_t at = 0; at < n; at += PIECE) {
        size_t count = n - at < PIECE ? n - at : PIECE;
        row_backward(kind, side, a + at * step_a, step_a, b + at * step_b, step_b, dy + at, piece,
                     count);
        if (step == 0)
            sum += lane_sum(piece, count);
        else
            row_add(to + at, piece, count);
    }
    if (step == 0)
        to[0] += (float)sum;
}

static void backward_side(const struct op_site *site, enum arithmetic kind, int side,
                          const float *const *x, const float *dy, float *dx)
{
    struct op_walk walk = op_walk_broadcast(&site->y_shape, &site->x_shape[0], &site->x_shape[1]);
    size_t step_a = op_walk_step_a(&walk), step_b = op_walk_step_b(&walk),
           n = op_walk_length(&walk), a, b;
    size_t elements = op_elements(&site->x_shape[side]);
    bool repeats = elements != op_elements(&site->y_shape);
    if (repeats)
        memset(dx, 0, elements * sizeof *dx);
    for (size_t row = 0; row < walk.rows; row++) {
        op_walk_row(&walk, row, &a, &b);
        const float *from_a = x[0] + a, *from_b = x[1] + b;
        float *to = dx + (side == 0 ? a : b);
        if (repeats)
            row_reduce(kind, side, from_a, step_a, from_b, step_b, dy + row * n, n, to);
        else
            row_backward(kind, side, from_a, step_a, from_b, step_b, dy + row * n, to, n);
    }
}

static void backward(const struct op_site *site, enum arithmetic kind, const float *const *x,
                     const float *dy, float *const *dx)
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
