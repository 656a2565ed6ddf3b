#include "common/base/random.h"

#include <math.h>

#include "common/base/check.h"

#define PHILOX_ROUNDS 10
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

__extension__ typedef unsigned __int128 uint128; /* gcc and clang have it; ISO C does not */

struct philox {
    uint32_t c[4];
};

static struct philox philox_block(struct philox counter, uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * counter.c[0];
        uint64_t p1 = (uint64_t)PHILOX_M1 * counter.c[2];
        counter = (struct philox){{(uint32_t)(p1 >> 32) ^ counter.c[1] ^ k0, (uint32_t)p1,
                                   (uint32_t)(p0 >> 32) ^ counter.c[3] ^ k1, (uint32_t)p0}};
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    return counter;
}

static struct philox draw_block(struct random_key key, uint32_t draw)
{
    /* Purpose and epoch share a word: 8 bits and 24 bits. */
    CHECK(key.epoch < (1u << 24));
    struct philox counter = {{draw, (uint32_t)key.index, (uint32_t)(key.index >> 32),
                              ((uint32_t)key.purpose << 24) | key.epoch}};
    return philox_block(counter, (uint32_t)key.seed, (uint32_t)(key.seed >> 32));
}

static double unit_interval(uint32_t high, uint32_t low)
{
    uint64_t bits = ((uint64_t)high << 32 | low) >> 11;
    return (double)bits * 0x1.0p-53;
}

uint64_t random_bits(struct random_key key, uint32_t draw)
{
    struct philox block = draw_block(key, draw);
    return (uint64_t)block.c[0] << 32 | block.c[1];
}

double random_uniform(struct random_key key, uint32_t draw)
{
    struct philox block = draw_block(key, draw);
    return unit_interval(block.c[0], block.c[1]);
}

double random_normal(struct random_key key, uint32_t draw)
{
    struct philox block = draw_block(key, draw);
    double radius = sqrt(-2.0 * log(1.0 - unit_interval(block.c[0], block.c[1])));
    return radius * cos(6.283185307179586 * unit_interval(block.c[2], block.c[3]));
}

/* Logarithm of a Gamma(a) variable; *draw moves on. Below 1: Gamma(a + 1)·U^(1/a). */
static double log_gamma_variable(struct random_key key, uint32_t *draw, double a)
{
    double boost = a < 1 ? log(1.0 - random_uniform(key, (*draw)++)) / a : 0;
    double d = (a < 1 ? a + 1 : a) - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = random_normal(key, (*draw)++), v = pow(1 + c * x, 3);
        double u = 1.0 - random_uniform(key, (*draw)++);
        if (v > 0 && log(u) < x * x / 2 + d - d * v + d * log(v))
            return log(d * v) + boost;
    }
}

double random_beta(struct random_key key, uint32_t draw, double a)
{
    double x = log_gamma_variable(key, &draw, a);
    return 1 / (1 + exp(log_gamma_variable(key, &draw, a) - x));
}

void random_permutation(struct random_key key, size_t count, uint32_t *out)
{
    CHECK(count < UINT32_MAX);
    for (size_t i = 0; i < count; i++)
        out[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        /* Lemire's multiply-shift; the bias is below count / 2^64. */
        size_t j = (size_t)(((uint128)random_bits(key, (uint32_t)i) * i) >> 64);
        uint32_t swap = out[i - 1];
        out[i - 1] = out[j];
        out[j] = swap;
    }
}
