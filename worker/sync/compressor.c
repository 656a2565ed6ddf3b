#include "worker/sync/compressor.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/wire/coding.h"

#define CODED_ALIGN ((size_t)8)

struct compressor {
    const struct job *job;
    const struct compression_config *config;
    const struct plan *plan;
    size_t stage;
    size_t slots;
    bool feeds_back;
    size_t *offsets; /* [block_count + 1] of each block in what is coded */
    uint8_t *coded;
    float *decoded; /* [largest block] */
    float **errors; /* [shards, slots] of live vectors, made on first use */
};

static struct compression_config of_block(const struct compressor *compressor, size_t block)
{
    struct compression_config config = *compressor->config;
    if (compressor->plan->tensors[compressor->plan->blocks[block].tensor].running)
        config.kind = COMPRESSION_NONE;
    return config;
}

static size_t set_offsets(struct compressor *compressor)
{
    const struct plan *plan = compressor->plan;
    size_t largest = 0;
    for (size_t i = 0; i < plan->block_count; i++) {
        size_t bytes = compressor_block_bytes(compressor, i);
        compressor->offsets[i + 1] =
            compressor->offsets[i] + (bytes + CODED_ALIGN - 1) / CODED_ALIGN * CODED_ALIGN;
        if (plan->blocks[i].elements > largest)
            largest = plan->blocks[i].elements;
    }
    return largest;
}

enum status compressor_create(const struct job *job, const struct plan *plan, size_t stage,
                              struct compressor **out, struct error *err)
{
    struct compressor *compressor = memory_alloc(1, sizeof *compressor);
    if (compressor == NULL)
        return error_set(err, ERR_MEMORY, "no memory to compress gradients");
    compressor->job = job;
    compressor->config = &job->stages[stage].compression;
    compressor->plan = plan;
    compressor->stage = stage;
    compressor->slots = job->stages[stage].domain_count;
    compressor->feeds_back = job_feeds_back_errors(&job->stages[stage]);
    compressor->offsets = memory_alloc(plan->block_count + 1, sizeof *compressor->offsets);
    compressor->errors =
        memory_alloc(job->cluster.shards * compressor->slots, sizeof *compressor->errors);
    bool all = compressor->offsets != NULL && compressor->errors != NULL;
    if (all) {
        compressor->decoded = memory_alloc(set_offsets(compressor), sizeof(float));
        compressor->coded = memory_alloc(compressor_bytes(compressor), 1);
        all = compressor->decoded != NULL && compressor->coded != NULL;
    }
    if (!all) {
        compressor_destroy(&compressor);
        return error_set(err, ERR_MEMORY, "no memory to compress gradients");
    }
    *out = compressor;
    return OK;
}

void compressor_destroy(struct compressor **compressor)
{
    struct compressor *c = *compressor;
    if (c == NULL)
        return;
    for (size_t i = 0; c->errors != NULL && i < c->job->cluster.shards * c->slots; i++)
        memory_free(c->errors[i]);
    memory_free(c->errors);
    memory_free(c->offsets);
    memory_free(c->decoded);
    memory_free(c->coded);
    memory_free(c);
    *compressor = NULL;
}

void compressor_begin(struct compressor *compressor)
{
    for (size_t i = 0; i < compressor->job->cluster.shards * compressor->slots; i++) {
        memory_free(compressor->errors[i]);
        compressor->errors[i] = NULL;
    }
}

size_t compressor_bytes(const struct compressor *compressor)
{
    return compressor->offsets[compressor->plan->block_count];
}

size_t compressor_block_offset(const struct compressor *compressor, size_t block)
{
    return compressor->offsets[block];
}

size_t compressor_block_bytes(const struct compressor *compressor, size_t block)
{
    struct compression_config config = of_block(compressor, block);
    return coding_bytes(&config, compressor->plan->blocks[block].elements);
}

static enum status take_error(struct compressor *compressor, uint32_t shard, size_t slot,
                              float **out, struct error *err)
{
    float **error = &compressor->errors[shard * compressor->slots + slot];
    if (*error == NULL)
        *error = memory_alloc(compressor->plan->live_elements, sizeof **error);
    *out = *error;
    return *out != NULL ? OK
                        : error_set(err, ERR_MEMORY,
                                    "no memory for the compression errors of shard %u", shard);
}

/* values = gradient + error; error = values - what they are coded as. */
static void feed_back(struct compressor *compressor, const struct compression_config *config,
                      struct random_key key, float *values, float *error, size_t n, uint8_t *coded)
{
    for (size_t i = 0; i < n; i++)
        values[i] += error[i];
    coding_encode(config, key, values, n, coded);
    bool decodes = coding_decode(config, coded, n, compressor->decoded);
    CHECK(decodes);
    for (size_t i = 0; i < n; i++)
        error[i] = values[i] - compressor->decoded[i];
}

enum status compressor_code(struct compressor *compressor, uint32_t shard, size_t slot,
                            uint32_t step, float *gradient, const void **coded, struct error *err)
{
    float *error = NULL;
    enum status status =
        compressor->feeds_back ? take_error(compressor, shard, slot, &error, err) : OK;
    for (size_t i = 0; status == OK && i < compressor->plan->block_count; i++) {
        const struct plan_block *block = &compressor->plan->blocks[i];
        struct compression_config config = of_block(compressor, i);
        struct random_key key = {.seed = compressor->job->run.seed,
                                 .purpose = RANDOM_ROUNDING,
                                 .epoch = step,
                                 .index = ((uint64_t)compressor->stage << 56 |
                                           (uint64_t)slot << 48 | (uint64_t)shard << 32 | i)};
        uint8_t *out = compressor->coded + compressor->offsets[i];
        if (error != NULL)
            feed_back(compressor, &config, key, gradient + block->offset, error + block->offset,
                      block->elements, out);
        else
            coding_encode(&config, key, gradient + block->offset, block->elements, out);
    }
    *coded = compressor->coded;
    return status;
}
