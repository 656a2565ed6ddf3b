#include "common/model/onnx_postpone.h"

#include <string.h>

#include "common/model/onnx_attributes.h"
#include "common/model/onnx_lift.h"
#include "common/model/onnx_order.h"
#include "common/model/shape_axes.h"

/* The file's axis → the value's; the batch may not be touched. */
static enum status own_axis(const struct postponed *from, int64_t axis, size_t *out,
                            struct error *err)
{
    size_t wrapped = 0;
    enum status status = shape_axes_wrap(axis, from->rank, &wrapped, err);
    if (status != OK)
        return status;
    *out = from->axes[wrapped];
    return *out == 0 ? shape_axes_refuse_batch(err) : OK;
}

static bool is_in_order(const struct postponed *postponed)
{
    for (size_t i = 0; i < postponed->rank; i++)
        if (postponed->axes[i] != i)
            return false;
    return true;
}

/* One operator less of its axes on `from`, under `output` or, when a transpose follows, beside. */
static enum status add(struct onnx_build *build, enum op op, const struct attributes *attributes,
                       const uint32_t *inputs, size_t count, const char *name, const char *output,
                       struct postponed *left, struct error *err)
{
    bool settled = left->axes[0] == 0, last = settled && is_in_order(left);
    const char *made = last ? output : onnx_build_name(build, output, "first");
    if (made == NULL)
        return error_set(err, ERR_MEMORY, "no memory for node %.100s", name);
    enum status status = onnx_build_node(build, op, last ? name : made, inputs, count, made,
                                         attributes, &left->value, err);
    if (status != OK || last)
        return status;
    if (!settled)
        return onnx_build_postpone(build, output, left, err);
    struct attributes transpose;
    uint32_t value;
    onnx_attributes_default(OP_TRANSPOSE, build->graph->opset, &transpose);
    transpose.axes_count = left->rank;
    for (size_t i = 0; i < left->rank; i++)
        transpose.axes[i] = (int64_t)left->axes[i];
    return onnx_build_node(build, OP_TRANSPOSE, name, &left->value, 1, output, &transpose, &value,
                           err);
}

/* Without the axes of the value that `gone` marks. */
static struct postponed without(const struct postponed *from, const bool gone[TENSOR_RANK_MAX])
{
    struct postponed left = {.value = from->value};
    for (size_t i = 0; i < from->rank; i++) {
        size_t before = 0;
        for (size_t k = 0; k < from->axes[i]; k++)
            before += gone[k];
        if (!gone[from->axes[i]])
            left.axes[left.rank++] = from->axes[i] - before;
    }
    return left;
}

enum status onnx_postpone_slice(struct onnx_build *build, const struct postponed *from,
                                const char *name, const char *output,
                                const struct attributes *slice, struct error *err)
{
    struct attributes own = *slice;
    struct postponed left = *from;
    enum status status = OK;
    for (size_t i = 0; own.axes_count == 0 && i < own.starts_count; i++)
        own.axes[i] = (int64_t)i;
    own.axes_count = own.starts_count;
    for (size_t i = 0; i < own.axes_count && status == OK; i++) {
        size_t axis = 0;
        status = own_axis(from, own.axes[i], &axis, err);
        own.axes[i] = (int64_t)axis;
    }
    return status == OK ? add(build, OP_SLICE, &own, &from->value, 1, name, output, &left, err)
                        : status;
}

static enum status postpone_slice(struct onnx_build *build, const struct postponed *from,
                                  const Onnx__NodeProto *node, struct error *err)
{
    struct attributes slice;
    enum status status = onnx_lift(build, node, OP_SLICE, &slice, err);
    return status == OK ? onnx_postpone_slice(build, from, onnx_order_node_name(node),
                                              node->output[0], &slice, err)
                        : status;
}

static enum status postpone_squeeze(struct onnx_build *build, const struct postponed *from,
                                    const Onnx__NodeProto *node, struct error *err)
{
    struct attributes squeeze;
    bool gone[TENSOR_RANK_MAX] = {false};
    enum status status = onnx_lift(build, node, OP_SQUEEZE, &squeeze, err);
    if (status == OK && squeeze.axes_count == 0)
        status = error_set(err, ERR_SUPPORT, "it squeezes no axis by name");
    for (size_t i = 0; status == OK && i < squeeze.axes_count; i++) {
        size_t axis = 0;
        status = own_axis(from, squeeze.axes[i], &axis, err);
        squeeze.axes[i] = (int64_t)axis;
        gone[axis] = true;
    }
    struct postponed left = without(from, gone);
    return status == OK ? add(build, OP_SQUEEZE, &squeeze, &from->value, 1,
                              onnx_order_node_name(node), node->output[0], &left, err)
                        : status;
}

