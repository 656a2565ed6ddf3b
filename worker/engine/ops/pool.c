/* AveragePool, MaxPool over [N, C, H, W] or [N, C, W]. */
#include <string.h>

#include "common/base/check.h"
#include "worker/engine/ops/op.h"

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
    const struct shape x = op_picture(&site->x_shape[0]), y = op_picture(&site->y_shape);
    return (struct window){.planes = (size_t)(x.dims[0] * x.dims[1]),
                           .height = (size_t)x.dims[2],
                           .width = (size_t)x.dims[3],
                           .out_height = (size_t)y.dims[2],
                           .out_width = (size_t)y.dims[3],
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

/* ---- maximum: a row of outputs at a time, tap by tap ---- */

/* For every output of a row the largest value so far and its index in the plane. */
struct leaders {
    float *value;
    int32_t *index;
};

static struct leaders leaders_of(const struct window *w, float *scratch)
{
    return (struct leaders){scratch, (int32_t *)(void *)(scratch + w->out_width)};
}

static size_t max_scratch(const struct op_site *site)
{
    return 2 * window_of(site).out_width;
}

/* The outputs [begin, end) meet x at at, at + stride, …; NaN counts as largest, so that it is not
 * hidden. Of equals the first tap leads. */
OP_CLONES static void meet(const float *restrict plane, int32_t at, int32_t stride, size_t count,
                           float *restrict value, int32_t *restrict index)
{
    for (size_t j = 0; j < count; j++) {
        const int32_t here = at + (int32_t)j * stride;
        const float v = plane[here];
        const bool leads = v > value[j] || v != v;
        value[j] = leads ? v : value[j];
        index[j] = leads ? here : index[j];
    }
}

/* One tap of a row's windows, on row `r` of the picture. */
static void meet_tap(const struct window *w, const float *plane, int64_t r, int64_t tap,
                     const struct leaders *to)
{
    int64_t stride = w->at->strides[1], shift = tap * w->at->dilations[1] - w->at->pads[1];
    int64_t begin = shift < 0 ? steps_in(-shift, stride) : 0;
    int64_t room = (int64_t)w->width - shift;
    int64_t end = room <= 0 ? 0 : steps_in(room, stride);
    end = end < (int64_t)w->out_width ? end : (int64_t)w->out_width;
    if (begin < end)
        meet(plane, (int32_t)(r * (int64_t)w->width + begin * stride + shift), (int32_t)stride,
             (size_t)(end - begin), to->value + begin, to->index + begin);
}

static void lead_row(const struct window *w, const float *plane, size_t i, const struct leaders *to)
{
    const struct span rows = span_of(w->at, 0, i, w->height);
    for (size_t j = 0; j < w->out_width; j++) {
        to->index[j] =
            (int32_t)(rows.first * (int64_t)w->width + span_of(w->at, 1, j, w->width).first);
        to->value[j] = plane[to->index[j]];
    }
    for (int64_t r = rows.first; r < rows.end; r += rows.step)
        for (int64_t tap = 0; tap < w->at->kernel[1]; tap++)
            meet_tap(w, plane, r, tap, to);
}

OP_FORWARD(max_forward)
{
    const struct window w = window_of(site);
    const struct leaders leaders = leaders_of(&w, scratch);
    for (size_t row = 0; row < w.planes * w.out_height; row++) {
        lead_row(&w, x[0] + row / w.out_height * w.height * w.width, row % w.out_height, &leaders);
        memcpy(y + row * w.out_width, leaders.value, w.out_width * sizeof *y);
    }
}

OP_BACKWARD(max_backward)
{
    const struct window w = window_of(site);
    const struct leaders leaders = leaders_of(&w, scratch);
    (void)y;
    memset(dx[0], 0, op_elements(&site->x_shape[0]) * sizeof **dx);
    for (size_t row = 0; row < w.planes * w.out_height; row++) {
        const size_t plane = row / w.out_height * w.height * w.width;
        lead_row(&w, x[0] + plane, row % w.out_height, &leaders);
        for (size_t j = 0; j < w.out_width; j++)
            dx[0][plane + (size_t)leaders.index[j]] += dy[row * w.out_width + j];
    }
}

const struct op_kernel op_average_pool = {.forward = average_forward, .backward = average_backward};
const struct op_kernel op_max_pool = {
    .scratch = max_scratch, .forward = max_forward, .backward = max_backward};
