#include "common/model/onnx_attributes.h"

#include <math.h>
#include <string.h>

#define FIELD(field) offsetof(struct attributes, field)
#define EVERY 0

static const struct attribute_row attribute_rows[] = {
    {OP_AVERAGE_POOL, "kernel_shape", ATTRIBUTE_PAIR, FIELD(kernel), EVERY, 0},
    {OP_AVERAGE_POOL, "strides", ATTRIBUTE_PAIR, FIELD(strides), EVERY, 0},
    {OP_AVERAGE_POOL, "pads", ATTRIBUTE_PADS, FIELD(pads), EVERY, 0},
    {OP_AVERAGE_POOL, "auto_pad", ATTRIBUTE_PAD, FIELD(auto_pad), EVERY, 0},
    {OP_AVERAGE_POOL, "ceil_mode", ATTRIBUTE_BOOL, FIELD(ceil_mode), EVERY, 0},
    {OP_AVERAGE_POOL, "count_include_pad", ATTRIBUTE_BOOL, FIELD(count_include_pad), EVERY, 0},
    {OP_BATCH_NORM, "epsilon", ATTRIBUTE_FLOAT, FIELD(epsilon), EVERY, 0},
    {OP_BATCH_NORM, "momentum", ATTRIBUTE_IGNORED, 0, EVERY, 0},
    {OP_BATCH_NORM, "spatial", ATTRIBUTE_FIXED, 0, EVERY, 1},
    {OP_BATCH_NORM, "training_mode", ATTRIBUTE_FIXED, 0, EVERY, 0},
    {OP_CLIP, "min", ATTRIBUTE_FLOAT, FIELD(low), 10, 0},
    {OP_CLIP, "max", ATTRIBUTE_FLOAT, FIELD(high), 10, 0},
    {OP_CONCAT, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_CONV, "kernel_shape", ATTRIBUTE_PAIR, FIELD(kernel), EVERY, 0},
    {OP_CONV, "strides", ATTRIBUTE_PAIR, FIELD(strides), EVERY, 0},
    {OP_CONV, "dilations", ATTRIBUTE_PAIR, FIELD(dilations), EVERY, 0},
    {OP_CONV, "pads", ATTRIBUTE_PADS, FIELD(pads), EVERY, 0},
    {OP_CONV, "auto_pad", ATTRIBUTE_PAD, FIELD(auto_pad), EVERY, 0},
    {OP_CONV, "group", ATTRIBUTE_INT, FIELD(groups), EVERY, 0},
    {OP_FLATTEN, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_GEMM, "alpha", ATTRIBUTE_FLOAT, FIELD(alpha), EVERY, 0},
    {OP_GEMM, "beta", ATTRIBUTE_FLOAT, FIELD(beta), EVERY, 0},
    {OP_GEMM, "transA", ATTRIBUTE_BOOL, FIELD(trans_a), EVERY, 0},
    {OP_GEMM, "transB", ATTRIBUTE_BOOL, FIELD(trans_b), EVERY, 0},
    {OP_HARD_SIGMOID, "alpha", ATTRIBUTE_FLOAT, FIELD(alpha), EVERY, 0},
    {OP_HARD_SIGMOID, "beta", ATTRIBUTE_FLOAT, FIELD(beta), EVERY, 0},
    {OP_IDENTITY, "ratio", ATTRIBUTE_IGNORED, 0, EVERY, 0},
    {OP_IDENTITY, "seed", ATTRIBUTE_IGNORED, 0, EVERY, 0},
    {OP_LEAKY_RELU, "alpha", ATTRIBUTE_FLOAT, FIELD(alpha), EVERY, 0},
    {OP_MAX_POOL, "kernel_shape", ATTRIBUTE_PAIR, FIELD(kernel), EVERY, 0},
    {OP_MAX_POOL, "strides", ATTRIBUTE_PAIR, FIELD(strides), EVERY, 0},
    {OP_MAX_POOL, "dilations", ATTRIBUTE_PAIR, FIELD(dilations), EVERY, 0},
    {OP_MAX_POOL, "pads", ATTRIBUTE_PADS, FIELD(pads), EVERY, 0},
    {OP_MAX_POOL, "auto_pad", ATTRIBUTE_PAD, FIELD(auto_pad), EVERY, 0},
    {OP_MAX_POOL, "ceil_mode", ATTRIBUTE_BOOL, FIELD(ceil_mode), EVERY, 0},
    {OP_MAX_POOL, "storage_order", ATTRIBUTE_FIXED, 0, EVERY, 0},
    {OP_REDUCE_MEAN, "axes", ATTRIBUTE_AXES, FIELD(axes), 17, 0},
    {OP_REDUCE_MEAN, "keepdims", ATTRIBUTE_BOOL, FIELD(keep_dims), EVERY, 0},
    {OP_REDUCE_MEAN, "noop_with_empty_axes", ATTRIBUTE_FIXED, 0, EVERY, 0},
    {OP_RESHAPE, "allowzero", ATTRIBUTE_FIXED, 0, EVERY, 0},
    {OP_SOFTMAX, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_SQUEEZE, "axes", ATTRIBUTE_AXES, FIELD(axes), 12, 0},
    {OP_TRANSPOSE, "perm", ATTRIBUTE_AXES, FIELD(axes), EVERY, 0},
    {OP_UNSQUEEZE, "axes", ATTRIBUTE_AXES, FIELD(axes), 12, 0},
};
#define ATTRIBUTE_ROWS (sizeof attribute_rows / sizeof *attribute_rows)

