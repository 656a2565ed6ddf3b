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

/* In one dimension ([N, C, W]) the picture has height 1 and the window too. */
static enum status flatten(struct attributes *a, const struct shape *x, struct error *err)
{
    if (x->rank != 3 && x->rank != 4)
        return error_set(err, ERR_SUPPORT,
                         "only windows over [N, C, W] and [N, C, H, W] are supported");
    if (x->rank == 3) {
        a->kernel[0] = a->strides[0] = a->dilations[0] = 1;
        a->pads[0] = a->pads[2] = a->output_pads[0] = 0;
    }
    return check_extents(a, err);
}

/* Axis `axis` (height, width) of the window moves along this axis of the tensor. */
static size_t tensor_axis(const struct shape *x, size_t axis)
{
    return axis + x->rank - 2;
}

static enum status slide_all(struct node *node, const struct shape *x, struct shape *out,
                             struct error *err)
{
    enum status status = flatten(&node->attributes, x, err);
    for (size_t axis = 4 - x->rank; axis < 2 && status == OK; axis++)
        status = slide(&node->attributes, axis, x->dims[tensor_axis(x, axis)],
                       &out->dims[tensor_axis(x, axis)], err);
    return status;
}

static enum status take_kernel(struct attributes *a, const struct shape *x, const struct shape *w,
                               struct error *err)
{
    if ((x->rank != 3 && x->rank != 4) || w->rank != x->rank)
        return error_set(err, ERR_SUPPORT,
                         "only windows over [N, C, W] and [N, C, H, W] are supported");
    for (size_t axis = 4 - x->rank; axis < 2; axis++) {
        int64_t extent = w->dims[tensor_axis(w, axis)];
        if (a->kernel[axis] != 0 && a->kernel[axis] != extent)
            return error_set(err, ERR_INPUT, "kernel_shape contradicts the weight");
        a->kernel[axis] = extent;
    }
    return OK;
}

static enum status check_bias(const struct node *node, const struct shape *const *in,
                              int64_t channels, struct error *err)
{
    const struct shape *b = node->input_count > 2 ? in[2] : NULL;
    if (b != NULL && (b->rank != 1 || b->dims[0] != channels))
        return error_set(err, ERR_INPUT, "the bias does not have %lld values", (long long)channels);
    return OK;
}

enum status window_rule_conv(struct node *node, const struct shape *const *in, struct shape *out,
                             struct error *err)
{
    struct attributes *a = &node->attributes;
    const struct shape *x = in[0], *w = in[1];
    enum status status = take_kernel(a, x, w, err);
    if (status != OK)
        return status;
    int64_t groups = a->groups;
    if (groups < 1 || x->dims[1] % groups != 0 || w->dims[0] % groups != 0 ||
        w->dims[1] != x->dims[1] / groups)
        return error_set(err, ERR_INPUT, "the weight does not fit %lld channels in %lld groups",
                         (long long)x->dims[1], (long long)groups);
    *out = (struct shape){.rank = x->rank, .dims = {x->dims[0], w->dims[0]}};
    status = check_bias(node, in, w->dims[0], err);
    return status == OK ? slide_all(node, x, out, err) : status;
}

/* `target`: the wanted extent, or 0. What the pads must take away is then known and shared out; the
 * odd pixel goes where the name says. */
static void share_pads(struct attributes *a, size_t axis, int64_t full, int64_t target)
{
    int64_t total = full > target ? full - target : 0, small = total / 2, large = total - small;
    bool upper = a->auto_pad == PAD_SAME_UPPER;
    a->pads[axis] = upper ? small : large;
    a->pads[axis + 2] = upper ? large : small;
}

