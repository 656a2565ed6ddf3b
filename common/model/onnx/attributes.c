#include "common/model/onnx/attributes.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/model/onnx/attribute_rows.h"
#include "common/model/onnx/types.h"

const struct attribute_row *onnx_attributes_next(enum op op, const struct attribute_row *after)
{
    const struct attribute_row *row = after == NULL ? attribute_rows : after + 1;
    while (row < attribute_rows + ATTRIBUTE_ROWS && row->op != op)
        row++;
    return row == attribute_rows + ATTRIBUTE_ROWS ? NULL : row;
}

static bool row_applies(const struct input_row *row, enum op op, int64_t opset)
{
    return row->op == op && opset >= row->opset_first &&
           (row->opset_last == EVERY || opset <= row->opset_last);
}

const struct input_row *onnx_attributes_next_input(enum op op, int64_t opset,
                                                   const struct input_row *after)
{
    const struct input_row *row = after == NULL ? input_rows : after + 1;
    while (row < input_rows + INPUT_ROWS && !row_applies(row, op, opset))
        row++;
    return row == input_rows + INPUT_ROWS ? NULL : row;
}

const struct input_row *onnx_attributes_input(enum op op, int64_t opset, size_t input)
{
    const struct input_row *row = onnx_attributes_next_input(op, opset, NULL);
    while (row != NULL && row->input != input)
        row = onnx_attributes_next_input(op, opset, row);
    return row;
}

/* ---- defaults ---- */

/* Operators whose defaults are not those of most. */
static void set_own_defaults(enum op op, int64_t opset, struct attributes *out)
{
    switch ((int)op) {
    case OP_LEAKY_RELU:
        out->alpha = 0.01f;
        break;
    case OP_HARD_SIGMOID:
        out->alpha = 0.2f;
        out->beta = 0.5f;
        break;
    case OP_SOFTMAX:
    case OP_LOG_SOFTMAX:
        out->axis = opset >= 13 ? -1 : 1;
        out->softmax_flat = opset < 13;
        break;
    case OP_ARG_MAX:
    case OP_GATHER:
    case OP_GATHER_ELEMENTS:
        out->axis = 0;
        break;
    case OP_LAYER_NORM:
        out->axis = -1;
        break;
    case OP_QUANTIZE:
        out->to = DTYPE_U8;
        break;
    case OP_SLICE:
        for (size_t i = 0; i < TENSOR_RANK_MAX; i++)
            out->steps[i] = 1;
        break;
    case OP_RESIZE: /* before 11 the only way, not an attribute */
        out->alpha = -0.75f;
        out->resize_origin = opset < 11 ? ORIGIN_ASYMMETRIC : ORIGIN_HALF_PIXEL;
        out->resize_round = opset < 11 ? ROUND_FLOOR : ROUND_PREFER_FLOOR;
        break;
    }
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
    set_own_defaults(op, opset, out);
}

/* ---- one out of a list ---- */

#define WORDS_MAX 5

/* In the order of the enumerators in graph.h. */
static const char *const words[][WORDS_MAX] = {
    [ATTRIBUTE_AUTO_PAD] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"},
    [ATTRIBUTE_PAD_MODE] = {"constant", "reflect", "edge", "wrap"},
    [ATTRIBUTE_RESIZE_MODE] = {"nearest", "linear", "cubic"},
    [ATTRIBUTE_ORIGIN] = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"},
    [ATTRIBUTE_ROUND] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"},
    [ATTRIBUTE_APPROXIMATE] = {"none", "tanh"},
};

const char *onnx_attributes_word(enum attribute_kind kind, size_t index)
{
    CHECK(kind >= ATTRIBUTE_AUTO_PAD && kind <= ATTRIBUTE_APPROXIMATE && index < WORDS_MAX);
    return words[kind][index];
}

