/* Resize: one axis after the other, each index of the output a weighted sum of one (nearest), two
 * (linear) or four (cubic; Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981)
 * of the input. Places are counted in float32, as ONNX Runtime and PyTorch do: where a place falls on
 * a border between two neighbours, all must take the same one. */
#include <math.h>
#include <string.h>

#include "common/base/memory.h"
#include "worker/engine/ops/op.h"

#define TAPS_MAX ((size_t)4)

/* [outer, in, inner] → [outer, out, inner]; of output index i: Σ over t of weight·input[index]. */
struct pass {
    size_t outer, in, out, inner, taps;
    size_t *index; /* [out][taps] */
    float *weight;
};

struct resize {
    struct pass passes[TENSOR_RANK_MAX];
    size_t count;  /* of passes: axes that change */
    size_t middle; /* elements of the largest result between two passes */
};

/* Place of output index `at` on the input's axis. */
static float place_of(const struct attributes *a, size_t axis, size_t at, const struct pass *pass)
{
    const float scale = a->scales[axis], index = (float)at;
    switch (a->resize_origin) {
    case ORIGIN_PYTORCH_HALF_PIXEL:
        return pass->out > 1 ? (index + 0.5f) / scale - 0.5f : 0;
    case ORIGIN_ALIGN_CORNERS:
        return pass->out > 1 ? index * (float)(pass->in - 1) / (scale * (float)pass->in - 1) : 0;
    case ORIGIN_ASYMMETRIC:
        return index / scale;
    case ORIGIN_HALF_PIXEL:
        break;
    }
    return (index + 0.5f) / scale - 0.5f;
}

static float rounded(enum resize_round kind, float place)
{
    switch (kind) {
    case ROUND_PREFER_CEIL:
        return floorf(place + 0.5f);
    case ROUND_FLOOR:
        return floorf(place);
    case ROUND_CEIL:
        return ceilf(place);
    case ROUND_PREFER_FLOOR:
        break;
    }
    return ceilf(place - 0.5f);
}

