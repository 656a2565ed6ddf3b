/* QuantizeLinear: x/scale rounded half to even, plus zero point, saturated to 8 bits; DequantizeLinear:
 * (x - zero point)·scale. One scale for all, or one per index of the axis. Inference only: no
 * gradient passes. */
#include <math.h>

#include "worker/engine/ops/op.h"

/* Elements with one scale lie together, `run` at a time; the scales follow each other. */
struct scales {
    size_t count, run;
    const float *scale, *zero; /* zero: NULL when left out */
};

static struct scales scales_of(const struct op_site *site, const float *const *x)
{
    bool zero = site->input_count > 2 && site->node->inputs[2] != GRAPH_NONE;
    struct scales s = {op_elements(&site->x_shape[1]), 1, x[1], zero ? x[2] : NULL};
    const struct shape *shape = &site->x_shape[0];
    size_t axis = (size_t)site->node->attributes.axis;
    if (s.count == 1)
        s.run = op_elements(shape);
    for (size_t i = axis + 1; i < shape->rank && s.count > 1; i++)
        s.run *= (size_t)shape->dims[i];
    return s;
}

static float zero_of(const struct scales *s, size_t index)
{
    return s->zero == NULL ? 0 : s->zero[index];
}

OP_FORWARD(quantize_forward)
{
    struct scales s = scales_of(site, x);
    bool unsigned_bits = site->node->attributes.to == DTYPE_U8;
    float low = unsigned_bits ? 0 : -128, high = unsigned_bits ? 255 : 127;
    (void)scratch;
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        size_t index = i / s.run % s.count;
        float v = rintf(x[0][i] / s.scale[index]) + zero_of(&s, index);
        y[i] = v < low ? low : v > high ? high : v;
    }
}

OP_FORWARD(dequantize_forward)
{
    struct scales s = scales_of(site, x);
    (void)scratch;
    for (size_t i = 0; i < op_elements(&site->y_shape); i++) {
        size_t index = i / s.run % s.count;
        y[i] = (x[0][i] - zero_of(&s, index)) * s.scale[index];
    }
}

const struct op_kernel op_quantize = {.forward = quantize_forward};
const struct op_kernel op_dequantize = {.forward = dequantize_forward};
