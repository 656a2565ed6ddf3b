#include "common/model/shape_rules.h"

#include <string.h>

#include "common/base/memory.h"

/* Elements with the batch counted as one; shapes here passed shape_infer's check before, so it
 * cannot fail. */
static double elements_of(const struct shape *shape)
{
    double product = 1;
    for (size_t i = 0; i < shape->rank; i++)
        product *= shape->dims[i] < 0 ? 1 : (double)shape->dims[i];
    return product;
}

static bool batched(const struct shape *shape)
{
    return shape->rank > 0 && shape->dims[0] == -1;
}

static enum status batch_error(struct error *err)
{
    return error_set(err, ERR_SUPPORT, "it moves, merges or reduces the batch axis");
}

/* -rank … rank-1 → 0 … rank-1 */
static enum status wrap_axis(int64_t axis, size_t rank, size_t *out, struct error *err)
{
    int64_t wrapped = axis < 0 && axis >= -(int64_t)rank ? axis + (int64_t)rank : axis;
    if (wrapped < 0 || wrapped >= (int64_t)rank)
        return error_set(err, ERR_INPUT, "axis %lld does not exist in rank %zu", (long long)axis,
                         rank);
    *out = (size_t)wrapped;
    return OK;
}

/* Marks the attribute's axes; each at most once. */
static enum status mark_axes(const struct attributes *a, size_t rank, bool marks[TENSOR_RANK_MAX],
                             struct error *err)
{
    memset(marks, 0, TENSOR_RANK_MAX * sizeof *marks);
    for (size_t i = 0; i < a->axes_count; i++) {
        size_t axis = 0;
        enum status status = wrap_axis(a->axes[i], rank, &axis, err);
        if (status != OK)
            return status;
        if (marks[axis])
            return error_set(err, ERR_INPUT, "axis %zu is named twice", axis);
        marks[axis] = true;
    }
    return OK;
}

SHAPE_RULE(shape_rule_same)
{
    (void)node, (void)err;
    *out = *in[0];
    return OK;
}

static bool broadcast_dim(int64_t a, int64_t b, int64_t *out)
{
    *out = a == 1 ? b : a;
    return a == b || a == 1 || b == 1;
}

SHAPE_RULE(shape_rule_broadcast)
{
    (void)node;
    size_t rank = in[0]->rank > in[1]->rank ? in[0]->rank : in[1]->rank;
    *out = (struct shape){.rank = rank};
    for (size_t i = 0; i < rank; i++) {
        int64_t dims[2];
        for (size_t k = 0; k < 2; k++)
            dims[k] = i + in[k]->rank < rank ? 1 : in[k]->dims[i + in[k]->rank - rank];
        if (!broadcast_dim(dims[0], dims[1], &out->dims[i]) || (i > 0 && out->dims[i] < 0)) {
            char a[96], b[96];
            shape_text(in[0], a, sizeof a);
            shape_text(in[1], b, sizeof b);
            return error_set(err, ERR_INPUT, "shapes %s and %s do not broadcast", a, b);
        }
    }
    return OK;
}

SHAPE_RULE(shape_rule_batch_norm)
{
    if (in[0]->rank < 2)
        return error_set(err, ERR_INPUT, "its input has no channel axis");
    for (size_t i = 1; i < 5; i++)
        if (in[i]->rank != 1 || in[i]->dims[0] != in[0]->dims[1])
            return error_set(err, ERR_INPUT, "input %zu does not have one value per channel", i);
    return shape_rule_same(node, in, out, err);
}

