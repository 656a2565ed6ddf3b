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

/* In one dimension the height is 1. */
static size_t height_of(const struct shape *shape)
{
    return shape->rank == 4 ? (size_t)shape->dims[2] : 1;
}

static struct spread spread_of(const struct op_site *site)
{
    const struct shape *x = &site->x_shape[0], *y = &site->y_shape;
    const struct attributes *at = &site->node->attributes;
    return (struct spread){.samples = (size_t)x->dims[0],
                           .groups = (size_t)at->groups,
                           .channels = (size_t)(x->dims[1] / at->groups),
                           .maps = (size_t)(y->dims[1] / at->groups),
                           .height = height_of(x),
                           .width = (size_t)x->dims[x->rank - 1],
                           .out_height = height_of(y),
                           .out_width = (size_t)y->dims[y->rank - 1],
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

/* Element of an output plane that tap (u, v) of place (i, j) reaches; SIZE_MAX: none. */
static size_t element(const struct spread *s, size_t i, size_t j, size_t u, size_t v)
{
    const struct attributes *at = s->at;
    int64_t row = (int64_t)i * at->strides[0] + (int64_t)u * at->dilations[0] - at->pads[0];
    int64_t column = (int64_t)j * at->strides[1] + (int64_t)v * at->dilations[1] - at->pads[1];
    bool inside =
        row >= 0 && row < (int64_t)s->out_height && column >= 0 && column < (int64_t)s->out_width;
    return inside ? (size_t)row * s->out_width + (size_t)column : SIZE_MAX;
}

/* Runs `body` for every column element of a group, in order: `column` is its offset, `at` that of what
 * it reaches in the planes, or SIZE_MAX. */
#define EACH_COLUMN(s, body)                                                                       \
    for (size_t map = 0, column = 0; map < (s)->maps; map++)                                       \
        for (size_t tap = 0; tap < taps(s); tap++)                                                 \
            for (size_t i = 0; i < (s)->height; i++)                                               \
                for (size_t j = 0; j < (s)->width; j++, column++) {                                \
                    const size_t across = (size_t)(s)->at->kernel[1];                              \
                    const size_t in_plane = element(s, i, j, tap / across, tap % across);          \
                    const size_t at =                                                              \
                        in_plane == SIZE_MAX ? SIZE_MAX : map * out_places(s) + in_plane;          \
                    body                                                                           \
                }

static void add_windows(const struct spread *s, const float *columns, float *planes)
{
    EACH_COLUMN(s, {
        if (at != SIZE_MAX)
            planes[at] += columns[column];
    })
}

static void collect_windows(const struct spread *s, const float *planes, float *columns)
{
    EACH_COLUMN(s, { columns[column] = at == SIZE_MAX ? 0 : planes[at]; })
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

OP_FORWARD(spread_forward)
{
    const struct spread s = spread_of(site);
    const struct product p = columns_of(&s);
    for (size_t i = 0; i < op_elements(&site->y_shape); i++)
        y[i] = has_bias(site) ? x[2][i / out_places(&s) % (s.groups * s.maps)] : 0;
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
