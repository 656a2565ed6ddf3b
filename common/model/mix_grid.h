/* Where mixup and cutmix can mix: the boundary tensors of a stage's plan, since what lies before
 * them is frozen and comes from the cache. With nothing frozen they are the samples themselves. */
#ifndef GRAFT_COMMON_MODEL_MIX_GRID_H
#define GRAFT_COMMON_MODEL_MIX_GRID_H

#include <stddef.h>

#include "common/config/job.h"
#include "common/model/plan.h"

/* A sample's row [channels, height, width] that boxes are cut from. */
struct mix_grid {
    size_t height, width;
};

/* Zeros when the stage has no cutmix. ERR_INPUT when it mixes what cannot be: whole numbers (token
 * ids), and for cutmix anything but one tensor with a height and a width. */
enum status mix_grid_of(const struct plan *plan, const struct stage_config *stage,
                        struct mix_grid *out, struct error *err) MUST_CHECK;

#endif
