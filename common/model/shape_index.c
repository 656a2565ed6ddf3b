#include <string.h>

#include "common/model/shape_axes.h"
#include "common/model/shape_rules.h"

/* The own axis, whose indices are held as float32. */
static enum status indexed_axis(struct node *node, const struct shape *x, size_t *axis,
                                struct error *err)
{
    enum status status = shape_axes_own(node, x, axis, err);
    if (status == OK && x->dims[*axis] > GRAPH_WHOLE_MAX)
        status = error_set(err, ERR_SUPPORT, "axis %zu has more than %lld indices", *axis,
                           (long long)GRAPH_WHOLE_MAX);
    return status;
}

SHAPE_RULE(shape_rule_arg_max)
{
    size_t axis = 0;
    enum status status = indexed_axis(node, in[0], &axis, err);
    if (status != OK)
        return status;
    *out = (struct shape){0};
    for (size_t i = 0; i < in[0]->rank; i++)
        if (i != axis || node->attributes.keep_dims)
            out->dims[out->rank++] = i == axis ? 1 : in[0]->dims[i];
    return OK;
}

/* data [a…, K, b…], indices [i…] → [a…, i…, b…]. Indices that differ between samples are taken from
 * a table that does not, along its first axis. */
SHAPE_RULE(shape_rule_gather)
{
    const struct shape *data = in[0], *indices = in[1];
    size_t axis = 0;
    enum status status = indexed_axis(node, data, &axis, err);
    if (status != OK)
        return status;
    if (shape_axes_batched(indices) && axis > 0)
        return shape_axes_refuse_batch(err);
    if (data->rank - 1 + indices->rank > TENSOR_RANK_MAX)
        return error_set(err, ERR_SUPPORT, "rank %zu exceeds %d", data->rank - 1 + indices->rank,
                         TENSOR_RANK_MAX);
    *out = (struct shape){.rank = data->rank - 1 + indices->rank};
    memcpy(out->dims, data->dims, axis * sizeof *out->dims);
    memcpy(out->dims + axis, indices->dims, indices->rank * sizeof *out->dims);
    memcpy(out->dims + axis + indices->rank, data->dims + axis + 1,
           (data->rank - axis - 1) * sizeof *out->dims);
    return OK;
}

SHAPE_RULE(shape_rule_gather_elements)
{
    const struct shape *data = in[0], *indices = in[1];
    size_t axis = 0;
    enum status status = indexed_axis(node, data, &axis, err);
    if (status != OK)
        return status;
    if (data->rank != indices->rank)
        return error_set(err, ERR_INPUT, "data and indices have ranks %zu and %zu", data->rank,
                         indices->rank);
    if (shape_axes_batched(data) != shape_axes_batched(indices))
        return shape_axes_refuse_batch(err);
    for (size_t i = 0; i < data->rank; i++)
        if (i != axis && indices->dims[i] > data->dims[i])
            return error_set(err, ERR_INPUT, "the indices exceed the data in axis %zu", i);
    *out = *indices;
    return OK;
}
