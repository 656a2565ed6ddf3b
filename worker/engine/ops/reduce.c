/* ReduceSum, ReduceMean, ReduceL2, ReduceMax, ReduceMin over the named axes; ArgMax. Sums run in
 * double precision, row after row. */
#include <math.h>
#include <string.h>

#include "worker/engine/ops/op.h"
#include "worker/engine/ops/op_walk.h"
#include "worker/engine/ops/sums.h"

/* A: the input; B: the output, standing still along the reduced axes. */
static struct op_walk reduce_walk(const struct op_site *site)
{
    const struct attributes *at = &site->node->attributes;
    const struct shape *x = &site->x_shape[0];
    bool reduced[TENSOR_RANK_MAX] = {false};
    size_t strides[TENSOR_RANK_MAX] = {0}, stride = 1;
    for (size_t i = 0; i < at->axes_count; i++)
        reduced[at->axes[i] < 0 ? at->axes[i] + (int64_t)x->rank : at->axes[i]] = true;
    for (size_t i = x->rank; i-- > 0;) {
        strides[i] = reduced[i] ? 0 : stride;
        stride *= reduced[i] ? 1 : (size_t)x->dims[i];
    }
    return op_walk_strided(x, strides);
}

/* Runs `body` for every row of the walk, with `from` = its elements in A and `to` = its offset in B;
 * n, step (0 or more) and rows are the walk's. */
#define EACH_ROW(walk, body)                                                                       \
    for (size_t row_ = 0; row_ < (walk).rows; row_++) {                                            \
        size_t from, to;                                                                           \
        op_walk_row(&(walk), row_, &from, &to);                                                    \
        body                                                                                       \
    }

/* ---- sums ---- */

/* Doubles first: scratch is aligned for any. */
static size_t sum_scratch(const struct op_site *site)
{
    return 2 * op_elements(&site->y_shape);
}

static void add_up(const struct op_site *site, const float *x, bool squares, double *sums)
{
    struct op_walk walk = reduce_walk(site);
    size_t n = op_walk_length(&walk), step = op_walk_step_b(&walk);
    memset(sums, 0, op_elements(&site->y_shape) * sizeof *sums);
    EACH_ROW(walk, {
        const float *row = x + from;
        if (step == 0)
            sums[to] += squares ? sums_product(row, row, n) : sums_row(row, n);
        else
            for (size_t i = 0; i < n; i++)
                sums[to + i * step] += (double)row[i] * (squares ? (double)row[i] : 1.0);
    })
}

static double reduced_elements(const struct op_site *site)
{
    return (double)op_elements(&site->x_shape[0]) / (double)op_elements(&site->y_shape);
}

static void scaled_sum(const struct op_site *site, const float *x, double scale, float *y,
                       float *scratch)
{
    double *sums = (void *)scratch;
    add_up(site, x, false, sums);
    for (size_t i = 0; i < op_elements(&site->y_shape); i++)
        y[i] = (float)(sums[i] * scale);
}

static void spread(const struct op_site *site, float scale, const float *dy, float *dx)
{
    struct op_walk walk = reduce_walk(site);
    size_t n = op_walk_length(&walk), step = op_walk_step_b(&walk);
    EACH_ROW(walk, {
        for (size_t i = 0; i < n; i++)
            dx[from + i] = dy[to + i * step] * scale;
    })
}

OP_FORWARD(sum_forward)
{
    scaled_sum(site, x[0], 1, y, scratch);
}

OP_BACKWARD(sum_backward)
{
    (void)x, (void)y, (void)scratch;
    spread(site, 1, dy, dx[0]);
}

OP_FORWARD(mean_forward)
{
    scaled_sum(site, x[0], 1 / reduced_elements(site), y, scratch);
}

OP_BACKWARD(mean_backward)
{
    (void)x, (void)y, (void)scratch;
    spread(site, (float)(1 / reduced_elements(site)), dy, dx[0]);
}

OP_FORWARD(length_forward)
{
    double *sums = (void *)scratch;
    add_up(site, x[0], true, sums);
    for (size_t i = 0; i < op_elements(&site->y_shape); i++)
        y[i] = (float)sqrt(sums[i]);
}

