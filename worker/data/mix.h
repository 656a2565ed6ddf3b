/* Mixup (Zhang 2018, "mixup: beyond empirical risk minimization", equation 1) and CutMix (Yun 2019,
 * equations 1 and 2) of the samples of one micro-batch, on whatever crosses the freeze boundary: on
 * hidden layers mixup is manifold mixup (Verma 2019). Pure; no allocation.
 *
 * Which sample is mixed with which, and how, is a function of (seed, step, sample, its place in the
 * micro-batch): the same on any cluster. */
#ifndef GRAFT_WORKER_DATA_MIX_H
#define GRAFT_WORKER_DATA_MIX_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/random.h"
#include "common/config/job.h"
#include "common/model/mix_grid.h"

struct mix {
    size_t partner; /* of the micro-batch; the sample itself when it is alone */
    double share;   /* λ: what the sample keeps of itself, and of its target */
    size_t left, top, right,
        bottom; /* cutmix: the partner's box, right and bottom outside; share is
                                        then what the box leaves. Empty: mixup */
};

/* After 2^24 steps the mixes begin anew. */
struct random_key mix_key(uint64_t seed, uint32_t step, uint32_t sample);

/* For sample number `at` of `count`. mixup: λ ~ Beta(α, α). cutmix: a box of the shape of the grid,
 * with (1 − λ) of its area, around a point that is uniform over it, cut at its edges. Both on: one
 * of them, by even chances. */
struct mix mix_draw(const struct stage_config *stage, const struct mix_grid *grid,
                    struct random_key key, size_t at, size_t count);

/* out[elements] from the sample's own row and its partner's; out overlaps neither. */
void mix_row(const struct mix *mix, const struct mix_grid *grid, const float *own,
             const float *partner, size_t elements, float *out);

/* out[count] = λ·own + (1 − λ)·partner */
void mix_targets(const struct mix *mix, const float *own, const float *partner, size_t count,
                 float *out);

#endif