SHAPE_RULE(shape_rule_concat)
{
    size_t axis = 0, rank = in[0]->rank;
    enum status status = wrap_axis(node->attributes.axis, rank, &axis, err);
    if (status != OK)
        return status;
    *out = *in[0];
    if (axis == 0 && batched(out))
        return batch_error(err);
    for (size_t k = 1; k < node->input_count; k++) {
        if (in[k] == NULL || in[k]->rank != rank)
            return error_set(err, ERR_INPUT, "input %zu has another rank", k);
        for (size_t i = 0; i < rank; i++)
            if (i != axis && in[k]->dims[i] != out->dims[i])
                return error_set(err, ERR_INPUT, "input %zu differs in axis %zu", k, i);
        out->dims[axis] += in[k]->dims[axis];
        if (out->dims[axis] > (int64_t)TENSOR_ELEMENTS_MAX)
            return error_set(err, ERR_INPUT, "the result is too large");
    }
    node->attributes.axis = (int64_t)axis;
    return OK;
}

SHAPE_RULE(shape_rule_flatten)
{
    int64_t axis = node->attributes.axis;
    axis = axis < 0 ? axis + (int64_t)in[0]->rank : axis;
    if (axis < 0 || axis > (int64_t)in[0]->rank)
        return error_set(err, ERR_INPUT, "axis %lld does not exist",
                         (long long)node->attributes.axis);
    if (batched(in[0]) && axis != 1)
        return batch_error(err);
    *out = (struct shape){.rank = 2, .dims = {1, 1}};
    for (size_t i = 0; i < in[0]->rank; i++)
        out->dims[i < (size_t)axis ? 0 : 1] *= in[0]->dims[i];
    return OK;
}

SHAPE_RULE(shape_rule_gemm)
{
    const struct attributes *a = &node->attributes;
    const struct shape *c = node->input_count > 2 ? in[2] : NULL;
    if (in[0]->rank != 2 || in[1]->rank != 2 || batched(in[1]))
        return error_set(err, ERR_SUPPORT,
                         "only matrices with a right side without batch are supported");
    if (batched(in[0]) && a->trans_a)
        return batch_error(err);
    int64_t inner_a = in[0]->dims[a->trans_a ? 0 : 1], inner_b = in[1]->dims[a->trans_b ? 1 : 0];
    if (inner_a != inner_b)
        return error_set(err, ERR_INPUT, "inner sizes %lld and %lld differ", (long long)inner_a,
                         (long long)inner_b);
    *out = (struct shape){
        .rank = 2, .dims = {in[0]->dims[a->trans_a ? 1 : 0], in[1]->dims[a->trans_b ? 0 : 1]}};
    if (c == NULL)
        return OK;
    if (c->rank > 2 ||
        (c->rank > 0 && c->dims[c->rank - 1] != 1 && c->dims[c->rank - 1] != out->dims[1]) ||
        (c->rank == 2 && c->dims[0] != 1))
        return error_set(err, ERR_SUPPORT, "the third input must be one row or one number");
    return OK;
}

SHAPE_RULE(shape_rule_matmul)
{
    (void)node;
    size_t rank = in[0]->rank;
    if (rank < 2 || in[1]->rank != 2 || batched(in[1]))
        return error_set(err, ERR_SUPPORT,
                         "only products with a matrix without batch on the right are supported");
    if (in[0]->dims[rank - 1] != in[1]->dims[0])
        return error_set(err, ERR_INPUT, "inner sizes %lld and %lld differ",
                         (long long)in[0]->dims[rank - 1], (long long)in[1]->dims[0]);
    *out = *in[0];
    out->dims[rank - 1] = in[1]->dims[1];
    return OK;
}

/* `axes` empty: all but the batch would be an ONNX default over all axes, which reduces the batch
 * too. */
SHAPE_RULE(shape_rule_reduce)
{
    bool marks[TENSOR_RANK_MAX];
    enum status status = mark_axes(&node->attributes, in[0]->rank, marks, err);
    if (status != OK)
        return status;
    for (size_t i = 0; i < in[0]->rank && node->attributes.axes_count == 0; i++)
        marks[i] = true;
    if (batched(in[0]) && marks[0])
        return batch_error(err);
    *out = (struct shape){0};
    for (size_t i = 0; i < in[0]->rank; i++)
        if (!marks[i] || node->attributes.keep_dims)
            out->dims[out->rank++] = marks[i] ? 1 : in[0]->dims[i];
    return OK;
}

