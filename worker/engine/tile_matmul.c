#include "worker/engine/tile_matmul.h"

#include "worker/engine/tile_posts.h"

/* Row-major or a view of such: what the library multiplies as it lies. */
static enum status operand(struct tile_builder *builder, uint32_t value, struct tile_version *out)
{
    *out = *tile_build_first(builder, value);
    if (out->turned && onednn_type(out->layout) == builder->tile->type)
        return OK;
    out->layout = tile_build_plain_of(builder, value, builder->tile->type);
    return tile_build_require(builder, value, out->layout, &out->buffer);
}

/* Where the library has no kernel for this processor, ours, then the posts. */
static enum status by_node(struct tile_builder *builder, const struct fused *fused)
{
    struct fused posts = *fused;
    enum status status = tile_steps_node(builder, fused);
    posts.input = fused->node->output;
    return status == OK && posts.post_count > 0 ? tile_steps_chain(builder, &posts) : status;
}

/* Takes `desc`. */
static enum status by_library(struct tile_builder *builder, const struct fused *fused,
                              dnnl_primitive_desc_t desc, const struct onednn_layout *layout,
                              uint32_t a, uint32_t b)
{
    uint32_t y = TILE_NONE;
    struct tile_step *step;
    enum status status = tile_build_define(builder, fused->output, layout, &y);
    if (status != OK) {
        dnnl_primitive_desc_destroy(desc);
        return status;
    }
    status = tile_build_call(builder, desc, &step);
    if (status == OK)
        status = tile_build_bind(builder, DNNL_ARG_SRC, a);
    if (status == OK)
        status = tile_build_bind(builder, DNNL_ARG_WEIGHTS, b);
    return status == OK ? tile_build_bind(builder, DNNL_ARG_DST, y) : status;
}

enum status tile_matmul(struct tile_builder *builder, const struct fused *fused)
{
    struct tile_version a, b;
    dnnl_primitive_desc_t desc = NULL;
    enum status status = operand(builder, fused->input, &a);
    if (status == OK)
        status = operand(builder, fused->other, &b);
    if (status != OK)
        return status;
    const struct onednn_operation operation = {
        .kind = dnnl_matmul,
        .x = a.layout,
        .w = b.layout,
        .y = tile_build_plain_of(builder, fused->output, tile_build_type(builder, fused->output))};
    status = tile_posts_describe(builder, &operation, fused->posts, fused->post_count, &desc,
                                 "a product");
    if (status == ERR_MEMORY)
        return status;
    if (status == OK && !onednn_is_reference(desc))
        return by_library(builder, fused, desc, operation.y, a.buffer, b.buffer);
    if (status == OK)
        dnnl_primitive_desc_destroy(desc);
    return by_node(builder, fused);
}
