#include "worker/engine/tile_posts.h"

struct onednn_element tile_posts_element(const struct post *post)
{
    switch (post->kind) {
    case POST_LINEAR:
        return (struct onednn_element){dnnl_eltwise_linear, post->alpha, post->beta};
    case POST_RELU:
        return (struct onednn_element){dnnl_eltwise_relu, post->alpha, 0};
    case POST_CLIP:
        return (struct onednn_element){dnnl_eltwise_clip, post->alpha, post->beta};
    case POST_HARD_SWISH: /* x·clip(x/6 + 1/2, 0, 1); version 2 knows the two by itself */
        return (struct onednn_element){dnnl_eltwise_hardswish, 1.0f / 6, 0.5f};
    case POST_SIGMOID:
        return (struct onednn_element){dnnl_eltwise_logistic, 0, 0};
    case POST_TANH:
        return (struct onednn_element){dnnl_eltwise_tanh, 0, 0};
    case POST_GELU:
        return (struct onednn_element){dnnl_eltwise_gelu_erf, 0, 0};
    case POST_GELU_TANH:
        return (struct onednn_element){dnnl_eltwise_gelu_tanh, 0, 0};
    case POST_ADD:
        break;
    }
    return (struct onednn_element){dnnl_alg_kind_undef, 0, 0};
}

static enum status make_attributes(const struct post *posts, size_t count,
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
        result = onednn_append(list, tile_posts_element(&posts[i]));
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

enum status tile_posts_describe(struct tile_builder *builder,
                                const struct onednn_operation *operation, const struct post *posts,
                                size_t post_count, dnnl_primitive_desc_t *out, const char *what)
{
    dnnl_primitive_attr_t attributes = NULL;
    enum status status = make_attributes(posts, post_count, &attributes, builder->err);
    if (status != OK)
        return status;
    status = onednn_describe(&builder->tile->dnn, operation, attributes, what, out, builder->err);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}
