#include "common/model/window_rules.h"

#include "common/model/shape_rules.h"

static enum status check_extents(const struct attributes *a, struct error *err)
{
    for (size_t i = 0; i < 2; i++) {
        int64_t least = a->kernel[i] < a->strides[i] ? a->kernel[i] : a->strides[i];
        int64_t most = a->kernel[i] > a->strides[i] ? a->kernel[i] : a->strides[i];
        if (least < 1 || a->dilations[i] < 1 || most > GRAPH_EXTENT_MAX ||
            a->dilations[i] > GRAPH_EXTENT_MAX)
            return error_set(err, ERR_INPUT, "kernel, strides and dilations must be 1 to %lld",
                             (long long)GRAPH_EXTENT_MAX);
    }
    for (size_t i = 0; i < 4; i++)
        if (a->pads[i] < 0 || a->pads[i] > GRAPH_EXTENT_MAX)
            return error_set(err, ERR_INPUT, "pads must be 0 to %lld", (long long)GRAPH_EXTENT_MAX);
    return OK;
}

/* SAME: the output covers ceil(input / stride); the odd pixel goes where the name says. */
static void same_pads(struct attributes *a, size_t axis, int64_t input)
{
    int64_t reach = (a->kernel[axis] - 1) * a->dilations[axis] + 1;
    int64_t output = (input + a->strides[axis] - 1) / a->strides[axis];
    int64_t total = (output - 1) * a->strides[axis] + reach - input;
    total = total < 0 ? 0 : total;
    int64_t small = total / 2, large = total - small;
    a->pads[axis] = a->auto_pad == PAD_SAME_UPPER ? small : large;
    a->pads[axis + 2] = a->auto_pad == PAD_SAME_UPPER ? large : small;
}

static enum status slide(struct attributes *a, size_t axis, int64_t input, int64_t *out,
                         struct error *err)
{
    if (a->auto_pad == PAD_SAME_UPPER || a->auto_pad == PAD_SAME_LOWER)
        same_pads(a, axis, input);
    else if (a->auto_pad == PAD_VALID)
        a->pads[axis] = a->pads[axis + 2] = 0;
    int64_t reach = (a->kernel[axis] - 1) * a->dilations[axis] + 1;
    int64_t room = input + a->pads[axis] + a->pads[axis + 2] - reach;
    if (room < 0)
        return error_set(err, ERR_INPUT, "the window of %lld does not fit into %lld",
                         (long long)reach, (long long)(room + reach));
    int64_t output = room / a->strides[axis] + 1;
    /* ceil_mode adds a last partial window, unless it would begin in the far padding. */
    if (a->ceil_mode && room % a->strides[axis] != 0 &&
        output * a->strides[axis] < input + a->pads[axis])
        output++;
    *out = output;
    return OK;
}

static enum status slide_both(struct node *node, const struct shape *x, struct shape *out,
                              struct error *err)
{
    enum status status = check_extents(&node->attributes, err);
    for (size_t axis = 0; axis < 2 && status == OK; axis++)
        status = slide(&node->attributes, axis, x->dims[axis + 2], &out->dims[axis + 2], err);
    return status;
}

enum status window_rule_conv(struct node *node, const struct shape *const *in, struct shape *out,
                             struct error *err)
{
    struct attributes *a = &node->attributes;
    const struct shape *x = in[0], *w = in[1], *b = node->input_count > 2 ? in[2] : NULL;
    if (x->rank != 4 || w->rank != 4)
        return error_set(err, ERR_SUPPORT,
                         "only two-dimensional convolutions ([N, C, H, W]) are supported");
    for (size_t i = 0; i < 2; i++) {
        if (a->kernel[i] != 0 && a->kernel[i] != w->dims[i + 2])
            return error_set(err, ERR_INPUT, "kernel_shape contradicts the weight");
        a->kernel[i] = w->dims[i + 2];
    }
    int64_t groups = a->groups;
    if (groups < 1 || x->dims[1] % groups != 0 || w->dims[0] % groups != 0 ||
        w->dims[1] != x->dims[1] / groups)
        return error_set(err, ERR_INPUT, "the weight does not fit %lld channels in %lld groups",
                         (long long)x->dims[1], (long long)groups);
    if (b != NULL && (b->rank != 1 || b->dims[0] != w->dims[0]))
        return error_set(err, ERR_INPUT, "the bias does not have %lld values",
                         (long long)w->dims[0]);
    *out = (struct shape){.rank = 4, .dims = {x->dims[0], w->dims[0]}};
    return slide_both(node, x, out, err);
}

enum status window_rule_pool(struct node *node, const struct shape *const *in, struct shape *out,
                             struct error *err)
{
    const struct shape *x = in[0];
    if (x->rank != 4)
        return error_set(err, ERR_SUPPORT,
                         "only two-dimensional pooling ([N, C, H, W]) is supported");
    *out = (struct shape){.rank = 4, .dims = {x->dims[0], x->dims[1]}};
    enum status status = slide_both(node, x, out, err);
    const struct attributes *a = &node->attributes;
    for (size_t i = 0; i < 4 && status == OK; i++)
        if (a->pads[i] >= (a->kernel[i % 2] - 1) * a->dilations[i % 2] + 1)
            status = error_set(err, ERR_INPUT, "a window could lie wholly in the padding");
    return status;
}

enum status window_rule_global(struct node *node, const struct shape *const *in, struct shape *out,
                               struct error *err)
{
    (void)node;
    if (in[0]->rank != 4)
        return error_set(err, ERR_SUPPORT, "only [N, C, H, W] is supported");
    *out = (struct shape){.rank = 4, .dims = {in[0]->dims[0], in[0]->dims[1], 1, 1}};
    return OK;
}

double window_flops_conv(const struct node *node, const struct shape *const *in,
                         const struct shape *out)
{
    double taps = (double)(in[1]->dims[1] * in[1]->dims[2] * in[1]->dims[3]);
    double bias = node->input_count > 2 ? 1 : 0;
    return (2 * taps + bias) * (double)(out->dims[1] * out->dims[2] * out->dims[3]);
}

double window_flops_pool(const struct node *node, const struct shape *const *in,
                         const struct shape *out)
{
    (void)in;
    double taps = (double)(node->attributes.kernel[0] * node->attributes.kernel[1]);
    return taps * (double)(out->dims[1] * out->dims[2] * out->dims[3]);
}
