#include "common/model/shape_axes.h"
#include "common/model/shape_rules.h"

/* No axes means all of them, or none where the file says so; afterwards they are named. */
static void name_axes(struct attributes *a, size_t rank)
{
    if (a->axes_count > 0 || a->reduce_none)
        return;
    for (size_t i = 0; i < rank; i++)
        a->axes[i] = (int64_t)i;
    a->axes_count = rank;
}

SHAPE_RULE(shape_rule_reduce)
{
    bool marks[TENSOR_RANK_MAX];
    name_axes(&node->attributes, in[0]->rank);
    enum status status = shape_axes_mark(&node->attributes, in[0]->rank, marks, err);
    if (status != OK)
        return status;
    if (shape_axes_batched(in[0]) && marks[0])
        return shape_axes_refuse_batch(err);
    *out = (struct shape){0};
    for (size_t i = 0; i < in[0]->rank; i++)
        if (!marks[i] || node->attributes.keep_dims)
            out->dims[out->rank++] = marks[i] ? 1 : in[0]->dims[i];
    return OK;
}

SHAPE_RULE(shape_rule_softmax)
{
    size_t axis = 0;
    *out = *in[0];
    return shape_axes_own(node, in[0], &axis, err);
}