static enum status postpone_gather(struct onnx_build *build, const struct postponed *from,
                                   const Onnx__NodeProto *node, struct error *err)
{
    struct attributes gather;
    struct folded *index = NULL;
    uint32_t inputs[2] = {from->value, GRAPH_NONE};
    bool gone[TENSOR_RANK_MAX] = {false};
    size_t axis = 0;
    enum status status = onnx_lift(build, node, OP_GATHER, &gather, err);
    if (status == OK && !onnx_build_has(node, 1))
        status = error_set(err, ERR_INPUT, "it has no indices");
    if (status == OK)
        status = onnx_build_folded(build, node->input[1], &index, err);
    if (status == OK && (index == NULL || index->shape.rank != 0))
        status = error_set(err, ERR_SUPPORT,
                           "it gathers more than one constant index beside a moved batch");
    if (status == OK)
        status = own_axis(from, gather.axis, &axis, err);
    if (status == OK)
        status = onnx_build_value(build, node->input[1], &inputs[1], err);
    gather.axis = (int64_t)axis;
    gone[axis] = true;
    struct postponed left = without(from, gone);
    return status == OK ? add(build, OP_GATHER, &gather, inputs, 2, onnx_order_node_name(node),
                              node->output[0], &left, err)
                        : status;
}

/* Both orders in one. */
static enum status postpone_transpose(struct onnx_build *build, const struct postponed *from,
                                      const Onnx__NodeProto *node, struct error *err)
{
    struct attributes a;
    bool marks[TENSOR_RANK_MAX];
    size_t rank = from->rank;
    enum status status = onnx_lift(build, node, OP_TRANSPOSE, &a, err);
    if (status == OK)
        status = shape_axes_mark(&a, rank, marks, err);
    if (status == OK && a.axes_count != 0 && a.axes_count != rank)
        status = error_set(err, ERR_INPUT, "the permutation does not name every axis");
    if (status != OK)
        return status;
    struct postponed left = {.value = from->value, .rank = rank};
    for (size_t i = 0; i < rank; i++) {
        int64_t axis = a.axes_count == 0 ? (int64_t)(rank - 1 - i) : a.axes[i];
        left.axes[i] = from->axes[axis < 0 ? axis + (int64_t)rank : axis];
        a.axes[i] = (int64_t)left.axes[i];
    }
    if (left.axes[0] != 0)
        return onnx_build_postpone(build, node->output[0], &left, err);
    a.axes_count = rank;
    uint32_t value;
    return onnx_build_node(build, OP_TRANSPOSE, onnx_order_node_name(node), &from->value, 1,
                           node->output[0], &a, &value, err);
}

/* A tensor in its own order, to begin with. */
static enum status plain(struct onnx_build *build, const char *tensor, struct postponed *out,
                         bool *batched, struct error *err)
{
    enum status status = onnx_build_value(build, tensor, &out->value, err);
    if (status != OK)
        return status;
    const struct value *value = &build->graph->values[out->value];
    *batched = value_batched(value);
    out->rank = value->shape.rank;
    for (size_t i = 0; i < out->rank; i++)
        out->axes[i] = i;
    return OK;
}

static const struct {
    const char *type;
    enum status (*postpone)(struct onnx_build *build, const struct postponed *from,
                            const Onnx__NodeProto *node, struct error *err);
} followers[] = {{"Transpose", postpone_transpose},
                 {"Squeeze", postpone_squeeze},
                 {"Slice", postpone_slice},
                 {"Gather", postpone_gather}};

enum status onnx_postpone(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                          struct error *err)
{
    struct postponed first = {0};
    const struct postponed *from = NULL;
    *done = false;
    if (!onnx_build_has(node, 0))
        return OK;
    from = onnx_build_postponed(build, node->input[0]);
    if (from == NULL && strcmp(node->op_type, "Transpose") == 0) {
        enum status status = plain(build, node->input[0], &first, done, err);
        from = *done ? &first : NULL;
        if (status != OK)
            return status;
    }
    for (size_t i = 0; from != NULL && i < sizeof followers / sizeof *followers; i++)
        if (strcmp(followers[i].type, node->op_type) == 0) {
            *done = true;
            return followers[i].postpone(build, from, node, err);
        }
    return OK;
}
