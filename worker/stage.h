/* All that a worker holds for one stage of the job: plan, features, trainer, weights, statistics.
 * Opened when a task first names the stage and kept, so that going back to a stage for its
 * evaluation costs nothing. One thread. */
#ifndef GRAFT_WORKER_STAGE_H
#define GRAFT_WORKER_STAGE_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/model/layout.h"
#include "common/model/model.h"
#include "common/model/plan.h"
#include "common/net/link.h"
#include "worker/features.h"
#include "worker/sync/fresh.h"
#include "worker/sync/push.h"
#include "worker/sync/statistics.h"
#include "worker/sync/weights.h"
#include "worker/trainer.h"

struct stage {
    const struct job *job;
    size_t index;
    struct plan *plan;
    struct layout layout;
    struct features *features;
    struct trainer *trainer;
    struct weights *weights;             /* NULL in ssp and asp … */
    struct fresh *fresh;                 /* … and this else */
    uint64_t turns;                      /* of single shards */
    struct statistics *statistics;       /* NULL when no loss needs them */
    struct push_slice *parameter_slices; /* [layout.parameter_count] */
    struct push_slice *statistic_slices; /* [layout.statistic_count] */
    struct push_slice metric_slice;
};

/* All pointers are borrowed. activations_max: bytes (trainer.h). */
enum status stage_open(const struct job *job, const struct model *model,
                       const struct manifest *manifest, size_t index, struct decoder *decoder,
                       struct link_progress *progress, size_t activations_max, struct stage **out,
                       struct error *err) MUST_CHECK;
/* Another stage is in work, or (`prepared`) this one's features are all there: gives back what is not
 * needed meanwhile. */
void stage_rest(struct stage *stage, bool prepared);
void stage_close(struct stage **stage);

/* Forgets weights and statistics: the servers were loaded anew. */
enum status stage_forget(struct stage *stage, struct error *err) MUST_CHECK;

/* The version to go on with: in bsp the newest one that is complete; in ssp and asp `version`, which is
 * a task's, if the weights may be used for it: to train any that are complete, to predict those after
 * all shards' steps. 0: none. */
uint64_t stage_latest(const struct stage *stage, const struct message_task *task, uint64_t version);
/* Its weights. Borrowed until the next block is taken. */
const float *stage_live(struct stage *stage, uint64_t version);

/* ssp and asp: takes the blocks of a CLOCKS message; returns how many are none of the stage's. */
size_t stage_take_clocks(struct stage *stage, const struct message_clocks *clocks,
                         const struct frame *payloads, size_t count);
/* One shard's forward and backward with the newest weights; statistics are of its micro-batches
 * alone. Errors: those of trainer_forward. */
enum status stage_turn(struct stage *stage, uint32_t shard, uint32_t step,
                       struct error *err) MUST_CHECK;
/* Pushes what it gave. */
void stage_push_turn(const struct stage *stage, const struct push_route *route, uint32_t clock,
                     struct outbox outbox);

/* Pushes what the trainer has summed. `gradients`: gradients and metrics; else statistics. */
void stage_push(const struct stage *stage, bool gradients, const struct push_route *route,
                uint64_t version, struct outbox outbox);

#endif
