/* Shape rules of operators that slide a window: convolution and pooling over [N, C, H, W] or [N, C, W]
 * (ONNX operator definitions "Conv", "ConvTranspose", "AveragePool", "MaxPool", "GlobalAveragePool",
 * "GlobalMaxPool"). Signatures: op_table.h. They make kernel and pads explicit; in one dimension the
 * height of the window becomes 1. */
#ifndef GRAFT_COMMON_MODEL_WINDOW_RULES_H
#define GRAFT_COMMON_MODEL_WINDOW_RULES_H

#include "common/base/error.h"
#include "common/model/graph.h"

/* x [N,C,H,W], w [M,C/groups,kh,kw], b [M] → [N,M,H',W'] */
enum status window_rule_conv(struct node *node, const struct shape *const *in, struct shape *out,
                             struct error *err);
/* x [N,C,H,W], w [C,M/groups,kh,kw], b [M] → [N,M,H',W']; with axes (H', W' as the file wants them)
 * or auto_pad the pads follow. */
enum status window_rule_conv_transpose(struct node *node, const struct shape *const *in,
                                       struct shape *out, struct error *err);
/* x [N,C,H,W] → [N,C,H',W'] */
enum status window_rule_pool(struct node *node, const struct shape *const *in, struct shape *out,
                             struct error *err);
/* x [N,C,…] → [N,C,1,…] */
enum status window_rule_global(struct node *node, const struct shape *const *in, struct shape *out,
                               struct error *err);

#endif
