#include "common/model/shape_axes.h"
#include "common/model/shape_rules.h"

static enum status per_channel(const struct shape *x, const struct shape *values, size_t input,
                               struct error *err)
{
    if (values != NULL && (values->rank != 1 || values->dims[0] != x->dims[1]))
        return error_set(err, ERR_INPUT, "input %zu does not have one value per channel", input);
    return OK;
}

SHAPE_RULE(shape_rule_batch_norm)
{
    enum status status = OK;
    (void)node;
    if (in[0]->rank < 2)
        return error_set(err, ERR_INPUT, "its input has no channel axis");
    for (size_t k = 1; k < 5 && status == OK; k++)
        status = per_channel(in[0], in[k], k, err);
    *out = *in[0];
    return status;
}

SHAPE_RULE(shape_rule_channel_norm)
{
    enum status status = OK;
    if (in[0]->rank < 3)
        return error_set(err, ERR_INPUT, "its input has no channels of several elements");
    for (size_t k = 1; k < node->input_count && status == OK; k++)
        status = per_channel(in[0], in[k], k, err);
    int64_t groups = node->attributes.groups;
    if (status == OK && node->op == OP_GROUP_NORM && (groups < 1 || in[0]->dims[1] % groups != 0))
        status = error_set(err, ERR_INPUT, "%lld channels do not fall into %lld groups",
                           (long long)in[0]->dims[1], (long long)groups);
    *out = *in[0];
    return status;
}

/* Scale and bias have the normalised axes: `axis` and those after it. */
SHAPE_RULE(shape_rule_layer_norm)
{
    size_t axis = 0;
    enum status status = shape_axes_own(node, in[0], &axis, err);
    if (status != OK)
        return status;
    *out = *in[0];
    struct shape normalised = {.rank = out->rank - axis};
    for (size_t i = axis; i < out->rank; i++)
        normalised.dims[i - axis] = out->dims[i];
    for (size_t k = 1; k < node->input_count; k++)
        if (in[k] != NULL && !shape_equal(in[k], &normalised))
            return error_set(err, ERR_INPUT, "input %zu does not have the normalised axes", k);
    return OK;
}

/* One scale and zero point for all, or one per index of `axis`. */
SHAPE_RULE(shape_rule_quantize)
{
    size_t axis = 0;
    *out = *in[0];
    if (node->input_count > 2 && in[2] != NULL && !shape_equal(in[1], in[2]))
        return error_set(err, ERR_INPUT, "scale and zero point have different shapes");
    if (in[1]->rank == 0 || (in[1]->rank == 1 && in[1]->dims[0] == 1))
        return OK;
    enum status status = shape_axes_own(node, in[0], &axis, err);
    if (status == OK && (in[1]->rank != 1 || in[1]->dims[0] != in[0]->dims[axis]))
        status = error_set(err, ERR_SUPPORT,
                           "its scale is neither one nor one per index of axis %zu", axis);
    return status;
}
