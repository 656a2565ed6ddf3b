#include "common/model/dtype_rules.h"

static bool is_float(enum dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_F64;
}

static bool is_number(enum dtype type)
{
    return type != DTYPE_BOOL;
}

static bool is_whole(enum dtype type)
{
    return is_number(type) && !is_float(type);
}

static bool is_truth(enum dtype type)
{
    return type == DTYPE_BOOL;
}

static bool is_any(enum dtype type)
{
    (void)type;
    return true;
}

static enum status expect(size_t input, enum dtype type, bool (*kind)(enum dtype),
                          const char *wanted, struct error *err)
{
    return kind(type) ? OK
                      : error_set(err, ERR_SUPPORT, "input %zu is %s, only %s can be computed",
                                  input, dtype_name(type), wanted);
}

/* Inputs `first` to `end` - 1 are of one type and of this kind. */
static enum status alike(const enum dtype *in, size_t first, size_t end, bool (*kind)(enum dtype),
                         const char *wanted, struct error *err)
{
    enum status status = expect(first, in[first], kind, wanted, err);
    for (size_t k = first + 1; k < end && status == OK; k++)
        if (in[k] != in[first])
            status = error_set(err, ERR_INPUT, "input %zu is %s and input %zu is %s", first,
                               dtype_name(in[first]), k, dtype_name(in[k]));
    return status;
}

DTYPE_RULE(dtype_rule_float)
{
    *out = in[0];
    return alike(in, 0, node->input_count, is_float, "floating point", err);
}

DTYPE_RULE(dtype_rule_number)
{
    *out = in[0];
    return alike(in, 0, node->input_count, is_number, "numbers", err);
}

DTYPE_RULE(dtype_rule_any)
{
    *out = in[0];
    return alike(in, 0, node->input_count, is_any, "anything", err);
}

DTYPE_RULE(dtype_rule_compare)
{
    *out = DTYPE_BOOL;
    return alike(in, 0, node->input_count, is_number, "numbers", err);
}

DTYPE_RULE(dtype_rule_equal)
{
    *out = DTYPE_BOOL;
    return alike(in, 0, node->input_count, is_any, "anything", err);
}

DTYPE_RULE(dtype_rule_logic)
{
    *out = DTYPE_BOOL;
    return alike(in, 0, node->input_count, is_truth, "bool", err);
}

DTYPE_RULE(dtype_rule_power)
{
    (void)node;
    *out = in[0];
    enum status status = expect(0, in[0], is_float, "floating point", err);
    return status == OK ? expect(1, in[1], is_number, "numbers", err) : status;
}

DTYPE_RULE(dtype_rule_where)
{
    enum status status = expect(0, in[0], is_truth, "bool", err);
    *out = in[1];
    return status == OK ? alike(in, 1, node->input_count, is_any, "anything", err) : status;
}

DTYPE_RULE(dtype_rule_gather)
{
    (void)node;
    *out = in[0];
    return expect(1, in[1], is_whole, "whole numbers", err);
}

DTYPE_RULE(dtype_rule_index)
{
    (void)node;
    *out = DTYPE_I64;
    return expect(0, in[0], is_number, "numbers", err);
}

DTYPE_RULE(dtype_rule_cast)
{
    (void)in, (void)err;
    *out = node->attributes.to;
    return OK;
}

static enum status eight_bits(enum dtype type, struct error *err)
{
    return type == DTYPE_U8 || type == DTYPE_I8
               ? OK
               : error_set(err, ERR_SUPPORT,
                           "it quantises to %s, only uint8 and int8 are supported",
                           dtype_name(type));
}

DTYPE_RULE(dtype_rule_quantize)
{
    bool zero = node->input_count > 2 && node->inputs[2] != GRAPH_NONE;
    enum status status = alike(in, 0, 2, is_float, "floating point", err);
    *out = node->attributes.to = zero ? in[2] : node->attributes.to;
    return status == OK ? eight_bits(*out, err) : status;
}

DTYPE_RULE(dtype_rule_dequantize)
{
    bool zero = node->input_count > 2 && node->inputs[2] != GRAPH_NONE;
    enum status status = expect(0, in[0], is_whole, "whole numbers", err);
    if (status == OK)
        status = expect(1, in[1], is_float, "floating point", err);
    if (status == OK && zero && in[2] != in[0])
        status = error_set(err, ERR_INPUT, "its zero point is %s", dtype_name(in[2]));
    *out = in[1];
    return status;
}
