#include "common/model/onnx/relay.h"

#include <stdio.h>
#include <string.h>

#include "common/model/onnx/attributes.h"
#include "common/model/onnx/lift.h"
#include "common/model/onnx/lookup.h"
#include "common/model/onnx/order.h"
#include "common/model/op_table.h"
#include "common/model/shape_axes.h"
#include "common/model/shape_rules.h"

/* The node under construction. */
struct relay {
    struct onnx_build *build;
    const Onnx__NodeProto *node;
    const char *name, *output;
    struct error *err;
    enum op op;
    struct attributes a;
    struct layout l;                  /* of the result; of the first input at the beginning */
    uint32_t inputs[GRAPH_PORTS_MAX]; /* of a tensor with a layout: its value */
    const struct layout *layouts[GRAPH_PORTS_MAX]; /* NULL: a tensor as it is */
    size_t count;
};

static enum status emit(struct relay *r)
{
    return onnx_layout_emit(r->build, r->op, &r->a, r->inputs, r->count, &r->l, r->name, r->output,
                            r->err);
}

static enum status finish(struct relay *r)
{
    return onnx_layout_finish(r->build, &r->l, r->name, r->output, r->err);
}

static enum status refuse(struct relay *r)
{
    return error_set(r->err, ERR_SUPPORT,
                     "its input has the batch in another place than first or merged with another "
                     "axis, and this operator may not follow so");
}

/* ---- axes ---- */

/* The layout without the file's axes that `gone` marks; *axes: the value's axes that go with them. */
static enum status drop(struct relay *r, const bool gone[TENSOR_RANK_MAX], struct attributes *axes)
{
    struct layout left = {.value = r->l.value};
    bool lost[TENSOR_RANK_MAX] = {false};
    axes->axes_count = 0;
    for (size_t i = 0; i < r->l.rank; i++) {
        size_t axis = 0;
        if (!gone[i] || r->l.sizes[i] == 0)
            continue;
        enum status status = onnx_layout_axis(&r->l, (int64_t)i, &axis, r->err);
        if (status != OK)
            return status;
        axes->axes[axes->axes_count++] = (int64_t)axis;
        lost[axis] = true;
    }
    for (size_t i = 0; i < r->l.rank; i++) {
        size_t begin = onnx_layout_begin(&r->l, i);
        if (gone[i])
            continue;
        for (size_t k = begin; k < begin + r->l.sizes[i]; k++) {
            size_t before = 0;
            for (size_t axis = 0; axis < r->l.axes[k]; axis++)
                before += lost[axis];
            left.axes[left.count++] = r->l.axes[k] - before;
        }
        left.sizes[left.rank++] = r->l.sizes[i];
    }
    r->l = left;
    return OK;
}

static enum status relay_transpose(struct relay *r)
{
    const struct layout from = r->l;
    bool marks[TENSOR_RANK_MAX];
    enum status status = shape_axes_mark(&r->a, from.rank, marks, r->err);
    if (status == OK && r->a.axes_count != 0 && r->a.axes_count != from.rank)
        status = error_set(r->err, ERR_INPUT, "the permutation does not name every axis");
    r->l.count = 0;
    for (size_t i = 0; i < from.rank && status == OK; i++) {
        size_t axis = from.rank - 1 - i;
        if (r->a.axes_count > 0)
            status = shape_axes_wrap(r->a.axes[i], from.rank, &axis, r->err);
        size_t begin = onnx_layout_begin(&from, axis);
        r->l.sizes[i] = from.sizes[axis];
        for (size_t k = 0; k < from.sizes[axis]; k++)
            r->l.axes[r->l.count++] = from.axes[begin + k];
    }
    return status == OK ? finish(r) : status;
}

static enum status relay_squeeze(struct relay *r)
{
    bool gone[TENSOR_RANK_MAX];
    enum status status = shape_axes_mark(&r->a, r->l.rank, gone, r->err);
    if (status == OK && r->a.axes_count == 0)
        status = error_set(r->err, ERR_SUPPORT, "it squeezes no axis by name");
    if (status == OK)
        status = drop(r, gone, &r->a);
    if (status != OK)
        return status;
    return r->a.axes_count == 0 ? finish(r) : emit(r);
}

