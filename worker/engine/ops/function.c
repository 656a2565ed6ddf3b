/* Functions of one element: Abs, Erf, Exp, Log, Neg, Sqrt; Not; Cast. */
#include <math.h>
#include <string.h>

#include "worker/engine/ops/curves.h"
#include "worker/engine/ops/unary.h"

UNARY_KERNEL(abs, fabsf(p), p > 0 ? 1.0f : p < 0 ? -1.0f : 0.0f)
UNARY_KERNEL(erf, curve_erf(p), 1.128379167f * curve_exp(-p * p)) /* 2/√π·e^(-x²) */
UNARY_KERNEL(exp, curve_exp(p), r)
UNARY_KERNEL(log, logf(p), 1 / p)
UNARY_KERNEL(neg, -p, -1.0f)
UNARY_KERNEL(sqrt, sqrtf(p), 0.5f / r)

UNARY_FORWARD(not, p == 0 ? 1.0f : 0.0f)
const struct op_kernel op_not = {.forward = not_forward};

/* ---- Cast: to whole numbers toward zero, to truth ≠ 0; a gradient passes only to floating point ----
 */

UNARY_FORWARD(whole, truncf(p))
UNARY_FORWARD(truth, p != 0 ? 1.0f : 0.0f)

static bool to_float(const struct node *node)
{
    return node->attributes.to == DTYPE_F32 || node->attributes.to == DTYPE_F64;
}

OP_FORWARD(cast_forward)
{
    if (to_float(site->node))
        memcpy(y, x[0], op_elements(&site->y_shape) * sizeof *y);
    else if (site->node->attributes.to == DTYPE_BOOL)
        truth_forward(site, x, y, scratch);
    else
        whole_forward(site, x, y, scratch);
}

OP_BACKWARD(cast_backward)
{
    (void)x, (void)y, (void)scratch;
    memcpy(dx[0], dy, op_elements(&site->y_shape) * sizeof *dy);
}

const struct op_kernel op_cast = {.forward = cast_forward, .backward = cast_backward};
