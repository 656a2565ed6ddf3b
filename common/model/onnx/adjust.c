#include "common/model/onnx/adjust.h"

#include <stdio.h>
#include <string.h>

#include "common/model/onnx/attributes.h"
#include "common/model/onnx/types.h"
#include "common/model/shape_axes.h"

struct adjust {
    struct onnx_build *build;
    const Onnx__NodeProto *node;
    struct attributes *a;
    uint32_t *inputs;
    size_t count;
    struct error *err;
};

static const struct shape *shape_of(const struct adjust *adjust, size_t input)
{
    return &adjust->build->graph->values[adjust->inputs[input]].shape;
}

static bool input_is_batched(const struct adjust *adjust)
{
    return adjust->count > 0 && adjust->inputs[0] != GRAPH_NONE &&
           shape_axes_batched(shape_of(adjust, 0));
}

/* The file writes the batch as a number, and the rows keep their order: a target that begins with
 * that number keeps the batch where it is. */
static bool names_fixed_batch(const struct adjust *adjust)
{
    return input_is_batched(adjust) && adjust->a->axes_count > 0 &&
           adjust->build->fixed_batch > 0 && adjust->a->axes[0] == adjust->build->fixed_batch;
}

static enum status adjust_reshape(const struct adjust *adjust)
{
    struct folded *target = NULL;
    enum status status =
        onnx_build_folded(adjust->build, adjust->node->input[1], &target, adjust->err);
    if (status != OK)
        return status;
    if (target->count > 0 && onnx_folded_batch(target->numbers[0]) && !input_is_batched(adjust))
        return error_set(adjust->err, ERR_SUPPORT,
                         "it lays out for the batch what is the same for each sample");
    if (names_fixed_batch(adjust))
        adjust->a->axes[0] = 0;
    return OK;
}

static enum status adjust_expand(const struct adjust *adjust)
{
    if (names_fixed_batch(adjust) && adjust->a->axes_count == shape_of(adjust, 0)->rank)
        adjust->a->axes[0] = -1;
    return OK;
}

/* Opset 18 may name the axes that sizes or scales are for. */
static enum status spread_resize(const struct adjust *adjust, const Onnx__AttributeProto *axes)
{
    struct attributes *a = adjust->a, named = {.axes_count = axes->n_ints};
    const struct shape *shape = shape_of(adjust, 0);
    bool marks[TENSOR_RANK_MAX], sized = a->axes_count > 0;
    int64_t sizes[TENSOR_RANK_MAX];
    float scales[TENSOR_RANK_MAX];
    if (axes->n_ints > TENSOR_RANK_MAX || axes->n_ints != (sized ? a->axes_count : a->scales_count))
        return error_set(adjust->err, ERR_INPUT, "axes has %zu numbers, but not its sizes",
                         axes->n_ints);
    memcpy(named.axes, axes->ints, axes->n_ints * sizeof *axes->ints);
    enum status status = shape_axes_mark(&named, shape->rank, marks, adjust->err);
    if (status != OK)
        return status;
    for (size_t i = 0; i < shape->rank; i++) {
        sizes[i] = shape->dims[i];
        scales[i] = 1;
    }
    for (size_t i = 0; i < axes->n_ints; i++) {
        int64_t axis = axes->ints[i] < 0 ? axes->ints[i] + (int64_t)shape->rank : axes->ints[i];
        sizes[axis] = a->axes[i];
        scales[axis] = a->scales[i];
    }
    memcpy(a->axes, sizes, sizeof sizes);
    memcpy(a->scales, scales, sizeof scales);
    a->axes_count = sized ? shape->rank : 0;
    a->scales_count = sized ? 0 : shape->rank;
    return OK;
}

