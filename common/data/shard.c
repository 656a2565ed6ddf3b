#include "common/data/shard.h"

#include "common/base/check.h"
#include "common/base/random.h"

#define PASS_MASK                                                                                  \
    ((1u << 24) - 1) /* random_key has 24 bits for the pass; later passes repeat the first ones */

static size_t ceiling(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static size_t domain_of(const struct job *job, const struct stage_config *stage, size_t slot)
{
    CHECK(slot < stage->domain_count);
    int index = job_domain_index(job, stage->domains[slot]);
    CHECK(index >= 0);
    return (size_t)index;
}

/* Slot of the stage's first unlabelled domain, else 0. */
static size_t primary_slot(const struct job *job, const struct stage_config *stage)
{
    for (size_t slot = 0; slot < stage->domain_count; slot++) {
        if (!job->data.domains[domain_of(job, stage, slot)].labelled)
            return slot;
    }
    return 0;
}

uint32_t shard_steps_per_epoch(const struct job *job, const struct manifest *manifest, size_t stage)
{
    CHECK(stage < job->stage_count);
    const struct stage_config *config = &job->stages[stage];
    size_t domain = domain_of(job, config, primary_slot(job, config));
    size_t largest = ceiling(manifest->part_count[domain][SPLIT_TRAIN], job->cluster.shards);
    size_t steps = ceiling(largest, (size_t)config->micro_batch * config->accumulate);
    CHECK(steps < UINT32_MAX);
    return steps > 0 ? (uint32_t)steps : 1;
}

size_t shard_count(const struct manifest *manifest, size_t domain, enum split split,
                   uint32_t shards, uint32_t shard)
{
    CHECK(domain < JOB_DOMAINS_MAX && split < SPLIT_DIVIDE && shard < shards);
    size_t count = manifest->part_count[domain][split];
    return count / shards + (shard < count % shards);
}

uint32_t shard_sample(const struct manifest *manifest, size_t domain, enum split split,
                      uint32_t shards, uint32_t shard, size_t k)
{
    CHECK(k < shard_count(manifest, domain, split, shards, shard));
    return manifest->part[domain][split][k * shards + shard];
}

static void permute(const struct job *job, size_t domain, uint32_t shard, uint64_t pass,
                    size_t count, uint32_t *out)
{
    struct random_key key = {job->run.seed, RANDOM_SHUFFLE, (uint32_t)pass & PASS_MASK,
                             (uint64_t)domain << 32 | shard};
    random_permutation(key, count, out);
}

/* The part of this epoch's permutation that belongs to the micro-batch; short or empty at the end. */
static size_t primary_batch(size_t count, uint32_t micro_batch, uint64_t number_of_epoch,
                            const uint32_t *order, uint32_t *out)
{
    uint64_t start = number_of_epoch * micro_batch;
    size_t taken = 0;
    for (uint64_t i = start; i < count && taken < micro_batch; i++)
        out[taken++] = order[i];
    return taken;
}

/* `micro_batch` positions from an endless row of passes, each freshly permuted. */
static size_t passing_batch(const struct job *job, size_t domain, uint32_t shard, size_t count,
                            uint32_t micro_batch, uint64_t number, uint32_t *order, uint32_t *out)
{
    uint64_t at = number * micro_batch;
    uint64_t pass = UINT64_MAX;
    for (uint32_t i = 0; i < micro_batch; i++, at++) {
        if (at / count != pass) {
            pass = at / count;
            permute(job, domain, shard, pass, count, order);
        }
        out[i] = order[at % count];
    }
    return micro_batch;
}

size_t shard_micro_batch(const struct job *job, const struct manifest *manifest, size_t stage,
                         size_t slot, uint32_t shard, uint64_t number, uint32_t *scratch,
                         uint32_t *out)
{
    CHECK(stage < job->stage_count);
    const struct stage_config *config = &job->stages[stage];
    size_t domain = domain_of(job, config, slot);
    size_t count = shard_count(manifest, domain, SPLIT_TRAIN, job->cluster.shards, shard);
    if (count == 0)
        return 0;
    if (slot != primary_slot(job, config))
        return passing_batch(job, domain, shard, count, config->micro_batch, number, scratch, out);
    uint64_t epoch = (uint64_t)shard_steps_per_epoch(job, manifest, stage) * config->accumulate;
    permute(job, domain, shard, number / epoch, count, scratch);
    return primary_batch(count, config->micro_batch, number % epoch, scratch, out);
}