/* New axes have size 1, of which the value need not know. */
static enum status relay_unsqueeze(struct relay *r)
{
    bool marks[TENSOR_RANK_MAX];
    size_t rank = r->l.rank + r->a.axes_count, from = 0;
    if (rank > TENSOR_RANK_MAX)
        return error_set(r->err, ERR_SUPPORT, "rank %zu exceeds %d", rank, TENSOR_RANK_MAX);
    enum status status = shape_axes_mark(&r->a, rank, marks, r->err);
    if (status != OK)
        return status;
    const struct layout old = r->l;
    r->l.rank = rank;
    for (size_t i = 0; i < rank; i++)
        r->l.sizes[i] = marks[i] ? 0 : old.sizes[from++];
    return finish(r);
}

static enum status relay_gather(struct relay *r)
{
    struct folded *index = NULL;
    bool gone[TENSOR_RANK_MAX] = {false};
    size_t axis = 0, own = 0;
    enum status status = onnx_build_has(r->node, 1)
                             ? onnx_build_folded(r->build, r->node->input[1], &index, r->err)
                             : error_set(r->err, ERR_INPUT, "it has no indices");
    if (status == OK && (index == NULL || index->shape.rank != 0))
        return refuse(r);
    if (status == OK)
        status = shape_axes_wrap(r->a.axis, r->l.rank, &axis, r->err);
    if (status == OK)
        status = onnx_layout_axis(&r->l, (int64_t)axis, &own, r->err);
    gone[axis] = true;
    if (status == OK)
        status = drop(r, gone, &r->a);
    r->a.axes_count = 0;
    r->a.axis = (int64_t)own;
    return status == OK ? emit(r) : status;
}

enum status onnx_relay_slice(struct onnx_build *build, const struct layout *from, const char *name,
                             const char *output, const struct attributes *slice, struct error *err)
{
    struct attributes own = *slice;
    struct layout to = *from;
    enum status status = OK;
    for (size_t i = 0; i < own.starts_count && status == OK; i++) {
        size_t axis = 0;
        status =
            onnx_layout_axis(from, own.axes_count == 0 ? (int64_t)i : slice->axes[i], &axis, err);
        own.axes[i] = (int64_t)axis;
    }
    own.axes_count = own.starts_count;
    return status == OK
               ? onnx_layout_emit(build, OP_SLICE, &own, &from->value, 1, &to, name, output, err)
               : status;
}

static enum status relay_reduce(struct relay *r)
{
    bool gone[TENSOR_RANK_MAX];
    enum status status = shape_axes_mark(&r->a, r->l.rank, gone, r->err);
    const struct layout from = r->l;
    if (status == OK && r->a.axes_count == 0)
        return refuse(r);
    if (status == OK)
        status = drop(r, gone, &r->a);
    if (r->a.keep_dims)
        r->l = from;
    return status == OK && r->a.axes_count > 0 ? emit(r) : status == OK ? refuse(r) : status;
}

/* The value with the file's last axis last. */
static enum status put_last(struct relay *r)
{
    size_t axis = 0;
    if (onnx_layout_axis(&r->l, -1, &axis, NULL) == OK && axis == r->l.count - 1)
        return OK;
    enum status status = onnx_layout_order(r->build, &r->l, r->output, "ordered0", r->err);
    r->inputs[0] = r->l.value;
    return status == OK ? onnx_layout_axis(&r->l, -1, &axis, r->err) : status;
}

static enum status relay_along(struct relay *r)
{
    size_t axis = 0, own = 0;
    enum status status = shape_axes_wrap(r->a.axis, r->l.rank, &axis, r->err);
    bool tail = r->op == OP_LAYER_NORM || r->a.softmax_flat;
    if (status == OK && tail && axis != r->l.rank - 1)
        return refuse(r);
    if (status == OK && tail)
        status = put_last(r);
    if (status == OK)
        status = onnx_layout_axis(&r->l, (int64_t)axis, &own, r->err);
    r->a.axis = (int64_t)own;
    return status == OK ? emit(r) : status;
}

/* ---- other tensors beside ---- */

/* A tensor without batch gets the value's axes: [d] beside [L, N, d]; [1, h, L, L] beside
 * [N·w, h, L, L]. */
