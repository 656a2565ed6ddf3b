/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). A number is a pure function of (seed, purpose, epoch, index, draw): it does
 * not matter who draws it or in which order, so shuffles, dropout and augmentation are the same on
 * any cluster. No state, thread safe. */
#ifndef GRAFT_COMMON_BASE_RANDOM_H
#define GRAFT_COMMON_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum random_purpose {
    RANDOM_SHUFFLE = 1,
    RANDOM_INIT,
    RANDOM_SPLIT,
    RANDOM_DROPOUT,
    RANDOM_AUGMENT,
    RANDOM_VARIANT,
    RANDOM_MIX,
    RANDOM_ROUNDING,
};

struct random_key {
    uint64_t seed;
    enum random_purpose purpose;
    uint32_t epoch;
    uint64_t index; /* sample, shard or tensor, as the purpose says */
};

/* Draw number `draw` of the stream `key`, uniform over 64 bits. */
uint64_t random_bits(struct random_key key, uint32_t draw);

/* Uniform in [0, 1), 53 bits. */
double random_uniform(struct random_key key, uint32_t draw);

/* Standard normal (Box-Muller on two bit draws of the same counter). */
double random_normal(struct random_key key, uint32_t draw);

/* Beta(a, a), a > 0, as X/(X + Y) of two gamma variables (Marsaglia & Tsang 2000), in logarithms so
 * that a small `a` gives 0 or 1 and never NaN. Uses the draws from `draw` on, as many as it takes. */
double random_beta(struct random_key key, uint32_t draw, double a);

/* Fisher-Yates permutation of 0 … count-1 into `out`; count below 2^32. */
void random_permutation(struct random_key key, size_t count, uint32_t *out);

#endif
