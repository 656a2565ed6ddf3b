#include "common/wire/coding.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/tensor/bfloat16.h"

#define GROUP 256 /* values that share a scale of int8 */
#define INT8_MOST 127.0f
#define MAGNITUDE 0x7fffffffu
#define INFINITY_BITS 0x7f800000u

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static size_t groups_of(size_t n)
{
    return (n + GROUP - 1) / GROUP;
}

static size_t kept(const struct compression_config *config, size_t n)
{
    size_t count = (size_t)ceil(config->share * (double)n);
    return count < 1 ? 1 : count > n ? n : count;
}

size_t coding_bytes(const struct compression_config *config, size_t n)
{
    switch (config->kind) {
    case COMPRESSION_NONE:
        return n * sizeof(float);
    case COMPRESSION_BFLOAT16:
    case COMPRESSION_FLOAT16:
        return n * sizeof(uint16_t);
    case COMPRESSION_INT8:
    case COMPRESSION_INT8_STOCHASTIC:
        return groups_of(n) * sizeof(float) + n;
    case COMPRESSION_TOP_K:
        return kept(config, n) * (sizeof(uint32_t) + sizeof(float));
    }
    return 0;
}

/* ---- 16 bits ---- */

/* By the rounding of float32's own addition: 2^-24 is the smallest float16, and 0.5 has 2^-24 as its
 * last bit. */
static uint16_t to_float16(float value)
{
    const float largest = 65504.0f, smallest_normal = 0x1p-14f;
    uint32_t bits = bits_of(value), magnitude = bits & MAGNITUDE;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude >= INFINITY_BITS)
        return (uint16_t)(sign | (magnitude > INFINITY_BITS ? 0x7e00 : 0x7c00));
    float size = float_of(magnitude);
    if (size > largest)
        return (uint16_t)(sign | 0x7bff);
    if (size < smallest_normal)
        return (uint16_t)(sign | (bits_of(size + 0.5f) - bits_of(0.5f)));
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((magnitude >> 13) - (112u << 10)));
}

static float from_float16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00)
        return float_of(sign | INFINITY_BITS | (magnitude & 0x3ff) << 13);
    if (magnitude < 0x400)
        return float_of(sign | bits_of((float)magnitude * 0x1p-24f));
    return float_of(sign | (magnitude + (112u << 10)) << 13);
}

static void encode_16(uint16_t (*to)(float), const float *values, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half = to(values[i]);
        memcpy(out + i * sizeof half, &half, sizeof half);
    }
}

static void decode_16(float (*from)(uint16_t), const uint8_t *bytes, size_t n, float *values)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, bytes + i * sizeof half, sizeof half);
        values[i] = from(half);
    }
}

/* ---- 8 bits ---- */

/* The largest magnitude / 127; NaN when a value is not finite. */
static float scale_of(const float *values, size_t n)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = bits_of(values[i]) & MAGNITUDE;
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest < INFINITY_BITS ? float_of(largest) / INT8_MOST : NAN;
}

static void encode_int8(bool stochastic, struct random_key key, const float *values, size_t n,
                        uint8_t *out)
{
    uint8_t *levels = out + groups_of(n) * sizeof(float);
    for (size_t first = 0; first < n; first += GROUP) {
        size_t count = n - first < GROUP ? n - first : GROUP;
        float scale = scale_of(values + first, count);
        memcpy(out + first / GROUP * sizeof scale, &scale, sizeof scale);
        for (size_t i = first; i < first + count; i++) {
            float level = scale > 0 ? values[i] / scale : 0.0f;
            level = stochastic ? (float)floor((double)level + random_uniform(key, (uint32_t)i))
                               : rintf(level);
            levels[i] = (uint8_t)(int8_t)fminf(fmaxf(level, -INT8_MOST), INT8_MOST);
        }
    }
}