size_t onnx_attributes_choice(enum attribute_kind kind, const void *field)
{
    switch ((int)kind) {
    case ATTRIBUTE_AUTO_PAD:
        return *(const enum auto_pad *)field;
    case ATTRIBUTE_PAD_MODE:
        return *(const enum pad_mode *)field;
    case ATTRIBUTE_RESIZE_MODE:
        return *(const enum resize_mode *)field;
    case ATTRIBUTE_ORIGIN:
        return *(const enum resize_origin *)field;
    case ATTRIBUTE_ROUND:
        return *(const enum resize_round *)field;
    }
    CHECK(kind == ATTRIBUTE_APPROXIMATE);
    return *(const bool *)field;
}

static void set_choice(enum attribute_kind kind, size_t index, void *field)
{
    if (kind == ATTRIBUTE_AUTO_PAD)
        *(enum auto_pad *)field = (enum auto_pad)index;
    else if (kind == ATTRIBUTE_PAD_MODE)
        *(enum pad_mode *)field = (enum pad_mode)index;
    else if (kind == ATTRIBUTE_RESIZE_MODE)
        *(enum resize_mode *)field = (enum resize_mode)index;
    else if (kind == ATTRIBUTE_ORIGIN)
        *(enum resize_origin *)field = (enum resize_origin)index;
    else if (kind == ATTRIBUTE_ROUND)
        *(enum resize_round *)field = (enum resize_round)index;
    else
        *(bool *)field = index == 1;
}

static enum status read_word(const Onnx__AttributeProto *from, enum attribute_kind kind,
                             void *field, struct error *err)
{
    for (size_t i = 0; i < WORDS_MAX && words[kind][i] != NULL; i++)
        if (from->s.len == strlen(words[kind][i]) &&
            memcmp(from->s.data, words[kind][i], from->s.len) == 0) {
            set_choice(kind, i, field);
            return OK;
        }
    return error_set(err, ERR_SUPPORT, "%.60s = \"%.*s\" is not supported", from->name,
                     (int)(from->s.len < 40 ? from->s.len : 40), (const char *)from->s.data);
}

/* ---- reading ---- */

static enum status read_ints(const Onnx__AttributeProto *from, size_t least, size_t most,
                             int64_t *out, struct error *err)
{
    if (from->n_ints < least || from->n_ints > most)
        return error_set(err, from->n_ints > 0 && least > 0 ? ERR_SUPPORT : ERR_INPUT,
                         "attribute %.60s has %zu numbers, supported are %zu to %zu", from->name,
                         from->n_ints, least, most);
    if (from->n_ints > 0)
        memcpy(out, from->ints, from->n_ints * sizeof *out);
    return OK;
}

static enum status read_pair(const Onnx__AttributeProto *from, int64_t height, int64_t out[2],
                             struct error *err)
{
    enum status status = read_ints(from, 1, 2, out, err);
    if (status == OK && from->n_ints == 1) {
        out[1] = out[0];
        out[0] = height;
    }
    return status;
}

static enum status read_pads(const Onnx__AttributeProto *from, int64_t out[4], struct error *err)
{
    enum status status = read_ints(from, 2, 4, out, err);
    if (status == OK && from->n_ints == 3)
        return error_set(err, ERR_INPUT, "pads has 3 numbers");
    if (status == OK && from->n_ints == 2) {
        out[3] = out[1];
        out[1] = out[0];
        out[0] = out[2] = 0;
    }
    return status;
}

static enum status read_flag(const Onnx__AttributeProto *from, bool *out, struct error *err)
{
    if (from->i != 0 && from->i != 1)
        return error_set(err, ERR_INPUT, "attribute %.60s must be 0 or 1", from->name);
    *out = from->i == 1;
    return OK;
}

static enum status read_float(const Onnx__AttributeProto *from, float *out, struct error *err)
{
    if (isnan(from->f))
        return error_set(err, ERR_INPUT, "attribute %.60s is not a number", from->name);
    *out = from->f;
    return OK;
}

static enum status read_scales(const Onnx__AttributeProto *from, struct attributes *out,
                               struct error *err)
{
    if (from->n_floats > TENSOR_RANK_MAX)
        return error_set(err, ERR_INPUT, "attribute %.60s has %zu numbers", from->name,
                         from->n_floats);
    if (from->n_floats > 0)
        memcpy(out->scales, from->floats, from->n_floats * sizeof *out->scales);
    out->scales_count = from->n_floats;
    return OK;
}

