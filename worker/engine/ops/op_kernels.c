#include "common/base/check.h"
#include "worker/engine/ops/op.h"

static const struct op_kernel *const kernels[OP_COUNT] = {
    [OP_ADD] = &op_add,
    [OP_AVERAGE_POOL] = &op_average_pool,
    [OP_BATCH_NORM] = &op_batch_norm,
    [OP_CLIP] = &op_clip,
    [OP_CONCAT] = &op_concat,
    [OP_CONV] = &op_conv,
    [OP_DIV] = &op_div,
    [OP_FLATTEN] = &op_copy,
    [OP_GEMM] = &op_gemm,
    [OP_GLOBAL_AVERAGE_POOL] = &op_global_average_pool,
    [OP_HARD_SIGMOID] = &op_hard_sigmoid,
    [OP_HARD_SWISH] = &op_hard_swish,
    [OP_IDENTITY] = &op_copy,
    [OP_LEAKY_RELU] = &op_leaky_relu,
    [OP_MATMUL] = &op_matmul,
    [OP_MAX_POOL] = &op_max_pool,
    [OP_MUL] = &op_mul,
    [OP_REDUCE_MEAN] = &op_reduce_mean,
    [OP_RELU] = &op_relu,
    [OP_RESHAPE] = &op_copy,
    [OP_SIGMOID] = &op_sigmoid,
    [OP_SOFTMAX] = &op_softmax,
    [OP_SQUEEZE] = &op_copy,
    [OP_SUB] = &op_sub,
    [OP_TANH] = &op_tanh,
    [OP_TRANSPOSE] = &op_transpose,
    [OP_UNSQUEEZE] = &op_copy,
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