static const struct input_row input_rows[] = {
    {OP_CLIP, 1, ATTRIBUTE_FLOAT, FIELD(low), 11},
    {OP_CLIP, 2, ATTRIBUTE_FLOAT, FIELD(high), 11},
    {OP_IDENTITY, 1, ATTRIBUTE_IGNORED, 0, 12},
    {OP_IDENTITY, 2, ATTRIBUTE_IGNORED, 0, 12},
    {OP_REDUCE_MEAN, 1, ATTRIBUTE_AXES, FIELD(axes), 18},
    {OP_RESHAPE, 1, ATTRIBUTE_AXES, FIELD(axes), 5},
    {OP_SQUEEZE, 1, ATTRIBUTE_AXES, FIELD(axes), 13},
    {OP_UNSQUEEZE, 1, ATTRIBUTE_AXES, FIELD(axes), 13},
};
#define INPUT_ROWS (sizeof input_rows / sizeof *input_rows)

const struct attribute_row *onnx_attributes_next(enum op op, const struct attribute_row *after)
{
    const struct attribute_row *row = after == NULL ? attribute_rows : after + 1;
    while (row < attribute_rows + ATTRIBUTE_ROWS && row->op != op)
        row++;
    return row == attribute_rows + ATTRIBUTE_ROWS ? NULL : row;
}

const struct input_row *onnx_attributes_next_input(enum op op, const struct input_row *after)
{
    const struct input_row *row = after == NULL ? input_rows : after + 1;
    while (row < input_rows + INPUT_ROWS && row->op != op)
        row++;
    return row == input_rows + INPUT_ROWS ? NULL : row;
}

void onnx_attributes_default(enum op op, int64_t opset, struct attributes *out)
{
    *out = (struct attributes){.strides = {1, 1},
                               .dilations = {1, 1},
                               .groups = 1,
                               .alpha = 1,
                               .beta = 1,
                               .epsilon = 1e-5f,
                               .low = -INFINITY,
                               .high = INFINITY,
                               .keep_dims = true,
                               .axis = 1};
    if (op == OP_LEAKY_RELU)
        out->alpha = 0.01f;
    if (op == OP_HARD_SIGMOID) {
        out->alpha = 0.2f;
        out->beta = 0.5f;
    }
    if (op == OP_SOFTMAX) {
        out->axis = opset >= 13 ? -1 : 1;
        out->softmax_flat = opset < 13;
    }
}