/* The slope of a length is x/|x|; of nothing it is zero, as in PyTorch. */
OP_BACKWARD(length_backward)
{
    struct op_walk walk = reduce_walk(site);
    size_t n = op_walk_length(&walk), step = op_walk_step_b(&walk);
    (void)scratch;
    EACH_ROW(walk, {
        for (size_t i = 0; i < n; i++) {
            const float length = y[to + i * step];
            dx[0][from + i] = length == 0 ? 0 : dy[to + i * step] * (x[0][from + i] / length);
        }
    })
}

const struct op_kernel op_reduce_sum = {
    .scratch = sum_scratch, .forward = sum_forward, .backward = sum_backward};
const struct op_kernel op_reduce_mean = {
    .scratch = sum_scratch, .forward = mean_forward, .backward = mean_backward};
const struct op_kernel op_reduce_l2 = {
    .scratch = sum_scratch, .forward = length_forward, .backward = length_backward};

/* ---- extremes: NaN wins; equal winners share the gradient evenly, as in PyTorch's amax ---- */

static bool wins(float v, float best, bool largest)
{
    return (largest ? v > best : v < best) || isnan(v);
}

static void extreme(const struct op_site *site, const float *x, bool largest, float *y)
{
    struct op_walk walk = reduce_walk(site);
    size_t n = op_walk_length(&walk), step = op_walk_step_b(&walk);
    for (size_t i = 0; i < op_elements(&site->y_shape); i++)
        y[i] = largest ? -INFINITY : INFINITY;
    EACH_ROW(walk, {
        for (size_t i = 0; i < n; i++)
            if (wins(x[from + i], y[to + i * step], largest))
                y[to + i * step] = x[from + i];
    })
}

static size_t count_scratch(const struct op_site *site)
{
    return op_elements(&site->y_shape);
}

OP_FORWARD(max_forward)
{
    (void)scratch;
    extreme(site, x[0], true, y);
}

OP_FORWARD(min_forward)
{
    (void)scratch;
    extreme(site, x[0], false, y);
}

OP_BACKWARD(extreme_backward)
{
    struct op_walk walk = reduce_walk(site);
    size_t n = op_walk_length(&walk), step = op_walk_step_b(&walk);
    float *count = scratch;
    memset(count, 0, op_elements(&site->y_shape) * sizeof *count);
    EACH_ROW(walk, {
        for (size_t i = 0; i < n; i++)
            count[to + i * step] += x[0][from + i] == y[to + i * step] ? 1.0f : 0.0f;
    })
    EACH_ROW(walk, {
        for (size_t i = 0; i < n; i++) {
            const size_t at = to + i * step;
            dx[0][from + i] = x[0][from + i] == y[at] ? dy[at] / count[at] : 0;
        }
    })
}

const struct op_kernel op_reduce_max = {
    .scratch = count_scratch, .forward = max_forward, .backward = extreme_backward};
const struct op_kernel op_reduce_min = {
    .scratch = count_scratch, .forward = min_forward, .backward = extreme_backward};

/* ---- ArgMax: a position has no gradient ---- */

static size_t position_of_largest(const float *x, size_t count, size_t step, bool last)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        const float v = x[i * step], most = x[best * step];
        if (v > most || (last && v == most) || (isnan(v) && !isnan(most)))
            best = i;
    }
    return best;
}

OP_FORWARD(arg_max_forward)
{
    const struct attributes *at = &site->node->attributes;
    const struct shape *shape = &site->x_shape[0];
    size_t step = 1, count = (size_t)shape->dims[at->axis], outer = op_elements(shape) / count;
    for (size_t i = (size_t)at->axis + 1; i < shape->rank; i++)
        step *= (size_t)shape->dims[i];
    (void)scratch;
    for (size_t i = 0; i < outer; i++)
        y[i] = (float)position_of_largest(x[0] + i / step * count * step + i % step, count, step,
                                          at->last_index);
}

const struct op_kernel op_arg_max = {.forward = arg_max_forward};
