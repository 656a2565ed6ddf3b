#include "worker/features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/platform.h"
#include "common/data/shard.h"
#include "worker/cache/feature_cache.h"
#include "worker/data/loader.h"
#include "worker/engine/trunk.h"

#define TRUNK_BATCH FEATURES_BATCH

struct features {
    const struct job *job;
    const struct manifest *manifest;
    const struct plan *plan;
    struct decoder *decoder;
    struct link_progress *progress;
    struct feature_cache *cache;
    struct trunk *trunk;       /* NULL until the first miss */
    struct loader *loader;     /* likewise */
    float *inputs;             /* [TRUNK_BATCH, input] */
    float *outputs;            /* [TRUNK_BATCH, boundary] */
    struct feature_rows *held; /* [domain, split, shard] */
};

static struct feature_rows *held_rows(struct features *features, size_t domain, enum split split,
                                      uint32_t shard)
{
    size_t part = domain * SPLIT_COUNT + (size_t)split;
    return &features->held[part * features->job->cluster.shards + shard];
}

/* What else fixes the bits of the features: the machine, and what makes the variants. */
static void describe_engine(const struct job *job, char *out, size_t bytes)
{
    const struct augment_config *a = &job->data.augment;
    char platform[128];
    platform_text(platform, sizeof platform);
    int used =
        snprintf(out, bytes, "%s trunk=%d%s threads=%u", platform, TRUNK_REVISION,
                 job->model.trunk_dtype == TRUNK_BFLOAT16 ? " bfloat16" : "", job->cluster.threads);
    if (a->variants > 1)
        snprintf(out + used, bytes - (size_t)used,
                 " seed=%llu variants=%u crop=%.17g flip=%d jitter=%.17g erase=%.17g",
                 (unsigned long long)job->run.seed, a->variants, a->crop, a->flip, a->jitter,
                 a->erase);
}

enum status features_create(const struct job *job, const struct manifest *manifest,
                            const struct plan *plan, struct decoder *decoder,
                            struct link_progress *progress, struct features **out,
                            struct error *err)
{
    struct features *features = memory_alloc(1, sizeof *features);
    if (features == NULL)
        return error_set(err, ERR_MEMORY, "no memory for features");
    features->job = job;
    features->manifest = manifest;
    features->plan = plan;
    features->decoder = decoder;
    features->progress = progress;
    size_t parts = job->data.domain_count * SPLIT_COUNT * job->cluster.shards;
    features->held = memory_alloc(parts, sizeof *features->held);
    char engine[320];
    describe_engine(job, engine, sizeof engine);
    enum status status =
        features->held == NULL
            ? error_set(err, ERR_MEMORY, "no memory for features")
            : feature_cache_open(job, manifest, &plan->trunk, plan->boundary_elements, engine,
                                 &features->cache, err);
    if (status != OK) {
        features_destroy(&features);
        return status;
    }
    *out = features;
    return OK;
}

void features_rest(struct features *features)
{
    loader_destroy(&features->loader);
    trunk_destroy(&features->trunk);
    memory_free(features->inputs);
    memory_free(features->outputs);
    features->inputs = features->outputs = NULL;
}

void features_destroy(struct features **features)
{
    if (*features == NULL)
        return;
    struct features *f = *features;
    size_t parts = f->job->data.domain_count * SPLIT_COUNT * f->job->cluster.shards;
    for (size_t i = 0; f->held != NULL && i < parts; i++)
        feature_cache_unmap(&f->held[i]);
    memory_free(f->held);
    feature_cache_close(&f->cache);
    features_rest(f);
    memory_free(f);
    *features = NULL;
}

