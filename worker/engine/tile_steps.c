#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/tile_build.h"
#include "worker/engine/tile_matmul.h"
#include "worker/engine/tile_posts.h"
#include "worker/engine/tile_view.h"
#include "worker/engine/tile_weighted.h"

/* ---- pooling, chains ---- */

/* A primitive from one buffer to another. Takes `desc`. */
static enum status add_unary(struct tile_builder *builder, dnnl_primitive_desc_t desc, uint32_t src,
                             uint32_t dst)
{
    struct tile_step *step;
    enum status status = tile_build_call(builder, desc, &step);
    if (status == OK)
        status = tile_build_bind(builder, DNNL_ARG_SRC, src);
    return status == OK ? tile_build_bind(builder, DNNL_ARG_DST, dst) : status;
}

static struct onednn_operation pool_operation(const struct tile_builder *builder,
                                              const struct fused *fused,
                                              const struct onednn_layout *src)
{
    struct shape x = tile_build_shape(builder, fused->input),
                 y = tile_build_shape(builder, fused->output);
    struct attributes at = fused->node->attributes;
    struct onednn_operation operation = {
        .kind = dnnl_pooling,
        .pass = dnnl_forward_inference,
        .x = src,
        .y =
            onednn_cast(&builder->tile->dnn, onednn_any(&builder->tile->dnn, &y), onednn_type(src)),
        .pooling = fused->node->op == OP_MAX_POOL ? dnnl_pooling_max
                   : at.count_include_pad         ? dnnl_pooling_avg_include_padding
                                                  : dnnl_pooling_avg_exclude_padding};
    if (fused->node->op == OP_GLOBAL_AVERAGE_POOL)
        at = (struct attributes){
            .kernel = {x.dims[2], x.dims[3]}, .strides = {1, 1}, .dilations = {1, 1}};
    onednn_window(&operation, &at);
    return operation;
}

/* Pooling knows only one type for both sides: that of the output. */
static enum status pool_source(struct tile_builder *builder, const struct fused *fused,
                               struct tile_version *out)
{
    const dnnl_data_type_t type = tile_build_type(builder, fused->output);
    enum status status = tile_build_source(builder, fused->input, out);
    if (status != OK || onednn_type(out->layout) == type)
        return status;
    out->layout = tile_build_plain_of(builder, fused->input, type);
    return tile_build_require(builder, fused->input, out->layout, &out->buffer);
}

static enum status add_pool(struct tile_builder *builder, const struct fused *fused)
{
    struct tile_version src;
    dnnl_primitive_desc_t desc = NULL;
    uint32_t dst = TILE_NONE;
    enum status status = pool_source(builder, fused, &src);
    if (status != OK)
        return status;
    const struct onednn_operation operation = pool_operation(builder, fused, src.layout);
    status = tile_posts_describe(builder, &operation, NULL, 0, &desc, "pooling");
    if (status != OK)
        return status;
    status = tile_build_define(builder, fused->output,
                               onednn_wanted(&builder->tile->dnn, desc, DNNL_ARG_DST), &dst);
    if (status == OK)
        return add_unary(builder, desc, src.buffer, dst);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

/* The first function from input to output, the others in place. */
enum status tile_steps_chain(struct tile_builder *builder, const struct fused *fused)
{
    struct tile_version src;
    uint32_t dst = TILE_NONE;
    enum status status = tile_build_source(builder, fused->input, &src);
    if (status == OK)
        status = tile_build_define(builder, fused->output, src.layout, &dst);
    for (size_t i = 0; i < fused->post_count && status == OK; i++) {
        const struct onednn_operation operation = {.kind = dnnl_eltwise,
                                                   .pass = dnnl_forward_inference,
                                                   .x = src.layout,
                                                   .y = src.layout,
                                                   .element = tile_posts_element(&fused->posts[i])};
        dnnl_primitive_desc_t desc = NULL;
        CHECK(fused->posts[i].kind != POST_ADD); /* a chain has one operand */
        status = tile_posts_describe(builder, &operation, NULL, 0, &desc, "an activation");
        if (status == OK)
            status = add_unary(builder, desc, i == 0 ? src.buffer : dst, dst);
    }
    return status;
}

/* ---- our own kernels ---- */

static enum status add_scale(struct tile_builder *builder, const struct fused *fused)
{
    struct tile_version x = *tile_build_first(builder, fused->input);
    const struct shape shape = tile_build_shape(builder, fused->input);
    size_t width = onednn_channel_block(&builder->tile->dnn, x.layout, &shape);
    uint32_t g = TILE_NONE, y = TILE_NONE;
    struct tile_step *step;
    enum status status = OK;
    if (width == 0) {
        width = 1;
        x.layout = tile_build_plain_of(builder, fused->input, onednn_type(x.layout));
        status = tile_build_require(builder, fused->input, x.layout, &x.buffer);
    }
    if (status == OK)
        status = tile_build_require_plain(builder, fused->other, &g);
    if (status == OK)
        status = tile_build_define(builder, fused->output, x.layout, &y);
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
                                      .blocks = (size_t)shape.dims[1] / width,
                                      .spatial = (size_t)(shape.dims[2] * shape.dims[3]),
                                      .width = width,
                                      .narrow = onednn_type(x.layout) == dnnl_bf16};
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

/* Products whose rows are several samples'. */
static bool mixes_rows(const struct node *node)
{
    return node->op == OP_MATMUL || node->op == OP_GEMM;
}

enum status tile_steps_node(struct tile_builder *builder, const struct fused *fused)
{
    const struct node *node = fused->node;
    uint32_t buffers[GRAPH_PORTS_MAX], output = TILE_NONE;
    enum status status = OK;
    builder->tile->mixes_rows |= fused->kind == FUSED_NODE && mixes_rows(node);
    for (size_t k = 0; k < node->input_count && status == OK; k++) {
        buffers[k] = TILE_NONE;
        if (node->inputs[k] != GRAPH_NONE && builder->constants->data[node->inputs[k]] == NULL)
            status = tile_build_require_plain(builder, node->inputs[k], &buffers[k]);
    }
    if (status == OK)
        status = tile_build_define(builder, node->output, tile_build_plain(builder, node->output),
                                   &output);
    return status == OK ? fill_node(builder, node, buffers, output) : status;
}

static bool reads_input(const struct tile_builder *builder, const struct fused *fused)
{
    return tile_build_first(builder, fused->input)->buffer == TILE_INPUT ||
           tile_build_first(builder, fused->other)->buffer == TILE_INPUT;
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
        return tile_steps_chain(builder, fused);
    case FUSED_SCALE: /* the caller's own memory is no buffer: then by the operator's kernel */
        return reads_input(builder, fused) ? tile_steps_node(builder, fused)
                                           : add_scale(builder, fused);
    case FUSED_MATMUL:
        return tile_matmul(builder, fused);
    case FUSED_VIEW:
        return tile_view(builder, fused);
    case FUSED_NODE:
        return tile_steps_node(builder, fused);
    }
    return OK;
}
