/* The rule that makes a block's next version of its finished sums:
 * mean per domain → domain weights → merge → clipping → L2-SP or head decay → optimiser.
 * Clipping by global norm (Pascanu, Mikolov & Bengio 2013, algorithm 1): g *= min(1, c / ‖g‖), where
 * ‖g‖ is over all blocks that learn, whichever server holds them; here comes the finished factor
 * (norms.h).
 * Without synchronisation (ssp, asp) the same is done with the gradient of one shard: update_by_shard.
 * A running statistic is a moving average instead (PyTorch's convention): new = (1 - m)·old + m·mean,
 * the mean over all samples of the domains that it follows; without such samples it stays. */
#ifndef GRAFT_PARAMSERVER_TABLE_UPDATE_H
#define GRAFT_PARAMSERVER_TABLE_UPDATE_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "paramserver/table/block.h"

/* Room for the gradients of the largest block, shared by a server's tables; starts zeroed. */
struct update_room {
    size_t domains, elements; /* that it has room for */
    float *gradients[JOB_DOMAINS_MAX];
    float *merged;
};

/* Makes it at least so large. */
enum status update_room_reserve(struct update_room *room, size_t domains, size_t elements,
                                struct error *err) MUST_CHECK;
void update_room_deinit(struct update_room *room);

/* block->squares[version % 2] = ‖g‖² of the block's merged gradient, summed in double in a fixed
 * order; 0 of a running statistic. Errors: those of update_block. */
enum status update_measure(struct block *block, const struct stage_config *stage,
                           struct update_room *room, uint64_t version, uint64_t stage_step,
                           struct error *err) MUST_CHECK;

/* Reads weights[version % 2], writes weights[(version + 1) % 2]. stage_step: 0-based step of the
 * stage, for schedule and bias correction. scale: of the merged gradient; unless the stage clips it
 * is 1, else squares are written as by update_measure. Errors: ERR_INPUT when a sum is not finite; nothing has
 * changed then. */
enum status update_block(struct block *block, const struct stage_config *stage,
                         struct update_room *room, float scale, uint64_t version,
                         uint64_t stage_step, uint32_t steps_per_epoch,
                         struct error *err) MUST_CHECK;

/* One shard's step. */
struct shard_step {
    const struct reduction_node *sums; /* [domains] */
    uint32_t shards;
    uint32_t clock; /* its steps before, for the schedule */
    uint32_t steps_per_epoch;
    double staleness; /* in steps: updates of the block since the weights that were used / shards */
    const float *seen; /* these weights, for delay compensation; NULL: none */
};

/* A step of one shard alone, with 1 / shards of the rate (and of a running statistic's momentum), so that
 * as many shards' steps move the weights as one synchronous step does, to first order: a gradient is
 * Σ / (micro_batch · accumulate), whatever the micro-batch held, so that each sample counts the same.
 * Optimiser states decay once an update.
 * staleness_scaling: rate / τ for a staleness τ > 1 (Zhang, Gupta, Lian & Liu 2016, equation 6, with
 * their n-softsync's unit of time: a round of all).
 * delay_compensation λ (Zheng et al. 2017, equation 10): g += λ g ⊙ g ⊙ (w_now − w_seen).
 * Reads weights[updates % 2], writes the other; the caller counts. Errors: those of update_block. */
enum status update_by_shard(struct block *block, const struct stage_config *stage,
                            struct update_room *room, const struct shard_step *step,
                            struct error *err) MUST_CHECK;

#endif