static enum status lay_beside(struct relay *r, size_t input)
{
    const struct shape *shape = &r->build->graph->values[r->inputs[input]].shape;
    struct attributes a;
    char what[32];
    size_t lead = r->l.rank - shape->rank, order[TENSOR_RANK_MAX];
    if (shape_axes_batched(shape) || shape->rank > r->l.rank)
        return refuse(r);
    size_t last = r->l.rank > 0 ? onnx_layout_begin(&r->l, r->l.rank - 1) : 0;
    if (shape->rank == 0 ||
        (shape->rank == 1 && r->l.sizes[r->l.rank - 1] == 1 && r->l.axes[last] == r->l.count - 1))
        return OK;
    onnx_attributes_default(OP_RESHAPE, r->build->graph->opset, &a);
    for (size_t i = 0; i < r->l.rank; i++) {
        int64_t extent = i < lead ? 1 : shape->dims[i - lead];
        if (extent != 1 && r->l.sizes[i] != 1)
            return refuse(r);
        for (size_t k = 0; k < r->l.sizes[i]; k++) {
            order[r->l.axes[a.axes_count]] = a.axes_count;
            a.axes[a.axes_count++] = extent;
        }
    }
    snprintf(what, sizeof what, "beside%zu", input);
    const char *name = onnx_build_name(r->build, r->output, what);
    const char *turned = name == NULL ? NULL : onnx_build_name(r->build, name, "turned");
    if (turned == NULL)
        return error_set(r->err, ERR_MEMORY, "no memory for node %.100s", r->name);
    enum status status = onnx_build_node(r->build, OP_RESHAPE, name, &r->inputs[input], 1, name, &a,
                                         &r->inputs[input], r->err);
    for (size_t i = 0; i < a.axes_count; i++)
        a.axes[i] = (int64_t)order[i];
    return status == OK ? onnx_build_node(r->build, OP_TRANSPOSE, turned, &r->inputs[input], 1,
                                          turned, &a, &r->inputs[input], r->err)
                        : status;
}

static bool same_layout(const struct layout *a, const struct layout *b)
{
    return a->rank == b->rank && a->count == b->count &&
           memcmp(a->sizes, b->sizes, a->rank * sizeof *a->sizes) == 0 &&
           memcmp(a->axes, b->axes, a->count * sizeof *a->axes) == 0;
}

static enum status relay_elements(struct relay *r)
{
    enum status status = OK;
    for (size_t i = 0; i < r->count && status == OK; i++) {
        if (r->inputs[i] == GRAPH_NONE)
            continue;
        if (r->layouts[i] == NULL)
            status = lay_beside(r, i);
        else if (!same_layout(&r->l, r->layouts[i]))
            status = refuse(r);
    }
    return status == OK ? emit(r) : status;
}

/* ---- products ---- */

/* Both sides with the merged axes first, the same on both. */
static enum status multiply_both(struct relay *r)
{
    struct layout b = *r->layouts[1];
    enum status status = onnx_layout_order(r->build, &r->l, r->output, "ordered0", r->err);
    if (status == OK)
        status = onnx_layout_order(r->build, &b, r->output, "ordered1", r->err);
    if (status != OK)
        return status;
    r->inputs[0] = r->l.value;
    r->inputs[1] = b.value;
    bool alike = same_layout(&r->l, &b) && r->l.rank >= 3 && r->l.sizes[0] > 0;
    for (size_t i = 0; i < r->l.count && alike; i++)
        alike = r->l.axes[i] == i;
    for (size_t i = 1; i < r->l.rank && alike; i++)
        alike = r->l.sizes[i] == 1;
    const struct value *values = r->build->graph->values;
    for (size_t i = 0; i < r->l.sizes[0] && alike; i++)
        alike = values[r->inputs[0]].shape.dims[i] == values[r->inputs[1]].shape.dims[i];
    return alike ? emit(r) : refuse(r);
}

static enum status relay_matmul(struct relay *r)
{
    if (r->count != 2 || r->layouts[0] == NULL)
        return refuse(r);
    if (r->layouts[1] != NULL)
        return multiply_both(r);
    const struct shape *b = &r->build->graph->values[r->inputs[1]].shape;
    if (b->rank != 2 || shape_axes_batched(b))
        return refuse(r);
    enum status status = put_last(r);
    return status == OK ? emit(r) : status;
}

/* Rows that are merged, by a matrix: a product, and the sum of what is alike for each. */
static enum status relay_gemm(struct relay *r)
{
    struct attributes plain;
    struct layout product;
    bool third = r->count > 2 && r->inputs[2] != GRAPH_NONE;
    uint32_t b = r->inputs[1];
    const char *turned = onnx_build_name(r->build, r->output, "weight"),
               *made = onnx_build_name(r->build, r->output, "product");
    if (turned == NULL || made == NULL)
        return error_set(r->err, ERR_MEMORY, "no memory for node %.100s", r->name);
    if (r->count < 2 || r->layouts[0] == NULL || r->layouts[1] != NULL || r->a.trans_a ||
        r->a.alpha != 1 || (third && (r->a.beta != 1 || r->layouts[2] != NULL)))
        return refuse(r);
    onnx_attributes_default(OP_MATMUL, r->build->graph->opset, &plain);
    enum status status = put_last(r);
    if (status == OK && r->a.trans_b)
        status = onnx_build_node(r->build, OP_TRANSPOSE, turned, &b, 1, turned, &plain, &b, r->err);
    r->op = OP_MATMUL;
    r->a = plain;
    r->inputs[1] = b;
    r->count = 2;
    if (status != OK || !third)
        return status == OK ? emit(r) : status;
    status =
        onnx_build_node(r->build, OP_MATMUL, made, r->inputs, 2, made, &plain, &r->l.value, r->err);
    product = r->l;
    r->op = OP_ADD;
    r->inputs[0] = product.value;
    r->inputs[1] = r->inputs[2];
    r->layouts[0] = &product;
    return status == OK ? relay_elements(r) : status;
}