/* Target 0 copies the input's dimension, one -1 takes what is left. The batch must stay first,
 * whatever the file calls it: 0, -1 or (an exporter's fixed batch) any number. */
SHAPE_RULE(shape_rule_reshape)
{
    struct attributes *a = &node->attributes;
    double left = elements_of(in[0]), product = 1;
    size_t open = TENSOR_RANK_MAX, first = batched(in[0]) ? 1 : 0;
    *out = (struct shape){.rank = a->axes_count};
    if (first == 1 && (a->axes_count == 0 || a->axes[0] > 1))
        return batch_error(err);
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

SHAPE_RULE(shape_rule_softmax)
{
    size_t axis = 0;
    enum status status = wrap_axis(node->attributes.axis, in[0]->rank, &axis, err);
    if (status != OK)
        return status;
    if (axis == 0 && batched(in[0]))
        return batch_error(err);
    node->attributes.axis = (int64_t)axis;
    return shape_rule_same(node, in, out, err);
}

SHAPE_RULE(shape_rule_squeeze)
{
    bool marks[TENSOR_RANK_MAX];
    enum status status = mark_axes(&node->attributes, in[0]->rank, marks, err);
    if (status != OK)
        return status;
    *out = (struct shape){0};
    for (size_t i = 0; i < in[0]->rank; i++) {
        if (node->attributes.axes_count == 0)
            marks[i] = in[0]->dims[i] == 1;
        if (marks[i] && in[0]->dims[i] != 1)
            return i == 0 && batched(in[0])
                       ? batch_error(err)
                       : error_set(err, ERR_INPUT, "axis %zu is not of size 1", i);
        if (!marks[i])
            out->dims[out->rank++] = in[0]->dims[i];
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
    enum status status = mark_axes(a, rank, marks, err);
    if (status != OK)
        return status;
    if (a->axes_count != rank)
        return error_set(err, ERR_INPUT, "the permutation does not name every axis");
    *out = (struct shape){.rank = rank};
    for (size_t i = 0; i < rank; i++) {
        a->axes[i] += a->axes[i] < 0 ? (int64_t)rank : 0;
        out->dims[i] = in[0]->dims[a->axes[i]];
    }
    return batched(in[0]) && a->axes[0] != 0 ? batch_error(err) : OK;
}

SHAPE_RULE(shape_rule_unsqueeze)
{
    bool marks[TENSOR_RANK_MAX];
    size_t rank = in[0]->rank + node->attributes.axes_count, from = 0;
    if (rank > TENSOR_RANK_MAX)
        return error_set(err, ERR_SUPPORT, "rank %zu exceeds %d", rank, TENSOR_RANK_MAX);
    enum status status = mark_axes(&node->attributes, rank, marks, err);
    if (status != OK)
        return status;
    if (batched(in[0]) && marks[0])
        return batch_error(err);
    *out = (struct shape){.rank = rank};
    for (size_t i = 0; i < rank; i++)
        out->dims[i] = marks[i] ? 1 : in[0]->dims[from++];
    return OK;
}

FLOPS_RULE(flops_none)
{
    (void)node, (void)in, (void)out;
    return 0;
}

FLOPS_RULE(flops_per_element)
{
    (void)node, (void)in;
    return elements_of(out);
}

FLOPS_RULE(flops_per_input)
{
    (void)node, (void)out;
    return elements_of(in[0]);
}

FLOPS_RULE(flops_gemm)
{
    double inner = (double)in[1]->dims[node->attributes.trans_b ? 1 : 0];
    return (2 * inner + (node->input_count > 2 ? 1 : 0)) * elements_of(out);
}

FLOPS_RULE(flops_matmul)
{
    (void)node;
    return 2 * (double)in[1]->dims[0] * elements_of(out);
}
