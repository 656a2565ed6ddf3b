/* Convolution by oneDNN: forward, backward toward the data, backward toward weight and bias. Groups
 * are an axis of their own in oneDNN's weights ([G, M/G, C/G, h, w]); the memory is the same. */
#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/onednn_pass.h"
#include "worker/engine/ops/depthwise.h"
#include "worker/engine/ops/op.h"

struct conv {
    struct onednn_pass forward, data, weight;
    dnnl_memory_desc_t x, w, b, y; /* plain */
    dnnl_memory_desc_t any_x, any_w, any_y;
    dnnl_dims_t strides, dilates, pads_near, pads_far;
    bool has_bias;
};

static struct shape weight_shape(const struct op_site *site)
{
    const struct shape *w = &site->x_shape[1];
    int64_t groups = site->node->attributes.groups;
    if (groups == 1)
        return *w;
    return (struct shape){
        .rank = 5, .dims = {groups, w->dims[0] / groups, w->dims[1], w->dims[2], w->dims[3]}};
}

static enum status describe_operands(const struct op_site *site, struct conv *conv,
                                     struct error *err)
{
    const struct attributes *at = &site->node->attributes;
    struct shape w = weight_shape(site), b = {.rank = 1, .dims = {site->y_shape.dims[1]}};
    bool good = onednn_plain(&site->x_shape[0], &conv->x) &&
                onednn_any(&site->x_shape[0], &conv->any_x) && onednn_plain(&w, &conv->w) &&
                onednn_any(&w, &conv->any_w) && onednn_plain(&b, &conv->b) &&
                onednn_plain(&site->y_shape, &conv->y) && onednn_any(&site->y_shape, &conv->any_y);
    for (size_t i = 0; i < 2; i++) {
        conv->strides[i] = at->strides[i];
        conv->dilates[i] = at->dilations[i] - 1;
        conv->pads_near[i] = at->pads[i];
        conv->pads_far[i] = at->pads[i + 2];
    }
    conv->has_bias = site->input_count > 2 && site->node->inputs[2] != GRAPH_NONE;
    return good ? OK
                : error_set(err, ERR_SUPPORT, "node %s: oneDNN does not take its shapes",
                            site->node->name);
}

static enum status describe_forward(const struct op_site *site, const struct conv *conv,
                                    dnnl_primitive_desc_t *out, struct error *err)
{
    dnnl_convolution_desc_t desc;
    enum status status =
        onednn_check(dnnl_dilated_convolution_forward_desc_init(
                         &desc, dnnl_forward_training, dnnl_convolution_direct, &conv->any_x,
                         &conv->any_w, conv->has_bias ? &conv->b : NULL, &conv->any_y,
                         conv->strides, conv->dilates, conv->pads_near, conv->pads_far),
                     "a convolution", err);
    return status == OK ? onednn_describe(site->dnn, &desc, NULL, NULL, "a convolution", out, err)
                        : status;
}

static enum status create_forward(const struct op_site *site, struct conv *conv, struct error *err)
{
    dnnl_primitive_desc_t primitive = NULL;
    const struct onednn_operand operands[] = {
        {DNNL_ARG_SRC, dnnl_query_src_md, 0, &conv->x, false},
        {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0, &conv->w, false},
        {DNNL_ARG_DST, dnnl_query_dst_md, 0, &conv->y, true},
        {DNNL_ARG_BIAS, dnnl_query_weights_md, 1, &conv->b, false},
    };
    enum status status = describe_forward(site, conv, &primitive, err);
    if (status == OK)
        status = onednn_pass_init(&conv->forward, site->dnn, primitive, operands,
                                  conv->has_bias ? 4 : 3, err);
    return status;
}

/* Of a 1×1 convolution with stride 1, the data gradient is itself a convolution, with the weight
 * transposed; oneDNN 2.6 runs that almost three times as fast as its own backward kernel. */
