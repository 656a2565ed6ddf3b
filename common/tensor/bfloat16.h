/* bfloat16: the upper half of a float32. */
#ifndef GRAFT_COMMON_TENSOR_BFLOAT16_H
#define GRAFT_COMMON_TENSOR_BFLOAT16_H

#include <stdint.h>
#include <string.h>

static inline float bfloat16_widen(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest, a tie to the even one; NaN stays NaN. */
static inline uint16_t bfloat16_narrow(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
    return (uint16_t)((value == value ? rounded : bits | 0x400000) >> 16);
}

#endif
