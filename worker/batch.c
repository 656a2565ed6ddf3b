#include "worker/batch.h"

#include <string.h>

#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/data/shard.h"
#include "common/model/mix_grid.h"
#include "worker/data/mix.h"

/* A sample, before mixing. */
struct taken {
    const float *row; /* [boundary] */
    uint32_t id;
};

struct batch_source {
    const struct job *job;
    const struct manifest *manifest;
    const struct plan *plan;
    const struct stage_config *stage;
    size_t stage_index;
    struct features *features;
    size_t domains[JOB_DOMAINS_MAX];  /* of the stage's slots */
    int32_t *pseudo[JOB_DOMAINS_MAX]; /* of unlabelled slots: [training samples] */
    struct mix_grid grid;
    uint32_t *scratch;   /* [largest shard] */
    uint32_t *positions; /* [micro_batch] */
    struct taken *taken; /* [micro_batch] */
    float *targets;      /* [micro_batch, K], before mixing */
};

static bool create_pseudo(struct batch_source *source, size_t slot)
{
    size_t samples = source->manifest->part_count[source->domains[slot]][SPLIT_TRAIN];
    int32_t *labels = source->pseudo[slot] = memory_alloc(samples, sizeof *labels);
    for (size_t i = 0; labels != NULL && i < samples; i++)
        labels[i] = LABEL_NONE;
    return labels != NULL;
}

static enum status create_room(struct batch_source *source, struct error *err)
{
    size_t batch = source->stage->micro_batch, most = 1;
    bool all = true;
    for (size_t slot = 0; slot < source->stage->domain_count; slot++) {
        size_t samples = source->manifest->part_count[source->domains[slot]][SPLIT_TRAIN];
        size_t largest = samples / source->job->cluster.shards + 1;
        most = largest > most ? largest : most;
        all &= batch_labelled(source, slot) || create_pseudo(source, slot);
    }
    source->scratch = memory_alloc(most, sizeof *source->scratch);
    source->positions = memory_alloc(batch, sizeof *source->positions);
    source->taken = memory_alloc(batch, sizeof *source->taken);
    source->targets = memory_alloc(batch * source->plan->model->class_count, sizeof(float));
    all &= source->scratch && source->positions && source->taken && source->targets;
    return all ? OK
               : error_set(err, ERR_MEMORY, "no memory for the samples of stage '%s'",
                           source->stage->name);
}

