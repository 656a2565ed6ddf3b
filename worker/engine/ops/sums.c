#include "worker/engine/ops/sums.h"

#include "worker/engine/ops/op.h"

#define LANES ((size_t)16)

/* The term is written twice, for whole groups of lanes and for the rest: so the loop over lanes
 * vectorises. */
#define LANE_SUM(term)                                                                             \
    double lanes[LANES] = {0}, total = 0;                                                          \
    size_t at = 0;                                                                                 \
    for (; at + LANES <= n; at += LANES)                                                           \
        for (size_t lane = 0; lane < LANES; lane++) {                                              \
            const size_t i = at + lane;                                                            \
            lanes[lane] += (term);                                                                 \
        }                                                                                          \
    for (size_t i = at; i < n; i++)                                                                \
        total += (term);                                                                           \
    for (size_t lane = 0; lane < LANES; lane++)                                                    \
        total += lanes[lane];                                                                      \
    return total;

OP_CLONES double sums_row(const float *x, size_t n){LANE_SUM((double)x[i])}

OP_CLONES double sums_product(const float *x, const float *y,
                              size_t n){LANE_SUM((double)x[i] * (double)y[i])}

OP_CLONES double sums_deviation(const float *x, double mean,
                                size_t n){LANE_SUM(((double)x[i] - mean) * ((double)x[i] - mean))}

OP_CLONES void sums_add(float *restrict to, const float *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}