static enum status compile_trunk(struct features *features, struct error *err)
{
    if (features->trunk != NULL)
        return OK;
    enum status status = trunk_create(features->plan, TRUNK_BATCH, &features->trunk, err);
    if (status == OK)
        status = loader_create(features->decoder, TRUNK_BATCH, &features->loader, err);
    if (status != OK)
        return status;
    size_t input = features->plan->model->input_elements;
    features->inputs = memory_alloc(TRUNK_BATCH * input, sizeof(float));
    features->outputs =
        memory_alloc(TRUNK_BATCH * features->plan->boundary_elements, sizeof(float));
    if (features->inputs == NULL || features->outputs == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a batch of %zu inputs", TRUNK_BATCH);
    return OK;
}

/* A variant of a shard's samples (augment.h). */
struct portion {
    size_t domain;
    enum split split;
    uint32_t shard, variant;
    size_t count; /* samples */
};

/* Hands the loader the ids of samples [first, first + TRUNK_BATCH) of the portion. */
static void submit(struct features *features, const struct portion *of, size_t first)
{
    size_t count = of->count;
    uint32_t ids[TRUNK_BATCH];
    size_t n = count - first < TRUNK_BATCH ? count - first : TRUNK_BATCH;
    for (size_t i = 0; i < n; i++)
        ids[i] = shard_sample(features->manifest, of->domain, of->split,
                              features->job->cluster.shards, of->shard, first + i);
    bool taken = loader_submit(features->loader, ids, n, of->variant);
    CHECK(taken);
}

static void report_failures(const struct loader_batch *batch)
{
    for (size_t i = 0; i < batch->failure_count; i++)
        log_event(LOG_WARN, "unreadable", "sample=%u why=\"%s\"", batch->failures[i].id,
                  batch->failures[i].error.text);
}

static enum status run_batch(struct features *features, const struct loader_batch *batch,
                             float *rows, uint8_t *valid, struct error *err)
{
    size_t input = features->plan->model->input_elements, row = features->plan->boundary_elements;
    memset(features->inputs, 0, TRUNK_BATCH * input * sizeof(float));
    memcpy(features->inputs, batch->inputs, batch->count * input * sizeof(float));
    enum status status = trunk_run(features->trunk, features->inputs, features->outputs, err);
    for (size_t i = 0; i < batch->count && status == OK; i++) {
        valid[i] = batch->valid[i];
        if (valid[i])
            memcpy(rows + i * row, features->outputs + i * row, row * sizeof(float));
    }
    features->progress->samples += batch->count;
    return status;
}

static enum status compute_portion(struct features *features, const struct portion *of, float *rows,
                                   uint8_t *valid, struct error *err)
{
    enum status status = OK;
    if (of->count > 0)
        submit(features, of, 0);
    for (size_t first = 0; first < of->count && status == OK; first += TRUNK_BATCH) {
        if (first + TRUNK_BATCH < of->count)
            submit(features, of, first + TRUNK_BATCH);
        struct loader_batch batch;
        status = loader_take(features->loader, &batch, err);
        if (status != OK)
            break;
        report_failures(&batch);
        status = run_batch(features, &batch, rows + first * features->plan->boundary_elements,
                           valid + first, err);
    }
    return status;
}

static enum status compute_rows(struct features *features, struct portion of,
                                struct feature_rows *held, struct error *err)
{
    enum status status = compile_trunk(features, err);
    for (of.variant = 0; status == OK && of.variant * of.count < held->count; of.variant++)
        status =
            compute_portion(features, &of, held->rows + of.variant * of.count * held->row_elements,
                            held->valid + of.variant * of.count, err);
    if (status == OK)
        feature_cache_commit(features->cache, held);
    return status;
}

enum status features_get(struct features *features, size_t domain, enum split split, uint32_t shard,
                         struct features_rows *out, struct error *err)
{
    const struct job *job = features->job;
    struct feature_rows *held = held_rows(features, domain, split, shard);
    size_t variants = split == SPLIT_TRAIN ? job->data.augment.variants : 1;
    size_t count = shard_count(features->manifest, domain, split, job->cluster.shards, shard);
    if (!held->hit) {
        enum status status =
            feature_cache_map(features->cache, domain, split, shard, count * variants, held, err);
        if (status == OK && held->hit)
            features->progress->samples += count * variants;
        else if (status == OK)
            status = compute_rows(
                features,
                (struct portion){.domain = domain, .split = split, .shard = shard, .count = count},
                held, err);
        if (status != OK)
            return status;
    }
    *out = (struct features_rows){held->rows, held->valid, count, variants};
    return OK;
}
