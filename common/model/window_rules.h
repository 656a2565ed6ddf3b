/* Shape rules and costs of operators that slide a window: convolution and pooling, 2-D, NCHW (ONNX
 * operator definitions "Conv", "AveragePool", "MaxPool", "GlobalAveragePool"). Signatures:
 * op_table.h. */
#ifndef GRAFT_COMMON_MODEL_WINDOW_RULES_H
#define GRAFT_COMMON_MODEL_WINDOW_RULES_H

#include "common/base/error.h"
#include "common/model/graph.h"

/* x [N,C,H,W], w [M,C/groups,kh,kw], b [M] → [N,M,H',W']; makes kernel and pads explicit. */
enum status window_rule_conv(struct node *node, const struct shape *const *in, struct shape *out,
                             struct error *err);
/* x [N,C,H,W] → [N,C,H',W']; makes pads explicit. */
enum status window_rule_pool(struct node *node, const struct shape *const *in, struct shape *out,
                             struct error *err);
/* x [N,C,H,W] → [N,C,1,1] */
enum status window_rule_global(struct node *node, const struct shape *const *in, struct shape *out,
                               struct error *err);

double window_flops_conv(const struct node *node, const struct shape *const *in,
                         const struct shape *out);
double window_flops_pool(const struct node *node, const struct shape *const *in,
                         const struct shape *out);

#endif