enum status batch_source_create(const struct job *job, const struct manifest *manifest,
                                const struct plan *plan, size_t stage, struct features *features,
                                struct batch_source **out, struct error *err)
{
    struct batch_source *source = memory_alloc(1, sizeof *source);
    if (source == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the samples of a stage");
    source->job = job;
    source->manifest = manifest;
    source->plan = plan;
    source->stage = &job->stages[stage];
    source->stage_index = stage;
    source->features = features;
    for (size_t slot = 0; slot < source->stage->domain_count; slot++)
        source->domains[slot] = (size_t)job_domain_index(job, source->stage->domains[slot]);
    enum status status = create_room(source, err);
    if (status == OK)
        status = mix_grid_of(plan, source->stage, &source->grid, err);
    if (status != OK) {
        batch_source_destroy(&source);
        return status;
    }
    *out = source;
    return OK;
}

void batch_source_destroy(struct batch_source **source)
{
    if (*source == NULL)
        return;
    for (size_t slot = 0; slot < JOB_DOMAINS_MAX; slot++)
        memory_free((*source)->pseudo[slot]);
    memory_free((*source)->scratch);
    memory_free((*source)->positions);
    memory_free((*source)->taken);
    memory_free((*source)->targets);
    memory_free(*source);
    *source = NULL;
}

bool batch_labelled(const struct batch_source *source, size_t slot)
{
    return source->job->data.domains[source->domains[slot]].labelled;
}

enum status batch_init(const struct batch_source *source, struct batch *batch, struct error *err)
{
    size_t count = source->stage->micro_batch;
    batch->features = memory_alloc(count * source->plan->boundary_elements, sizeof(float));
    batch->targets = memory_alloc(count * source->plan->model->class_count, sizeof(float));
    return batch->features != NULL && batch->targets != NULL
               ? OK
               : error_set(err, ERR_MEMORY, "no memory for %zu samples", count);
}

void batch_deinit(struct batch *batch)
{
    memory_free(batch->features);
    memory_free(batch->targets);
    *batch = (struct batch){0};
}

enum status batch_pseudo_labels(struct batch_source *source, const void *labels, size_t bytes,
                                struct error *err)
{
    const uint8_t *from = labels;
    for (size_t slot = 0; slot < source->stage->domain_count; slot++) {
        if (batch_labelled(source, slot))
            continue;
        size_t samples = source->manifest->part_count[source->domains[slot]][SPLIT_TRAIN];
        if (bytes < samples * sizeof(int32_t))
            return error_set(err, ERR_PEER,
                             "pseudo labels for fewer samples than the manifest has");
        memcpy(source->pseudo[slot], from, samples * sizeof(int32_t));
        for (size_t i = 0; i < samples; i++)
            if (source->pseudo[slot][i] < LABEL_NONE ||
                source->pseudo[slot][i] >= (int32_t)source->plan->model->class_count)
                return error_set(err, ERR_PEER, "a pseudo label outside the classes");
        from += samples * sizeof(int32_t);
        bytes -= samples * sizeof(int32_t);
    }
    return bytes == 0 ? OK : error_set(err, ERR_PEER, "more pseudo labels than samples");
}

/* The class as shares; none: zeros. */
static void write_class(int32_t label, size_t classes, float *out)
{
    memset(out, 0, classes * sizeof *out);
    if (label != LABEL_NONE)
        out[label] = 1;
}

static void write_values(const struct target_scale *scale, const float *targets, size_t count,
                         float *out)
{
    for (size_t k = 0; k < count; k++)
        out[k] = (float)(((double)targets[k] - scale[k].mean) / scale[k].deviation);
}

/* What the losses compare sample `id` with, which is number `position` of its shard: out[K]. */
static void write_targets(const struct batch_source *source, size_t slot, uint32_t shard,
                          uint32_t position, uint32_t id, float *out)
{
    const struct manifest *manifest = source->manifest;
    size_t classes = source->plan->model->class_count;
    if (!batch_labelled(source, slot)) /* sample number p of a part lies in shard p mod S */
        write_class(source->pseudo[slot][(size_t)position * source->job->cluster.shards + shard],
                    classes, out);
    else if (source->job->data.task == DATA_CLASSIFICATION)
        write_class(manifest->samples[id].label, classes, out);
    else if (source->job->data.task == DATA_REGRESSION)
        write_values(manifest->scale, manifest_targets(manifest, id), classes, out);
    else
        memcpy(out, manifest_targets(manifest, id), classes * sizeof *out);
}

/* The variant of a shard's sample that a step takes. */
static size_t variant_of(const struct batch_source *source, size_t slot, uint32_t shard,
                         uint32_t step, uint32_t position, size_t variants)
{
    struct random_key key = {.seed = source->job->run.seed,
                             .purpose = RANDOM_VARIANT,
                             .epoch = step,
                             .index = (uint64_t)source->domains[slot] << 32 | shard};
    return variants > 1 ? random_bits(key, position) % variants : 0;
}

/* Finds rows and targets of the micro-batch; samples that could not be read are left out. Returns
 * how many there are. */
static size_t take_samples(struct batch_source *source, size_t slot, uint32_t shard, uint32_t step,
                           const struct features_rows *rows, size_t count)
{
    size_t row = source->plan->boundary_elements, classes = source->plan->model->class_count;
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t k = source->positions[i];
        size_t at = variant_of(source, slot, shard, step, k, rows->variants) * rows->count + k;
        if (!rows->valid[at])
            continue;
        uint32_t id = shard_sample(source->manifest, source->domains[slot], SPLIT_TRAIN,
                                   source->job->cluster.shards, shard, k);
        write_targets(source, slot, shard, k, id, source->targets + taken * classes);
        source->taken[taken++] = (struct taken){rows->rows + at * row, id};
    }
    return taken;
}

static void copy_samples(const struct batch_source *source, struct batch *batch)
{
    size_t row = source->plan->boundary_elements, classes = source->plan->model->class_count;
    for (size_t i = 0; i < batch->count; i++)
        memcpy(batch->features + i * row, source->taken[i].row, row * sizeof(float));
    memcpy(batch->targets, source->targets, batch->count * classes * sizeof(float));
}

static void mix_samples(const struct batch_source *source, uint32_t step, struct batch *batch)
{
    size_t row = source->plan->boundary_elements, classes = source->plan->model->class_count;
    for (size_t i = 0; i < batch->count; i++) {
        struct random_key key = mix_key(source->job->run.seed, step, source->taken[i].id);
        struct mix mix = mix_draw(source->stage, &source->grid, key, i, batch->count);
        mix_row(&mix, &source->grid, source->taken[i].row, source->taken[mix.partner].row, row,
                batch->features + i * row);
        mix_targets(&mix, source->targets + i * classes, source->targets + mix.partner * classes,
                    classes, batch->targets + i * classes);
    }
}

/* The rows of the micro-batch side by side. */
static void gather(struct batch_source *source, size_t slot, uint32_t shard, uint32_t step,
                   const struct features_rows *rows, size_t count, struct batch *batch)
{
    bool mixes = source->stage->mixup > 0 || source->stage->cutmix > 0;
    batch->count = take_samples(source, slot, shard, step, rows, count);
    if (mixes && batch_labelled(source, slot))
        mix_samples(source, step, batch);
    else
        copy_samples(source, batch);
}

enum status batch_fill(struct batch_source *source, size_t slot, uint32_t shard, uint32_t step,
                       uint32_t micro, struct batch *batch, struct error *err)
{
    struct features_rows rows;
    enum status status =
        features_get(source->features, source->domains[slot], SPLIT_TRAIN, shard, &rows, err);
    if (status != OK)
        return status;
    uint64_t number = (uint64_t)step * source->stage->accumulate + micro;
    size_t count = shard_micro_batch(source->job, source->manifest, source->stage_index, slot,
                                     shard, number, source->scratch, source->positions);
    gather(source, slot, shard, step, &rows, count, batch);
    return OK;
}
