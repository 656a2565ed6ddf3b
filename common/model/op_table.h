/* The operators graft knows: one row each. To add one: an enumerator in graph.h, a row here, its
 * rules (shape_rules or window_rules, dtype_rules, flops_rules, gradient_rules), its attributes (onnx_attributes), its
 * kernel (worker/engine/ops). */
#ifndef GRAFT_COMMON_MODEL_OP_TABLE_H
#define GRAFT_COMMON_MODEL_OP_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/model/graph.h"

struct op_row {
    const char *type;              /* in ONNX */
    size_t inputs_min, inputs_max; /* tensors, without those that became attributes */
    /* Shape of the output from those of the inputs (in[i] NULL: left out); may complete
     * node->attributes (kernel from the weight, automatic pads). Errors: one sentence, the caller
     * adds the node. */
    enum status (*shape)(struct node *node, const struct shape *const *in, struct shape *out,
                         struct error *err);
    /* Element type of the output from those of the inputs (dtype_rules.h). */
    enum status (*dtype)(struct node *node, const enum dtype *in, enum dtype *out,
                         struct error *err);
    /* Multiplications and additions for one sample. */
    double (*flops)(const struct node *node, const struct shape *const *in,
                    const struct shape *out);
    bool (*gradient)(const struct node *node, size_t input); /* gradient_rules.h */
};

const struct op_row *op_table_row(enum op op);

/* May the node be asked for the gradient of this input? */
bool op_table_differentiable(const struct node *node, size_t input);

/* Is the input a running statistic (BatchNormalization's mean and variance)? Where it is live, the
 * node's backward is asked for the micro-batch's own in place of a gradient. */
bool op_table_running(const struct node *node, size_t input);

/* Operator of an ONNX type; false when graft does not have it. Dropout is OP_IDENTITY. */
bool op_table_find(const char *type, enum op *out);

#endif
