#include "common/base/check.h"
#include "worker/engine/ops/op.h"

static const struct op_kernel *const kernels[OP_COUNT] = {
    [OP_ABS] = &op_abs,
    [OP_ADD] = &op_add,
    [OP_AND] = &op_and,
    [OP_ARG_MAX] = &op_arg_max,
    [OP_AVERAGE_POOL] = &op_average_pool,
    [OP_BATCH_NORM] = &op_batch_norm,
    [OP_CAST] = &op_cast,
    [OP_CLIP] = &op_clip,
    [OP_CONCAT] = &op_concat,
    [OP_CONV] = &op_conv,
    [OP_CONV_TRANSPOSE] = &op_conv_transpose,
    [OP_DEQUANTIZE] = &op_dequantize,
    [OP_DIV] = &op_div,
    [OP_ELU] = &op_elu,
    [OP_EQUAL] = &op_equal,
    [OP_ERF] = &op_erf,
    [OP_EXP] = &op_exp,
    [OP_EXPAND] = &op_expand,
    [OP_FLATTEN] = &op_copy,
    [OP_GATHER] = &op_gather,
    [OP_GATHER_ELEMENTS] = &op_gather_elements,
    [OP_GELU] = &op_gelu,
    [OP_GEMM] = &op_gemm,
    [OP_GLOBAL_AVERAGE_POOL] = &op_global_average_pool,
    [OP_GLOBAL_MAX_POOL] = &op_global_max_pool,
    [OP_GREATER] = &op_greater,
    [OP_GREATER_OR_EQUAL] = &op_greater_or_equal,
    [OP_GROUP_NORM] = &op_group_norm,
    [OP_HARD_SIGMOID] = &op_hard_sigmoid,
    [OP_HARD_SWISH] = &op_hard_swish,
    [OP_IDENTITY] = &op_copy,
    [OP_INSTANCE_NORM] = &op_instance_norm,
    [OP_LAYER_NORM] = &op_layer_norm,
    [OP_LEAKY_RELU] = &op_leaky_relu,
    [OP_LESS] = &op_less,
    [OP_LESS_OR_EQUAL] = &op_less_or_equal,
    [OP_LOG] = &op_log,
    [OP_LOG_SOFTMAX] = &op_log_softmax,
    [OP_MATMUL] = &op_matmul,
    [OP_MAX] = &op_max,
    [OP_MAX_POOL] = &op_max_pool,
    [OP_MIN] = &op_min,
    [OP_MUL] = &op_mul,
    [OP_NEG] = &op_neg,
    [OP_NOT] = &op_not,
    [OP_OR] = &op_or,
    [OP_PAD] = &op_pad,
    [OP_POW] = &op_pow,
    [OP_PRELU] = &op_prelu,
    [OP_QUANTIZE] = &op_quantize,
    [OP_REDUCE_L2] = &op_reduce_l2,
    [OP_REDUCE_MAX] = &op_reduce_max,
    [OP_REDUCE_MEAN] = &op_reduce_mean,
    [OP_REDUCE_MIN] = &op_reduce_min,
    [OP_REDUCE_SUM] = &op_reduce_sum,
    [OP_RELU] = &op_relu,
    [OP_RESHAPE] = &op_copy,
    [OP_RESIZE] = &op_resize,
    [OP_SIGMOID] = &op_sigmoid,
    [OP_SLICE] = &op_slice,
    [OP_SOFTMAX] = &op_softmax,
    [OP_SOFTPLUS] = &op_softplus,
    [OP_SQRT] = &op_sqrt,
    [OP_SQUEEZE] = &op_copy,
    [OP_SUB] = &op_sub,
    [OP_TANH] = &op_tanh,
    [OP_TILE] = &op_tile,
    [OP_TRANSPOSE] = &op_transpose,
    [OP_UNSQUEEZE] = &op_copy,
    [OP_WHERE] = &op_where,
};

const struct op_kernel *op_kernel(enum op op)
{
    CHECK((size_t)op < OP_COUNT);
    return kernels[op];
}

size_t op_elements(const struct shape *shape)
{
    size_t elements = 0;
    CHECK(shape_elements(shape, &elements));
    return elements;
}

struct shape op_picture(const struct shape *shape)
{
    CHECK(shape->rank == 3 || shape->rank == 4);
    if (shape->rank == 4)
        return *shape;
    return (struct shape){.rank = 4, .dims = {shape->dims[0], shape->dims[1], 1, shape->dims[2]}};
}