/* Pads of an ONNX Pad: before each axis, then after each. */
static enum status read_amounts(const Onnx__AttributeProto *from, struct attributes *out,
                                struct error *err)
{
    int64_t both[2 * TENSOR_RANK_MAX];
    enum status status = read_ints(from, 0, 2 * TENSOR_RANK_MAX, both, err);
    if (status != OK || from->n_ints % 2 != 0)
        return status != OK ? status : error_set(err, ERR_INPUT, "pads is not a list of pairs");
    out->starts_count = from->n_ints / 2;
    memcpy(out->starts, both, out->starts_count * sizeof *both);
    memcpy(out->ends, both + out->starts_count, out->starts_count * sizeof *both);
    return OK;
}

static enum status read_list(const Onnx__AttributeProto *from, int64_t *list, size_t *count,
                             struct error *err)
{
    enum status status = read_ints(from, 0, TENSOR_RANK_MAX, list, err);
    if (status == OK && *count != 0 && *count != from->n_ints)
        return error_set(err, ERR_INPUT, "attribute %.60s has %zu numbers, another has %zu",
                         from->name, from->n_ints, *count);
    if (status == OK)
        *count = from->n_ints;
    return status;
}

static enum status read_one(const Onnx__AttributeProto *from, const struct attribute_row *row,
                            struct attributes *out, struct error *err)
{
    void *field = (char *)out + row->offset;
    switch (row->kind) {
    case ATTRIBUTE_FLOAT:
        return read_float(from, field, err);
    case ATTRIBUTE_INT:
        *(int64_t *)field = from->i;
        return OK;
    case ATTRIBUTE_BOOL:
        return read_flag(from, field, err);
    case ATTRIBUTE_DTYPE:
        return onnx_types_read(from->i, field, err);
    case ATTRIBUTE_PAIR:
        return read_pair(from, row->fixed, field, err);
    case ATTRIBUTE_PADS:
        return read_pads(from, field, err);
    case ATTRIBUTE_AXES:
        return read_list(from, field, &out->axes_count, err);
    case ATTRIBUTE_RANGE:
        return read_list(from, field, &out->starts_count, err);
    case ATTRIBUTE_AMOUNTS:
        return read_amounts(from, out, err);
    case ATTRIBUTE_SCALES:
        return read_scales(from, out, err);
    case ATTRIBUTE_AUTO_PAD:
    case ATTRIBUTE_PAD_MODE:
    case ATTRIBUTE_RESIZE_MODE:
    case ATTRIBUTE_ORIGIN:
    case ATTRIBUTE_ROUND:
    case ATTRIBUTE_APPROXIMATE:
        return read_word(from, row->kind, field, err);
    case ATTRIBUTE_FIXED:
        return from->i == row->fixed
                   ? OK
                   : error_set(err, ERR_SUPPORT, "attribute %.60s = %lld is not supported",
                               from->name, (long long)from->i);
    case ATTRIBUTE_ELSEWHERE:
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
        [ATTRIBUTE_DTYPE] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT,
        [ATTRIBUTE_PAIR] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [ATTRIBUTE_PADS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [ATTRIBUTE_AXES] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [ATTRIBUTE_RANGE] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [ATTRIBUTE_AMOUNTS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [ATTRIBUTE_SCALES] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS,
        [ATTRIBUTE_AUTO_PAD] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [ATTRIBUTE_PAD_MODE] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [ATTRIBUTE_RESIZE_MODE] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [ATTRIBUTE_ORIGIN] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [ATTRIBUTE_ROUND] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [ATTRIBUTE_APPROXIMATE] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [ATTRIBUTE_FIXED] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT,
    };
    bool typed = kind != ATTRIBUTE_IGNORED && kind != ATTRIBUTE_ELSEWHERE;
    if (typed && from->type != types[kind])
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

const Onnx__AttributeProto *onnx_attributes_find(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->name != NULL && strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i];
    return NULL;
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
