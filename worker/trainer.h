/* One stage on one worker: the head, the micro-batches of the shards in flight, their losses and
 * gradients, and the sums over shards that are pushed. Everything here is a function of (job,
 * weights, features, step, shard). One thread. */
#ifndef GRAFT_WORKER_TRAINER_H
#define GRAFT_WORKER_TRAINER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/model/layout.h"
#include "common/model/plan.h"
#include "common/tensor/reduction.h"
#include "worker/engine/head.h"
#include "worker/features.h"
#include "worker/sync/compressor.h"
#include "worker/sync/statistics.h"

struct trainer;

/* What the stage's head needs on a worker with its share of the shards, and may take (head.h). */
struct head_room trainer_head_room(const struct job *job, const struct layout *layout, size_t stage,
                                   size_t bytes_max);

/* All pointers are borrowed. bytes_max: of the head's activations and gradients. */
enum status trainer_create(const struct job *job, const struct manifest *manifest,
                           const struct plan *plan, size_t stage, struct features *features,
                           size_t bytes_max, struct trainer **out, struct error *err) MUST_CHECK;
void trainer_destroy(struct trainer **trainer);

/* Gives back the micro-batches' memory until the next one is taken: another stage is in work. */
void trainer_rest(struct trainer *trainer);

/* Pseudo labels for the unlabelled domains of the stage, one after the other: per domain one number
 * per training sample, in manifest order, LABEL_NONE = takes no part. Copied. ERR_PEER when the
 * count does not fit. */
enum status trainer_pseudo_labels(struct trainer *trainer, const void *labels, size_t bytes,
                                  struct error *err) MUST_CHECK;

/* Before the first step of an epoch, or of one that begins again. */
void trainer_begin_epoch(struct trainer *trainer);

/* Uses live[live_elements] from now on; forgets the shards in flight and their sums. */
void trainer_begin_step(struct trainer *trainer, const float *live);

/* Forward of a shard's micro-batches at `step` (0-based in the stage); adds its moments to the
 * statistics. In a stage without statistics it waits for the backward, so that one micro-batch is in
 * memory at a time; with accumulate > 1 too, where the statistics take a forward of their own. */
enum status trainer_forward(struct trainer *trainer, uint32_t shard, uint32_t step,
                            struct error *err) MUST_CHECK;

/* Backward of a shard that was forwarded in this step; adds its gradients and metrics. `statistics`
 * is the finished phase 1, or NULL when the stage needs none. Errors: those of trainer_forward. */
enum status trainer_backward(struct trainer *trainer, uint32_t shard,
                             const struct statistics *statistics, struct error *err) MUST_CHECK;

/* Sums over shards, per domain of the stage: what there is to push. Borrowed. */
enum trainer_sum { SUM_STATISTICS, SUM_GRADIENTS, SUM_METRICS };
const struct reduction *trainer_sums(const struct trainer *trainer, enum trainer_sum sum,
                                     size_t slot);
/* What codes the gradients among them; NULL: they are float32 as they are. */
const struct compressor *trainer_compressor(const struct trainer *trainer);

/* Logits (regression: values in the targets' own units) of a whole shard of a part, into
 * logits[count, K]; readable[count]. */
enum status trainer_predict(struct trainer *trainer, size_t domain, enum split split,
                            uint32_t shard, float *logits, uint8_t *readable,
                            struct error *err) MUST_CHECK;

#endif
