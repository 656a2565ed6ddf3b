#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/tile_build.h"

/* ---- attributes: post operations, user scratchpad ---- */

static dnnl_status_t append_post(dnnl_post_ops_t posts, const struct post *post, const dnnl_memory_desc_t *dst)
{
    switch (post->kind) {
    case POST_LINEAR:
        return dnnl_post_ops_append_eltwise(posts, 1, dnnl_eltwise_linear, post->alpha, post->beta);
    case POST_RELU:
        return dnnl_post_ops_append_eltwise(posts, 1, dnnl_eltwise_relu, post->alpha, 0);
    case POST_CLIP:
        return dnnl_post_ops_append_eltwise(posts, 1, dnnl_eltwise_clip, post->alpha, post->beta);
    case POST_HARD_SWISH:
        return dnnl_post_ops_append_eltwise(posts, 1, dnnl_eltwise_hardswish, 0, 0);
    case POST_SIGMOID:
        return dnnl_post_ops_append_eltwise(posts, 1, dnnl_eltwise_logistic, 0, 0);
    case POST_TANH:
        return dnnl_post_ops_append_eltwise(posts, 1, dnnl_eltwise_tanh, 0, 0);
    case POST_ADD:
        return dnnl_post_ops_append_binary(posts, dnnl_binary_add, dst);
    }
    return dnnl_invalid_arguments;
}

/* `dst`: layout of the operand of POST_ADD. */
static enum status make_attributes(const struct post *posts, size_t count, const dnnl_memory_desc_t *dst,
                                   dnnl_primitive_attr_t *out, struct error *err)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t list = NULL;
    dnnl_status_t result = dnnl_primitive_attr_create(&attributes);
    if (result == dnnl_success)
        result = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (result == dnnl_success)
        result = dnnl_post_ops_create(&list);
    for (size_t i = 0; i < count && result == dnnl_success; i++)
        result = append_post(list, &posts[i], dst);
    if (result == dnnl_success)
        result = dnnl_primitive_attr_set_post_ops(attributes, list);
    if (list != NULL)
        dnnl_post_ops_destroy(list);
    if (result == dnnl_success)
        *out = attributes;
    else if (attributes != NULL)
        dnnl_primitive_attr_destroy(attributes);
    return onednn_check(result, "post operations", err);
}

