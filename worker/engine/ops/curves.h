/* exp, tanh, erf and their kin in float32 arithmetic alone: loops over them vectorise, and their bits
 * are the same on every instruction set, as OP_CLONES asks (the C library's differ from one to the
 * next). Relative error against the exact value below 2e-7 over all magnitudes (tested by
 * op_elementwise_test.c). NaN gives NaN, infinities their limits. */
#ifndef GRAFT_WORKER_ENGINE_OPS_CURVES_H
#define GRAFT_WORKER_ENGINE_OPS_CURVES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* 2^n for -126 ≤ n ≤ 127, by its bits. */
static inline float curve_power_of_two(int32_t n)
{
    int32_t bits = (n + 127) * (1 << 23);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* eˣ = 2ⁿ·eʳ with |r| ≤ ½ln2, the latter by a polynomial (S. Moshier, Cephes, "expf"). 2ⁿ goes in two
 * halves, so that results below 2⁻¹²⁶ fade out instead of breaking off. */
static inline float curve_exp(float x)
{
    const float nearest = 12582912.0f; /* 1.5·2²³: adding it rounds to a whole number */
    float bounded = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
    float n = (bounded * 1.44269504f + nearest) - nearest;
    float r = (bounded - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r * r + r) + 1.0f;
    int32_t whole = (int32_t)(n == n ? n : 0.0f), half = whole >> 1;
    return p * curve_power_of_two(half) * curve_power_of_two(whole - half);
}

/* Near zero by a polynomial in x² (Cephes, "tanhf"), else 1 - 2/(e²ˣ + 1). */
static inline float curve_tanh(float x)
{
    float s = x * x, size = fabsf(x);
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    float near = p * s * x + x;
    float far = copysignf(1.0f - 2.0f / (curve_exp(2.0f * size) + 1.0f), x);
    return size < 0.625f ? near : size >= 0.625f ? far : x;
}

/* eˣ - 1 without cancellation, for x ≤ 0: 2t/(1 - t) with t = tanh(x/2). */
static inline float curve_expm1(float x)
{
    float t = curve_tanh(0.5f * x);
    return 2.0f * t / (1.0f - t);
}

/* ln(1 + x) for 0 ≤ x ≤ 1: 2·artanh(z) with z = x/(2 + x) ≤ 1/3, by its series. */
static inline float curve_log1p(float x)
{
    float z = x / (2.0f + x), s = z * z;
    float p = 2.0f / 15;
    p = p * s + 2.0f / 13;
    p = p * s + 2.0f / 11;
    p = p * s + 2.0f / 9;
    p = p * s + 2.0f / 7;
    p = p * s + 2.0f / 5;
    p = p * s + 2.0f / 3;
    return p * s * z + 2.0f * z;
}

static inline float curve_sigmoid(float x)
{
    return 1.0f / (1.0f + curve_exp(-x));
}

/* Near zero x + x·p(x²), else 1 - e^(-q(|x|)) (N. Juffa's minimax fits of erff). */
static inline float curve_erf(float x)
{
    float size = fabsf(x), s = x * x;
    float p = -5.96761703e-4f;
    p = p * s + 4.99119423e-3f;
    p = p * s - 2.67681349e-2f;
    p = p * s + 1.12819925e-1f;
    p = p * s - 3.76125336e-1f;
    p = p * s + 1.28379166e-1f;
    float near = p * x + x;
    float t = size < 4.0f ? size : 4.0f; /* erf(4) rounds to 1 */
    float q = -1.72853470e-5f * t + 3.83197126e-4f;
    float u = -3.88396438e-3f * t + 2.42546219e-2f;
    q = q * (t * t) + u;
    q = q * t - 1.06777877e-1f;
    q = q * t - 6.34846687e-1f;
    q = q * t - 1.28717512e-1f;
    q = q * t - t;
    float far = copysignf(1.0f - curve_exp(q), x);
    return size < 0.927734375f ? near : size >= 0.927734375f ? far : x;
}

#endif
