/* Operators that give one of their operands, element by element: Max, Min, Where, PRelu. */
#include <math.h>
#include <string.h>

#include "worker/engine/ops/pair.h"

/* x where it is positive, else slope·x (He et al., "Delving Deep into Rectifiers", 2015, eq. 1). */
PAIR_KERNEL(prelu, p > 0 ? p : q * p, p > 0 ? dy[i] : dy[i] * q, p > 0 ? 0 : dy[i] * p)

/* ---- Max and Min of any number of inputs: NaN wins; equal winners share the gradient evenly ---- */

PAIR_VALUE(larger, p > q || isnan(p) ? p : q)
PAIR_VALUE(smaller, p < q || isnan(p) ? p : q)
PAIR_VALUE(count_winner, out[i] + (p == q ? 1.0f : 0.0f))
PAIR_CONTRIBUTION(share_of_winner, p == q ? dy[i] : 0)

static size_t extremum_scratch(const struct op_site *site)
{
    return op_elements(&site->y_shape);
}

static void extremum_forward(const struct op_site *site, const float *const *x, float *y,
                             float *scratch, void (*better)(const struct pair_row *, float *))
{
    size_t last = site->input_count - 1, n = op_elements(&site->y_shape);
    const struct pair first = pair_of(site, x, 0, last);
    pair_forward(&first, better, y);
    for (size_t k = 1; k < last; k++) {
        const struct pair next = {&site->y_shape, &site->y_shape, &site->x_shape[k], y, x[k]};
        pair_forward(&next, better, scratch);
        memcpy(y, scratch, n * sizeof *y);
    }
}

/* Input k beside the output. */
static struct pair beside(const struct op_site *site, const float *const *x, const float *y,
                          size_t k)
{
    return (struct pair){&site->y_shape, &site->x_shape[k], &site->y_shape, x[k], y};
}

OP_BACKWARD(extremum_backward)
{
    size_t n = op_elements(&site->y_shape);
    memset(scratch, 0, n * sizeof *scratch);
    for (size_t k = 0; k < site->input_count; k++) {
        const struct pair pair = beside(site, x, y, k);
        pair_forward(&pair, count_winner, scratch);
    }
    for (size_t i = 0; i < n; i++)
        scratch[i] = dy[i] / scratch[i];
    for (size_t k = 0; k < site->input_count; k++) {
        const struct pair pair = beside(site, x, y, k);
        if (site->wanted[k])
            pair_backward(&pair, 0, share_of_winner, scratch, dx[k]);
    }
}

OP_FORWARD(max_forward)
{
    extremum_forward(site, x, y, scratch, larger);
}

OP_FORWARD(min_forward)
{
    extremum_forward(site, x, y, scratch, smaller);
}

const struct op_kernel op_max = {
    .scratch = extremum_scratch, .forward = max_forward, .backward = extremum_backward};
const struct op_kernel op_min = {
    .scratch = extremum_scratch, .forward = min_forward, .backward = extremum_backward};

/* ---- Where: the condition takes no gradient ---- */

PAIR_VALUE(take_second, q)
PAIR_VALUE(keep_where_true, p != 0 ? out[i] : q)
PAIR_CONTRIBUTION(where_true, p != 0 ? dy[i] : 0)
PAIR_CONTRIBUTION(where_false, p != 0 ? 0 : dy[i])

OP_FORWARD(where_forward)
{
    const struct pair yes = pair_of(site, x, 0, 1), no = pair_of(site, x, 0, 2);
    (void)scratch;
    pair_forward(&yes, take_second, y);
    pair_forward(&no, keep_where_true, y);
}

OP_BACKWARD(where_backward)
{
    const struct pair yes = pair_of(site, x, 0, 1), no = pair_of(site, x, 0, 2);
    (void)y, (void)scratch;
    if (site->wanted[1])
        pair_backward(&yes, 1, where_true, dy, dx[1]);
    if (site->wanted[2])
        pair_backward(&no, 1, where_false, dy, dx[2]);
}

const struct op_kernel op_where = {.forward = where_forward, .backward = where_backward};