static enum status read_pad(const Onnx__AttributeProto *from, void *field, struct error *err)
{
    static const char *const names[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
    for (size_t i = 0; i < 4; i++)
        if (from->s.len == strlen(names[i]) && memcmp(from->s.data, names[i], from->s.len) == 0) {
            *(enum auto_pad *)field = (enum auto_pad)i;
            return OK;
        }
    return error_set(err, ERR_INPUT, "auto_pad has an unknown value");
}

static enum status read_ints(const Onnx__AttributeProto *from, size_t least, size_t most,
                             int64_t *out, struct error *err)
{
    if (from->n_ints < least || from->n_ints > most)
        return error_set(err, from->n_ints > 0 && least == most ? ERR_SUPPORT : ERR_INPUT,
                         "attribute %.60s has %zu numbers, supported are %zu to %zu", from->name,
                         from->n_ints, least, most);
    if (from->n_ints > 0)
        memcpy(out, from->ints, from->n_ints * sizeof *out);
    return OK;
}

static enum status read_flag(const Onnx__AttributeProto *from, bool *out, struct error *err)
{
    if (from->i != 0 && from->i != 1)
        return error_set(err, ERR_INPUT, "attribute %.60s must be 0 or 1", from->name);
    *out = from->i == 1;
    return OK;
}

static enum status read_one(const Onnx__AttributeProto *from, const struct attribute_row *row,
                            struct attributes *out, struct error *err)
{
    void *field = (char *)out + row->offset;
    switch (row->kind) {
    case ATTRIBUTE_FLOAT:
        *(float *)field = from->f;
        return isnan(from->f)
                   ? error_set(err, ERR_INPUT, "attribute %.60s is not a number", from->name)
                   : OK;
    case ATTRIBUTE_INT:
        *(int64_t *)field = from->i;
        return OK;
    case ATTRIBUTE_BOOL:
        return read_flag(from, field, err);
    case ATTRIBUTE_PAIR:
        return read_ints(from, 2, 2, field, err);
    case ATTRIBUTE_PADS:
        return read_ints(from, 4, 4, field, err);
    case ATTRIBUTE_AXES:
        out->axes_count = from->n_ints <= TENSOR_RANK_MAX ? from->n_ints : 0;
        return read_ints(from, 0, TENSOR_RANK_MAX, field, err);
    case ATTRIBUTE_PAD:
        return read_pad(from, field, err);
    case ATTRIBUTE_FIXED:
        return from->i == row->fixed
                   ? OK
                   : error_set(err, ERR_SUPPORT, "attribute %.60s = %lld is not supported",
                               from->name, (long long)from->i);
    case ATTRIBUTE_IGNORED:
        return OK;
    }
    return OK;
}

static enum status check_type(const Onnx__AttributeProto *from, enum attribute_kind kind,
                              struct error *err)
{
    static const Onnx__AttributeProto__AttributeType types[] = {
        [ATTRIBUTE_FLOAT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT,
        [ATTRIBUTE_INT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT,
        [ATTRIBUTE_BOOL] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT,
        [ATTRIBUTE_PAIR] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [ATTRIBUTE_PADS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [ATTRIBUTE_AXES] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [ATTRIBUTE_PAD] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [ATTRIBUTE_FIXED] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT,
    };
    if (kind != ATTRIBUTE_IGNORED && from->type != types[kind])
        return error_set(err, ERR_INPUT, "attribute %.60s has the wrong type", from->name);
    return OK;
}

static enum status read_named(const Onnx__AttributeProto *from, enum op op, struct attributes *out,
                              struct error *err)
{
    const struct attribute_row *row = onnx_attributes_next(op, NULL);
    while (row != NULL && strcmp(row->name, from->name) != 0)
        row = onnx_attributes_next(op, row);
    if (row == NULL)
        return error_set(err, ERR_SUPPORT, "attribute %.60s is not supported", from->name);
    enum status status = check_type(from, row->kind, err);
    return status == OK ? read_one(from, row, out, err) : status;
}

enum status onnx_attributes_read(const Onnx__NodeProto *node, enum op op, int64_t opset,
                                 struct attributes *out, struct error *err)
{
    struct attributes read;
    onnx_attributes_default(op, opset, &read);
    for (size_t i = 0; i < node->n_attribute; i++) {
        if (node->attribute[i]->name == NULL)
            return error_set(err, ERR_INPUT, "an attribute has no name");
        enum status status = read_named(node->attribute[i], op, &read, err);
        if (status != OK)
            return status;
    }
    *out = read;
    return OK;
}