static enum status adjust_resize(const struct adjust *adjust)
{
    const Onnx__AttributeProto *axes = onnx_attributes_find(adjust->node, "axes"),
                               *policy =
                                   onnx_attributes_find(adjust->node, "keep_aspect_ratio_policy");
    enum status status = OK;
    if (adjust->count == 0 || adjust->inputs[0] == GRAPH_NONE)
        return OK; /* the operator's row counts the inputs */
    if (policy != NULL && (policy->s.len != 7 || memcmp(policy->s.data, "stretch", 7) != 0))
        return error_set(adjust->err, ERR_SUPPORT, "keep_aspect_ratio_policy must be stretch");
    if (axes != NULL)
        status = spread_resize(adjust, axes);
    if (status == OK && names_fixed_batch(adjust))
        adjust->a->axes[0] = -1;
    if (status == OK && input_is_batched(adjust) && adjust->a->scales_count > 0 &&
        adjust->a->scales[0] == 0)
        adjust->a->scales[0] = 1;
    return status;
}

/* A part that is the same for each sample, as a class token is: it joins each sample's. */
static enum status give_batch(const struct adjust *adjust, size_t input, size_t rank)
{
    struct attributes expand;
    char what[32];
    const struct value *value = &adjust->build->graph->values[adjust->inputs[input]];
    snprintf(what, sizeof what, "part%zu", input);
    const char *name = onnx_build_name(adjust->build, adjust->node->output[0], what);
    if (name == NULL)
        return error_set(adjust->err, ERR_MEMORY, "no memory for %s", what);
    onnx_attributes_default(OP_EXPAND, adjust->build->graph->opset, &expand);
    expand.axes_count = rank;
    expand.axes[0] = -1;
    for (size_t i = 1; i < rank; i++)
        expand.axes[i] = value->shape.dims[i];
    return onnx_build_node(adjust->build, OP_EXPAND, name, &adjust->inputs[input], 1, name, &expand,
                           &adjust->inputs[input], adjust->err);
}

static enum status adjust_concat(const struct adjust *adjust)
{
    bool batched = false;
    size_t rank = 0;
    enum status status = OK;
    for (size_t i = 0; i < adjust->count; i++)
        if (adjust->inputs[i] != GRAPH_NONE && shape_axes_batched(shape_of(adjust, i))) {
            batched = true;
            rank = shape_of(adjust, i)->rank;
        }
    for (size_t i = 0; i < adjust->count && batched && status == OK; i++) {
        if (adjust->inputs[i] == GRAPH_NONE)
            continue;
        const struct shape *shape = shape_of(adjust, i);
        if (shape->rank == rank && shape->dims[0] == 1)
            status = give_batch(adjust, i, rank);
    }
    return status;
}

static enum status adjust_quantize(const struct adjust *adjust)
{
    const Onnx__AttributeProto *type = onnx_attributes_find(adjust->node, "output_dtype");
    if (type == NULL || type->i == ONNX__TENSOR_PROTO__DATA_TYPE__UNDEFINED)
        return OK;
    return onnx_types_read(type->i, &adjust->a->to, adjust->err);
}

/* Without names it takes every axis of size 1: those of today, not a batch that happens to be 1. */
static enum status adjust_squeeze(const struct adjust *adjust)
{
    struct attributes *a = adjust->a;
    const struct shape *shape = adjust->count > 0 ? shape_of(adjust, 0) : NULL;
    bool unnamed = a->axes_count == 0;
    for (size_t i = 0; unnamed && shape != NULL && i < shape->rank; i++)
        if (shape->dims[i] == 1)
            a->axes[a->axes_count++] = (int64_t)i;
    return OK;
}

enum status onnx_adjust(struct onnx_build *build, const Onnx__NodeProto *node, enum op op,
                        struct attributes *attributes, uint32_t *inputs, size_t count,
                        struct error *err)
{
    const struct adjust adjust = {build, node, attributes, inputs, count, err};
    switch ((int)op) {
    case OP_CONCAT:
        return adjust_concat(&adjust);
    case OP_EXPAND:
        return adjust_expand(&adjust);
    case OP_QUANTIZE:
        return adjust_quantize(&adjust);
    case OP_RESHAPE:
        return onnx_build_has(node, 1) ? adjust_reshape(&adjust) : OK;
    case OP_RESIZE:
        return adjust_resize(&adjust);
    case OP_SQUEEZE:
        return adjust_squeeze(&adjust);
    }
    return OK;
}
