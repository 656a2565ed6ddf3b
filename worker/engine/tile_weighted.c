#include "worker/engine/tile_weighted.h"

#include "worker/engine/tile_posts.h"

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
    return (struct shape){
        .rank = 5,
        .dims = {at->groups, channels / at->groups, inner, at->kernel[0], at->kernel[1]}};
}

static enum status conv_operation(struct tile_builder *builder, const struct fused *fused,
                                  dnnl_convolution_desc_t *out)
{
    const struct attributes *at = &fused->node->attributes;
    struct shape x = tile_build_shape(builder, fused->input),
                 y = tile_build_shape(builder, fused->output);
    struct shape w = conv_weight_shape(fused);
    dnnl_memory_desc_t any_x, any_w, any_y, bias;
    const dnnl_dims_t strides = {at->strides[0], at->strides[1]};
    const dnnl_dims_t dilates = {at->dilations[0] - 1, at->dilations[1] - 1};
    const dnnl_dims_t near = {at->pads[0], at->pads[1]}, far = {at->pads[2], at->pads[3]};
    if (!onednn_any(&x, &any_x) || !onednn_any(&w, &any_w) || !onednn_any(&y, &any_y) ||
        !bias_desc(fused, &bias))
        return error_set(builder->err, ERR_SUPPORT, "node %s: oneDNN does not take its shapes",
                         fused->node->name);
    return onednn_check(dnnl_dilated_convolution_forward_desc_init(
                            out, dnnl_forward_inference, dnnl_convolution_direct, &any_x, &any_w,
                            &bias, &any_y, strides, dilates, near, far),
                        "a convolution", builder->err);
}

static const struct post *find_sum(const struct fused *fused)
{
    for (size_t i = 0; i < fused->post_count; i++)
        if (fused->posts[i].kind == POST_ADD)
            return &fused->posts[i];
    return NULL;
}

static enum status conv_describe(struct tile_builder *builder, const struct fused *fused,
                                 dnnl_primitive_desc_t *out)
{
    dnnl_convolution_desc_t operation;
    enum status status = conv_operation(builder, fused, &operation);
    if (status == OK)
        status = tile_posts_describe(builder, &operation, fused->posts, fused->post_count, out,
                                     "a convolution");
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
static enum status add_weighted(struct tile_builder *builder, const struct fused *fused,
                                dnnl_primitive_desc_t desc, const struct layouts *l,
                                const struct shape *weight_shape, uint32_t src, uint32_t dst)
{
    dnnl_memory_desc_t plain_weight;
    struct tile_step *step;
    void *weight = NULL, *bias = NULL;
    enum status status = tile_build_call(builder, desc, &step);
    if (status == OK && !onednn_plain(weight_shape, &plain_weight))
        status =
            error_set(builder->err, ERR_SUPPORT, "node %s: unusual weights", fused->node->name);
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

/* The output's buffer. With a sum it must hold the other operand before: that operand's own buffer
 * if nobody else reads it, else a copy. */
static enum status place_output(struct tile_builder *builder, const struct fused *fused,
                                const dnnl_memory_desc_t *desc, uint32_t *out)
{
    const struct post *sum = find_sum(fused);
    if (sum == NULL)
        return tile_build_define(builder, fused->output, desc, out);
    const struct tile_version other = *tile_build_first(builder, sum->other);
    if (builder->program->uses[sum->other] == 1 && other.buffer != TILE_INPUT &&
        onednn_same(&other.desc, desc)) {
        *out = other.buffer;
        return tile_build_adopt(builder, fused->output, desc, other.buffer);
    }
    enum status status = tile_build_define(builder, fused->output, desc, out);
    return status == OK ? tile_build_copy(builder, &other, desc, *out) : status;
}

enum status tile_weighted_conv(struct tile_builder *builder, const struct fused *fused)
{
    dnnl_primitive_desc_t desc = NULL;
    uint32_t src = TILE_NONE, dst = TILE_NONE;
    enum status status = conv_describe(builder, fused, &desc);
    if (status != OK)
        return status;
    struct layouts l = layouts_of(desc);
    struct shape weight = conv_weight_shape(fused);
    status = tile_build_require(builder, fused->input, &l.src, &src);
    if (status == OK)
        status = place_output(builder, fused, &l.dst, &dst);
    if (status == OK)
        return add_weighted(builder, fused, desc, &l, &weight, src, dst);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

/* On [N, K] whatever the value's rank: [N, K, 1, 1] in row-major order is the same memory. */
enum status tile_weighted_dense(struct tile_builder *builder, const struct fused *fused)
{
    struct shape x = {.rank = 2, .dims = {(int64_t)builder->tile->samples, (int64_t)fused->taps}};
    struct shape y = {.rank = 2,
                      .dims = {(int64_t)builder->tile->samples, (int64_t)fused->channels}};
    struct shape w = {.rank = 2, .dims = {(int64_t)fused->channels, (int64_t)fused->taps}};
    dnnl_memory_desc_t src, weight, bias, dst, value;
    dnnl_inner_product_desc_t operation;
    dnnl_primitive_desc_t desc = NULL;
    uint32_t from = TILE_NONE, to = TILE_NONE;
    if (!onednn_plain(&x, &src) || !onednn_any(&w, &weight) || !bias_desc(fused, &bias) ||
        !onednn_plain(&y, &dst))
        return error_set(builder->err, ERR_SUPPORT, "node %s: oneDNN does not take its shapes",
                         fused->node->name);
    enum status status = tile_build_require_plain(builder, fused->input, &from);
    if (status == OK)
        status = tile_build_plain(builder, fused->output, &value);
    if (status == OK)
        status = tile_build_define(builder, fused->output, &value, &to);
    if (status == OK)
        status = onednn_check(dnnl_inner_product_forward_desc_init(
                                  &operation, dnnl_forward_inference, &src, &weight, &bias, &dst),
                              "a dense layer", builder->err);
    if (status == OK)
        status = tile_posts_describe(builder, &operation, fused->posts, fused->post_count, &desc,
                                     "a dense layer");
    if (status != OK)
        return status;
    struct layouts l = layouts_of(desc);
    return add_weighted(builder, fused, desc, &l, &w, from, to);
}