static enum status describe(struct tile_builder *builder, const void *operation, const struct post *posts,
                            size_t post_count, const dnnl_memory_desc_t *dst, dnnl_primitive_desc_t *out,
                            const char *what)
{
    dnnl_primitive_attr_t attributes = NULL;
    enum status status = make_attributes(posts, post_count, dst, &attributes, builder->err);
    if (status != OK)
        return status;
    status = onednn_describe(&builder->tile->dnn, operation, attributes, NULL, what, out, builder->err);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* ---- convolution and dense layers ---- */

static bool bias_desc(const struct fused *fused, dnnl_memory_desc_t *out)
{
    struct shape shape = {.rank = 1, .dims = {(int64_t)fused->channels}};
    return onednn_plain(&shape, out);
}

static struct shape conv_weight_shape(const struct fused *fused)
{
    const struct attributes *at = &fused->node->attributes;
    int64_t channels = (int64_t)fused->channels, taps = (int64_t)fused->taps;
    int64_t inner = taps / (at->kernel[0] * at->kernel[1]);
    if (at->groups == 1)
        return (struct shape){.rank = 4, .dims = {channels, inner, at->kernel[0], at->kernel[1]}};
    return (struct shape){.rank = 5,
                          .dims = {at->groups, channels / at->groups, inner, at->kernel[0], at->kernel[1]}};
}

static enum status conv_operation(struct tile_builder *builder, const struct fused *fused,
                                  dnnl_convolution_desc_t *out)
{
    const struct attributes *at = &fused->node->attributes;
    struct shape x = tile_build_shape(builder, fused->input), y = tile_build_shape(builder, fused->output);
    struct shape w = conv_weight_shape(fused);
    dnnl_memory_desc_t any_x, any_w, any_y, bias;
    const dnnl_dims_t strides = {at->strides[0], at->strides[1]};
    const dnnl_dims_t dilates = {at->dilations[0] - 1, at->dilations[1] - 1};
    const dnnl_dims_t near = {at->pads[0], at->pads[1]}, far = {at->pads[2], at->pads[3]};
    if (!onednn_any(&x, &any_x) || !onednn_any(&w, &any_w) || !onednn_any(&y, &any_y) || !bias_desc(fused, &bias))
        return error_set(builder->err, ERR_SUPPORT, "node %s: oneDNN does not take its shapes", fused->node->name);
    return onednn_check(dnnl_dilated_convolution_forward_desc_init(out, dnnl_forward_inference,
                                                                   dnnl_convolution_direct, &any_x, &any_w, &bias,
                                                                   &any_y, strides, dilates, near, far),
                        "a convolution", builder->err);
}

static const struct post *find_sum(const struct fused *fused)
{
    for (size_t i = 0; i < fused->post_count; i++)
        if (fused->posts[i].kind == POST_ADD)
            return &fused->posts[i];
    return NULL;
}

/* A sum's operand must have the output's layout, which is known only from a descriptor without the sum. */
static enum status conv_describe(struct tile_builder *builder, const struct fused *fused,
                                 dnnl_primitive_desc_t *out)
{
    dnnl_convolution_desc_t operation;
    dnnl_memory_desc_t dst = {0};
    enum status status = conv_operation(builder, fused, &operation);
    if (status == OK && find_sum(fused) != NULL) {
        dnnl_primitive_desc_t bare = NULL;
        status = describe(builder, &operation, NULL, 0, NULL, &bare, "a convolution");
        if (status != OK)
            return status;
        dst = operation.dst_desc = *dnnl_primitive_desc_query_md(bare, dnnl_query_dst_md, 0);
        dnnl_primitive_desc_destroy(bare);
    }
    if (status == OK)
        status = describe(builder, &operation, fused->posts, fused->post_count, &dst, out, "a convolution");
    return status;
}

struct layouts {
    dnnl_memory_desc_t src, weight, bias, dst;
};

static struct layouts layouts_of(dnnl_primitive_desc_t desc)
{
    return (struct layouts){*dnnl_primitive_desc_query_md(desc, dnnl_query_src_md, 0),
                            *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0),
                            *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 1),
                            *dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0)};
}

/* The call itself: input and output buffers, weights and bias fixed. Takes `desc`. */
static enum status add_weighted(struct tile_builder *builder, const struct fused *fused, dnnl_primitive_desc_t desc,
                                const struct layouts *l, const struct shape *weight_shape, uint32_t src,
                                uint32_t dst)
{
    dnnl_memory_desc_t plain_weight;
    struct tile_step *step;
    void *weight = NULL, *bias = NULL;
    enum status status = tile_build_call(builder, desc, &step);
    if (status == OK && !onednn_plain(weight_shape, &plain_weight))
        status = error_set(builder->err, ERR_SUPPORT, "node %s: unusual weights", fused->node->name);
    if (status == OK)
        status = tile_build_weights(builder, &plain_weight, fused->weight, &l->weight, &weight);
    if (status == OK)
        status = tile_build_weights(builder, &l->bias, fused->bias, &l->bias, &bias);
    if (status == OK)
        status = tile_build_fix(builder, DNNL_ARG_WEIGHTS, &l->weight, weight);
    if (status == OK)
        status = tile_build_fix(builder, DNNL_ARG_BIAS, &l->bias, bias);
    if (status == OK)
        status = tile_build_bind(builder, DNNL_ARG_SRC, &l->src, src);
    return status == OK ? tile_build_bind(builder, DNNL_ARG_DST, &l->dst, dst) : status;
}