/* ---- reshapes ---- */

/* Flatten's target: [the axes before, the others]. */
static enum status flat_target(struct relay *r, struct folded_number target[2])
{
    size_t end = 1;
    bool all = r->a.axis == (int64_t)r->l.rank;
    enum status status = all ? OK : shape_axes_wrap(r->a.axis, r->l.rank, &end, r->err);
    end = all ? r->l.rank : end;
    struct folded_number before = {.whole = 1}, after = {.whole = -1};
    for (size_t i = 0; i < end && status == OK; i++) {
        struct folded_number size = onnx_layout_size(r->build, &r->l, i);
        if (size.batch != 0)
            before = (struct folded_number){.batch = size.batch * (before.whole + before.batch)};
        else if (before.batch != 0)
            before.batch *= size.whole;
        else
            before.whole *= size.whole;
    }
    target[0] = before;
    target[1] = after;
    return status;
}

/* *known: the file says what it becomes. Zeros copy the file's axes. */
static enum status read_target(struct relay *r, struct folded_number target[TENSOR_RANK_MAX],
                               size_t *rank, bool *known)
{
    struct folded *sizes = NULL;
    const Onnx__AttributeProto *literal = onnx_attributes_find(r->node, "allowzero");
    bool copies = literal == NULL || literal->i == 0;
    enum status status = onnx_build_has(r->node, 1)
                             ? onnx_build_folded(r->build, r->node->input[1], &sizes, r->err)
                             : OK;
    *known = status == OK && sizes != NULL && !onnx_folded_real(sizes->dtype) &&
             sizes->count >= 1 && sizes->count <= TENSOR_RANK_MAX;
    *rank = *known ? sizes->count : 0;
    for (size_t i = 0; i < *rank; i++) {
        target[i] = sizes->numbers[i];
        bool zero = onnx_folded_plain(target[i]) && target[i].whole == 0;
        if (zero && copies && i < r->l.rank)
            target[i] = onnx_layout_size(r->build, &r->l, i);
    }
    return status;
}

/* The batch stays first and alone: an ordinary reshape, of a tensor as it is. */
static bool is_ordinary(const struct relay *r, const struct folded_number *target, size_t rank)
{
    double left = shape_axes_product(&r->build->graph->values[r->l.value].shape), rest = 1;
    if (onnx_folded_batch(target[0]))
        return true;
    if (!onnx_folded_plain(target[0]))
        return false;
    bool open = false;
    for (size_t i = 1; i < rank; i++) {
        open |= !onnx_folded_plain(target[i]) || target[i].whole < 1;
        rest *= open ? 1 : (double)target[i].whole;
    }
    int64_t fixed = r->build->fixed_batch;
    return target[0].whole == -1 ? !open && rest == left : fixed > 0 && target[0].whole == fixed;
}

static enum status relay_reshape(struct relay *r, bool plain, bool *done)
{
    struct folded_number target[TENSOR_RANK_MAX];
    size_t rank = 2;
    bool known = true;
    enum status status =
        r->op == OP_FLATTEN ? flat_target(r, target) : read_target(r, target, &rank, &known);
    *done = !plain;
    if (status != OK || (plain && (!known || is_ordinary(r, target, rank))))
        return status;
    bool cut = false;
    if (known)
        status =
            onnx_layout_reshape(r->build, &r->l, target, rank, r->name, r->output, &cut, r->err);
    *done |= cut;
    if (status == OK && !cut && !plain)
        return error_set(r->err, ERR_SUPPORT,
                         "the batch cannot be told apart in what it makes of merged axes");
    return status;
}

/* ---- any node ---- */

