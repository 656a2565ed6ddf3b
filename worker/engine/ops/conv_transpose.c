/* ConvTranspose (Zeiler et al., "Deconvolutional Networks", 2010): each place of the input spreads a
 * window over the output. Of one sample and group: columns [M/g·kh·kw, places] = Wᵀ·x, added where
 * the windows lie, in a fixed order; backwards the same windows of dy are collected. */
#include <string.h>

#include "worker/engine/ops/op.h"
#include "worker/engine/ops/product.h"

struct spread {
    size_t samples, groups, channels, maps; /* channels (in), maps (out) of one group */
    size_t height, width, out_height, out_width;
    const struct attributes *at;
};

static struct spread spread_of(const struct op_site *site)
{
    const struct shape x = op_picture(&site->x_shape[0]), y = op_picture(&site->y_shape);
    const struct attributes *at = &site->node->attributes;
    return (struct spread){.samples = (size_t)x.dims[0],
                           .groups = (size_t)at->groups,
                           .channels = (size_t)(x.dims[1] / at->groups),
                           .maps = (size_t)(y.dims[1] / at->groups),
                           .height = (size_t)x.dims[2],
                           .width = (size_t)x.dims[3],
                           .out_height = (size_t)y.dims[2],
                           .out_width = (size_t)y.dims[3],
                           .at = at};
}

static size_t places(const struct spread *s)
{
    return s->height * s->width;
}

static size_t out_places(const struct spread *s)
{
    return s->out_height * s->out_width;
}

static size_t taps(const struct spread *s)
{
    return (size_t)(s->at->kernel[0] * s->at->kernel[1]);
}

/* columns = Wᵀ·x; seen from W [channels, maps·taps]. */
static struct product columns_of(const struct spread *s)
{
    return (struct product){.rows = s->maps * taps(s),
                            .inner = s->channels,
                            .columns = places(s),
                            .trans_a = true,
                            .alpha = 1};
}

static size_t spread_scratch(const struct op_site *site)
{
    struct spread s = spread_of(site);
    return s.maps * taps(&s) * places(&s);
}

/* One row of places of one tap: where it lies in the planes, and which of its places reach them. */
struct reach {
    int64_t origin, step; /* place j reaches element origin + j·step of the planes … */
    size_t begin, end;    /* … for begin ≤ j < end */
};

/* Smallest place whose tap does not lie before `border`. */
static size_t first_from(int64_t border, int64_t offset, int64_t stride)
{
    return offset >= border ? 0 : (size_t)((border - offset + stride - 1) / stride);
}

static struct reach reach_of(const struct spread *s, size_t map, size_t tap, size_t row)
{
    const struct attributes *at = s->at;
    int64_t u = (int64_t)tap / at->kernel[1], v = (int64_t)tap % at->kernel[1];
    int64_t down = (int64_t)row * at->strides[0] + u * at->dilations[0] - at->pads[0];
    int64_t right = v * at->dilations[1] - at->pads[1];
    struct reach r = {.step = at->strides[1]};
    if (down < 0 || down >= (int64_t)s->out_height)
        return r;
    r.origin = ((int64_t)map * (int64_t)s->out_height + down) * (int64_t)s->out_width + right;
    r.begin = first_from(0, right, at->strides[1]);
    r.end = first_from((int64_t)s->out_width, right, at->strides[1]);
    r.end = r.end < s->width ? r.end : s->width;
    return r;
}

/* Runs `body` for every row of columns of a group, in order, with its `reach`; `column` is its
 * offset. */
#define EACH_ROW(s, body)                                                                          \
    for (size_t map = 0, column = 0; map < (s)->maps; map++)                                       \
        for (size_t tap = 0; tap < taps(s); tap++)                                                 \
            for (size_t i = 0; i < (s)->height; i++, column += (s)->width) {                       \
                const struct reach reach = reach_of(s, map, tap, i);                               \
                body                                                                               \
            }

static void add_windows(const struct spread *s, const float *columns, float *planes)
{
    EACH_ROW(s, {
        for (size_t j = reach.begin; j < reach.end; j++)
            planes[reach.origin + (int64_t)j * reach.step] += columns[column + j];
    })
}

static void collect_windows(const struct spread *s, const float *planes, float *columns)
{
    memset(columns, 0, s->maps * taps(s) * places(s) * sizeof *columns);
    EACH_ROW(s, {
        for (size_t j = reach.begin; j < reach.end; j++)
            columns[column + j] = planes[reach.origin + (int64_t)j * reach.step];
    })
}

static bool has_bias(const struct op_site *site)
{
    return site->input_count > 2 && site->node->inputs[2] != GRAPH_NONE;
}

/* Offsets of sample i, group g in x, W and y. */
struct place {
    size_t x, w, y;
};

static struct place place_of(const struct spread *s, size_t i, size_t g)
{
    return (struct place){.x = (i * s->groups + g) * s->channels * places(s),
                          .w = g * s->channels * s->maps * taps(s),
                          .y = (i * s->groups + g) * s->maps * out_places(s)};
}

/* Every plane begins with its bias. */
static void fill_bias(const struct spread *s, const float *bias, float *y)
{
    size_t channels = s->groups * s->maps, n = out_places(s);
    for (size_t plane = 0; plane < s->samples * channels; plane++) {
        const float value = bias == NULL ? 0 : bias[plane % channels];
        for (size_t k = 0; k < n; k++)
            y[plane * n + k] = value;
    }
}

OP_FORWARD(spread_forward)
{
    const struct spread s = spread_of(site);
    const struct product p = columns_of(&s);
    fill_bias(&s, has_bias(site) ? x[2] : NULL, y);
    for (size_t i = 0; i < s.samples; i++)
        for (size_t g = 0; g < s.groups; g++) {
            struct place at = place_of(&s, i, g);
            product_forward(&p, x[1] + at.w, x[0] + at.x, 0, scratch);
            add_windows(&s, scratch, y + at.y);
        }
}

static void bias_backward(const struct spread *s, const float *dy, float *db)
{
    size_t channels = s->groups * s->maps, n = out_places(s);
    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < s->samples; i++)
            for (size_t k = 0; k < n; k++)
                sum += (double)dy[(i * channels + c) * n + k];
        db[c] = (float)sum;
    }
}

OP_BACKWARD(spread_backward)
{
    const struct spread s = spread_of(site);
    const struct product p = columns_of(&s);
    (void)y;
    if (site->wanted[1])
        memset(dx[1], 0, op_elements(&site->x_shape[1]) * sizeof **dx);
    for (size_t i = 0; i < s.samples; i++)
        for (size_t g = 0; g < s.groups; g++) {
            struct place at = place_of(&s, i, g);
            collect_windows(&s, dy + at.y, scratch);
            if (site->wanted[0])
                product_toward_b(&p, x[1] + at.w, scratch, 0, dx[0] + at.x);
            if (site->wanted[1])
                product_toward_a(&p, x[0] + at.x, scratch, 1, dx[1] + at.w);
        }
    if (has_bias(site) && site->wanted[2])
        bias_backward(&s, dy, dx[2]);
}

const struct op_kernel op_conv_transpose = {
    .scratch = spread_scratch, .forward = spread_forward, .backward = spread_backward};
