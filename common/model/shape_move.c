#include "common/model/shape_axes.h"
#include "common/model/shape_rules.h"

SHAPE_RULE(shape_rule_concat)
{
    size_t axis = 0, rank = in[0]->rank;
    enum status status = shape_axes_own(node, in[0], &axis, err);
    if (status != OK)
        return status;
    *out = *in[0];
    for (size_t k = 1; k < node->input_count; k++) {
        if (in[k] == NULL || in[k]->rank != rank)
            return error_set(err, ERR_INPUT, "input %zu has another rank", k);
        if (axis == 0 && shape_axes_batched(in[k]))
            return shape_axes_refuse_batch(err);
        for (size_t i = 0; i < rank; i++)
            if (i != axis && in[k]->dims[i] != out->dims[i])
                return error_set(err, ERR_INPUT, "input %zu differs in axis %zu", k, i);
        out->dims[axis] += in[k]->dims[axis];
        status = shape_axes_fits((double)out->dims[axis], err);
        if (status != OK)
            return status;
    }
    return OK;
}

/* The target broadcasts with the input. A first -1 is the batch: a value that is the same for every
 * sample (a class token) joins those that differ. */
SHAPE_RULE(shape_rule_expand)
{
    struct shape target = {.rank = node->attributes.axes_count};
    for (size_t i = 0; i < target.rank; i++) {
        target.dims[i] = node->attributes.axes[i];
        if (target.dims[i] < (i == 0 ? -1 : 1) || target.dims[i] == 0)
            return error_set(err, ERR_INPUT, "target axis %zu is %lld", i,
                             (long long)target.dims[i]);
    }
    if (shape_axes_batched(in[0]) && target.rank > in[0]->rank)
        return shape_axes_refuse_batch(err);
    return shape_axes_broadcast(in[0], &target, out, err);
}

SHAPE_RULE(shape_rule_flatten)
{
    int64_t axis = node->attributes.axis;
    axis = axis < 0 ? axis + (int64_t)in[0]->rank : axis;
    if (axis < 0 || axis > (int64_t)in[0]->rank)
        return error_set(err, ERR_INPUT, "axis %lld does not exist",
                         (long long)node->attributes.axis);
    if (shape_axes_batched(in[0]) && axis != 1)
        return shape_axes_refuse_batch(err);
    *out = (struct shape){.rank = 2, .dims = {1, 1}};
    for (size_t i = 0; i < in[0]->rank; i++)
        out->dims[i < (size_t)axis ? 0 : 1] *= in[0]->dims[i];
    return OK;
}

/* Target 0 copies the input's dimension, one -1 takes what is left. The batch must stay first,
 * whatever the file calls it: 0, -1 or (an exporter's fixed batch) any number. */
SHAPE_RULE(shape_rule_reshape)
{
    struct attributes *a = &node->attributes;
    double left = shape_axes_product(in[0]), product = 1;
    size_t open = TENSOR_RANK_MAX, first = shape_axes_batched(in[0]) ? 1 : 0;
    *out = (struct shape){.rank = a->axes_count};
    for (size_t i = first; i < a->axes_count && a->allow_zero; i++)
        if (a->axes[i] == 0)
            return error_set(err, ERR_SUPPORT, "target axis %zu is empty", i);
    a->allow_zero = false; /* no zero is left but the batch's */
    if (first == 1 && (a->axes_count == 0 || a->axes[0] > 1))
        return shape_axes_refuse_batch(err);
    for (size_t i = first; i < a->axes_count; i++) {
        int64_t target = a->axes[i];
        if (target == 0 && i >= in[0]->rank)
            return error_set(err, ERR_INPUT, "target axis %zu copies an axis that does not exist",
                             i);
        out->dims[i] = target == 0 ? in[0]->dims[i] : target;
        if (target < -1 || (target == -1 && open != TENSOR_RANK_MAX))
            return error_set(err, ERR_INPUT, "the target has more than one open axis");
        if (target == -1)
            open = i;
        else
            product *= (double)out->dims[i];
    }
    if (first == 1) {
        out->dims[0] = -1;
        a->axes[0] = 0; /* an export must not fix the batch */
    }
    if (open != TENSOR_RANK_MAX && product >= 1)
        out->dims[open] = (int64_t)(left / product);
    if (open != TENSOR_RANK_MAX)
        product *= (double)(product >= 1 ? out->dims[open] : 0);
    return product == left ? OK
                           : error_set(err, ERR_INPUT, "the target has another number of elements");
}

