/* The samples of a stage's micro-batches: which ones a step takes from a shard, their features, what the
 * losses compare them with (labels, values, pseudo labels), mixed if the stage mixes. All of it is a
 * function of (job, manifest, pseudo labels, shard, step). One thread. */
#ifndef GRAFT_WORKER_BATCH_H
#define GRAFT_WORKER_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/model/plan.h"
#include "worker/features.h"

struct batch_source;

/* A shard's micro-batch of one of the stage's domains. */
struct batch {
    float *features; /* [micro_batch, boundary] */
    float *targets;  /* [micro_batch, K]: shares of classes, probabilities, or scaled values */
    size_t count;
};

/* All pointers are borrowed. */
enum status batch_source_create(const struct job *job, const struct manifest *manifest,
                                const struct plan *plan, size_t stage, struct features *features,
                                struct batch_source **out, struct error *err) MUST_CHECK;
void batch_source_destroy(struct batch_source **source);

/* As trainer_pseudo_labels. */
enum status batch_pseudo_labels(struct batch_source *source, const void *labels, size_t bytes,
                                struct error *err) MUST_CHECK;

/* Is the stage's domain number `slot` labelled? */
bool batch_labelled(const struct batch_source *source, size_t slot);

/* Room for a micro-batch; batch_deinit gives it back. */
enum status batch_init(const struct batch_source *source, struct batch *batch,
                       struct error *err) MUST_CHECK;
void batch_deinit(struct batch *batch);

/* Micro-batch `micro` of `step`; samples that could not be read are left out. Errors: those of features_get. */
enum status batch_fill(struct batch_source *source, size_t slot, uint32_t shard, uint32_t step,
                       uint32_t micro, struct batch *batch, struct error *err) MUST_CHECK;

#endif