/* The inverse of slide: the extent of a picture over which a window slides to `input` places. */
static enum status spread(struct attributes *a, size_t axis, int64_t input, int64_t target,
                          int64_t *out, struct error *err)
{
    int64_t full = (input - 1) * a->strides[axis] + (a->kernel[axis] - 1) * a->dilations[axis] + 1 +
                   a->output_pads[axis];
    if (target == 0 && (a->auto_pad == PAD_SAME_UPPER || a->auto_pad == PAD_SAME_LOWER))
        target = input * a->strides[axis];
    if (target > full) { /* what the windows do not reach stays empty */
        a->output_pads[axis] += target - full;
        full = target;
    }
    if (target > 0)
        share_pads(a, axis, full, target);
    else if (a->auto_pad == PAD_VALID)
        a->pads[axis] = a->pads[axis + 2] = 0;
    *out = full - a->pads[axis] - a->pads[axis + 2];
    if (a->output_pads[axis] < 0 || a->output_pads[axis] > GRAPH_EXTENT_MAX || *out < 1 ||
        (target > 0 && *out != target))
        return error_set(err, ERR_INPUT, "%lld places do not spread to %lld", (long long)input,
                         (long long)(target > 0 ? target : *out));
    return OK;
}

enum status window_rule_conv_transpose(struct node *node, const struct shape *const *in,
                                       struct shape *out, struct error *err)
{
    struct attributes *a = &node->attributes;
    const struct shape *x = in[0], *w = in[1];
    enum status status = take_kernel(a, x, w, err);
    if (status == OK)
        status = flatten(a, x, err);
    if (status != OK)
        return status;
    if (a->groups < 1 || a->groups > GRAPH_EXTENT_MAX || x->dims[1] % a->groups != 0 ||
        w->dims[0] != x->dims[1])
        return error_set(err, ERR_INPUT, "the weight does not fit %lld channels in %lld groups",
                         (long long)x->dims[1], (long long)a->groups);
    if (a->axes_count != 0 && a->axes_count != x->rank - 2)
        return error_set(err, ERR_INPUT, "its output size has %zu axes", a->axes_count);
    *out = (struct shape){.rank = x->rank, .dims = {x->dims[0], w->dims[1] * a->groups}};
    status = check_bias(node, in, out->dims[1], err);
    for (size_t axis = 4 - x->rank; axis < 2 && status == OK; axis++) {
        size_t at = tensor_axis(x, axis);
        status = spread(a, axis, x->dims[at], a->axes_count > 0 ? a->axes[at - 2] : 0,
                        &out->dims[at], err);
    }
    return status;
}

/* Every window must have a tap inside: its pads are narrower than it, and where it begins before the
 * picture its taps do not step over all of it. */
static bool always_inside(const struct attributes *a, size_t axis, int64_t extent)
{
    int64_t reach = (a->kernel[axis] - 1) * a->dilations[axis] + 1;
    return a->pads[axis] < reach && a->pads[axis + 2] < reach &&
           (a->pads[axis] == 0 || a->dilations[axis] <= extent);
}

enum status window_rule_pool(struct node *node, const struct shape *const *in, struct shape *out,
                             struct error *err)
{
    const struct shape *x = in[0];
    *out = (struct shape){.rank = x->rank, .dims = {x->dims[0], x->dims[1]}};
    enum status status = slide_all(node, x, out, err);
    for (size_t axis = 4 - x->rank; axis < 2 && status == OK; axis++)
        if (!always_inside(&node->attributes, axis, x->dims[tensor_axis(x, axis)]))
            status = error_set(err, ERR_INPUT, "a window could lie wholly in the padding");
    return status;
}

enum status window_rule_global(struct node *node, const struct shape *const *in, struct shape *out,
                               struct error *err)
{
    (void)node;
    if (in[0]->rank < 3)
        return error_set(err, ERR_INPUT, "its input has nothing to pool");
    *out = (struct shape){.rank = in[0]->rank, .dims = {in[0]->dims[0], in[0]->dims[1]}};
    for (size_t i = 2; i < out->rank; i++)
        out->dims[i] = 1;
    return OK;
}