SHAPE_RULE(shape_rule_squeeze)
{
    bool marks[TENSOR_RANK_MAX];
    enum status status = shape_axes_mark(&node->attributes, in[0]->rank, marks, err);
    if (status != OK)
        return status;
    *out = (struct shape){0};
    for (size_t i = 0; i < in[0]->rank; i++) {
        if (node->attributes.axes_count == 0)
            marks[i] = in[0]->dims[i] == 1;
        if (marks[i] && in[0]->dims[i] != 1)
            return i == 0 && shape_axes_batched(in[0])
                       ? shape_axes_refuse_batch(err)
                       : error_set(err, ERR_INPUT, "axis %zu is not of size 1", i);
        if (!marks[i])
            out->dims[out->rank++] = in[0]->dims[i];
    }
    return OK;
}

SHAPE_RULE(shape_rule_tile)
{
    const struct attributes *a = &node->attributes;
    if (a->axes_count != in[0]->rank)
        return error_set(err, ERR_INPUT, "%zu repeats for rank %zu", a->axes_count, in[0]->rank);
    *out = *in[0];
    if (shape_axes_batched(in[0]) && a->axes[0] != 1)
        return shape_axes_refuse_batch(err);
    for (size_t i = 0; i < out->rank; i++) {
        if (a->axes[i] < 1)
            return error_set(err, ERR_INPUT, "axis %zu is repeated %lld times", i,
                             (long long)a->axes[i]);
        enum status status = shape_axes_fits((double)out->dims[i] * (double)a->axes[i], err);
        if (status != OK)
            return status;
        out->dims[i] *= a->axes[i];
    }
    return OK;
}

SHAPE_RULE(shape_rule_transpose)
{
    struct attributes *a = &node->attributes;
    bool marks[TENSOR_RANK_MAX];
    size_t rank = in[0]->rank;
    for (size_t i = 0; i < rank && a->axes_count == 0; i++)
        a->axes[i] = (int64_t)(rank - 1 - i);
    a->axes_count = a->axes_count == 0 ? rank : a->axes_count;
    enum status status = shape_axes_mark(a, rank, marks, err);
    if (status != OK)
        return status;
    if (a->axes_count != rank)
        return error_set(err, ERR_INPUT, "the permutation does not name every axis");
    *out = (struct shape){.rank = rank};
    for (size_t i = 0; i < rank; i++) {
        a->axes[i] += a->axes[i] < 0 ? (int64_t)rank : 0;
        out->dims[i] = in[0]->dims[a->axes[i]];
    }
    return shape_axes_batched(in[0]) && a->axes[0] != 0 ? shape_axes_refuse_batch(err) : OK;
}

SHAPE_RULE(shape_rule_unsqueeze)
{
    bool marks[TENSOR_RANK_MAX];
    size_t rank = in[0]->rank + node->attributes.axes_count, from = 0;
    if (rank > TENSOR_RANK_MAX)
        return error_set(err, ERR_SUPPORT, "rank %zu exceeds %d", rank, TENSOR_RANK_MAX);
    enum status status = shape_axes_mark(&node->attributes, rank, marks, err);
    if (status != OK)
        return status;
    if (shape_axes_batched(in[0]) && marks[0])
        return shape_axes_refuse_batch(err);
    *out = (struct shape){.rank = rank};
    for (size_t i = 0; i < rank; i++)
        out->dims[i] = marks[i] ? 1 : in[0]->dims[from++];
    return OK;
}