static enum status add_conv(struct tile_builder *builder, const struct fused *fused)
{
    dnnl_primitive_desc_t desc = NULL;
    uint32_t src = TILE_NONE, dst = TILE_NONE, other = TILE_NONE;
    const struct post *sum = find_sum(fused);
    enum status status = conv_describe(builder, fused, &desc);
    if (status != OK)
        return status;
    struct layouts l = layouts_of(desc);
    struct shape weight = conv_weight_shape(fused);
    status = tile_build_require(builder, fused->input, &l.src, &src);
    if (status == OK && sum != NULL)
        status = tile_build_require(builder, sum->other, &l.dst, &other);
    if (status == OK)
        status = tile_build_define(builder, fused->output, &l.dst, &dst);
    if (status != OK) {
        dnnl_primitive_desc_destroy(desc);
        return status;
    }
    status = add_weighted(builder, fused, desc, &l, &weight, src, dst);
    if (status == OK && sum != NULL)
        status = tile_build_bind(builder,
                                 DNNL_ARG_ATTR_MULTIPLE_POST_OP((int)(sum - fused->posts)) | DNNL_ARG_SRC_1, &l.dst,
                                 other);
    return status;
}

/* On [N, K] whatever the value's rank: [N, K, 1, 1] in row-major order is the same memory. */
static enum status add_dense(struct tile_builder *builder, const struct fused *fused)
{
    struct shape x = {.rank = 2, .dims = {(int64_t)builder->tile->samples, (int64_t)fused->taps}};
    struct shape y = {.rank = 2, .dims = {(int64_t)builder->tile->samples, (int64_t)fused->channels}};
    struct shape w = {.rank = 2, .dims = {(int64_t)fused->channels, (int64_t)fused->taps}};
    dnnl_memory_desc_t src, weight, bias, dst, value;
    dnnl_inner_product_desc_t operation;
    dnnl_primitive_desc_t desc = NULL;
    uint32_t from = TILE_NONE, to = TILE_NONE;
    if (!onednn_plain(&x, &src) || !onednn_any(&w, &weight) || !bias_desc(fused, &bias) || !onednn_plain(&y, &dst))
        return error_set(builder->err, ERR_SUPPORT, "node %s: oneDNN does not take its shapes", fused->node->name);
    enum status status = tile_build_require_plain(builder, fused->input, &from);
    if (status == OK)
        status = tile_build_plain(builder, fused->output, &value);
    if (status == OK)
        status = tile_build_define(builder, fused->output, &value, &to);
    if (status == OK)
        status = onednn_check(dnnl_inner_product_forward_desc_init(&operation, dnnl_forward_inference, &src, &weight,
                                                                   &bias, &dst),
                              "a dense layer", builder->err);
    if (status == OK)
        status = describe(builder, &operation, fused->posts, fused->post_count, NULL, &desc, "a dense layer");
    if (status != OK)
        return status;
    struct layouts l = layouts_of(desc);
    return add_weighted(builder, fused, desc, &l, &w, from, to);
}

/* ---- pooling, chains ---- */

static enum status pool_operation(struct tile_builder *builder, const struct fused *fused,
                                  const dnnl_memory_desc_t *src, dnnl_pooling_desc_t *out)
{
    const struct attributes *at = &fused->node->attributes;
    struct shape x = tile_build_shape(builder, fused->input), y = tile_build_shape(builder, fused->output);
    bool global = fused->node->op == OP_GLOBAL_AVERAGE_POOL;
    dnnl_memory_desc_t dst;
    const dnnl_dims_t kernel = {global ? x.dims[2] : at->kernel[0], global ? x.dims[3] : at->kernel[1]};
    const dnnl_dims_t strides = {global ? 1 : at->strides[0], global ? 1 : at->strides[1]};
    const dnnl_dims_t near = {global ? 0 : at->pads[0], global ? 0 : at->pads[1]};
    const dnnl_dims_t far = {global ? 0 : at->pads[2], global ? 0 : at->pads[3]};
    dnnl_alg_kind_t kind = fused->node->op == OP_MAX_POOL ? dnnl_pooling_max
                           : at->count_include_pad        ? dnnl_pooling_avg_include_padding
                                                          : dnnl_pooling_avg_exclude_padding;
    if (!onednn_any(&y, &dst))
        return error_set(builder->err, ERR_SUPPORT, "node %s: oneDNN does not take its shapes", fused->node->name);
    return onednn_check(
        dnnl_pooling_forward_desc_init(out, dnnl_forward_inference, kind, src, &dst, strides, kernel, near, far),
        "pooling", builder->err);
}