/* Keys' kernel at distance `d`, equations 14 and 15 with a free coefficient. */
static double cubic_weight(double d, double a)
{
    d = fabs(d);
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* The taps of one output index: the first one's (unbounded) input index, and the weights. */
static float taps_of(const struct attributes *a, float place, double *weights)
{
    const float below = floorf(place);
    const double along = (double)(place - below);
    if (a->resize_mode == RESIZE_NEAREST) {
        weights[0] = 1;
        return rounded(a->resize_round, place);
    }
    if (a->resize_mode == RESIZE_LINEAR) {
        weights[0] = 1 - along;
        weights[1] = along;
        return below;
    }
    for (size_t t = 0; t < 4; t++)
        weights[t] = cubic_weight(along + 1 - (double)t, (double)a->alpha);
    return below - 1;
}

/* Beyond the border lies the border's element; or nothing, and the other weights grow to 1. */
static void fill_index(const struct attributes *a, size_t axis, size_t at, struct pass *pass)
{
    double weights[TAPS_MAX], sum = 0;
    const float first = taps_of(a, place_of(a, axis, at, pass), weights);
    const float last = (float)(pass->in - 1);
    for (size_t t = 0; t < pass->taps; t++) {
        const float index = first + (float)t;
        if (a->exclude_outside && (index < 0 || index > last))
            weights[t] = 0;
        sum += weights[t];
        pass->index[at * pass->taps + t] = index <= 0     ? 0
                                           : index > last ? pass->in - 1
                                                          : (size_t)index;
    }
    for (size_t t = 0; t < pass->taps; t++)
        pass->weight[at * pass->taps + t] =
            (float)(a->exclude_outside ? weights[t] / sum : weights[t]);
}

/* [outer, in, inner] of an axis when the axes before it have their final extents. */
static struct pass pass_of(const struct op_site *site, size_t axis)
{
    const struct shape *x = &site->x_shape[0], *y = &site->y_shape;
    enum resize_mode mode = site->node->attributes.resize_mode;
    struct pass pass = {.outer = 1,
                        .in = (size_t)x->dims[axis],
                        .out = (size_t)y->dims[axis],
                        .inner = 1,
                        .taps = mode == RESIZE_NEAREST  ? 1
                                : mode == RESIZE_LINEAR ? 2
                                                        : TAPS_MAX};
    for (size_t i = 0; i < axis; i++)
        pass.outer *= (size_t)y->dims[i];
    for (size_t i = axis + 1; i < x->rank; i++)
        pass.inner *= (size_t)x->dims[i];
    return pass;
}

static enum status add_pass(struct op_site *site, size_t axis, struct error *err)
{
    struct resize *resize = site->state;
    struct pass *pass = &resize->passes[resize->count++];
    *pass = pass_of(site, axis);
    pass->index = memory_alloc(pass->out * pass->taps, sizeof *pass->index);
    pass->weight = memory_alloc(pass->out * pass->taps, sizeof *pass->weight);
    if (pass->index == NULL || pass->weight == NULL)
        return error_set(err, ERR_MEMORY, "no memory for node %s", site->node->name);
    for (size_t i = 0; i < pass->out; i++)
        fill_index(&site->node->attributes, axis, i, pass);
    size_t elements = pass->outer * pass->out * pass->inner;
    resize->middle = elements > resize->middle ? elements : resize->middle;
    return OK;
}

static void resize_destroy(struct op_site *site)
{
    struct resize *resize = site->state;
    for (size_t i = 0; resize != NULL && i < resize->count; i++) {
        memory_free(resize->passes[i].index);
        memory_free(resize->passes[i].weight);
    }
    memory_free(resize);
    site->state = NULL;
}

/* An axis of scale 1 keeps every index where it is, whatever the origin. */
static enum status resize_create(struct op_site *site, struct error *err)
{
    const struct attributes *a = &site->node->attributes;
    enum status status = OK;
    site->state = memory_alloc(1, sizeof(struct resize));
    if (site->state == NULL)
        return error_set(err, ERR_MEMORY, "no memory for node %s", site->node->name);
    for (size_t i = 0; i < site->y_shape.rank && status == OK; i++)
        if (a->scales[i] != 1)
            status = add_pass(site, i, err);
    if (status != OK)
        resize_destroy(site);
    return status;
}

/* Two results between passes, used in turns. */
static size_t resize_scratch(const struct op_site *site)
{
    const struct resize *resize = site->state;
    return 2 * resize->middle;
}

OP_CLONES static void row_weigh(float *restrict to, const float *restrict from, float weight,
                                size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += weight * from[i];
}

/* Along the last axis, where a row is one element. */
static void line_forward(const struct pass *p, const float *x, float *y)
{
    for (size_t i = 0; i < p->out; i++) {
        y[i] = 0;
        for (size_t t = i * p->taps; t < (i + 1) * p->taps; t++)
            y[i] += p->weight[t] * x[p->index[t]];
    }
}

static void line_backward(const struct pass *p, const float *dy, float *dx)
{
    for (size_t t = 0; t < p->out * p->taps; t++)
        dx[p->index[t]] += p->weight[t] * dy[t / p->taps];
}

static void pass_forward(const struct pass *p, const float *x, float *y)
{
    for (size_t o = 0; o < p->outer && p->inner == 1; o++)
        line_forward(p, x + o * p->in, y + o * p->out);
    if (p->inner == 1)
        return;
    memset(y, 0, p->outer * p->out * p->inner * sizeof *y);
    for (size_t o = 0; o < p->outer; o++)
        for (size_t i = 0; i < p->out * p->taps; i++)
            row_weigh(y + (o * p->out + i / p->taps) * p->inner,
                      x + (o * p->in + p->index[i]) * p->inner, p->weight[i], p->inner);
}

static void pass_backward(const struct pass *p, const float *dy, float *dx)
{
    memset(dx, 0, p->outer * p->in * p->inner * sizeof *dx);
    for (size_t o = 0; o < p->outer && p->inner == 1; o++)
        line_backward(p, dy + o * p->out, dx + o * p->in);
    for (size_t o = 0; o < p->outer && p->inner > 1; o++)
        for (size_t i = 0; i < p->out * p->taps; i++)
            row_weigh(dx + (o * p->in + p->index[i]) * p->inner,
                      dy + (o * p->out + i / p->taps) * p->inner, p->weight[i], p->inner);
}

OP_FORWARD(resize_forward)
{
    const struct resize *resize = site->state;
    const float *from = x[0];
    for (size_t i = 0; i < resize->count; i++) {
        float *to = i + 1 == resize->count ? y : scratch + (i % 2) * resize->middle;
        pass_forward(&resize->passes[i], from, to);
        from = to;
    }
    if (resize->count == 0)
        memcpy(y, x[0], op_elements(&site->y_shape) * sizeof *y);
}

OP_BACKWARD(resize_backward)
{
    const struct resize *resize = site->state;
    const float *from = dy;
    (void)x, (void)y;
    for (size_t i = resize->count; i-- > 0;) {
        float *to = i == 0 ? dx[0] : scratch + (i % 2) * resize->middle;
        pass_backward(&resize->passes[i], from, to);
        from = to;
    }
    if (resize->count == 0)
        memcpy(dx[0], dy, op_elements(&site->y_shape) * sizeof *dy);
}

const struct op_kernel op_resize = {.create = resize_create,
                                    .destroy = resize_destroy,
                                    .scratch = resize_scratch,
                                    .forward = resize_forward,
                                    .backward = resize_backward};
