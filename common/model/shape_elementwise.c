#include "common/model/shape_axes.h"
#include "common/model/shape_rules.h"

SHAPE_RULE(shape_rule_same)
{
    (void)node, (void)err;
    *out = *in[0];
    return OK;
}

SHAPE_RULE(shape_rule_broadcast)
{
    enum status status = OK;
    *out = *in[0];
    for (size_t k = 1; k < node->input_count && status == OK; k++)
        status = in[k] == NULL ? error_set(err, ERR_INPUT, "input %zu is left out", k)
                               : shape_axes_broadcast(out, in[k], out, err);
    return status;
}

SHAPE_RULE(shape_rule_into_first)
{
    enum status status = shape_rule_broadcast(node, in, out, err);
    if (status == OK && !shape_equal(out, in[0]))
        return error_set(err, ERR_INPUT, "its first input would have to be broadcast");
    return status;
}
