#include "common/model/onnx/fold.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/model/onnx/attributes.h"
#include "common/model/onnx/fold_rules.h"
#include "common/model/onnx/lift.h"
#include "common/model/onnx/tensor.h"
#include "common/model/op_table.h"

enum type_rule { SAME_TYPE, TRUTH, TYPE_OF_SECOND, TYPE_TO };

/* `op` lends attributes, lifted inputs and shape rule, also to operators that are none of graft's. */
struct fold_row {
    const char *type;
    enum op op;
    enum type_rule type_rule;
    enum status (*compute)(const struct fold *fold);
};

static const struct fold_row rows[] = {
    {"Abs", OP_ABS, SAME_TYPE, onnx_fold_unary},
    {"Add", OP_ADD, SAME_TYPE, onnx_fold_binary},
    {"And", OP_AND, TRUTH, onnx_fold_binary},
    {"Cast", OP_CAST, TYPE_TO, onnx_fold_cast},
    {"Ceil", OP_ABS, SAME_TYPE, onnx_fold_unary},
    {"Concat", OP_CONCAT, SAME_TYPE, onnx_fold_concat},
    {"Div", OP_DIV, SAME_TYPE, onnx_fold_binary},
    {"Equal", OP_EQUAL, TRUTH, onnx_fold_binary},
    {"Exp", OP_EXP, SAME_TYPE, onnx_fold_unary},
    {"Expand", OP_EXPAND, SAME_TYPE, onnx_fold_expand},
    {"Flatten", OP_FLATTEN, SAME_TYPE, onnx_fold_copy},
    {"Floor", OP_ABS, SAME_TYPE, onnx_fold_unary},
    {"Gather", OP_GATHER, SAME_TYPE, onnx_fold_gather},
    {"Greater", OP_GREATER, TRUTH, onnx_fold_binary},
    {"GreaterOrEqual", OP_GREATER_OR_EQUAL, TRUTH, onnx_fold_binary},
    {"Identity", OP_IDENTITY, SAME_TYPE, onnx_fold_copy},
    {"Less", OP_LESS, TRUTH, onnx_fold_binary},
    {"LessOrEqual", OP_LESS_OR_EQUAL, TRUTH, onnx_fold_binary},
    {"Log", OP_LOG, SAME_TYPE, onnx_fold_unary},
    {"Max", OP_MAX, SAME_TYPE, onnx_fold_binary},
    {"Min", OP_MIN, SAME_TYPE, onnx_fold_binary},
    {"Mod", OP_ADD, SAME_TYPE, onnx_fold_binary},
    {"Mul", OP_MUL, SAME_TYPE, onnx_fold_binary},
    {"Neg", OP_NEG, SAME_TYPE, onnx_fold_unary},
    {"Not", OP_NOT, SAME_TYPE, onnx_fold_unary},
    {"Or", OP_OR, TRUTH, onnx_fold_binary},
    {"Pow", OP_POW, SAME_TYPE, onnx_fold_binary},
    {"ReduceMax", OP_REDUCE_MAX, SAME_TYPE, onnx_fold_reduce},
    {"ReduceMean", OP_REDUCE_MEAN, SAME_TYPE, onnx_fold_reduce},
    {"ReduceMin", OP_REDUCE_MIN, SAME_TYPE, onnx_fold_reduce},
    {"ReduceProd", OP_REDUCE_MAX, SAME_TYPE, onnx_fold_reduce},
    {"ReduceSum", OP_REDUCE_SUM, SAME_TYPE, onnx_fold_reduce},
    {"Reshape", OP_RESHAPE, SAME_TYPE, onnx_fold_copy},
    {"Round", OP_ABS, SAME_TYPE, onnx_fold_unary},
    {"Slice", OP_SLICE, SAME_TYPE, onnx_fold_slice},
    {"Sqrt", OP_SQRT, SAME_TYPE, onnx_fold_unary},
    {"Squeeze", OP_SQUEEZE, SAME_TYPE, onnx_fold_copy},
    {"Sub", OP_SUB, SAME_TYPE, onnx_fold_binary},
    {"Tile", OP_TILE, SAME_TYPE, onnx_fold_tile},
    {"Transpose", OP_TRANSPOSE, SAME_TYPE, onnx_fold_transpose},
    {"Unsqueeze", OP_UNSQUEEZE, SAME_TYPE, onnx_fold_copy},
    {"Where", OP_WHERE, TYPE_OF_SECOND, onnx_fold_where},
};

static const struct fold_row *row_of(const char *type)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].type, type) == 0)
            return &rows[i];
    return NULL;
}

/* ---- nodes that make numbers ---- */

