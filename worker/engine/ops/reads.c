/* What backward reads, operator by operator. All that is not listed reads its inputs and its output. */
#include "worker/engine/ops/op.h"

static bool wants(const struct op_site *site, size_t port)
{
    return port < site->input_count && site->wanted[port];
}

/* The gradient of one factor is made of the other. */
static bool reads_other_factor(const struct op_site *site, size_t port)
{
    return port < 2 && wants(site, 1 - port);
}

static bool reads_batch_norm(const struct op_site *site, size_t port)
{
    if (wants(site, 3)) /* by the micro-batch's own statistics, made again of it */
        return port != 2 && port != OP_OUTPUT;
    if (port == 0 || port == 3)
        return wants(site, 1);
    return port == 1 ? wants(site, 0) : port == 4;
}

static bool reads_inputs(const struct op_site *site, size_t port)
{
    return port < site->input_count;
}

/* An activation: the slope is a function of the output … */
static bool by_output(enum op op)
{
    return op == OP_SIGMOID || op == OP_TANH || op == OP_HARD_SIGMOID || op == OP_SOFTMAX ||
           op == OP_LOG_SOFTMAX || op == OP_EXP || op == OP_SQRT || op == OP_RELU || op == OP_CLIP;
}

/* … or of inputs alone. */
static bool by_inputs(enum op op)
{
    return op == OP_LEAKY_RELU || op == OP_HARD_SWISH || op == OP_ELU || op == OP_SOFTPLUS ||
           op == OP_GELU || op == OP_ABS || op == OP_ERF || op == OP_LOG || op == OP_DIV ||
           op == OP_POW || op == OP_PRELU || op == OP_LAYER_NORM || op == OP_INSTANCE_NORM ||
           op == OP_GROUP_NORM || op == OP_MAX_POOL || op == OP_GLOBAL_MAX_POOL;
}

static bool by_gradient_alone(enum op op)
{
    return op_kernel(op) == &op_copy || op == OP_ADD || op == OP_SUB || op == OP_NEG ||
           op == OP_CAST || op == OP_TRANSPOSE || op == OP_CONCAT || op == OP_EXPAND ||
           op == OP_TILE || op == OP_SLICE || op == OP_PAD || op == OP_AVERAGE_POOL ||
           op == OP_GLOBAL_AVERAGE_POOL || op == OP_REDUCE_SUM || op == OP_REDUCE_MEAN ||
           op == OP_RESIZE;
}

bool op_reads(const struct op_site *site, size_t port)
{
    const enum op op = site->node->op;
    if (by_gradient_alone(op))
        return false;
    if (by_output(op))
        return port == OP_OUTPUT;
    if (by_inputs(op))
        return reads_inputs(site, port);
    if (op == OP_CONV || op == OP_CONV_TRANSPOSE || op == OP_GEMM || op == OP_MATMUL ||
        op == OP_MUL)
        return reads_other_factor(site, port);
    if (op == OP_GATHER || op == OP_GATHER_ELEMENTS)
        return port == 1; /* the indices */
    if (op == OP_WHERE)
        return port == 0;
    return op != OP_BATCH_NORM || reads_batch_norm(site, port);
}
