/* Every operator in double precision, written as plainly as its definition and independent of the
 * kernels: the oracle for worker/engine/ops. One subject a file. */
#ifndef GRAFT_TESTS_UNIT_OP_ORACLE_H
#define GRAFT_TESTS_UNIT_OP_ORACLE_H

#include "tests/unit/oracle_elementwise.h"
#include "tests/unit/oracle_move.h"
#include "tests/unit/oracle_norm.h"
#include "tests/unit/oracle_product.h"
#include "tests/unit/oracle_reduce.h"
#include "tests/unit/oracle_resize.h"
#include "tests/unit/oracle_window.h"

static inline void oracle_forward(const struct op_site *site, const double *const *x, double *y)
{
    switch ((int)site->node->op) {
    case OP_ADD:
    case OP_AND:
    case OP_DIV:
    case OP_EQUAL:
    case OP_GREATER:
    case OP_GREATER_OR_EQUAL:
    case OP_LESS:
    case OP_LESS_OR_EQUAL:
    case OP_MAX:
    case OP_MIN:
    case OP_MUL:
    case OP_OR:
    case OP_POW:
    case OP_PRELU:
    case OP_SUB:
    case OP_WHERE:
        oracle_broadcast(site, x, y);
        break;
    case OP_QUANTIZE:
    case OP_DEQUANTIZE:
        oracle_quantize(site, x, y);
        break;
    case OP_CONV:
        oracle_conv(site, x, y);
        break;
    case OP_CONV_TRANSPOSE:
        oracle_conv_transpose(site, x, y);
        break;
    case OP_AVERAGE_POOL:
    case OP_MAX_POOL:
        oracle_pool(site, x[0], y);
        break;
    case OP_GEMM:
        oracle_gemm(site, x, y);
        break;
    case OP_MATMUL:
        oracle_matmul(site, x, y);
        break;
    case OP_BATCH_NORM:
        oracle_norm(site, x, y);
        break;
    case OP_GROUP_NORM:
    case OP_INSTANCE_NORM:
    case OP_LAYER_NORM:
        oracle_normalise(site, x, y);
        break;
    case OP_SOFTMAX:
    case OP_LOG_SOFTMAX:
        oracle_softmax(site, x[0], y);
        break;
    case OP_ARG_MAX:
    case OP_GLOBAL_AVERAGE_POOL:
    case OP_GLOBAL_MAX_POOL:
    case OP_REDUCE_L2:
    case OP_REDUCE_MAX:
    case OP_REDUCE_MEAN:
    case OP_REDUCE_MIN:
    case OP_REDUCE_SUM:
        oracle_reduce(site, x[0], y);
        break;
    case OP_TRANSPOSE:
        oracle_transpose(site, x[0], y);
        break;
    case OP_CONCAT:
        oracle_concat(site, x, y);
        break;
    case OP_EXPAND:
    case OP_PAD:
    case OP_SLICE:
    case OP_TILE:
        oracle_copy_by_axis(site, x[0], y);
        break;
    case OP_GATHER:
        oracle_gather(site, x, y);
        break;
    case OP_GATHER_ELEMENTS:
        oracle_gather_elements(site, x, y);
        break;
    case OP_RESIZE:
        oracle_resize(site, x[0], y);
        break;
    default:
        for (size_t i = 0; i < op_elements(&site->y_shape); i++)
            y[i] = oracle_unary(site->node, x[0][i]);
    }
}

#endif