static enum status follow(struct relay *r)
{
    switch ((int)r->op) {
    case OP_TRANSPOSE:
        return relay_transpose(r);
    case OP_SQUEEZE:
        return relay_squeeze(r);
    case OP_UNSQUEEZE:
        return relay_unsqueeze(r);
    case OP_GATHER:
        return relay_gather(r);
    case OP_SLICE:
        return onnx_relay_slice(r->build, &r->l, r->name, r->output, &r->a, r->err);
    case OP_SOFTMAX:
    case OP_LOG_SOFTMAX:
    case OP_LAYER_NORM:
        return relay_along(r);
    case OP_MATMUL:
        return relay_matmul(r);
    case OP_GEMM:
        return relay_gemm(r);
    }
    const struct op_row *row = op_table_row(r->op);
    if (row->shape == shape_rule_reduce)
        return relay_reduce(r);
    if (row->shape == shape_rule_same || row->shape == shape_rule_broadcast)
        return relay_elements(r);
    return refuse(r);
}

/* The inputs that are tensors; the first with a layout gives it to the result. */
static enum status gather_inputs(struct relay *r)
{
    enum status status = OK;
    bool found = false;
    for (size_t i = 0; i < r->node->n_input && status == OK; i++) {
        if (onnx_attributes_input(r->op, r->build->graph->opset, i) != NULL)
            continue;
        size_t at = r->count++;
        r->inputs[at] = GRAPH_NONE;
        if (!onnx_build_has(r->node, i))
            continue;
        r->layouts[at] = onnx_build_layout(r->build, r->node->input[i]);
        if (r->layouts[at] == NULL) {
            status = onnx_build_value(r->build, r->node->input[i], &r->inputs[at], r->err);
            continue;
        }
        r->inputs[at] = r->layouts[at]->value;
        if (!found)
            r->l = *r->layouts[at];
        found = true;
    }
    return status;
}

static bool has_layout(const struct onnx_build *build, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_input; i++)
        if (onnx_build_has(node, i) && onnx_build_layout(build, node->input[i]) != NULL)
            return true;
    return false;
}

/* A node that gives a tensor as it is another layout. */
static enum status begin(struct relay *r, bool *done)
{
    uint32_t value;
    enum status status = onnx_build_value(r->build, r->node->input[0], &value, r->err);
    if (status != OK || !value_batched(&r->build->graph->values[value]))
        return status;
    r->l = onnx_layout_plain(r->build, value);
    r->inputs[0] = value;
    r->count = 1;
    if (r->op == OP_RESHAPE || r->op == OP_FLATTEN)
        return relay_reshape(r, true, done);
    bool moves = r->op == OP_TRANSPOSE && r->a.axes_count == r->l.rank && r->a.axes[0] != 0;
    bool before = false; /* a new axis before the batch */
    for (size_t i = 0; r->op == OP_UNSQUEEZE && i < r->a.axes_count; i++)
        before |= r->a.axes[i] == 0 || r->a.axes[i] == -(int64_t)(r->l.rank + r->a.axes_count);
    *done = moves || before;
    return *done ? follow(r) : OK;
}

static bool has_needed_inputs(const struct relay *r)
{
    size_t needed = op_table_row(r->op)->inputs_min;
    for (size_t i = 0; i < needed && i < r->count; i++)
        if (r->inputs[i] == GRAPH_NONE)
            return false;
    return r->count >= needed;
}

enum status onnx_relay(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                       struct error *err)
{
    struct relay r = {.build = build,
                      .node = node,
                      .name = onnx_order_node_name(node),
                      .output = node->output[0],
                      .err = err};
    bool any = has_layout(build, node);
    enum status status = onnx_lookup(build, node, done, err);
    if (status != OK || *done || !onnx_build_has(node, 0) || node->n_input > GRAPH_PORTS_MAX ||
        !op_table_find(node->op_type, &r.op))
        return status;
    bool begins =
        r.op == OP_RESHAPE || r.op == OP_FLATTEN || r.op == OP_TRANSPOSE || r.op == OP_UNSQUEEZE;
    if (!any && !begins)
        return OK;
    if (r.op != OP_RESHAPE) /* its target may count the batch, which an attribute cannot */
        status = onnx_lift(build, node, r.op, &r.a, err);
    if (status != OK || !any)
        return status == OK ? begin(&r, done) : status;
    *done = true;
    status = gather_inputs(&r);
    if (status == OK && !has_needed_inputs(&r))
        return refuse(&r);
    if (status == OK && (r.op == OP_RESHAPE || r.op == OP_FLATTEN))
        return relay_reshape(&r, false, done);
    return status == OK ? follow(&r) : status;
}