static enum status finish(struct onnx_build *build, const Onnx__NodeProto *node,
                          struct folded *folded, struct error *err)
{
    folded->made = true;
    return onnx_build_fold(build, node->output[0], folded, err);
}

static int64_t int_attribute(const Onnx__NodeProto *node, const char *name, int64_t usual)
{
    const Onnx__AttributeProto *found = onnx_attributes_find(node, name);
    return found == NULL ? usual : found->i;
}

static int64_t clamp_axis(int64_t axis, int64_t rank)
{
    axis = axis < 0 ? axis + rank : axis;
    return axis < 0 ? 0 : axis > rank ? rank : axis;
}

/* The sizes `start` to `end` - 1. */
static enum status fold_shape(struct onnx_build *build, const Onnx__NodeProto *node,
                              struct error *err)
{
    struct folded_number sizes[TENSOR_RANK_MAX];
    size_t count = 0;
    struct folded *folded = NULL;
    enum status status = onnx_build_sizes(build, node->input[0], sizes, &count, err);
    if (status != OK)
        return status;
    int64_t rank = (int64_t)count;
    int64_t start = clamp_axis(int_attribute(node, "start", 0), rank);
    int64_t end = clamp_axis(int_attribute(node, "end", rank), rank);
    struct shape list = {.rank = 1, .dims = {end > start ? end - start : 0}};
    status = onnx_folded_create(build->scratch, DTYPE_I64, &list, &folded, err);
    for (size_t i = 0; status == OK && i < folded->count; i++)
        folded->numbers[i] = sizes[(size_t)start + i];
    return status == OK ? finish(build, node, folded, err) : status;
}

static enum status fold_size(struct onnx_build *build, const Onnx__NodeProto *node,
                             struct error *err)
{
    static const struct shape scalar = {0};
    struct shape shape;
    enum dtype dtype;
    size_t elements;
    struct folded *folded = NULL;
    enum status status = onnx_build_shape(build, node->input[0], &shape, &dtype, err);
    if (status == OK && !shape_elements(&shape, &elements))
        status = error_set(err, ERR_SUPPORT, "it computes with the size of the batch");
    if (status == OK)
        status = onnx_folded_create(build->scratch, DTYPE_I64, &scalar, &folded, err);
    if (status != OK)
        return status;
    folded->numbers[0].whole = (int64_t)elements;
    return finish(build, node, folded, err);
}

static enum status need_folded(struct onnx_build *build, const Onnx__NodeProto *node, size_t input,
                               struct folded **out, struct error *err)
{
    if (!onnx_build_has(node, input))
        return error_set(err, ERR_INPUT, "input %zu is left out", input);
    enum status status = onnx_build_folded(build, node->input[input], out, err);
    if (status == OK && *out == NULL)
        status =
            error_set(err, ERR_SUPPORT, "input %.100s must be a constant, or computed from shapes",
                      node->input[input]);
    return status;
}

/* ceil((limit - start) / delta) numbers. */
static enum status count_range(struct folded *const ends[3], double *out, struct error *err)
{
    double numbers[3];
    for (size_t i = 0; i < 3; i++) {
        if (ends[i]->count != 1 || ends[i]->dtype != ends[0]->dtype)
            return error_set(err, ERR_INPUT, "input %zu is not one number of the first's type", i);
        if (!onnx_folded_plain(ends[i]->numbers[0]))
            return error_set(err, ERR_SUPPORT, "it counts up to the size of the batch");
        numbers[i] = onnx_folded_real(ends[i]->dtype) ? ends[i]->numbers[0].real
                                                      : (double)ends[i]->numbers[0].whole;
    }
    double count = ceil((numbers[1] - numbers[0]) / numbers[2]);
    if (numbers[2] == 0 || !(count <= (double)FOLDED_ELEMENTS_MAX))
        return error_set(err, ERR_INPUT, "it makes no end of numbers");
    *out = count < 0 ? 0 : count;
    return OK;
}

/* 0, 1, … up to the batch: each sample has its place. */
static bool counts_samples(struct folded *const ends[3])
{
    for (size_t i = 0; i < 3; i++)
        if (ends[i]->count != 1 || onnx_folded_real(ends[i]->dtype))
            return false;
    return onnx_folded_plain(ends[0]->numbers[0]) && ends[0]->numbers[0].whole == 0 &&
           onnx_folded_batch(ends[1]->numbers[0]) && onnx_folded_plain(ends[2]->numbers[0]) &&
           ends[2]->numbers[0].whole == 1;
}