static enum status add_unary(struct tile_builder *builder, dnnl_primitive_desc_t desc,
                             const dnnl_memory_desc_t *src_desc, uint32_t src, const dnnl_memory_desc_t *dst_desc,
                             uint32_t dst)
{
    struct tile_step *step;
    enum status status = tile_build_call(builder, desc, &step);
    if (status == OK)
        status = tile_build_bind(builder, DNNL_ARG_SRC, src_desc, src);
    return status == OK ? tile_build_bind(builder, DNNL_ARG_DST, dst_desc, dst) : status;
}

static enum status add_pool(struct tile_builder *builder, const struct fused *fused)
{
    const struct tile_version src = *tile_build_first(builder, fused->input);
    dnnl_pooling_desc_t operation;
    dnnl_primitive_desc_t desc = NULL;
    uint32_t dst = TILE_NONE;
    enum status status = pool_operation(builder, fused, &src.desc, &operation);
    if (status == OK)
        status = describe(builder, &operation, NULL, 0, NULL, &desc, "pooling");
    if (status != OK)
        return status;
    dnnl_memory_desc_t dst_desc = *dnnl_primitive_desc_query_md(desc, dnnl_query_dst_md, 0);
    status = tile_build_define(builder, fused->output, &dst_desc, &dst);
    if (status == OK)
        return add_unary(builder, desc, &src.desc, src.buffer, &dst_desc, dst);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static dnnl_alg_kind_t element_kind(const struct post *post)
{
    switch (post->kind) {
    case POST_LINEAR:
        return dnnl_eltwise_linear;
    case POST_RELU:
        return dnnl_eltwise_relu;
    case POST_CLIP:
        return dnnl_eltwise_clip;
    case POST_HARD_SWISH:
        return dnnl_eltwise_hardswish;
    case POST_SIGMOID:
        return dnnl_eltwise_logistic;
    case POST_TANH:
        return dnnl_eltwise_tanh;
    case POST_ADD:
        break;
    }
    CHECK(!"a chain has one operand");
    return dnnl_alg_kind_undef;
}

/* The first function from input to output, the others in place. */
static enum status add_chain(struct tile_builder *builder, const struct fused *fused)
{
    struct tile_version src = *tile_build_first(builder, fused->input);
    uint32_t dst = TILE_NONE;
    enum status status = tile_build_define(builder, fused->output, &src.desc, &dst);
    for (size_t i = 0; i < fused->post_count && status == OK; i++) {
        const struct post *post = &fused->posts[i];
        dnnl_eltwise_desc_t operation;
        dnnl_primitive_desc_t desc = NULL;
        status = onednn_check(dnnl_eltwise_forward_desc_init(&operation, dnnl_forward_inference, element_kind(post),
                                                             &src.desc, post->alpha, post->beta),
                              "an activation", builder->err);
        if (status == OK)
            status = describe(builder, &operation, NULL, 0, NULL, &desc, "an activation");
        if (status == OK)
            status = add_unary(builder, desc, &src.desc, i == 0 ? src.buffer : dst, &src.desc, dst);
    }
    return status;
}

/* ---- our own kernels ---- */

/* Channel blocks of a layout [N, C/b, H, W, b] without padded channels; 1: row-major; 0: something else. */
static size_t channel_block(const struct tile_builder *builder, uint32_t value, const dnnl_memory_desc_t *desc)
{
    const dnnl_blocking_desc_t *blocking = &desc->format_desc.blocking;
    dnnl_memory_desc_t plain;
    if (tile_build_plain(builder, value, &plain) == OK && onednn_same(&plain, desc))
        return 1;
    if (desc->format_kind != dnnl_blocked || blocking->inner_nblks != 1 || blocking->inner_idxs[0] != 1 ||
        desc->dims[1] != desc->padded_dims[1])
        return 0;
    dnnl_dim_t b = blocking->inner_blks[0];
    bool ordered = blocking->strides[3] == b && blocking->strides[2] == b * desc->dims[3] &&
                   blocking->strides[1] == b * desc->dims[3] * desc->dims[2] &&
                   blocking->strides[0] == desc->dims[1] * desc->dims[3] * desc->dims[2];
    return ordered ? (size_t)b : 0;
}

static enum status add_scale(struct tile_builder *builder, const struct fused *fused)
{
    struct tile_version x = *tile_build_first(builder, fused->input);
    size_t width = channel_block(builder, fused->input, &x.desc);
    uint32_t g = TILE_NONE, y = TILE_NONE;
    struct tile_step *step;
    enum status status = OK;
    if (width == 0 || x.buffer == TILE_INPUT) {
        width = 1;
        status = tile_build_plain(builder, fused->input, &x.desc);
        if (status == OK)
            status = tile_build_require(builder, fused->input, &x.desc, &x.buffer);
    }
    if (status == OK)
        status = tile_build_require_plain(builder, fused->other, &g);
    if (status == OK && (x.buffer == TILE_INPUT || g == TILE_INPUT))
        status = error_set(builder->err, ERR_SUPPORT, "node %s: the input is scaled before the first layer",
                           fused->node->name);
    if (status == OK)
        status = tile_build_define(builder, fused->output, &x.desc, &y);
    if (status == OK)
        status = tile_build_step(builder, TILE_SCALE, &step);
    if (status != OK)
        return status;
    const uint32_t buffers[] = {x.buffer, g, y};
    for (int i = 0; i < 3; i++) {
        step->operands[step->operand_count++] = (struct tile_operand){i, buffers[i]};
        tile_build_touch(builder, buffers[i]);
    }
    step->scale = (struct tile_scale){.samples = builder->tile->samples,
                                      .blocks = (size_t)x.desc.dims[1] / width,
                                      .spatial = (size_t)(x.desc.dims[2] * x.desc.dims[3]),
                                      .width = width};
    return OK;
}

static enum status fill_node(struct tile_builder *builder, const struct node *node, const uint32_t *buffers,
                             uint32_t output)
{
    struct tile_step *step;
    enum status status = tile_build_step(builder, TILE_NODE, &step);
    if (status == OK)
        status = sites_init(&step->site, node, 1, builder->program->graph, NULL, builder->tile->samples,
                            &builder->tile->dnn, builder->err);
    if (status != OK)
        return status;
    step->x = memory_alloc(node->input_count, sizeof *step->x);
    step->x_buffers = memory_alloc(node->input_count, sizeof *step->x_buffers);
    if (step->x == NULL || step->x_buffers == NULL)
        return error_set(builder->err, ERR_MEMORY, "no memory to build the trunk");
    step->y_buffer = output;
    tile_build_touch(builder, output);
    for (size_t k = 0; k < node->input_count; k++) {
        step->x_buffers[k] = buffers[k];
        if (buffers[k] != TILE_NONE)
            tile_build_touch(builder, buffers[k]);
        else if (node->inputs[k] != GRAPH_NONE)
            step->x[k] = builder->constants->data[node->inputs[k]];
    }
    return OK;
}

static enum status add_node(struct tile_builder *builder, const struct fused *fused)
{
    const struct node *node = fused->node;
    uint32_t buffers[GRAPH_PORTS_MAX], output = TILE_NONE;
    dnnl_memory_desc_t plain;
    enum status status = OK;
    for (size_t k = 0; k < node->input_count && status == OK; k++) {
        buffers[k] = TILE_NONE;
        if (node->inputs[k] != GRAPH_NONE && builder->constants->data[node->inputs[k]] == NULL)
            status = tile_build_require_plain(builder, node->inputs[k], &buffers[k]);
    }
    if (status == OK)
        status = tile_build_plain(builder, node->output, &plain);
    if (status == OK)
        status = tile_build_define(builder, node->output, &plain, &output);
    return status == OK ? fill_node(builder, node, buffers, output) : status;
}

enum status tile_steps_add(struct tile_builder *builder, const struct fused *fused)
{
    switch (fused->kind) {
    case FUSED_CONV:
        return add_conv(builder, fused);
    case FUSED_DENSE:
        return add_dense(builder, fused);
    case FUSED_POOL:
        return add_pool(builder, fused);
    case FUSED_CHAIN:
        return add_chain(builder, fused);
    case FUSED_SCALE:
        return add_scale(builder, fused);
    case FUSED_NODE:
        return add_node(builder, fused);
    }
    return OK;
}
