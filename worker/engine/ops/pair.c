#include "worker/engine/ops/pair.h"

#include <string.h>

#include "worker/engine/ops/op_walk.h"
#include "worker/engine/ops/sums.h"

#define PIECE ((size_t)1024)

void pair_forward(const struct pair *pair, void (*value)(const struct pair_row *, float *),
                  float *y)
{
    struct op_walk walk = op_walk_broadcast(pair->space, pair->a_shape, pair->b_shape);
    struct pair_row row = {.step_a = op_walk_step_a(&walk),
                           .step_b = op_walk_step_b(&walk),
                           .n = op_walk_length(&walk)};
    for (size_t r = 0; r < walk.rows; r++) {
        size_t a, b;
        op_walk_row(&walk, r, &a, &b);
        row.a = pair->a + a;
        row.b = pair->b + b;
        value(&row, y + r * row.n);
    }
}

/* One row in pieces: the contributions of a piece, then into dx, or into one sum where the operand
 * repeats. */
static void reduce_row(struct pair_row row, size_t step,
                       void (*contribution)(const struct pair_row *, const float *, float *),
                       const float *dy, float *to)
{
    float piece[PIECE];
    double sum = 0;
    for (size_t n = row.n, at = 0; at < n; at += PIECE) {
        row.n = n - at < PIECE ? n - at : PIECE;
        contribution(&row, dy + at, piece);
        if (step == 0)
            sum += sums_row(piece, row.n);
        else
            sums_add(to + at, piece, row.n);
        row.a += row.step_a * row.n;
        row.b += row.step_b * row.n;
    }
    if (step == 0)
        to[0] += (float)sum;
}

void pair_backward(const struct pair *pair, int side,
                   void (*contribution)(const struct pair_row *, const float *, float *),
                   const float *dy, float *dx)
{
    struct op_walk walk = op_walk_broadcast(pair->space, pair->a_shape, pair->b_shape);
    struct pair_row row = {.step_a = op_walk_step_a(&walk),
                           .step_b = op_walk_step_b(&walk),
                           .n = op_walk_length(&walk)};
    size_t elements = op_elements(side == 0 ? pair->a_shape : pair->b_shape);
    bool repeats = elements != op_elements(pair->space);
    if (repeats)
        memset(dx, 0, elements * sizeof *dx);
    for (size_t r = 0; r < walk.rows; r++) {
        size_t a, b;
        op_walk_row(&walk, r, &a, &b);
        row.a = pair->a + a;
        row.b = pair->b + b;
        float *to = dx + (side == 0 ? a : b);
        if (repeats)
            reduce_row(row, side == 0 ? row.step_a : row.step_b, contribution, dy + r * row.n, to);
        else
            contribution(&row, dy + r * row.n, to);
    }
}