static enum status fold_samples(struct onnx_build *build, const Onnx__NodeProto *node,
                                enum dtype dtype, struct error *err)
{
    static const struct shape each = {.rank = 1, .dims = {-1}};
    struct folded *folded = NULL;
    enum status status = onnx_folded_create(build->scratch, dtype, &each, &folded, err);
    if (status != OK)
        return status;
    folded->numbers[0].sample = 1;
    return finish(build, node, folded, err);
}

static enum status fold_range(struct onnx_build *build, const Onnx__NodeProto *node,
                              struct error *err)
{
    struct folded *ends[3] = {0}, *folded = NULL;
    double count = 0;
    enum status status = OK;
    for (size_t i = 0; i < 3 && status == OK; i++)
        status = need_folded(build, node, i, &ends[i], err);
    if (status == OK && counts_samples(ends))
        return fold_samples(build, node, ends[0]->dtype, err);
    if (status == OK)
        status = count_range(ends, &count, err);
    struct shape shape = {.rank = 1, .dims = {(int64_t)count}};
    if (status == OK)
        status = onnx_folded_create(build->scratch, ends[0]->dtype, &shape, &folded, err);
    if (status != OK)
        return status;
    struct folded_number start = ends[0]->numbers[0], delta = ends[2]->numbers[0];
    bool real = onnx_folded_real(folded->dtype);
    for (size_t i = 0; i < folded->count; i++) {
        if (real)
            folded->numbers[i].real = start.real + (double)i * delta.real;
        else
            folded->numbers[i].whole = start.whole + (int64_t)i * delta.whole;
        if (!onnx_folded_fit(folded->numbers[i], folded->dtype, folded->dtype, &folded->numbers[i]))
            return error_set(err, ERR_INPUT, "the numbers do not fit their type");
    }
    return finish(build, node, folded, err);
}

/* The attribute `value`: a tensor of one element; without it a float32 zero. */
static enum status filler(struct onnx_build *build, const Onnx__NodeProto *node,
                          struct folded **out, struct error *err)
{
    static const struct shape scalar = {0};
    const Onnx__AttributeProto *value = onnx_attributes_find(node, "value");
    struct onnx_tensor tensor = {0};
    if (value == NULL)
        return onnx_folded_create(build->scratch, DTYPE_F32, &scalar, out, err);
    if (value->t == NULL)
        return error_set(err, ERR_INPUT, "value is not a tensor");
    enum status status =
        onnx_tensor_read(value->t, build->directory, build->scratch, &build->digest, &tensor, err);
    struct value constant = {.dtype = tensor.dtype, .shape = tensor.shape, .data = tensor.data};
    if (status == OK)
        status = onnx_folded_load(build->scratch, &constant, out, err);
    if (status == OK && (*out)->count != 1)
        status = error_set(err, ERR_INPUT, "value has %zu elements", (*out)->count);
    return status;
}

static enum status fold_constant_of_shape(struct onnx_build *build, const Onnx__NodeProto *node,
                                          struct error *err)
{
    struct folded *sizes = NULL, *fill = NULL, *folded = NULL;
    enum status status = need_folded(build, node, 0, &sizes, err);
    if (status == OK)
        status = filler(build, node, &fill, err);
    if (status != OK)
        return status;
    if (sizes->count > TENSOR_RANK_MAX || onnx_folded_real(sizes->dtype))
        return error_set(err, ERR_SUPPORT, "its input is not up to %d sizes", TENSOR_RANK_MAX);
    struct shape shape = {.rank = sizes->count};
    for (size_t i = 0; i < shape.rank; i++) {
        struct folded_number size = sizes->numbers[i];
        bool batch = i == 0 && onnx_folded_batch(size);
        if (!batch && (!onnx_folded_plain(size) || size.whole < 0))
            return error_set(err, ERR_SUPPORT, "axis %zu depends on the batch or is negative", i);
        shape.dims[i] = batch ? -1 : size.whole;
    }
    status = onnx_folded_create(build->scratch, fill->dtype, &shape, &folded, err);
    if (status != OK)
        return status;
    for (size_t i = 0; i < folded->count; i++)
        folded->numbers[i] = fill->numbers[0];
    return finish(build, node, folded, err);
}

static const struct {
    const char *type;
    enum status (*fold)(struct onnx_build *build, const Onnx__NodeProto *node, struct error *err);
} makers[] = {{"Shape", fold_shape},
              {"Size", fold_size},
              {"Range", fold_range},
              {"ConstantOfShape", fold_constant_of_shape}};

/* ---- nodes that compute with them ---- */

struct inputs {
    struct folded *at[GRAPH_PORTS_MAX];
    const struct shape *shapes[GRAPH_PORTS_MAX];
    size_t count;
};

/* *known: all tensors among its inputs are. Stops at the first that is not, before anything is read
 * that only a node would need. */
