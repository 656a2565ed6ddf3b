/* Element by element operators in double precision. */
#ifndef GRAFT_TESTS_UNIT_ORACLE_ELEMENTWISE_H
#define GRAFT_TESTS_UNIT_ORACLE_ELEMENTWISE_H

#include "tests/unit/oracle_index.h"

static inline double oracle_normal_share(double v)
{
    return 0.5 * erfc(-v / sqrt(2));
}

static inline double oracle_gelu(bool approximate, double v)
{
    double inner = sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v);
    return approximate ? 0.5 * v * (1 + tanh(inner)) : v * oracle_normal_share(v);
}

static inline double oracle_cast(enum dtype to, double v)
{
    return to == DTYPE_F32 ? v : to == DTYPE_BOOL ? v != 0 : trunc(v);
}

static inline double oracle_unary(const struct node *node, double v)
{
    const struct attributes *a = &node->attributes;
    switch ((int)node->op) {
    case OP_CLIP:
        return fmin(fmax(v, (double)a->low), (double)a->high);
    case OP_RELU:
        return fmax(v, 0);
    case OP_LEAKY_RELU:
        return v > 0 ? v : (double)a->alpha * v;
    case OP_SIGMOID:
        return 1 / (1 + exp(-v));
    case OP_TANH:
        return tanh(v);
    case OP_HARD_SIGMOID:
        return fmin(fmax((double)a->alpha * v + (double)a->beta, 0), 1);
    case OP_HARD_SWISH:
        return v * fmin(fmax(v + 3, 0), 6) / 6;
    case OP_ABS:
        return fabs(v);
    case OP_CAST:
        return oracle_cast(a->to, v);
    case OP_ELU:
        return v > 0 ? v : (double)a->alpha * expm1(v);
    case OP_ERF:
        return erf(v);
    case OP_EXP:
        return exp(v);
    case OP_GELU:
        return oracle_gelu(a->approximate, v);
    case OP_LOG:
        return log(v);
    case OP_NEG:
        return -v;
    case OP_NOT:
        return v == 0;
    case OP_SOFTPLUS:
        return log1p(exp(v));
    case OP_SQRT:
        return sqrt(v);
    default:
        return v; /* everything that only moves data in order */
    }
}

static inline double oracle_pair(enum op op, double a, double b)
{
    switch ((int)op) {
    case OP_ADD:
        return a + b;
    case OP_SUB:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_DIV:
        return a / b;
    case OP_POW:
        return pow(a, b);
    case OP_PRELU:
        return a < 0 ? a * b : a;
    case OP_MAX:
        return fmax(a, b);
    case OP_MIN:
        return fmin(a, b);
    case OP_EQUAL:
        return a == b;
    case OP_GREATER:
        return a > b;
    case OP_GREATER_OR_EQUAL:
        return a >= b;
    case OP_LESS:
        return a < b;
    case OP_LESS_OR_EQUAL:
        return a <= b;
    case OP_AND:
        return a != 0 && b != 0;
    default:
        return a != 0 || b != 0; /* Or */
    }
}

/* From left to right. */
static inline void oracle_broadcast(const struct op_site *site, const double *const *x, double *y)
{
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        double v[GRAPH_PORTS_MAX] = {0};
        for (size_t k = 0; k < site->input_count; k++)
            v[k] = x[k][oracle_pick(&site->y_shape, &site->x_shape[k], i)];
        y[i] = v[0];
        for (size_t k = 1; k < site->input_count && site->node->op != OP_WHERE; k++)
            y[i] = oracle_pair(site->node->op, y[i], v[k]);
        if (site->node->op == OP_WHERE)
            y[i] = v[0] != 0 ? v[1] : v[2];
    }
}

/* One scale and zero point for all, or per index of the axis. */
static inline void oracle_quantize(const struct op_site *site, const double *const *x, double *y)
{
    bool to_bytes = site->node->op == OP_QUANTIZE, bits = site->node->attributes.to == DTYPE_U8;
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        size_t at[TENSOR_RANK_MAX], k;
        oracle_coordinates(&site->y_shape, i, at);
        k = op_elements(&site->x_shape[1]) == 1 ? 0 : at[site->node->attributes.axis];
        double zero = site->input_count > 2 ? x[2][k] : 0, v = nearbyint(x[0][i] / x[1][k]) + zero;
        y[i] = to_bytes ? fmin(fmax(v, bits ? 0 : -128), bits ? 255 : 127)
                        : (x[0][i] - zero) * x[1][k];
    }
}

#endif