static bool is_pointwise(const struct op_site *site)
{
    const struct attributes *at = &site->node->attributes;
    return at->groups == 1 && at->kernel[0] == 1 && at->kernel[1] == 1 && at->strides[0] == 1 &&
           at->strides[1] == 1 && at->pads[0] == 0 && at->pads[1] == 0 && at->pads[2] == 0 &&
           at->pads[3] == 0;
}

static bool transposed_weight(const struct op_site *site, dnnl_memory_desc_t *plain,
                              dnnl_memory_desc_t *any)
{
    const struct shape *w = &site->x_shape[1];
    const struct shape turned = {.rank = 4, .dims = {w->dims[1], w->dims[0], 1, 1}};
    const dnnl_dims_t dims = {w->dims[1], w->dims[0], 1, 1}, strides = {1, w->dims[1], 1, 1};
    return onednn_any(&turned, any) &&
           dnnl_memory_desc_init_by_strides(plain, 4, dims, dnnl_f32, strides) == dnnl_success;
}

static enum status create_pointwise_data(const struct op_site *site, struct conv *conv,
                                         struct error *err)
{
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t primitive = NULL;
    dnnl_memory_desc_t plain, any;
    if (!transposed_weight(site, &plain, &any))
        return error_set(err, ERR_SUPPORT, "node %s: oneDNN does not take its shapes",
                         site->node->name);
    const struct onednn_operand operands[] = {
        {DNNL_ARG_SRC, dnnl_query_src_md, 0, &conv->y, false},
        {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0, &plain, false},
        {DNNL_ARG_DST, dnnl_query_dst_md, 0, &conv->x, true},
    };
    enum status status =
        onednn_check(dnnl_convolution_forward_desc_init(
                         &desc, dnnl_forward_inference, dnnl_convolution_direct, &conv->any_y, &any,
                         NULL, &conv->any_x, conv->strides, conv->pads_near, conv->pads_far),
                     "a convolution's data gradient", err);
    if (status == OK)
        status = onednn_describe(site->dnn, &desc, NULL, NULL, "a convolution's data gradient",
                                 &primitive, err);
    if (status == OK)
        status = onednn_pass_init(&conv->data, site->dnn, primitive, operands, 3, err);
    return status;
}

static enum status create_data(const struct op_site *site, struct conv *conv,
                               dnnl_primitive_desc_t hint, struct error *err)
{
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t primitive = NULL;
    const struct onednn_operand operands[] = {
        {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0, &conv->y, false},
        {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0, &conv->w, false},
        {DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, 0, &conv->x, true},
    };
    enum status status =
        onednn_check(dnnl_dilated_convolution_backward_data_desc_init(
                         &desc, dnnl_convolution_direct, &conv->any_x, &conv->any_w, &conv->any_y,
                         conv->strides, conv->dilates, conv->pads_near, conv->pads_far),
                     "a convolution's data gradient", err);
    if (status == OK)
        status = onednn_describe(site->dnn, &desc, NULL, hint, "a convolution's data gradient",
                                 &primitive, err);
    if (status == OK)
        status = onednn_pass_init(&conv->data, site->dnn, primitive, operands, 3, err);
    return status;
}

static enum status create_weight(const struct op_site *site, struct conv *conv,
                                 dnnl_primitive_desc_t hint, struct error *err)
{
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t primitive = NULL;
    const struct onednn_operand operands[] = {
        {DNNL_ARG_SRC, dnnl_query_src_md, 0, &conv->x, false},
        {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0, &conv->y, false},
        {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, 0, &conv->w, true},
        {DNNL_ARG_DIFF_BIAS, dnnl_query_diff_weights_md, 1, &conv->b, true},
    };
    enum status status =
        onednn_check(dnnl_dilated_convolution_backward_weights_desc_init(
                         &desc, dnnl_convolution_direct, &conv->any_x, &conv->any_w,
                         conv->has_bias ? &conv->b : NULL, &conv->any_y, conv->strides,
                         conv->dilates, conv->pads_near, conv->pads_far),
                     "a convolution's weight gradient", err);
    if (status == OK)
        status = onednn_describe(site->dnn, &desc, NULL, hint, "a convolution's weight gradient",
                                 &primitive, err);
    if (status == OK)
        status = onednn_pass_init(&conv->weight, site->dnn, primitive, operands,
                                  conv->has_bias ? 4 : 3, err);
    return status;
}

