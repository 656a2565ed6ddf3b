#include "common/model/flops_rules.h"

#include "common/model/shape_axes.h"

FLOPS_RULE(flops_none)
{
    (void)node, (void)in, (void)out;
    return 0;
}

FLOPS_RULE(flops_per_element)
{
    (void)node, (void)in;
    return shape_axes_product(out);
}

FLOPS_RULE(flops_per_input)
{
    (void)node, (void)out;
    return shape_axes_product(in[0]);
}

FLOPS_RULE(flops_norm)
{
    (void)node, (void)in;
    return 6 * shape_axes_product(out);
}

/* Taps of each axis that changes, weighed and added. */
FLOPS_RULE(flops_resize)
{
    const struct attributes *a = &node->attributes;
    double taps = 0, each = a->resize_mode == RESIZE_CUBIC ? 4 : 2;
    for (size_t i = 0; i < out->rank && a->resize_mode != RESIZE_NEAREST; i++)
        taps += in[0]->dims[i] == out->dims[i] ? 0 : 2 * each - 1;
    return taps * shape_axes_product(out);
}

FLOPS_RULE(flops_gemm)
{
    double inner = (double)in[1]->dims[node->attributes.trans_b ? 1 : 0];
    return (2 * inner + (node->input_count > 2 ? 1 : 0)) * shape_axes_product(out);
}

FLOPS_RULE(flops_matmul)
{
    (void)node;
    return 2 * (double)in[0]->dims[in[0]->rank - 1] * shape_axes_product(out);
}

/* Elements of one filter, or of what one input channel spreads to: all of the weight but its first
 * axis. */
static double filter(const struct shape *weight)
{
    return shape_axes_product(weight) / (double)weight->dims[0];
}

static double bias(const struct node *node, const struct shape *out)
{
    return node->input_count > 2 ? shape_axes_product(out) : 0;
}

FLOPS_RULE(flops_conv)
{
    return 2 * filter(in[1]) * shape_axes_product(out) + bias(node, out);
}

FLOPS_RULE(flops_conv_transpose)
{
    return 2 * filter(in[1]) * shape_axes_product(in[0]) + bias(node, out);
}

FLOPS_RULE(flops_pool)
{
    (void)in;
    double taps = (double)(node->attributes.kernel[0] * node->attributes.kernel[1]);
    return taps * shape_axes_product(out);
}
