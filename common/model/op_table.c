#include "common/model/op_table.h"

#include <string.h>

#include "common/base/check.h"
#include "common/model/shape_rules.h"
#include "common/model/window_rules.h"

/* Attributes used: Conv, pools: kernel, strides, dilations, pads, auto_pad (+ groups; ceil_mode,
 * count_include_pad). BatchNormalization: epsilon. Clip: low, high. Concat, Flatten, Softmax: axis
 * (+ softmax_flat). Gemm: alpha, beta, trans_a, trans_b. HardSigmoid: alpha, beta. LeakyRelu:
 * alpha. ReduceMean, Squeeze, Unsqueeze: axes, keep_dims. Reshape: axes = target. Transpose: axes =
 * permutation. */
static const struct op_row rows[OP_COUNT] = {
    [OP_ADD] = {"Add", 2, 2, shape_rule_broadcast, flops_per_element},
    [OP_AVERAGE_POOL] = {"AveragePool", 1, 1, window_rule_pool, window_flops_pool},
    [OP_BATCH_NORM] = {"BatchNormalization", 5, 5, shape_rule_batch_norm, flops_per_element},
    [OP_CLIP] = {"Clip", 1, 1, shape_rule_same, flops_per_element},
    [OP_CONCAT] = {"Concat", 1, GRAPH_PORTS_MAX, shape_rule_concat, flops_none},
    [OP_CONV] = {"Conv", 2, 3, window_rule_conv, window_flops_conv},
    [OP_DIV] = {"Div", 2, 2, shape_rule_broadcast, flops_per_element},
    [OP_FLATTEN] = {"Flatten", 1, 1, shape_rule_flatten, flops_none},
    [OP_GEMM] = {"Gemm", 2, 3, shape_rule_gemm, flops_gemm},
    [OP_GLOBAL_AVERAGE_POOL] = {"GlobalAveragePool", 1, 1, window_rule_global, flops_per_input},
    [OP_HARD_SIGMOID] = {"HardSigmoid", 1, 1, shape_rule_same, flops_per_element},
    [OP_HARD_SWISH] = {"HardSwish", 1, 1, shape_rule_same, flops_per_element},
    [OP_IDENTITY] = {"Identity", 1, 1, shape_rule_same, flops_none},
    [OP_LEAKY_RELU] = {"LeakyRelu", 1, 1, shape_rule_same, flops_per_element},
    [OP_MATMUL] = {"MatMul", 2, 2, shape_rule_matmul, flops_matmul},
    [OP_MAX_POOL] = {"MaxPool", 1, 1, window_rule_pool, window_flops_pool},
    [OP_MUL] = {"Mul", 2, 2, shape_rule_broadcast, flops_per_element},
    [OP_REDUCE_MEAN] = {"ReduceMean", 1, 1, shape_rule_reduce, flops_per_input},
    [OP_RELU] = {"Relu", 1, 1, shape_rule_same, flops_per_element},
    [OP_RESHAPE] = {"Reshape", 1, 1, shape_rule_reshape, flops_none},
    [OP_SIGMOID] = {"Sigmoid", 1, 1, shape_rule_same, flops_per_element},
    [OP_SOFTMAX] = {"Softmax", 1, 1, shape_rule_softmax, flops_per_element},
    [OP_SQUEEZE] = {"Squeeze", 1, 1, shape_rule_squeeze, flops_none},
    [OP_SUB] = {"Sub", 2, 2, shape_rule_broadcast, flops_per_element},
    [OP_TANH] = {"Tanh", 1, 1, shape_rule_same, flops_per_element},
    [OP_TRANSPOSE] = {"Transpose", 1, 1, shape_rule_transpose, flops_none},
    [OP_UNSQUEEZE] = {"Unsqueeze", 1, 1, shape_rule_unsqueeze, flops_none},
};

const struct op_row *op_table_row(enum op op)
{
    CHECK((size_t)op < OP_COUNT);
    return &rows[op];
}

bool op_table_find(const char *type, enum op *out)
{
    if (strcmp(type, "Dropout") == 0) {
        *out = OP_IDENTITY;
        return true;
    }
    for (size_t i = 0; i < OP_COUNT; i++)
        if (rows[i].type != NULL && strcmp(rows[i].type, type) == 0) {
            *out = (enum op)i;
            return true;
        }
    return false;
}
