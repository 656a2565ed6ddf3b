#include "worker/engine/tile_posts.h"

static dnnl_status_t append_post(dnnl_post_ops_t posts, const struct post *post)
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
        return dnnl_post_ops_append_sum(posts, 1);
    }
    return dnnl_invalid_arguments;
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
        result = append_post(list, &posts[i]);
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

enum status tile_posts_describe(struct tile_builder *builder, const void *operation,
                                const struct post *posts, size_t post_count,
                                dnnl_primitive_desc_t *out, const char *what)
{
    dnnl_primitive_attr_t attributes = NULL;
    enum status status = make_attributes(posts, post_count, &attributes, builder->err);
    if (status != OK)
        return status;
    status =
        onednn_describe(&builder->tile->dnn, operation, attributes, NULL, what, out, builder->err);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}
