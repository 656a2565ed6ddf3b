/* Activations. Derivatives at a kink take the value of the flat side, as ONNX Runtime and PyTorch
 * do. */
#include <math.h>

#include "worker/engine/ops/curves.h"
#include "worker/engine/ops/unary.h"

/* Where low exceeds high, high, as in ONNX. */
static inline float bound(float v, float low, float high)
{
    return v > high || low > high ? high : v < low ? low : v;
}

/* By the output where that tells as much: the next layer keeps it anyway, and the input can go. */
UNARY_KERNEL(clip, bound(p, low, high), r > low && r < high ? 1.0f : 0.0f)
UNARY_KERNEL(relu, p > 0 ? p : 0, r > 0 ? 1.0f : 0.0f)
UNARY_KERNEL(leaky_relu, p > 0 ? p : alpha * p, p > 0 ? 1.0f : alpha)
UNARY_KERNEL(sigmoid, curve_sigmoid(p), r *(1 - r))
UNARY_KERNEL(tanh, curve_tanh(p), 1 - r * r)
UNARY_KERNEL(hard_sigmoid, bound(alpha *p + beta, 0, 1), r > 0 && r < 1 ? alpha : 0.0f)
/* x·clip(x+3, 0, 6)/6 (Howard et al., "Searching for MobileNetV3", 2019, eq. in 5.2) */
UNARY_KERNEL(hard_swish, p *bound(p + 3, 0, 6) * (1 / 6.0f),
             p <= -3  ? 0.0f
             : p >= 3 ? 1.0f
                      : (2 * p + 3) * (1 / 6.0f))
/* α(eˣ - 1) below zero (Clevert et al., "Fast and Accurate Deep Network Learning by ELUs", 2016) */
UNARY_KERNEL(elu, p > 0 ? p : alpha * curve_expm1(p), p > 0 ? 1.0f : alpha * curve_exp(p))
/* ln(1 + eˣ), written so that neither end overflows. */
UNARY_KERNEL(softplus, (p > 0 ? p : 0) + curve_log1p(curve_exp(-fabsf(p))), curve_sigmoid(p))

/* ---- Gelu: x·Φ(x), Φ exactly or by tanh (Hendrycks & Gimpel, "Gaussian Error Linear Units") ---- */

#define ROOT_HALF 0.707106781f      /* 1/√2 */
#define NORMAL_DENSITY 0.398942280f /* 1/√(2π) */
#define TANH_SCALE 0.797884561f     /* √(2/π) */
#define TANH_CUBIC 0.044715f

static inline float normal_share(float v)
{
    return 0.5f + 0.5f * curve_erf(v * ROOT_HALF);
}

static inline float tanh_argument(float v)
{
    return TANH_SCALE * (v + TANH_CUBIC * v * v * v);
}

static inline float tanh_gelu_slope(float v)
{
    float t = curve_tanh(tanh_argument(v));
    float inner = TANH_SCALE * (1 + 3 * TANH_CUBIC * v * v);
    return 0.5f * (1 + t) + 0.5f * v * (1 - t * t) * inner;
}

UNARY_FORWARD(exact_gelu, p *normal_share(p))
UNARY_BACKWARD(exact_gelu, normal_share(p) + p * (NORMAL_DENSITY * curve_exp(-0.5f * p * p)))
UNARY_FORWARD(tanh_gelu, 0.5f * p * (1 + curve_tanh(tanh_argument(p))))
UNARY_BACKWARD(tanh_gelu, tanh_gelu_slope(p))

OP_FORWARD(gelu_forward)
{
    bool approximate = site->node->attributes.approximate;
    (approximate ? tanh_gelu_forward : exact_gelu_forward)(site, x, y, scratch);
}

OP_BACKWARD(gelu_backward)
{
    bool approximate = site->node->attributes.approximate;
    (approximate ? tanh_gelu_backward : exact_gelu_backward)(site, x, y, dy, dx, scratch);
}

const struct op_kernel op_gelu = {.forward = gelu_forward, .backward = gelu_backward};
