/* AveragePool, MaxPool (2-D, NCHW), GlobalAveragePool. */
#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/engine/ops/op.h"
#include "worker/engine/ops/op_walk.h"

struct window {
    size_t planes, height, width, out_height, out_width;
    const struct attributes *at;
};

/* The part of one window that lies inside the picture, and the divisor of its average. */
struct span {
    int64_t first, step, end; /* first, first + step, … < end */
    int64_t padded;           /* taps that lie inside picture or padding */
};

static struct window window_of(const struct op_site *site)
{
    const struct shape *x = &site->x_shape[0], *y = &site->y_shape;
    return (struct window){.planes = (size_t)(x->dims[0] * x->dims[1]),
                           .height = (size_t)x->dims[2],
                           .width = (size_t)x->dims[3],
                           .out_height = (size_t)y->dims[2],
                           .out_width = (size_t)y->dims[3],
                           .at = &site->node->attributes};
}

/* ⌈extent / step⌉; dilations are rare and divisions slow. */
static int64_t steps_in(int64_t extent, int64_t step)
{
    return step == 1 ? extent : (extent + step - 1) / step;
}

static struct span span_of(const struct attributes *at, size_t axis, size_t index, size_t extent)
{
    int64_t step = at->dilations[axis];
    int64_t begin = (int64_t)index * at->strides[axis] - at->pads[axis];
    int64_t end = begin + (at->kernel[axis] - 1) * step + 1;
    int64_t far = (int64_t)extent + at->pads[axis + 2];
    struct span span = {
        .first = begin, .step = step, .end = end < (int64_t)extent ? end : (int64_t)extent};
    if (begin < 0)
        span.first = begin + steps_in(-begin, step) * step;
    span.padded = steps_in((end < far ? end : far) - begin, step);
    return span;
}

static int64_t taps(const struct span *span)
{
    return span->first < span->end ? steps_in(span->end - span->first, span->step) : 0;
}

static float divisor(const struct window *w, const struct span *rows, const struct span *columns)
{
    if (w->at->count_include_pad)
        return (float)(rows->padded * columns->padded);
    return (float)(taps(rows) * taps(columns));
}

static float span_sum(const struct window *w, const float *plane, const struct span *rows,
                      const struct span *columns)
{
    float sum = 0;
    for (int64_t r = rows->first; r < rows->end; r += rows->step)
        for (int64_t c = columns->first; c < columns->end; c += columns->step)
            sum += plane[(size_t)r * w->width + (size_t)c];
    return sum;
}

/* Index of the first largest element (NaN counts as largest, so that it is not hidden). */
static size_t span_largest(const struct window *w, const float *plane, const struct span *rows,
                           const struct span *columns)
{
    size_t best = (size_t)rows->first * w->width + (size_t)columns->first;
    for (int64_t r = rows->first; r < rows->end; r += rows->step)
        for (int64_t c = columns->first; c < columns->end; c += columns->step) {
            size_t at = (size_t)r * w->width + (size_t)c;
            if (plane[at] > plane[best] || isnan(plane[at]))
                best = at;
        }
    return best;
}

/* Runs `body` for every output of every plane, with rows, columns, in_plane (offset) and out
 * (index) set. */
#define EACH_WINDOW(w, body)                                                                       \
    for (size_t plane = 0, out = 0; plane < (w).planes; plane++)                                   \
        for (size_t i = 0; i < (w).out_height; i++) {                                              \
            const struct span rows = span_of((w).at, 0, i, (w).height);                            \
            const size_t in_plane = plane * (w).height * (w).width;                                \
            for (size_t j = 0; j < (w).out_width; j++, out++) {                                    \
                const struct span columns = span_of((w).at, 1, j, (w).width);                      \
                body                                                                               \
            }                                                                                      \
        }

OP_FORWARD(average_forward)
{
    const struct window w = window_of(site);
    (void)scratch;
    EACH_WINDOW(w, {
        y[out] = span_sum(&w, x[0] + in_plane, &rows, &columns) / divisor(&w, &rows, &columns);
    })
}

static void spread(const struct window *w, float *plane, const struct span *rows,
                   const struct span *columns, float share)
{
    for (int64_t r = rows->first; r < rows->end; r += rows->step)
        for (int64_t c = columns->first; c < columns->end; c += columns->step)
            plane[(size_t)r * w->width + (size_t)c] += share;
}

OP_BACKWARD(average_backward)
{
    const struct window w = window_of(site);
    (void)x, (void)y, (void)scratch;
    memset(dx[0], 0, op_elements(&site->x_shape[0]) * sizeof **dx);
    EACH_WINDOW(w, {
        spread(&w, dx[0] + in_plane, &rows, &columns, dy[out] / divisor(&w, &rows, &columns));
    })
}

OP_FORWARD(max_forward)
{
    const struct window w = window_of(site);
    (void)scratch;
    EACH_WINDOW(w,
                { y[out] = x[0][in_plane + span_largest(&w, x[0] + in_plane, &rows, &columns)]; })
}

OP_BACKWARD(max_backward)
{
    const struct window w = window_of(site);
    (void)y, (void)scratch;
    memset(dx[0], 0, op_elements(&site->x_shape[0]) * sizeof **dx);
    EACH_WINDOW(
        w, { dx[0][in_plane + span_largest(&w, x[0] + in_plane, &rows, &columns)] += dy[out]; })
}

const struct op_kernel op_average_pool = {.forward = average_forward, .backward = average_backward};
const struct op_kernel op_max_pool = {.forward = max_forward, .backward = max_backward};

/* ---- means over whole axes ---- */

OP_FORWARD(global_forward)
{
    size_t planes = op_elements(&site->y_shape), n = op_elements(&site->x_shape[0]) / planes;
    (void)scratch;
    for (size_t i = 0; i < planes; i++) {
        double sum = 0;
        for (size_t k = 0; k < n; k++)
            sum += (double)x[0][i * n + k];
        y[i] = (float)(sum / (double)n);
    }
}

OP_BACKWARD(global_backward)
{
    size_t planes = op_elements(&site->y_shape), n = op_elements(&site->x_shape[0]) / planes;
    (void)x, (void)y, (void)scratch;
    for (size_t i = 0; i < planes; i++) {
        float share = dy[i] / (float)n;
        for (size_t k = 0; k < n; k++)
            dx[0][i * n + k] = share;
    }
}

const struct op_kernel op_global_average_pool = {.forward = global_forward,
                                                 .backward = global_backward};
