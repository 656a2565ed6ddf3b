/* Shape rules and costs of all operators without a sliding window (ONNX operator definitions of the
 * same names). Signatures: op_table.h. The batch axis (first dimension -1) is never moved, merged,
 * reduced or broadcast from elsewhere: that keeps samples independent of each other, which caching
 * and padding rely on. */
#ifndef GRAFT_COMMON_MODEL_SHAPE_RULES_H
#define GRAFT_COMMON_MODEL_SHAPE_RULES_H

#include "common/base/error.h"
#include "common/model/graph.h"

#define SHAPE_RULE(name)                                                                           \
    enum status name(struct node *node, const struct shape *const *in, struct shape *out,          \
                     struct error *err)

SHAPE_RULE(shape_rule_same);
SHAPE_RULE(shape_rule_broadcast);
SHAPE_RULE(shape_rule_batch_norm);
SHAPE_RULE(shape_rule_concat);
SHAPE_RULE(shape_rule_flatten);
SHAPE_RULE(shape_rule_gemm);
SHAPE_RULE(shape_rule_matmul);
SHAPE_RULE(shape_rule_reduce);
SHAPE_RULE(shape_rule_reshape);
SHAPE_RULE(shape_rule_softmax);
SHAPE_RULE(shape_rule_squeeze);
SHAPE_RULE(shape_rule_transpose);
SHAPE_RULE(shape_rule_unsqueeze);

#define FLOPS_RULE(name)                                                                           \
    double name(const struct node *node, const struct shape *const *in, const struct shape *out)

FLOPS_RULE(flops_none);
FLOPS_RULE(flops_per_element);
FLOPS_RULE(flops_per_input);
FLOPS_RULE(flops_gemm);
FLOPS_RULE(flops_matmul);

#endif
