#include "worker/engine/tile_view.h"

/* Row-major memory of the input, its axes in the output's order. */
static const struct onednn_layout *turned_layout(const struct tile_builder *builder,
                                                 const struct fused *fused, dnnl_data_type_t type)
{
    const struct shape x = tile_build_shape(builder, fused->input),
                       y = tile_build_shape(builder, fused->output);
    dnnl_dims_t dense = {0}, strides = {0};
    onednn_strides(&x, dense);
    for (size_t i = 0; i < y.rank; i++)
        strides[i] = dense[fused->node->attributes.axes[i]];
    return onednn_cast(&builder->tile->dnn, onednn_strided(&builder->tile->dnn, &y, strides), type);
}

enum status tile_view(struct tile_builder *builder, const struct fused *fused)
{
    const struct shape x = tile_build_shape(builder, fused->input),
                       y = tile_build_shape(builder, fused->output);
    struct tile_version from = *tile_build_first(builder, fused->input);
    bool transposes = fused->node->op == OP_TRANSPOSE;
    enum status status = OK;
    if (transposes || !shape_equal(&x, &y)) {
        dnnl_data_type_t type = onednn_type(from.layout);
        status = tile_build_require(builder, fused->input,
                                    tile_build_plain_of(builder, fused->input, type), &from.buffer);
        from.turned = transposes;
        from.layout = transposes ? turned_layout(builder, fused, type)
                                 : tile_build_plain_of(builder, fused->output, type);
    }
    if (status == OK)
        status = tile_build_adopt(builder, fused->output, from.layout, from.buffer);
    if (status == OK)
        builder->versions[builder->version_count - 1].turned = from.turned;
    return status;
}
