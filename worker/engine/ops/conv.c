/* Convolution by oneDNN: forward, backward toward the data, backward toward weight and bias. Groups
 * are an axis of their own in oneDNN's weights ([G, M/G, C/G, h, w]); the memory is the same. In one
 * dimension the picture has height 1. */
#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/onednn_pass.h"
#include "worker/engine/ops/depthwise.h"
#include "worker/engine/ops/op.h"
#include "worker/engine/ops/sums.h"

struct conv {
    struct onednn_pass forward, data, weight;
    const struct onednn_layout *x, *w, *b, *y; /* plain */
    bool has_bias;
};

static void describe_operands(const struct op_site *site, struct conv *conv)
{
    const struct shape x = op_picture(&site->x_shape[0]), y = op_picture(&site->y_shape);
    const struct shape flat = op_picture(&site->x_shape[1]);
    const struct shape w = onednn_weight_shape(&flat, site->node->attributes.groups);
    const struct shape b = {.rank = 1, .dims = {y.dims[1]}};
    conv->x = onednn_plain(site->dnn, &x);
    conv->w = onednn_plain(site->dnn, &w);
    conv->b = onednn_plain(site->dnn, &b);
    conv->y = onednn_plain(site->dnn, &y);
    conv->has_bias = site->input_count > 2 && site->node->inputs[2] != GRAPH_NONE;
}

/* `forward`: the forward pass's descriptor, for a backward pass. */
static enum status describe_pass(const struct op_site *site, const struct conv *conv,
                                 dnnl_prop_kind_t pass, const_dnnl_primitive_desc_t forward,
                                 dnnl_primitive_desc_t *out, struct error *err)
{
    const struct shape x = op_picture(&site->x_shape[0]), y = op_picture(&site->y_shape);
    const struct shape w = op_picture(&site->x_shape[1]);
    struct onednn_operation operation =
        onednn_convolution(site->dnn, pass, &site->node->attributes, &x, &w, &y, conv->has_bias);
    operation.forward = forward;
    return onednn_describe(site->dnn, &operation, site->dnn->frugal,
                           forward == NULL ? "a convolution" : "a convolution's gradient", out,
                           err);
}

