/* Shape rules of all operators without a sliding window (ONNX operator definitions of the same
 * names), one subject a file. Signatures: op_table.h. Attributes are completed, so that a rule runs
 * any number of times on the same node. The batch axis (first dimension -1) is never moved, merged,
 * reduced or broadcast from elsewhere: that keeps samples independent of each other, which caching
 * and padding rely on. */
#ifndef GRAFT_COMMON_MODEL_SHAPE_RULES_H
#define GRAFT_COMMON_MODEL_SHAPE_RULES_H

#include "common/base/error.h"
#include "common/model/graph.h"

#define SHAPE_RULE(name)                                                                           \
    enum status name(struct node *node, const struct shape *const *in, struct shape *out,          \
                     struct error *err)

/* shape_elementwise.c */
SHAPE_RULE(shape_rule_same);
SHAPE_RULE(shape_rule_broadcast);  /* any number of inputs */
SHAPE_RULE(shape_rule_into_first); /* the others broadcast to the first */

/* shape_move.c: the same elements in another arrangement, or repeated */
SHAPE_RULE(shape_rule_concat);
SHAPE_RULE(shape_rule_expand);
SHAPE_RULE(shape_rule_flatten);
SHAPE_RULE(shape_rule_reshape);
SHAPE_RULE(shape_rule_squeeze);
SHAPE_RULE(shape_rule_tile);
SHAPE_RULE(shape_rule_transpose);
SHAPE_RULE(shape_rule_unsqueeze);

/* shape_extent.c: each axis cut, padded or resampled on its own */
SHAPE_RULE(shape_rule_pad);
SHAPE_RULE(shape_rule_resize);
SHAPE_RULE(shape_rule_slice);

/* shape_index.c */
SHAPE_RULE(shape_rule_arg_max);
SHAPE_RULE(shape_rule_gather);
SHAPE_RULE(shape_rule_gather_elements);

/* shape_reduce.c */
SHAPE_RULE(shape_rule_reduce);
SHAPE_RULE(shape_rule_softmax);

/* shape_norm.c: what has values per channel */
SHAPE_RULE(shape_rule_batch_norm);
SHAPE_RULE(shape_rule_channel_norm); /* InstanceNormalization, GroupNormalization */
SHAPE_RULE(shape_rule_layer_norm);
SHAPE_RULE(shape_rule_quantize); /* and DequantizeLinear */

/* shape_product.c */
SHAPE_RULE(shape_rule_gemm);
SHAPE_RULE(shape_rule_matmul);

#endif
