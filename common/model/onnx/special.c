#include "common/model/onnx/special.h"

#include <stdio.h>
#include <string.h>

#include "common/model/onnx/attributes.h"
#include "common/model/onnx/lift.h"
#include "common/model/onnx/operator.h"
#include "common/model/onnx/order.h"
#include "common/model/onnx/relay.h"
#include "common/model/shape_axes.h"

#define SPLIT_MAX 256

/* A node of a value under construction: input `*at`, output beside the file's own, which is the new
 * *at. */
static enum status step(struct onnx_build *build, const Onnx__NodeProto *node, enum op op,
                        const struct attributes *attributes, const uint32_t *inputs, size_t count,
                        const char *what, uint32_t *at, struct error *err)
{
    const char *name =
        what == NULL ? node->output[0] : onnx_build_name(build, node->output[0], what);
    if (name == NULL)
        return error_set(err, ERR_MEMORY, "no memory for node %.100s", onnx_order_node_name(node));
    return onnx_build_node(build, op, what == NULL ? onnx_order_node_name(node) : name, inputs,
                           count, name, attributes, at, err);
}

/* ---- Split ---- */

struct split {
    size_t axis;
    int64_t extent;
    int64_t sizes[SPLIT_MAX];
    size_t count;
};

/* Equal parts; with num_outputs (opset 18) the last may be smaller. */
static enum status split_evenly(const Onnx__NodeProto *node, struct split *split, struct error *err)
{
    int64_t count = (int64_t)split->count, size = (split->extent + count - 1) / count;
    bool uneven = onnx_attributes_find(node, "num_outputs") != NULL;
    if (split->extent % count != 0 && !uneven)
        return error_set(err, ERR_INPUT, "%lld elements do not split into %lld equal parts",
                         (long long)split->extent, (long long)count);
    for (size_t i = 0; i < split->count; i++)
        split->sizes[i] = i + 1 < split->count ? size : split->extent - size * (count - 1);
    return OK;
}

static enum status split_sizes(struct onnx_build *build, const Onnx__NodeProto *node,
                               struct split *split, struct error *err)
{
    const Onnx__AttributeProto *list = onnx_attributes_find(node, "split");
    size_t count = split->count;
    enum status status = OK;
    if (list != NULL) {
        count = list->n_ints;
        if (count == split->count)
            memcpy(split->sizes, list->ints, count * sizeof *list->ints);
    } else if (onnx_build_has(node, 1)) {
        status = onnx_lift_list(build, node->input[1], SPLIT_MAX, split->sizes, &count, err);
    } else {
        return split_evenly(node, split, err);
    }
    if (status == OK && count != split->count)
        return error_set(err, ERR_INPUT, "%zu sizes for %zu outputs", count, split->count);
    return status;
}

static enum status read_split(struct onnx_build *build, const Onnx__NodeProto *node,
                              struct split *split, struct error *err)
{
    const Onnx__AttributeProto *axis = onnx_attributes_find(node, "axis");
    struct folded_number sizes[TENSOR_RANK_MAX];
    size_t rank = 0;
    if (!onnx_build_has(node, 0) || node->n_output > SPLIT_MAX)
        return error_set(err, ERR_INPUT, "it has no input or more than %d outputs", SPLIT_MAX);
    enum status status = onnx_build_sizes(build, node->input[0], sizes, &rank, err);
    split->count = node->n_output;
    if (status == OK)
        status = shape_axes_wrap(axis == NULL ? 0 : axis->i, rank, &split->axis, err);
    if (status != OK)
        return status;
    split->extent = sizes[split->axis].whole;
    if (!onnx_folded_plain(sizes[split->axis]))
        return shape_axes_refuse_batch(err);
    return split_sizes(build, node, split, err);
}

