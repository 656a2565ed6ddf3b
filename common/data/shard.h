/* Shard arithmetic: which samples a shard contributes to a step, in `accumulate` micro-batches. Pure functions of the manifest,
 * the job and the counters, so that any worker computes the same micro-batch for a shard.
 *
 * Sample number p of a (domain, split) belongs to shard p mod S. An epoch is one pass over the
 * primary domain of the stage: its first unlabelled domain, else its first domain. In epoch e a
 * shard's primary samples are permuted by the key (seed, RANDOM_SHUFFLE, e, domain<<32|shard) and
 * cut into micro-batches; the last may be smaller or empty. The other domains run through their
 * shard's samples in passes of their own, each pass freshly permuted, every micro-batch full (a
 * shard without samples of that domain contributes none).
 */
#ifndef GRAFT_COMMON_DATA_SHARD_H
#define GRAFT_COMMON_DATA_SHARD_H

#include <stddef.h>
#include <stdint.h>

#include "common/config/job.h"
#include "common/data/manifest.h"

/* Steps of one epoch of the stage: enough for its largest primary shard. At least 1. */
uint32_t shard_steps_per_epoch(const struct job *job, const struct manifest *manifest,
                               size_t stage);

/* Number of the samples of shard `shard` in a part, and the k-th of them (an id), in manifest
 * order. */
size_t shard_count(const struct manifest *manifest, size_t domain, enum split split,
                   uint32_t shards, uint32_t shard);
uint32_t shard_sample(const struct manifest *manifest, size_t domain, enum split split,
                      uint32_t shards, uint32_t shard, size_t k);

/* Positions (k as in shard_sample, of SPLIT_TRAIN) of micro-batch `number` of `shard` and stage domain
 * number `slot`; step s (0-based within the stage) has the numbers from s * accumulate on. out has
 * room for stage->micro_batch.
 * Returns how many. `scratch` has room for shard_count(...) numbers. */
size_t shard_micro_batch(const struct job *job, const struct manifest *manifest, size_t stage,
                         size_t slot, uint32_t shard, uint64_t number, uint32_t *scratch,
                         uint32_t *out);

#endif
