/* Add, Sub, Mul, Div, Pow with numpy broadcasting (ONNX operator definitions of the same names). */
#include <math.h>

#include "worker/engine/ops/pair.h"

PAIR_KERNEL(add, p + q, dy[i], dy[i])
PAIR_KERNEL(sub, p - q, dy[i], -dy[i])
PAIR_KERNEL(mul, p *q, dy[i] * q, dy[i] * p)
PAIR_KERNEL(div, p / q, dy[i] / q, -dy[i] * p / (q * q))

/* ---- powers ---- */

/* The exponents that networks are made of need no logarithm; a loop over one of them vectorises. */
PAIR_VALUE(square_value, p *p)
PAIR_VALUE(cube_value, p *p *p)
PAIR_VALUE(root_value, sqrtf(p))
PAIR_VALUE(any_value, powf(p, q))

PAIR_CONTRIBUTION(square_toward_a, dy[i] * (2 * p))
PAIR_CONTRIBUTION(cube_toward_a, dy[i] * (3 * p * p))
PAIR_CONTRIBUTION(root_toward_a, dy[i] * (0.5f / sqrtf(p)))
PAIR_CONTRIBUTION(any_toward_a, q == 0 ? 0 : dy[i] * (q * powf(p, q - 1)))

/* ∂pᑫ/∂q = pᑫ·ln p, and 0 in the limit p → 0; of a negative base it does not exist (NaN). */
PAIR_CONTRIBUTION(any_toward_b, p == 0 && q >= 0 ? 0 : dy[i] * (powf(p, q) * logf(p)))

static void power_value(const struct pair_row *row, float *out)
{
    const float exponent = row->step_b == 0 ? row->b[0] : 0;
    if (exponent == 2)
        square_value(row, out);
    else if (exponent == 3)
        cube_value(row, out);
    else if (exponent == 0.5f)
        root_value(row, out);
    else
        any_value(row, out);
}

static void power_toward_a(const struct pair_row *row, const float *dy, float *out)
{
    const float exponent = row->step_b == 0 ? row->b[0] : 0;
    if (exponent == 2)
        square_toward_a(row, dy, out);
    else if (exponent == 3)
        cube_toward_a(row, dy, out);
    else if (exponent == 0.5f)
        root_toward_a(row, dy, out);
    else
        any_toward_a(row, dy, out);
}

PAIR_FORWARD(power)

OP_BACKWARD(power_backward)
{
    const struct pair pair = pair_of(site, x, 0, 1);
    (void)y, (void)scratch;
    if (site->wanted[0])
        pair_backward(&pair, 0, power_toward_a, dy, dx[0]);
    if (site->wanted[1])
        pair_backward(&pair, 1, any_toward_b, dy, dx[1]);
}

const struct op_kernel op_pow = {.forward = power_forward, .backward = power_backward};
