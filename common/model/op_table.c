#include "common/model/op_table.h"

#include <string.h>

#include "common/base/check.h"
#include "common/model/dtype_rules.h"
#include "common/model/flops_rules.h"
#include "common/model/gradient_rules.h"
#include "common/model/shape_rules.h"
#include "common/model/window_rules.h"

/* Attributes used: ArgMax: axis, keep_dims, last_index. BatchNormalization: epsilon. Cast: to. Clip:
 * low, high. Concat, Flatten, Gather, GatherElements, Softmax, LogSoftmax: axis (+ softmax_flat).
 * Conv, ConvTranspose, pools: kernel, strides, dilations, pads, auto_pad (+ groups; + output_pads and
 * axes = wanted height and width, when there are any; ceil_mode, count_include_pad). Elu, LeakyRelu:
 * alpha. Expand, Reshape: axes = target (+ allow_zero). Gelu: approximate. Gemm: alpha, beta, trans_a,
 * trans_b. GroupNormalization: groups, epsilon. HardSigmoid: alpha, beta. InstanceNormalization:
 * epsilon. LayerNormalization: axis, epsilon. Pad: starts, ends, axes, pad_mode, fill. Quantize-,
 * DequantizeLinear: axis, to. Reduce…: axes, keep_dims, reduce_none. Resize: axes = target or scales,
 * resize_mode, resize_origin, resize_round, alpha, exclude_outside. Slice: axes, starts, ends, steps.
 * Squeeze, Unsqueeze: axes. Tile: axes = repeats. Transpose: axes = permutation. */