static enum status gather(struct onnx_build *build, const Onnx__NodeProto *node, enum op op,
                          struct inputs *inputs, bool *known, struct error *err)
{
    *known = node->n_input > 0 && node->n_input <= GRAPH_PORTS_MAX;
    for (size_t i = 0; i < node->n_input && *known; i++) {
        if (onnx_attributes_input(op, build->graph->opset, i) != NULL)
            continue;
        struct folded **at = &inputs->at[inputs->count];
        *known = onnx_build_has(node, i);
        enum status status = *known ? onnx_build_folded(build, node->input[i], at, err) : OK;
        if (status != OK)
            return status;
        *known &= *at != NULL;
        if (*known)
            inputs->shapes[inputs->count++] = &(*at)->shape;
    }
    return OK;
}

/* Parameters stay values, so that they can be trained; but a few numbers beside what comes from
 * shapes (the factors of an enlargement) are none. */
static bool may_fold(const struct fold_row *row, const struct inputs *inputs)
{
    bool parameter = false, made = false;
    for (size_t i = 0; i < inputs->count; i++) {
        parameter |= inputs->at[i]->parameter;
        made |= inputs->at[i]->made;
    }
    return !parameter || (made && row->compute == onnx_fold_binary);
}

static enum dtype type_of(const struct fold_row *row, const struct inputs *inputs,
                          const struct attributes *a)
{
    switch (row->type_rule) {
    case SAME_TYPE:
        return inputs->at[0]->dtype;
    case TRUTH:
        return DTYPE_BOOL;
    case TYPE_OF_SECOND:
        return inputs->at[1]->dtype;
    case TYPE_TO:
        return a->to;
    }
    return DTYPE_F32;
}

static enum status check_types(const struct fold_row *row, const struct inputs *inputs,
                               struct error *err)
{
    const struct op_row *usual = op_table_row(row->op);
    bool compares = row->compute == onnx_fold_binary || row->compute == onnx_fold_concat;
    if (inputs->count < usual->inputs_min || inputs->count > usual->inputs_max)
        return error_set(err, ERR_INPUT, "%zu inputs, expected %zu to %zu", inputs->count,
                         usual->inputs_min, usual->inputs_max);
    for (size_t i = 1; i < inputs->count && compares; i++)
        if (inputs->at[i]->dtype != inputs->at[0]->dtype)
            return error_set(err, ERR_INPUT, "its inputs are %s and %s",
                             dtype_name(inputs->at[0]->dtype), dtype_name(inputs->at[i]->dtype));
    if (row->op == OP_WHERE && inputs->at[1]->dtype != inputs->at[2]->dtype)
        return error_set(err, ERR_INPUT, "its inputs are %s and %s",
                         dtype_name(inputs->at[1]->dtype), dtype_name(inputs->at[2]->dtype));
    return OK;
}

static enum status attributes_of(struct onnx_build *build, const Onnx__NodeProto *proto,
                                 const struct fold_row *row, struct attributes *out,
                                 struct error *err)
{
    if (strcmp(row->type, "Mod") != 0)
        return onnx_lift(build, proto, row->op, out, err);
    onnx_attributes_default(row->op, build->graph->opset, out);
    return OK;
}

static enum status compute(struct onnx_build *build, const Onnx__NodeProto *proto,
                           const struct fold_row *row, const struct inputs *inputs,
                           struct error *err)
{
    struct node node = {.op = row->op, .input_count = inputs->count};
    struct folded *out = NULL;
    struct shape shape = {0};
    enum status status = check_types(row, inputs, err);
    if (status == OK)
        status = attributes_of(build, proto, row, &node.attributes, err);
    if (status == OK)
        status = op_table_row(row->op)->shape(&node, inputs->shapes, &shape, err);
    if (status == OK)
        status = onnx_folded_create(build->scratch, type_of(row, inputs, &node.attributes), &shape,
                                    &out, err);
    if (status == OK)
        status = row->compute(&(struct fold){
            .node = &node, .proto = proto, .in = inputs->at, .out = out, .err = err});
    return status == OK ? finish(build, proto, out, err) : status;
}

enum status onnx_fold(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                      struct error *err)
{
    struct inputs inputs = {0};
    *done = true;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        if (strcmp(makers[i].type, node->op_type) == 0)
            return onnx_build_has(node, 0) ? makers[i].fold(build, node, err)
                                           : error_set(err, ERR_INPUT, "its input is left out");
    *done = false;
    const struct fold_row *row = row_of(node->op_type);
    if (row == NULL)
        return OK;
    enum status status = gather(build, node, row->op, &inputs, done, err);
    *done = status == OK && *done && may_fold(row, &inputs);
    return *done ? compute(build, node, row, &inputs, err) : status;
}