/* A part of what is known while reading is known too. */
static enum status fold_part(struct onnx_build *build, const char *output,
                             const struct folded *from, size_t axis, int64_t start, int64_t end,
                             struct error *err)
{
    struct shape shape = from->shape;
    struct folded *part = NULL;
    size_t inner = 1, extent = (size_t)shape.dims[axis], at = 0;
    for (size_t i = axis + 1; i < shape.rank; i++)
        inner *= (size_t)shape.dims[i];
    shape.dims[axis] = end - start;
    enum status status = onnx_folded_create(build->scratch, from->dtype, &shape, &part, err);
    if (status != OK)
        return status;
    for (size_t i = 0; i < from->count; i++) {
        size_t place = i / inner % extent;
        if (place >= (size_t)start && place < (size_t)end)
            part->numbers[at++] = from->numbers[i];
    }
    part->made = from->made;
    return onnx_build_fold(build, output, part, err);
}

static enum status add_part(struct onnx_build *build, const Onnx__NodeProto *node, size_t output,
                            const struct attributes *slice, struct error *err)
{
    const char *name = node->output[output];
    const struct layout *from = onnx_build_layout(build, node->input[0]);
    struct folded *known = NULL;
    uint32_t value;
    enum status status = onnx_build_folded(build, node->input[0], &known, err);
    if (status == OK && known != NULL && !known->parameter)
        return fold_part(build, name, known, (size_t)slice->axes[0], slice->starts[0],
                         slice->ends[0], err);
    if (status != OK)
        return status;
    if (from != NULL)
        return onnx_relay_slice(build, from, name, name, slice, err);
    status = onnx_build_value(build, node->input[0], &value, err);
    return status == OK
               ? onnx_build_node(build, OP_SLICE, name, &value, 1, name, slice, &value, err)
               : status;
}

/* A slice for each output that is used. */
static enum status special_split(struct onnx_build *build, const Onnx__NodeProto *node,
                                 struct error *err)
{
    struct split split = {0};
    struct attributes slice;
    enum status status = read_split(build, node, &split, err);
    onnx_attributes_default(OP_SLICE, build->graph->opset, &slice);
    slice.axes_count = slice.starts_count = 1;
    slice.axes[0] = (int64_t)split.axis;
    for (size_t i = 0; i < split.count && status == OK; i++) {
        if (split.sizes[i] < 0 || split.sizes[i] > split.extent - slice.starts[0])
            return error_set(err, ERR_INPUT, "its parts exceed the %lld elements of axis %zu",
                             (long long)split.extent, split.axis);
        slice.ends[0] = slice.starts[0] + split.sizes[i];
        const struct onnx_name *name = node->output[i] == NULL || node->output[i][0] == '\0'
                                           ? NULL
                                           : onnx_names_find(&build->names, node->output[i]);
        if (name != NULL && name->used)
            status = add_part(build, node, i, &slice, err);
        slice.starts[0] = slice.ends[0];
    }
    return status;
}

/* ---- sums ---- */

/* From the left; *at is the sum. `last`: under the file's name. */
static enum status add_all(struct onnx_build *build, const Onnx__NodeProto *node, bool last,
                           uint32_t *at, struct error *err)
{
    struct attributes plain;
    char what[32];
    onnx_attributes_default(OP_ADD, build->graph->opset, &plain);
    if (node->n_input == 0 || !onnx_build_has(node, 0))
        return error_set(err, ERR_INPUT, "it sums nothing");
    enum status status = onnx_build_value(build, node->input[0], at, err);
    for (size_t i = 1; i < node->n_input && status == OK; i++) {
        uint32_t inputs[2] = {*at, GRAPH_NONE};
        if (!onnx_build_has(node, i))
            return error_set(err, ERR_INPUT, "input %zu is left out", i);
        snprintf(what, sizeof what, "sum%zu", i);
        status = onnx_build_value(build, node->input[i], &inputs[1], err);
        if (status == OK)
            status = step(build, node, OP_ADD, &plain, inputs, 2,
                          last && i + 1 == node->n_input ? NULL : what, at, err);
    }
    if (status == OK && last && node->n_input == 1)
        status = step(build, node, OP_IDENTITY, &plain, at, 1, NULL, at, err);
    return status;
}

static enum status special_sum(struct onnx_build *build, const Onnx__NodeProto *node,
                               struct error *err)
{
    uint32_t at;
    return add_all(build, node, true, &at, err);
}

