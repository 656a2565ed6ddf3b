/* Multiplications and additions of one node for one sample, by kind of operator. */
#ifndef GRAFT_COMMON_MODEL_FLOPS_RULES_H
#define GRAFT_COMMON_MODEL_FLOPS_RULES_H

#include "common/model/graph.h"

#define FLOPS_RULE(name)                                                                           \
    double name(const struct node *node, const struct shape *const *in, const struct shape *out)

FLOPS_RULE(flops_none); /* only moves, compares or rounds */
FLOPS_RULE(flops_per_element);
FLOPS_RULE(flops_per_input); /* a sum over the input */
FLOPS_RULE(flops_norm);      /* mean, variance, and one scaling: 6 per element */
FLOPS_RULE(flops_resize);
FLOPS_RULE(flops_gemm);
FLOPS_RULE(flops_matmul);
FLOPS_RULE(flops_conv);
FLOPS_RULE(flops_conv_transpose);
FLOPS_RULE(flops_pool);

#endif