static void decode_int8(const uint8_t *bytes, size_t n, float *values)
{
    const uint8_t *levels = bytes + groups_of(n) * sizeof(float);
    for (size_t i = 0; i < n; i++) {
        float scale;
        memcpy(&scale, bytes + i / GROUP * sizeof scale, sizeof scale);
        values[i] = scale * (float)(int8_t)levels[i];
    }
}

/* ---- the largest ---- */

#define DIGIT_BITS 8
#define DIGITS (1u << DIGIT_BITS)

/* The k-th largest magnitude, as bits, digit by digit from the highest; *equal: how many of those
 * that are equal to it belong to the k. */
static uint32_t threshold(const float *values, size_t n, size_t k, size_t *equal)
{
    uint32_t prefix = 0;
    for (unsigned shift = 32 - DIGIT_BITS;; shift -= DIGIT_BITS) {
        size_t counts[DIGITS] = {0};
        uint32_t digit = DIGITS - 1;
        for (size_t i = 0; i < n; i++) {
            uint32_t magnitude = bits_of(values[i]) & MAGNITUDE;
            if (((uint64_t)magnitude ^ prefix) >> (shift + DIGIT_BITS) == 0)
                counts[magnitude >> shift & (DIGITS - 1)]++;
        }
        while (counts[digit] < k)
            k -= counts[digit--];
        prefix |= digit << shift;
        if (shift == 0)
            break;
    }
    *equal = k;
    return prefix;
}

static void encode_top(const float *values, size_t n, size_t k, uint8_t *out)
{
    size_t equal, at = 0;
    uint32_t least = threshold(values, n, k, &equal);
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = bits_of(values[i]) & MAGNITUDE, position = (uint32_t)i;
        if (magnitude < least || (magnitude == least && equal == 0))
            continue;
        equal -= magnitude == least;
        memcpy(out + at * sizeof position, &position, sizeof position);
        memcpy(out + k * sizeof position + at * sizeof *values, &values[i], sizeof *values);
        at++;
    }
    CHECK(at == k);
}

static bool decode_top(const uint8_t *bytes, size_t n, size_t k, float *values)
{
    uint64_t next = 0;
    memset(values, 0, n * sizeof *values);
    for (size_t i = 0; i < k; i++) {
        uint32_t position;
        memcpy(&position, bytes + i * sizeof position, sizeof position);
        if (position < next || position >= n)
            return false;
        memcpy(&values[position], bytes + k * sizeof position + i * sizeof *values, sizeof *values);
        next = (uint64_t)position + 1;
    }
    return true;
}

/* ---- all ---- */

void coding_encode(const struct compression_config *config, struct random_key key,
                   const float *values, size_t n, void *out)
{
    switch (config->kind) {
    case COMPRESSION_NONE:
        memcpy(out, values, n * sizeof *values);
        break;
    case COMPRESSION_BFLOAT16:
        encode_16(bfloat16_narrow, values, n, out);
        break;
    case COMPRESSION_FLOAT16:
        encode_16(to_float16, values, n, out);
        break;
    case COMPRESSION_INT8:
    case COMPRESSION_INT8_STOCHASTIC:
        encode_int8(config->kind == COMPRESSION_INT8_STOCHASTIC, key, values, n, out);
        break;
    case COMPRESSION_TOP_K:
        encode_top(values, n, kept(config, n), out);
        break;
    }
}

bool coding_decode(const struct compression_config *config, const void *bytes, size_t n,
                   float *values)
{
    switch (config->kind) {
    case COMPRESSION_NONE:
        memcpy(values, bytes, n * sizeof *values);
        return true;
    case COMPRESSION_BFLOAT16:
        decode_16(bfloat16_widen, bytes, n, values);
        return true;
    case COMPRESSION_FLOAT16:
        decode_16(from_float16, bytes, n, values);
        return true;
    case COMPRESSION_INT8:
    case COMPRESSION_INT8_STOCHASTIC:
        decode_int8(bytes, n, values);
        return true;
    case COMPRESSION_TOP_K:
        return decode_top(bytes, n, kept(config, n), values);
    }
    return false;
}