static enum status special_mean(struct onnx_build *build, const Onnx__NodeProto *node,
                                struct error *err)
{
    static const struct shape scalar = {0};
    struct attributes plain;
    uint32_t inputs[2] = {GRAPH_NONE, GRAPH_NONE}, at;
    const char *name = onnx_build_name(build, node->output[0], "count");
    float *count = graph_alloc(build->graph, 1, sizeof *count);
    if (name == NULL || count == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a number");
    onnx_attributes_default(OP_DIV, build->graph->opset, &plain);
    *count = (float)node->n_input;
    enum status status = add_all(build, node, false, &inputs[0], err);
    if (status == OK)
        status =
            graph_add_value(build->graph, name, DTYPE_F32, &scalar, count, false, &inputs[1], err);
    return status == OK ? step(build, node, OP_DIV, &plain, inputs, 2, NULL, &at, err) : status;
}

/* ---- types ---- */

static enum status cast(struct onnx_build *build, const Onnx__NodeProto *node, enum dtype to,
                        const char *what, uint32_t *at, struct error *err)
{
    struct attributes attributes;
    uint32_t input = *at;
    onnx_attributes_default(OP_CAST, build->graph->opset, &attributes);
    attributes.to = to;
    return step(build, node, OP_CAST, &attributes, &input, 1, what, at, err);
}

static enum status special_cast_like(struct onnx_build *build, const Onnx__NodeProto *node,
                                     struct error *err)
{
    struct shape shape;
    enum dtype to;
    uint32_t at;
    if (!onnx_build_has(node, 0) || !onnx_build_has(node, 1))
        return error_set(err, ERR_INPUT, "it needs two inputs");
    enum status status = onnx_build_shape(build, node->input[1], &shape, &to, err);
    if (status == OK)
        status = onnx_build_value(build, node->input[0], &at, err);
    return status == OK ? cast(build, node, to, NULL, &at, err) : status;
}

/* Whole numbers divide towards zero: the float32 quotient, cut. Below 2^24 no quotient rounds up to
 * a whole number that it does not reach. */
static enum status divide_whole(struct onnx_build *build, const Onnx__NodeProto *node,
                                uint32_t inputs[2], struct error *err)
{
    struct attributes plain;
    uint32_t at;
    enum dtype dtype = build->graph->values[inputs[0]].dtype;
    onnx_attributes_default(OP_DIV, build->graph->opset, &plain);
    enum status status = cast(build, node, DTYPE_F32, "dividend", &inputs[0], err);
    if (status == OK)
        status = cast(build, node, DTYPE_F32, "divisor", &inputs[1], err);
    if (status == OK)
        status = step(build, node, OP_DIV, &plain, inputs, 2, "quotient", &at, err);
    return status == OK ? cast(build, node, dtype, NULL, &at, err) : status;
}

static enum status special_div(struct onnx_build *build, const Onnx__NodeProto *node,
                               struct error *err)
{
    uint32_t inputs[2], value;
    enum status status = OK;
    if (node->n_input != 2 || !onnx_build_has(node, 0) || !onnx_build_has(node, 1))
        return error_set(err, ERR_INPUT, "it needs two inputs");
    for (size_t i = 0; i < 2 && status == OK; i++)
        status = onnx_build_value(build, node->input[i], &inputs[i], err);
    if (status != OK)
        return status;
    const struct value *values = build->graph->values;
    enum dtype dtype = values[inputs[0]].dtype;
    bool whole = dtype != DTYPE_F32 && dtype != DTYPE_F64 && dtype != DTYPE_BOOL &&
                 values[inputs[1]].dtype == dtype;
    return whole ? divide_whole(build, node, inputs, err)
                 : onnx_operator_plain(build, node, OP_DIV, node->output[0], &value, err);
}

/* ---- others ---- */

/* What is not equal to itself. */
static enum status special_is_nan(struct onnx_build *build, const Onnx__NodeProto *node,
                                  struct error *err)
{
    struct attributes plain;
    uint32_t inputs[2], at;
    if (!onnx_build_has(node, 0))
        return error_set(err, ERR_INPUT, "its input is left out");
    onnx_attributes_default(OP_EQUAL, build->graph->opset, &plain);
    enum status status = onnx_build_value(build, node->input[0], &inputs[0], err);
    inputs[1] = inputs[0];
    if (status == OK)
        status = step(build, node, OP_EQUAL, &plain, inputs, 2, "number", &at, err);
    return status == OK ? step(build, node, OP_NOT, &plain, &at, 1, NULL, &at, err) : status;
}

static enum status special_upsample(struct onnx_build *build, const Onnx__NodeProto *node,
                                    struct error *err)
{
    uint32_t value;
    return onnx_operator_plain(build, node, OP_RESIZE, node->output[0], &value, err);
}

/* One value per group → one per channel: [G] → [G, 1] → [G, C/G] → [C]. */
static enum status per_channel(struct onnx_build *build, const Onnx__NodeProto *node,
                               int64_t groups, int64_t channels, const char *what, uint32_t *at,
                               struct error *err)
{
    struct attributes a;
    char names[3][32];
    for (size_t i = 0; i < 3; i++)
        snprintf(names[i], sizeof names[i], "%s%zu", what, i);
    onnx_attributes_default(OP_RESHAPE, build->graph->opset, &a);
    a.axes_count = 2;
    a.axes[0] = groups;
    a.axes[1] = 1;
    enum status status = step(build, node, OP_RESHAPE, &a, at, 1, names[0], at, err);
    a.axes[1] = channels / groups;
    if (status == OK)
        status = step(build, node, OP_EXPAND, &a, at, 1, names[1], at, err);
    a.axes_count = 1;
    a.axes[0] = channels;
    return status == OK ? step(build, node, OP_RESHAPE, &a, at, 1, names[2], at, err) : status;
}

static bool has_groups(const struct value *value, int64_t groups, int64_t channels)
{
    return value->shape.rank == 1 && value->shape.dims[0] == groups && groups != channels;
}

static enum status special_group_norm(struct onnx_build *build, const Onnx__NodeProto *node,
                                      struct error *err)
{
    struct attributes a;
    uint32_t inputs[3], value;
    enum status status = onnx_lift(build, node, OP_GROUP_NORM, &a, err);
    if (status == OK && node->n_input != 3)
        status = error_set(err, ERR_INPUT, "it needs three inputs");
    for (size_t i = 0; status == OK && i < 3; i++)
        status = onnx_build_has(node, i) ? onnx_build_value(build, node->input[i], &inputs[i], err)
                                         : error_set(err, ERR_INPUT, "input %zu is left out", i);
    if (status != OK)
        return status;
    const struct shape *x = &build->graph->values[inputs[0]].shape;
    int64_t channels = x->rank > 1 ? x->dims[1] : 0;
    bool grouped = build->graph->opset < 21 && a.groups > 0 && channels % a.groups == 0;
    for (size_t i = 1; i < 3 && grouped && status == OK; i++)
        if (has_groups(&build->graph->values[inputs[i]], a.groups, channels))
            status = per_channel(build, node, a.groups, channels, i == 1 ? "scale" : "bias",
                                 &inputs[i], err);
    return status == OK ? step(build, node, OP_GROUP_NORM, &a, inputs, 3, NULL, &value, err)
                        : status;
}

static const struct {
    const char *type;
    enum status (*add)(struct onnx_build *build, const Onnx__NodeProto *node, struct error *err);
} specials[] = {
    {"CastLike", special_cast_like},
    {"Div", special_div},
    {"GroupNormalization", special_group_norm},
    {"IsNaN", special_is_nan},
    {"Mean", special_mean},
    {"Split", special_split},
    {"Sum", special_sum},
    {"Upsample", special_upsample},
};

enum status onnx_special(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                         struct error *err)
{
    *done = false;
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
        if (strcmp(specials[i].type, node->op_type) == 0) {
            *done = true;
            return specials[i].add(build, node, err);
        }
    return OK;
}
