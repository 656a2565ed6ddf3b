#include "worker/engine/tile_weighted.h"

#include "worker/engine/tile_posts.h"

static const struct post *find_sum(const struct fused *fused)
{
    for (size_t i = 0; i < fused->post_count; i++)
        if (fused->posts[i].kind == POST_ADD)
            return &fused->posts[i];
    return NULL;
}

/* The call itself: input and output buffers, weights and bias fixed. Takes `desc`. */
static enum status add_weighted(struct tile_builder *builder, const struct fused *fused,
                                dnnl_primitive_desc_t desc, const struct shape *weight_shape,
                                uint32_t src, uint32_t dst)
{
    const struct onednn *dnn = &builder->tile->dnn;
    const struct onednn_layout *weight_layout = onednn_wanted(dnn, desc, DNNL_ARG_WEIGHTS),
                               *bias_layout = onednn_wanted(dnn, desc, DNNL_ARG_BIAS);
    struct tile_step *step;
    void *weight = NULL, *bias = NULL;
    enum status status = tile_build_call(builder, desc, &step);
    if (status == OK)
        status = tile_build_weights(builder, onednn_plain(dnn, weight_shape), fused->weight,
                                    weight_layout, &weight);
    if (status == OK)
        status = tile_build_weights(builder, bias_layout, fused->bias, bias_layout, &bias);
    if (status == OK)
        status = tile_build_fix(builder, DNNL_ARG_WEIGHTS, weight);
    if (status == OK)
        status = tile_build_fix(builder, DNNL_ARG_BIAS, bias);
    if (status == OK)
        status = tile_build_bind(builder, DNNL_ARG_SRC, src);
    return status == OK ? tile_build_bind(builder, DNNL_ARG_DST, dst) : status;
}

/* The output's buffer. With a sum it must hold the other operand before: that operand's own buffer
 * if nobody else reads it, else a copy. */
static enum status place_output(struct tile_builder *builder, const struct fused *fused,
                                const struct onednn_layout *layout, uint32_t *out)
{
    const struct post *sum = find_sum(fused);
    if (sum == NULL)
        return tile_build_define(builder, fused->output, layout, out);
    const struct tile_version other = *tile_build_first(builder, sum->other);
    if (tile_build_last_read(builder, other.buffer) && onednn_same(other.layout, layout)) {
        *out = other.buffer;
        return tile_build_adopt(builder, fused->output, layout, other.buffer);
    }
    enum status status = tile_build_define(builder, fused->output, layout, out);
    return status == OK ? tile_build_copy(builder, &other, layout, *out) : status;
}

/* As in ONNX, [M, C/groups, h, w]. */
static struct shape conv_weight_shape(const struct fused *fused)
{
    const struct attributes *at = &fused->node->attributes;
    int64_t area = at->kernel[0] * at->kernel[1];
    return (struct shape){.rank = 4,
                          .dims = {(int64_t)fused->channels, (int64_t)fused->taps / area,
                                   at->kernel[0], at->kernel[1]}};
}

/* Between numbers of the tile's type. Where the library has no kernel for that but its plain loop, in
 * float32: reorders before and after it cost less. */
static enum status describe(struct tile_builder *builder, const struct fused *fused,
                            struct onednn_operation *operation, dnnl_primitive_desc_t *out,
                            const char *what)
{
    const struct onednn *dnn = &builder->tile->dnn;
    const dnnl_data_type_t types[] = {builder->tile->type, dnnl_f32};
    const size_t count = types[0] == dnnl_f32 ? 1 : 2;
    enum status status = ERR_SUPPORT;
    for (size_t i = 0; i < count && status != OK; i++) {
        bool last = i + 1 == count;
        operation->x = onednn_cast(dnn, operation->x, types[i]);
        operation->w = onednn_cast(dnn, operation->w, types[i]);
        operation->y = onednn_cast(dnn, operation->y,
                                   last ? dnnl_f32 : tile_build_type(builder, fused->output));
        status =
            tile_posts_describe(builder, operation, fused->posts, fused->post_count, out, what);
        if (status == OK && !last && onednn_is_reference(*out)) {
            dnnl_primitive_desc_destroy(*out);
            status = ERR_SUPPORT;
        }
        if (status == ERR_MEMORY)
            return status;
    }
    return status;
}

enum status tile_weighted_conv(struct tile_builder *builder, const struct fused *fused)
{
    const struct onednn *dnn = &builder->tile->dnn;
    const struct attributes *at = &fused->node->attributes;
    const struct shape x = tile_build_shape(builder, fused->input), w = conv_weight_shape(fused),
                       y = tile_build_shape(builder, fused->output),
                       weight = onednn_weight_shape(&w, at->groups);
    struct onednn_operation operation =
        onednn_convolution(dnn, dnnl_forward_inference, at, &x, &w, &y, true);
    dnnl_primitive_desc_t desc = NULL;
    uint32_t src = TILE_NONE, dst = TILE_NONE;
    enum status status = describe(builder, fused, &operation, &desc, "a convolution");
    if (status != OK)
        return status;
    status =
        tile_build_require(builder, fused->input, onednn_wanted(dnn, desc, DNNL_ARG_SRC), &src);
    if (status == OK)
        status = place_output(builder, fused, onednn_wanted(dnn, desc, DNNL_ARG_DST), &dst);
    if (status == OK)
        return add_weighted(builder, fused, desc, &weight, src, dst);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

/* On rows [N, K] whatever the value's rank: row-major, […, K] and [N, K, 1, 1] are the same memory. */
enum status tile_weighted_dense(struct tile_builder *builder, const struct fused *fused)
{
    const struct onednn *dnn = &builder->tile->dnn;
    const struct shape all = tile_build_shape(builder, fused->input);
    const int64_t k = (int64_t)fused->taps, n = (int64_t)op_elements(&all) / k,
                  m = (int64_t)fused->channels;
    const struct shape x = {.rank = 2, .dims = {n, k}}, w = {.rank = 2, .dims = {m, k}},
                       y = {.rank = 2, .dims = {n, m}};
    struct onednn_operation operation = {.kind = dnnl_inner_product,
                                         .pass = dnnl_forward_inference,
                                         .x = onednn_plain(dnn, &x),
                                         .w = onednn_any(dnn, &w),
                                         .y = onednn_plain(dnn, &y),
                                         .bias = m};
    dnnl_primitive_desc_t desc = NULL;
    uint32_t from = TILE_NONE, to = TILE_NONE;
    enum status status = describe(builder, fused, &operation, &desc, "a dense layer");
    if (status != OK)
        return status;
    builder->tile->mixes_rows |= onednn_mixes_rows(desc);
    status = tile_build_require(
        builder, fused->input, tile_build_plain_of(builder, fused->input, onednn_type(operation.x)),
        &from);
    if (status == OK)
        status = place_output(builder, fused,
                              tile_build_plain_of(builder, fused->output, onednn_type(operation.y)),
                              &to);
    if (status == OK)
        return add_weighted(builder, fused, desc, &w, from, to);
    dnnl_primitive_desc_destroy(desc);
    return status;
}
