/* What the file means by the values of a node (value.dtype): which element types an operator takes,
 * and which it gives. All of them run as float32 (graph.h); what float32 arithmetic would not do as
 * the file means it (a division of whole numbers rounds) is refused. */
#ifndef GRAFT_COMMON_MODEL_DTYPE_RULES_H
#define GRAFT_COMMON_MODEL_DTYPE_RULES_H

#include "common/base/error.h"
#include "common/model/graph.h"

/* `in` [input_count]: where an input is left out, the type of the first. Errors: ERR_INPUT for what
 * ONNX does not allow, ERR_SUPPORT for what graft does not compute. */
#define DTYPE_RULE(name)                                                                           \
    enum status name(struct node *node, const enum dtype *in, enum dtype *out, struct error *err)

DTYPE_RULE(dtype_rule_float);   /* floating point in and out */
DTYPE_RULE(dtype_rule_number);  /* one type of numbers in and out */
DTYPE_RULE(dtype_rule_any);     /* one type of any kind in and out */
DTYPE_RULE(dtype_rule_compare); /* two numbers → truth */
DTYPE_RULE(dtype_rule_equal);   /* two of any kind → truth */
DTYPE_RULE(dtype_rule_logic);   /* truth in and out */
DTYPE_RULE(dtype_rule_power);   /* floating point, and an exponent of any kind of number */
DTYPE_RULE(dtype_rule_where);   /* truth and two of any kind */
DTYPE_RULE(dtype_rule_gather);  /* any kind and whole numbers */
DTYPE_RULE(dtype_rule_index);   /* numbers → int64 */
DTYPE_RULE(dtype_rule_cast);
DTYPE_RULE(dtype_rule_quantize);
DTYPE_RULE(dtype_rule_dequantize);

#endif
