#include "common/model/onnx/lift.h"

#include <math.h>
#include <string.h>

#include "common/model/onnx/attributes.h"

static enum status known_input(struct onnx_build *build, const char *tensor, struct folded **out,
                               struct error *err)
{
    enum status status = onnx_build_folded(build, tensor, out, err);
    if (status == OK && *out == NULL)
        return error_set(err, ERR_SUPPORT,
                         "input %.100s must be a constant, or computed from shapes", tensor);
    return status;
}

static enum status lift_number(const struct folded *from, const char *tensor, double *out,
                               struct error *err)
{
    double number = 0;
    if (from->count == 1)
        number =
            onnx_folded_real(from->dtype) ? from->numbers[0].real : (double)from->numbers[0].whole;
    if (from->count != 1 || !onnx_folded_plain(from->numbers[0]) || isnan(number))
        return error_set(err, ERR_SUPPORT, "input %.100s must be one constant number", tensor);
    *out = number;
    return OK;
}

static enum status lift_fixed(const struct folded *from, const char *tensor, struct error *err)
{
    double number = 1;
    enum status status = lift_number(from, tensor, &number, err);
    if (status == OK && number != 0)
        return error_set(err, ERR_SUPPORT, "input %.100s must be false: graft has no training mode",
                         tensor);
    return status;
}

/* What an attribute calls the batch at place `at` of its list; false: it must not be there. */
static bool batch_number(enum op op, const struct input_row *row, size_t at, int64_t *out)
{
    *out = op == OP_RESHAPE ? 0 : -1;
    return row != NULL && row->kind == ATTRIBUTE_AXES && at == 0 &&
           (op == OP_RESHAPE || op == OP_EXPAND || op == OP_RESIZE);
}

static enum status lift_ints(const struct folded *from, enum op op, const struct input_row *row,
                             const char *tensor, size_t most, int64_t *list, size_t *count,
                             struct error *err)
{
    if (onnx_folded_real(from->dtype) || from->shape.rank > 1 || from->count > most)
        return error_set(err, ERR_SUPPORT, "input %.100s must be up to %zu whole numbers", tensor,
                         most);
    for (size_t i = 0; i < from->count; i++) {
        struct folded_number number = from->numbers[i];
        list[i] = number.whole;
        if (!onnx_folded_plain(number) &&
            (!onnx_folded_batch(number) || !batch_number(op, row, i, &list[i])))
            return error_set(err, ERR_SUPPORT, "input %.100s depends on the size of the batch",
                             tensor);
    }
    *count = from->count;
    return OK;
}

enum status onnx_lift_list(struct onnx_build *build, const char *tensor, size_t most, int64_t *list,
                           size_t *count, struct error *err)
{
    struct folded *from = NULL;
    enum status status = known_input(build, tensor, &from, err);
    return status == OK ? lift_ints(from, OP_IDENTITY, NULL, tensor, most, list, count, err)
                        : status;
}

/* Pads before each axis, then after each. */
static enum status lift_amounts(const struct folded *from, enum op op, const struct input_row *row,
                                const char *tensor, struct attributes *out, struct error *err)
{
    int64_t both[2 * TENSOR_RANK_MAX] = {0};
    size_t count = 0;
    enum status status = lift_ints(from, op, row, tensor, 2 * TENSOR_RANK_MAX, both, &count, err);
    if (status != OK || count % 2 != 0)
        return status != OK ? status : error_set(err, ERR_INPUT, "pads is not a list of pairs");
    out->starts_count = count / 2;
    memcpy(out->starts, both, count / 2 * sizeof *both);
    memcpy(out->ends, both + count / 2, count / 2 * sizeof *both);
    return OK;
}

static enum status lift_scales(const struct folded *from, const char *tensor,
                               struct attributes *out, struct error *err)
{
    if (!onnx_folded_real(from->dtype) || from->shape.rank > 1 || from->count > TENSOR_RANK_MAX)
        return error_set(err, ERR_SUPPORT, "input %.100s must be up to %d scales", tensor,
                         TENSOR_RANK_MAX);
    for (size_t i = 0; i < from->count; i++)
        out->scales[i] = onnx_folded_plain(from->numbers[i]) ? (float)from->numbers[i].real : 0;
    out->scales_count = from->count;
    return OK;
}

static enum status lift_one(const struct folded *from, enum op op, const struct input_row *row,
                            const char *tensor, struct attributes *out, struct error *err)
{
    void *field = (char *)out + row->offset;
    size_t ranges = out->starts_count;
    double number = 0;
    enum status status = OK;
    switch ((int)row->kind) {
    case ATTRIBUTE_FLOAT:
        status = lift_number(from, tensor, &number, err);
        if (status == OK)
            *(float *)field = (float)number;
        return status;
    case ATTRIBUTE_AXES:
        return lift_ints(from, op, row, tensor, TENSOR_RANK_MAX, field, &out->axes_count, err);
    case ATTRIBUTE_RANGE:
        status = lift_ints(from, op, row, tensor, TENSOR_RANK_MAX, field, &out->starts_count, err);
        if (status == OK && row->input > 1 && out->starts_count != ranges)
            return error_set(err, ERR_INPUT, "input %.100s has %zu numbers, starts has %zu", tensor,
                             out->starts_count, ranges);
        return status;
    case ATTRIBUTE_AMOUNTS:
        return lift_amounts(from, op, row, tensor, out, err);
    case ATTRIBUTE_SCALES:
        return lift_scales(from, tensor, out, err);
    case ATTRIBUTE_FIXED:
        return lift_fixed(from, tensor, err);
    }
    return OK;
}

enum status onnx_lift(struct onnx_build *build, const Onnx__NodeProto *node, enum op op,
                      struct attributes *out, struct error *err)
{
    int64_t opset = build->graph->opset;
    const struct input_row *row = NULL;
    enum status status = onnx_attributes_read(node, op, opset, out, err);
    while (status == OK && (row = onnx_attributes_next_input(op, opset, row)) != NULL) {
        struct folded *from = NULL;
        if (!onnx_build_has(node, row->input) || row->kind == ATTRIBUTE_IGNORED)
            continue;
        status = known_input(build, node->input[row->input], &from, err);
        if (status == OK)
            status = lift_one(from, op, row, node->input[row->input], out, err);
    }
    return status;
}