static const struct op_row rows[OP_COUNT] = {
    [OP_ABS] = {"Abs", 1, 1, shape_rule_same, dtype_rule_number, flops_per_element, gradient_all},
    [OP_ADD] = {"Add", 2, 2, shape_rule_broadcast, dtype_rule_number, flops_per_element,
                gradient_all},
    [OP_AND] = {"And", 2, 2, shape_rule_broadcast, dtype_rule_logic, flops_none, gradient_none},
    [OP_ARG_MAX] = {"ArgMax", 1, 1, shape_rule_arg_max, dtype_rule_index, flops_none,
                    gradient_none},
    [OP_AVERAGE_POOL] = {"AveragePool", 1, 1, window_rule_pool, dtype_rule_float, flops_pool,
                         gradient_all},
    [OP_BATCH_NORM] = {"BatchNormalization", 5, 5, shape_rule_batch_norm, dtype_rule_float,
                       flops_per_element, gradient_norm},
    [OP_CAST] = {"Cast", 1, 1, shape_rule_same, dtype_rule_cast, flops_none, gradient_cast},
    [OP_CLIP] = {"Clip", 1, 1, shape_rule_same, dtype_rule_number, flops_per_element, gradient_all},
    [OP_CONCAT] = {"Concat", 1, GRAPH_PORTS_MAX, shape_rule_concat, dtype_rule_any, flops_none,
                   gradient_all},
    [OP_CONV] = {"Conv", 2, 3, window_rule_conv, dtype_rule_float, flops_conv, gradient_all},
    [OP_CONV_TRANSPOSE] = {"ConvTranspose", 2, 3, window_rule_conv_transpose, dtype_rule_float,
                           flops_conv_transpose, gradient_all},
    [OP_DEQUANTIZE] = {"DequantizeLinear", 2, 3, shape_rule_quantize, dtype_rule_dequantize,
                       flops_per_element, gradient_none},
    [OP_DIV] = {"Div", 2, 2, shape_rule_broadcast, dtype_rule_float, flops_per_element,
                gradient_all},
    [OP_ELU] = {"Elu", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element, gradient_all},
    [OP_EQUAL] = {"Equal", 2, 2, shape_rule_broadcast, dtype_rule_equal, flops_none, gradient_none},
    [OP_ERF] = {"Erf", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element, gradient_all},
    [OP_EXP] = {"Exp", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element, gradient_all},
    [OP_EXPAND] = {"Expand", 1, 1, shape_rule_expand, dtype_rule_any, flops_none, gradient_all},
    [OP_FLATTEN] = {"Flatten", 1, 1, shape_rule_flatten, dtype_rule_any, flops_none, gradient_all},
    [OP_GATHER] = {"Gather", 2, 2, shape_rule_gather, dtype_rule_gather, flops_none,
                   gradient_of_data},
    [OP_GATHER_ELEMENTS] = {"GatherElements", 2, 2, shape_rule_gather_elements, dtype_rule_gather,
                            flops_none, gradient_of_data},
    [OP_GELU] = {"Gelu", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element, gradient_all},
    [OP_GEMM] = {"Gemm", 2, 3, shape_rule_gemm, dtype_rule_float, flops_gemm, gradient_all},
    [OP_GLOBAL_AVERAGE_POOL] = {"GlobalAveragePool", 1, 1, window_rule_global, dtype_rule_float,
                                flops_per_input, gradient_all},
    [OP_GLOBAL_MAX_POOL] = {"GlobalMaxPool", 1, 1, window_rule_global, dtype_rule_float,
                            flops_per_input, gradient_all},
    [OP_GREATER] = {"Greater", 2, 2, shape_rule_broadcast, dtype_rule_compare, flops_none,
                    gradient_none},
    [OP_GREATER_OR_EQUAL] = {"GreaterOrEqual", 2, 2, shape_rule_broadcast, dtype_rule_compare,
                             flops_none, gradient_none},
    [OP_GROUP_NORM] = {"GroupNormalization", 3, 3, shape_rule_channel_norm, dtype_rule_float,
                       flops_norm, gradient_all},
    [OP_HARD_SIGMOID] = {"HardSigmoid", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element,
                         gradient_all},
    [OP_HARD_SWISH] = {"HardSwish", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element,
                       gradient_all},
    [OP_IDENTITY] = {"Identity", 1, 1, shape_rule_same, dtype_rule_any, flops_none, gradient_all},
    [OP_INSTANCE_NORM] = {"InstanceNormalization", 3, 3, shape_rule_channel_norm, dtype_rule_float,
                          flops_norm, gradient_all},
    [OP_LAYER_NORM] = {"LayerNormalization", 2, 3, shape_rule_layer_norm, dtype_rule_float,
                       flops_norm, gradient_all},
    [OP_LEAKY_RELU] = {"LeakyRelu", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element,
                       gradient_all},
    [OP_LESS] = {"Less", 2, 2, shape_rule_broadcast, dtype_rule_compare, flops_none, gradient_none},
    [OP_LESS_OR_EQUAL] = {"LessOrEqual", 2, 2, shape_rule_broadcast, dtype_rule_compare, flops_none,
                          gradient_none},
    [OP_LOG] = {"Log", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element, gradient_all},
    [OP_LOG_SOFTMAX] = {"LogSoftmax", 1, 1, shape_rule_softmax, dtype_rule_float, flops_per_element,
                        gradient_all},
    [OP_MATMUL] = {"MatMul", 2, 2, shape_rule_matmul, dtype_rule_float, flops_matmul, gradient_all},
    [OP_MAX] = {"Max", 1, GRAPH_PORTS_MAX, shape_rule_broadcast, dtype_rule_number,
                flops_per_element, gradient_all},
    [OP_MAX_POOL] = {"MaxPool", 1, 1, window_rule_pool, dtype_rule_number, flops_pool,
                     gradient_all},
    [OP_MIN] = {"Min", 1, GRAPH_PORTS_MAX, shape_rule_broadcast, dtype_rule_number,
                flops_per_element, gradient_all},
    [OP_MUL] = {"Mul", 2, 2, shape_rule_broadcast, dtype_rule_number, flops_per_element,
                gradient_all},
    [OP_NEG] = {"Neg", 1, 1, shape_rule_same, dtype_rule_number, flops_per_element, gradient_all},
    [OP_NOT] = {"Not", 1, 1, shape_rule_same, dtype_rule_logic, flops_none, gradient_none},
    [OP_OR] = {"Or", 2, 2, shape_rule_broadcast, dtype_rule_logic, flops_none, gradient_none},
    [OP_PAD] = {"Pad", 1, 1, shape_rule_pad, dtype_rule_any, flops_none, gradient_all},
    [OP_POW] = {"Pow", 2, 2, shape_rule_broadcast, dtype_rule_power, flops_per_element,
                gradient_all},
    [OP_PRELU] = {"PRelu", 2, 2, shape_rule_into_first, dtype_rule_float, flops_per_element,
                  gradient_all},
    [OP_QUANTIZE] = {"QuantizeLinear", 2, 3, shape_rule_quantize, dtype_rule_quantize,
                     flops_per_element, gradient_none},
    [OP_REDUCE_L2] = {"ReduceL2", 1, 1, shape_rule_reduce, dtype_rule_float, flops_per_input,
                      gradient_all},
    [OP_REDUCE_MAX] = {"ReduceMax", 1, 1, shape_rule_reduce, dtype_rule_number, flops_per_input,
                       gradient_all},
    [OP_REDUCE_MEAN] = {"ReduceMean", 1, 1, shape_rule_reduce, dtype_rule_float, flops_per_input,
                        gradient_all},
    [OP_REDUCE_MIN] = {"ReduceMin", 1, 1, shape_rule_reduce, dtype_rule_number, flops_per_input,
                       gradient_all},
    [OP_REDUCE_SUM] = {"ReduceSum", 1, 1, shape_rule_reduce, dtype_rule_number, flops_per_input,
                       gradient_all},
    [OP_RELU] = {"Relu", 1, 1, shape_rule_same, dtype_rule_number, flops_per_element, gradient_all},
    [OP_RESHAPE] = {"Reshape", 1, 1, shape_rule_reshape, dtype_rule_any, flops_none, gradient_all},
    [OP_RESIZE] = {"Resize", 1, 1, shape_rule_resize, dtype_rule_float, flops_resize, gradient_all},
    [OP_SIGMOID] = {"Sigmoid", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element,
                    gradient_all},
    [OP_SLICE] = {"Slice", 1, 1, shape_rule_slice, dtype_rule_any, flops_none, gradient_all},
    [OP_SOFTMAX] = {"Softmax", 1, 1, shape_rule_softmax, dtype_rule_float, flops_per_element,
                    gradient_all},
    [OP_SOFTPLUS] = {"Softplus", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element,
                     gradient_all},
    [OP_SQRT] = {"Sqrt", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element, gradient_all},
    [OP_SQUEEZE] = {"Squeeze", 1, 1, shape_rule_squeeze, dtype_rule_any, flops_none, gradient_all},
    [OP_SUB] = {"Sub", 2, 2, shape_rule_broadcast, dtype_rule_number, flops_per_element,
                gradient_all},
    [OP_TANH] = {"Tanh", 1, 1, shape_rule_same, dtype_rule_float, flops_per_element, gradient_all},
    [OP_TILE] = {"Tile", 1, 1, shape_rule_tile, dtype_rule_any, flops_none, gradient_all},
    [OP_TRANSPOSE] = {"Transpose", 1, 1, shape_rule_transpose, dtype_rule_any, flops_none,
                      gradient_all},
    [OP_UNSQUEEZE] = {"Unsqueeze", 1, 1, shape_rule_unsqueeze, dtype_rule_any, flops_none,
                      gradient_all},
    [OP_WHERE] = {"Where", 3, 3, shape_rule_broadcast, dtype_rule_where, flops_none,
                  gradient_of_choices},
};

const struct op_row *op_table_row(enum op op)
{
    CHECK((size_t)op < OP_COUNT);
    return &rows[op];
}

bool op_table_differentiable(const struct node *node, size_t input)
{
    return op_table_row(node->op)->gradient(node, input);
}

bool op_table_running(const struct node *node, size_t input)
{
    return node->op == OP_BATCH_NORM && input >= 3;
}

bool op_table_find(const char *type, enum op *out)
{
    if (strcmp(type, "Dropout") == 0) {
        *out = OP_IDENTITY;
        return true;
    }
    for (size_t i = 0; i < OP_COUNT; i++)
        if (strcmp(rows[i].type, type) == 0) {
            *out = (enum op)i;
            return true;
        }
    return false;
}
