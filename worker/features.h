/* Features of whole shards: from the cache, else read → decode → trunk, and into the cache. For one
 * stage's plan. Rows are in the shard's order; they are computed in batches that depend on the
 * shard alone, so their bits do not depend on who computes them. One thread. */
#ifndef GRAFT_WORKER_FEATURES_H
#define GRAFT_WORKER_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/model/plan.h"
#include "common/net/link.h"
#include "worker/data/decoder.h"

#define FEATURES_BATCH ((size_t)32) /* samples that go through the trunk at once */

struct features;

struct features_rows {
    const float *rows;    /* [variants, count, plan->boundary_elements] */
    const uint8_t *valid; /* [variants, count]: 0 = the sample could not be read; its row is zero */
    size_t count;
    size_t variants; /* data.augment's for training samples, else 1; the first is unchanged */
};

/* All pointers are borrowed. The trunk is compiled on the first miss. */
enum status features_create(const struct job *job, const struct manifest *manifest,
                            const struct plan *plan, struct decoder *decoder,
                            struct link_progress *progress, struct features **out,
                            struct error *err) MUST_CHECK;
void features_destroy(struct features **features);

/* Gives back what computes features: the compiled trunk and the loader. The next miss makes them anew. */
void features_rest(struct features *features);

/* Rows of a shard; borrowed until features_destroy. Blocks while computing. Errors: ERR_STATE (data
 * changed), ERR_MEMORY, ERR_INPUT (the model cannot be compiled). Samples that could not be read
 * are logged and counted. */
enum status features_get(struct features *features, size_t domain, enum split split, uint32_t shard,
                         struct features_rows *out, struct error *err) MUST_CHECK;

#endif