static bool wants_weight(const struct op_site *site, const struct conv *conv)
{
    return site->wanted[1] || (conv->has_bias && site->wanted[2]);
}

static enum status create_backward(const struct op_site *site, struct conv *conv, struct error *err)
{
    dnnl_primitive_desc_t hint = NULL;
    enum status status = describe_forward(site, conv, &hint, err);
    if (status != OK)
        return status;
    if (site->wanted[0])
        status = is_pointwise(site) ? create_pointwise_data(site, conv, err)
                                    : create_data(site, conv, hint, err);
    if (status == OK && wants_weight(site, conv) && !depthwise_fits(site))
        status = create_weight(site, conv, hint, err);
    dnnl_primitive_desc_destroy(hint);
    return status;
}

static void conv_destroy(struct op_site *site)
{
    struct conv *conv = site->state;
    if (conv == NULL)
        return;
    onednn_pass_deinit(&conv->forward);
    onednn_pass_deinit(&conv->data);
    onednn_pass_deinit(&conv->weight);
    memory_free(conv);
    site->state = NULL;
}

static enum status conv_create(struct op_site *site, struct error *err)
{
    struct conv *conv = site->state = memory_alloc(1, sizeof *conv);
    if (conv == NULL)
        return error_set(err, ERR_MEMORY, "no memory for node %s", site->node->name);
    enum status status = describe_operands(site, conv, err);
    if (status == OK)
        status = create_forward(site, conv, err);
    if (status == OK)
        status = create_backward(site, conv, err);
    if (status != OK)
        conv_destroy(site);
    return status;
}

/* oneDNN gives weight and bias gradients together; the one that is not wanted goes to scratch. */
static size_t conv_scratch(const struct op_site *site)
{
    size_t gradients = op_elements(&site->x_shape[1]) + (size_t)site->y_shape.dims[1];
    size_t sums = depthwise_fits(site) ? depthwise_scratch(site) : 0;
    return gradients > sums ? gradients : sums;
}

OP_FORWARD(conv_forward)
{
    struct conv *conv = site->state;
    const float *const data[] = {x[0], x[1], y, conv->has_bias ? x[2] : NULL};
    (void)scratch;
    onednn_pass_run(&conv->forward, site->dnn, data);
}

OP_BACKWARD(conv_backward)
{
    struct conv *conv = site->state;
    (void)y;
    if (site->wanted[0]) {
        const float *const data[] = {dy, x[1], dx[0]};
        onednn_pass_run(&conv->data, site->dnn, data);
    }
    if (wants_weight(site, conv) && depthwise_fits(site)) {
        depthwise_weight(site, x[0], dy, site->wanted[1] ? dx[1] : NULL,
                         conv->has_bias && site->wanted[2] ? dx[2] : NULL, scratch);
    } else if (wants_weight(site, conv)) {
        const float *dw = site->wanted[1] ? dx[1] : scratch;
        const float *db =
            conv->has_bias && site->wanted[2] ? dx[2] : scratch + op_elements(&site->x_shape[1]);
        const float *const data[] = {x[0], dy, dw, db};
        onednn_pass_run(&conv->weight, site->dnn, data);
    }
}

const struct op_kernel op_conv = {.create = conv_create,
                                  .destroy = conv_destroy,
                                  .scratch = conv_scratch,
                                  .forward = conv_forward,
                                  .backward = conv_backward};