static enum status create_forward(const struct op_site *site, struct conv *conv, struct error *err)
{
    dnnl_primitive_desc_t primitive = NULL;
    const struct onednn_operand operands[] = {
        {DNNL_ARG_SRC, conv->x, false},
        {DNNL_ARG_WEIGHTS, conv->w, false},
        {DNNL_ARG_DST, conv->y, true},
        {DNNL_ARG_BIAS, conv->b, false},
    };
    enum status status = describe_pass(site, conv, dnnl_forward_training, NULL, &primitive, err);
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

static enum status create_pointwise_data(const struct op_site *site, struct conv *conv,
                                         struct error *err)
{
    dnnl_primitive_desc_t primitive = NULL;
    const int64_t *w = site->x_shape[1].dims;
    const struct shape turned = {.rank = 4, .dims = {w[1], w[0], 1, 1}};
    const struct onednn_operand operands[] = {
        {DNNL_ARG_SRC, conv->y, false},
        {DNNL_ARG_WEIGHTS, onednn_strided(site->dnn, &turned, (const int64_t[]){1, w[1], 1, 1}),
         false},
        {DNNL_ARG_DST, conv->x, true},
    };
    const struct shape x = op_picture(&site->x_shape[0]), y = op_picture(&site->y_shape);
    const struct onednn_operation operation = onednn_convolution(
        site->dnn, dnnl_forward_inference, &site->node->attributes, &y, &turned, &x, false);
    enum status status = onednn_describe(site->dnn, &operation, site->dnn->frugal,
                                         "a convolution's gradient", &primitive, err);
    if (status == OK)
        status = onednn_pass_init(&conv->data, site->dnn, primitive, operands, 3, err);
    return status;
}

static enum status create_data(const struct op_site *site, struct conv *conv,
                               dnnl_primitive_desc_t forward, struct error *err)
{
    dnnl_primitive_desc_t primitive = NULL;
    const struct onednn_operand operands[] = {
        {DNNL_ARG_DIFF_DST, conv->y, false},
        {DNNL_ARG_WEIGHTS, conv->w, false},
        {DNNL_ARG_DIFF_SRC, conv->x, true},
    };
    enum status status = describe_pass(site, conv, dnnl_backward_data, forward, &primitive, err);
    if (status == OK)
        status = onednn_pass_init(&conv->data, site->dnn, primitive, operands, 3, err);
    return status;
}

static enum status create_weight(const struct op_site *site, struct conv *conv,
                                 dnnl_primitive_desc_t forward, struct error *err)
{
    dnnl_primitive_desc_t primitive = NULL;
    const struct onednn_operand operands[] = {
        {DNNL_ARG_SRC, conv->x, false},
        {DNNL_ARG_DIFF_DST, conv->y, false},
        {DNNL_ARG_DIFF_WEIGHTS, conv->w, true},
        {DNNL_ARG_DIFF_BIAS, conv->b, true},
    };
    enum status status = describe_pass(site, conv, dnnl_backward_weights, forward, &primitive, err);
    if (status == OK)
        status = onednn_pass_init(&conv->weight, site->dnn, primitive, operands,
                                  conv->has_bias ? 4 : 3, err);
    return status;
}

static bool wants_bias(const struct op_site *site, const struct conv *conv)
{
    return conv->has_bias && site->wanted[2];
}

static enum status create_backward(const struct op_site *site, struct conv *conv, struct error *err)
{
    dnnl_primitive_desc_t forward = NULL;
    enum status status = describe_pass(site, conv, dnnl_forward_training, NULL, &forward, err);
    if (status != OK)
        return status;
    if (site->wanted[0])
        status = is_pointwise(site) ? create_pointwise_data(site, conv, err)
                                    : create_data(site, conv, forward, err);
    if (status == OK && site->wanted[1] && !depthwise_fits(site))
        status = create_weight(site, conv, forward, err);
    dnnl_primitive_desc_destroy(forward);
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
    describe_operands(site, conv);
    enum status status = create_forward(site, conv, err);
    if (status == OK)
        status = create_backward(site, conv, err);
    if (status != OK)
        conv_destroy(site);
    return status;
}

/* The bias gradient that oneDNN gives beside the weight's, if nobody wants it. */
static size_t spare_bias(const struct op_site *site)
{
    return (size_t)site->y_shape.dims[1] * sizeof(float) + MEMORY_ALIGN;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t conv_scratch(const struct op_site *site)
{
    const struct conv *conv = site->state;
    size_t bytes = larger(conv->forward.scratch_bytes, conv->data.scratch_bytes);
    bytes = larger(bytes, conv->weight.scratch_bytes + spare_bias(site));
    size_t sums = depthwise_fits(site) ? depthwise_scratch(site) : 0;
    return larger(bytes / sizeof(float) + 1, sums);
}

OP_FORWARD(conv_forward)
{
    struct conv *conv = site->state;
    const float *const data[] = {x[0], x[1], y, conv->has_bias ? x[2] : NULL};
    onednn_pass_run(&conv->forward, site->dnn, data, scratch);
}

static void bias_backward(const struct op_site *site, const float *dy, float *db)
{
    const struct shape y = op_picture(&site->y_shape);
    size_t channels = (size_t)y.dims[1], n = (size_t)(y.dims[2] * y.dims[3]);
    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        for (size_t s = 0; s < (size_t)y.dims[0]; s++)
            sum += sums_row(dy + (s * channels + c) * n, n);
        db[c] = (float)sum;
    }
}

static void weight_backward(const struct op_site *site, const float *x, const float *dy, float *dw,
                            float *db, float *scratch)
{
    struct conv *conv = site->state;
    if (depthwise_fits(site)) {
        depthwise_weight(site, x, dy, dw, db, scratch);
        return;
    }
    float *spare = scratch + conv->weight.scratch_bytes / sizeof *scratch;
    const float *const data[] = {x, dy, dw, db == NULL ? spare : db};
    onednn_pass_run(&conv->weight, site->dnn, data, scratch);
}

OP_BACKWARD(conv_backward)
{
    struct conv *conv = site->state;
    float *db = wants_bias(site, conv) ? dx[2] : NULL;
    (void)y;
    if (site->wanted[0]) {
        const float *const data[] = {dy, x[1], dx[0]};
        onednn_pass_run(&conv->data, site->dnn, data, scratch);
    }
    if (site->wanted[1])
        weight_backward(site, x[0], dy, dx[1], db, scratch);
    else if (db != NULL)
        bias_backward(site, dy, db);
}

const struct op_kernel op_conv = {.create = conv_create,
                                  .destroy = conv_destroy,
                                  .scratch = conv_scratch,
                                  .forward = conv_forward,
                                  .backward = conv_backward};
