#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/tile_build.h"
#include "worker/engine/tile_posts.h"
#include "worker/engine/tile_weighted.h"

/* ---- pooling, chains ---- */

static enum status pool_operation(struct tile_builder *builder, const struct fused *fused,
                                  const dnnl_memory_desc_t *src, dnnl_pooling_desc_t *out)
{
    const struct attributes *at = &fused->node->attributes;
    struct shape x = tile_build_shape(builder, fused->input),
                 y = tile_build_shape(builder, fused->output);
    bool global = fused->node->op == OP_GLOBAL_AVERAGE_POOL;
    dnnl_memory_desc_t dst;
    const dnnl_dims_t kernel = {global ? x.dims[2] : at->kernel[0],
                                global ? x.dims[3] : at->kernel[1]};
    const dnnl_dims_t strides = {global ? 1 : at->strides[0], global ? 1 : at->strides[1]};
    const dnnl_dims_t near = {global ? 0 : at->pads[0], global ? 0 : at->pads[1]};
    const dnnl_dims_t far = {global ? 0 : at->pads[2], global ? 0 : at->pads[3]};
    dnnl_alg_kind_t kind = fused->node->op == OP_MAX_POOL ? dnnl_pooling_max
                           : at->count_include_pad        ? dnnl_pooling_avg_include_padding
                                                          : dnnl_pooling_avg_exclude_padding;
    if (!onednn_any(&y, &dst))
        return error_set(builder->err, ERR_SUPPORT, "node %s: oneDNN does not take its shapes",
                         fused->node->name);
    return onednn_check(dnnl_pooling_forward_desc_init(out, dnnl_forward_inference, kind, src, &dst,
                                                       strides, kernel, near, far),
                        "pooling", builder->err);
}

static enum status add_unary(struct tile_builder *builder, dnnl_primitive_desc_t desc,
                             const dnnl_memory_desc_t *src_desc, uint32_t src,
                             const dnnl_memory_desc_t *dst_desc, uint32_t dst)
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
        status = tile_posts_describe(builder, &operation, NULL, 0, &desc, "pooling");
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
    CHECK(post->kind != POST_ADD); /* a chain has one operand */
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
        status = onednn_check(dnnl_eltwise_forward_desc_init(&operation, dnnl_forward_inference,
                                                             element_kind(post), &src.desc,
                                                             post->alpha, post->beta),
                              "an activation", builder->err);
        if (status == OK)
            status = tile_posts_describe(builder, &operation, NULL, 0, &desc, "an activation");
        if (status == OK)
            status = add_unary(builder, desc, &src.desc, i == 0 ? src.buffer : dst, &src.desc, dst);
    }
    return status;
}

/* ---- our own kernels ---- */

/* Channel blocks of a layout [N, C/b, H, W, b] without padded channels; 1: row-major; 0: something
 * else. */
static size_t channel_block(const struct tile_builder *builder, uint32_t value,
                            const dnnl_memory_desc_t *desc)
{
    const dnnl_blocking_desc_t *blocking = &desc->format_desc.blocking;
    dnnl_memory_desc_t plain;
    if (tile_build_plain(builder, value, &plain) == OK && onednn_same(&plain, desc))
        return 1;
    if (desc->format_kind != dnnl_blocked || blocking->inner_nblks != 1 ||
        blocking->inner_idxs[0] != 1 || desc->dims[1] != desc->padded_dims[1])
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
    if (width == 0) {
        width = 1;
        status = tile_build_plain(builder, fused->input, &x.desc);
        if (status == OK)
            status = tile_build_require(builder, fused->input, &x.desc, &x.buffer);
    }
    if (status == OK)
        status = tile_build_require_plain(builder, fused->other, &g);
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

static enum status fill_node(struct tile_builder *builder, const struct node *node,
                             const uint32_t *buffers, uint32_t output)
{
    struct tile_step *step;
    enum status status = tile_build_step(builder, TILE_NODE, &step);
    if (status == OK)
        status = sites_init(&step->site, node, 1, builder->program->graph, NULL,
                            builder->tile->samples, &builder->tile->dnn, builder->err);
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

static bool reads_input(const struct tile_builder *builder, const struct fused *fused)
{
    return fused->input == builder->program->graph->input ||
           fused->other == builder->program->graph->input;
}

enum status tile_steps_add(struct tile_builder *builder, const struct fused *fused)
{
    switch (fused->kind) {
    case FUSED_CONV:
        return tile_weighted_conv(builder, fused);
    case FUSED_DENSE:
        return tile_weighted_dense(builder, fused);
    case FUSED_POOL:
        return add_pool(builder, fused);
    case FUSED_CHAIN:
        return add_chain(builder, fused);
    case FUSED_SCALE: /* the caller's own memory is no buffer: then by the operator's kernel */
        return reads_input(builder, fused) ? add_node(builder, fused) : add_scale(builder, fused);
    case FUSED_NODE:
        return add_node(builder, fused);
    }
    return OK;
}
