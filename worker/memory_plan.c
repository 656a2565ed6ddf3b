#include "worker/memory_plan.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/data/shard.h"
#include "common/model/graph.h"
#include "common/model/layout.h"
#include "common/model/plan.h"
#include "common/tensor/reduction.h"
#include "common/wire/codec.h"
#include "common/wire/coding.h"
#include "worker/data/loader.h"
#include "worker/engine/trunk.h"
#include "worker/trainer.h"

#define LINK_CHANNELS ((size_t)3) /* link.c */
#define CHANNELS_MAX ((size_t)JOB_SERVERS_MAX + LINK_CHANNELS)

struct planner {
    const struct job *job;
    const struct manifest *manifest;
    const struct model *model;
    struct memory_plan *out;
    struct error *err;
    struct plan *plans[JOB_STAGES_MAX];
    struct head *heads[JOB_STAGES_MAX];
    size_t held[JOB_STAGES_MAX]; /* bytes in turn, without activations and gradients */
};

/* ---- shares ---- */

/* Shards of the first worker, which has the most: a range from 0 on (placement.h). */
static size_t own_shards(const struct job *job)
{
    return (job->cluster.shards - 1) / job->cluster.workers + 1;
}

/* Vectors that a sum over the worker's shards holds at once: asked of a sum with one element. */
static size_t sum_vectors(const struct planner *planner)
{
    const float zero = 0;
    const struct cluster_config *cluster = &planner->job->cluster;
    struct reduction *sum = NULL;
    struct error why;
    size_t most = own_shards(planner->job);
    if (reduction_create(REDUCTION_F32, cluster->shards, 1, &sum, &why) != OK)
        return most;
    most = 0;
    for (uint32_t shard = 0; shard < own_shards(planner->job); shard++) {
        struct reduction_node node;
        size_t held = 1; /* the one that comes, before it is merged */
        for (uint32_t at = 0; reduction_next(sum, &at, &node);)
            held++;
        most = held > most ? held : most;
        CHECK(reduction_add(sum, shard, 0, 1, &zero) != REDUCTION_REFUSED);
    }
    reduction_destroy(&sum);
    return most;
}

static bool uses(const struct planner *planner, size_t stage, size_t domain)
{
    const struct stage_config *config = &planner->job->stages[stage];
    for (size_t i = 0; i < config->domain_count; i++)
        if (job_domain_index(planner->job, config->domains[i]) == (int)domain)
            return true;
    return false;
}

/* Does the stage ask for features of the part? As the coordinator does (controller_tasks.c): to train, to
 * judge epochs, and at both ends of the job to test. */
static bool asks(const struct planner *planner, size_t stage, size_t domain, enum split split)
{
    const struct data_config *data = &planner->job->data;
    size_t test = 0;
    while (test + 1 < data->domain_count && data->domains[test].labelled)
        test++;
    if (split == SPLIT_TEST)
        return domain == test && (stage == 0 || stage + 1 == planner->job->stage_count);
    return uses(planner, stage, domain) && (split == SPLIT_TRAIN || data->domains[domain].labelled);
}

/* Rows of features of the worker's shards. */
static size_t feature_rows(const struct planner *planner, size_t stage)
{
    const struct cluster_config *cluster = &planner->job->cluster;
    size_t rows = 0;
    for (size_t domain = 0; domain < planner->job->data.domain_count; domain++)
        for (int k = 0; k < SPLIT_COUNT; k++) {
            enum split split = (enum split)k;
            size_t variants = split == SPLIT_TRAIN ? planner->job->data.augment.variants : 1;
            for (uint32_t s = 0;
                 s < own_shards(planner->job) && asks(planner, stage, domain, split); s++)
                rows +=
                    variants * shard_count(planner->manifest, domain, split, cluster->shards, s);
        }
    return rows;
}

static size_t weight_bytes(const struct graph *graph)
{
    size_t bytes = 0;
    for (size_t i = 0; i < graph->value_count; i++)
        if (graph->values[i].data != NULL)
            bytes += value_elements(&graph->values[i]) * dtype_bytes(graph->values[i].dtype);
    return bytes;
}

/* ---- rows of a stage ---- */

/* Of the gradients of a worker's shards that are held to be sent: sums, or each shard's code. */
static size_t gradient_bytes(const struct planner *planner, size_t i)
{
    const struct plan *plan = planner->plans[i];
    const struct stage_config *stage = &planner->job->stages[i];
    size_t coded = 0;
    for (size_t b = 0; b < plan->block_count; b++)
        coded += coding_bytes(&stage->compression, plan->blocks[b].elements);
    bool sums = stage->compression.kind == COMPRESSION_NONE;
    return stage->domain_count * (sums ? sum_vectors(planner) : own_shards(planner->job)) * coded;
}

/* What stays with the stage from its first task to the end of the job. */
static void add_stage(struct planner *planner, size_t i)
{
    const struct plan *plan = planner->plans[i];
    const struct stage_config *stage = &planner->job->stages[i];
    const struct layout layout = layout_of(plan, stage);
    struct memory_sum *sum = &planner->out->sum;
    size_t live = plan->live_elements * sizeof(float), d = planner->model->feature_count;
    size_t statistics = layout.statistic_elements * sizeof(double);
    size_t vectors = sum_vectors(planner) * stage->domain_count;
    memory_sum_add(sum, false, feature_rows(planner, i) * plan->boundary_elements * sizeof(float),
                   "stage %.40s: features, mapped", stage->name);
    memory_sum_add(sum, false, 3 * live, "stage %.40s: weights of two versions, a gradient",
                   stage->name);
    memory_sum_add(sum, false, gradient_bytes(planner, i) + (vectors + 2) * statistics,
                   "stage %.40s: sums of gradients and statistics", stage->name);
    if (job_feeds_back_errors(stage))
        memory_sum_add(sum, false, stage->domain_count * own_shards(planner->job) * live,
                       "stage %.40s: what coding leaves out of gradients", stage->name);
    if (layout.coral_elements > 0)
        memory_sum_add(sum, false, 2 * d * d * sizeof(double), "stage %.40s: CORAL", stage->name);
}

/* Messages of a step: statistics and gradients leave, then weights come. */
static size_t message_bytes(const struct planner *planner, size_t i)
{
    const struct stage_config *stage = &planner->job->stages[i];
    const struct layout layout = layout_of(planner->plans[i], stage);
    size_t live = planner->plans[i]->live_elements * sizeof(float);
    size_t statistics = layout.statistic_elements * sizeof(double);
    size_t pushed =
        gradient_bytes(planner, i) + sum_vectors(planner) * stage->domain_count * statistics;
    return pushed > live ? pushed : live;
}

static enum status add_prepare(struct planner *planner, size_t i)
{
    struct trunk *trunk = NULL;
    const struct plan *plan = planner->plans[i];
    enum status status = trunk_create(plan, FEATURES_BATCH, &trunk, planner->err);
    if (status != OK)
        return status;
    struct trunk_bytes bytes = trunk_bytes(trunk);
    size_t samples = (LOADER_QUEUE + 2) * planner->model->input_elements + plan->boundary_elements;
    memory_sum_add(&planner->out->sum, true,
                   bytes.work + bytes.weights + FEATURES_BATCH * samples * sizeof(float),
                   "stage %.30s, features: trunk %.1f, its weights %.1f, samples %.1f",
                   planner->job->stages[i].name, (double)bytes.work / MEMORY_MIB,
                   (double)bytes.weights / MEMORY_MIB,
                   (double)(FEATURES_BATCH * samples * sizeof(float)) / MEMORY_MIB);
    trunk_destroy(&trunk);
    return OK;
}

/* ---- heads ---- */

static struct head_room room_of(const struct planner *planner, size_t i, size_t bytes_max)
{
    const struct layout layout = layout_of(planner->plans[i], &planner->job->stages[i]);
    return trainer_head_room(planner->job, &layout, i, bytes_max);
}

static enum status make_head(struct planner *planner, size_t i, size_t bytes_max)
{
    const struct head_room room = room_of(planner, i, bytes_max);
    head_destroy(&planner->heads[i]);
    planner->out->activations_max[i] = bytes_max;
    return head_create(planner->plans[i], planner->job->stages[i].micro_batch, &room,
                       &planner->heads[i], planner->err);
}

static size_t activation_bytes(const struct planner *planner, size_t i)
{
    const struct head_bytes bytes = head_bytes(planner->heads[i]);
    return bytes.work + room_of(planner, i, 0).tapes * bytes.tape;
}

static void add_train(struct planner *planner, size_t i)
{
    const struct stage_config *stage = &planner->job->stages[i];
    const struct head_bytes bytes = head_bytes(planner->heads[i]);
    size_t again = bytes.forwards - bytes.operators;
    char note[64] = "";
    if (again > 0)
        snprintf(note, sizeof note, ", %zu of %zu operators run again", again, bytes.operators);
    memory_sum_add(&planner->out->sum, true, planner->held[i] + activation_bytes(planner, i),
                   "stage %.30s, training: activations %.1f, messages%s", stage->name,
                   (double)activation_bytes(planner, i) / MEMORY_MIB, note);
}

/* Micro-batches of features that are between forward and backward, and the messages. */
static size_t held_bytes(const struct planner *planner, size_t i)
{
    size_t batch = planner->job->stages[i].micro_batch;
    return room_of(planner, i, 0).tapes * batch * planner->plans[i]->boundary_elements *
               sizeof(float) +
           message_bytes(planner, i);
}

/* ---- the whole ---- */

static enum status build(struct planner *planner)
{
    const struct job *job = planner->job;
    struct memory_sum *sum = &planner->out->sum;
    size_t opened = memory_resident(), weights = weight_bytes(planner->model->graph);
    enum status status = OK;
    memory_sum_add(sum, false, opened > weights ? opened - weights : 0,
                   "program, libraries, samples' names (measured)");
    memory_sum_add(sum, false, weights, "the model's weights");
    size_t engine = sum->count;
    memory_sum_add(sum, false, 0, "operators, live weights in use (measured)");
    for (size_t i = 0; i < job->stage_count && status == OK; i++) {
        status =
            plan_create(planner->model, &job->stages[i].live, &planner->plans[i], planner->err);
        if (status == OK)
            status = make_head(planner, i, SIZE_MAX);
        if (status == OK)
            status = add_prepare(planner, i);
        if (status != OK)
            return error_prefix(planner->err, "stage %s", job->stages[i].name), status;
        add_stage(planner, i);
        planner->held[i] = held_bytes(planner, i);
    }
    memory_trim();
    size_t built = memory_resident();
    sum->rows[engine].bytes = built > opened ? built - opened : 0;
    return status;
}

/* What the rows so far leave to a stage's activations. */
static size_t left_over(const struct planner *planner, size_t i)
{
    struct memory_sum fixed = {0};
    const struct memory_sum *sum = &planner->out->sum;
    for (size_t k = 0; k < sum->count; k++)
        if (!sum->rows[k].in_turn)
            memory_sum_add(&fixed, false, sum->rows[k].bytes, "%s", sum->rows[k].what);
    size_t taken = memory_sum_total(&fixed) + planner->held[i];
    size_t limit = planner->job->cluster.memory_limit;
    return limit > taken ? limit - taken : 0;
}

static enum status fit(struct planner *planner)
{
    const struct job *job = planner->job;
    enum status status = OK;
    for (size_t i = 0; i < job->stage_count && status == OK; i++) {
        if (job->cluster.memory_limit > 0)
            status = make_head(planner, i, left_over(planner, i));
        if (status == OK)
            add_train(planner, i);
    }
    return status;
}

static enum status judge(const struct planner *planner)
{
    size_t needed = memory_sum_total(&planner->out->sum);
    size_t limit = planner->job->cluster.memory_limit;
    if (limit == 0 || needed <= limit)
        return OK;
    return error_set(
        planner->err, ERR_STATE,
        "a worker needs %zu bytes (%.1f MiB) at least, cluster.memory_limit allows %zu "
        "(%.1f MiB): raise it, or take more workers, a smaller stages[].micro_batch or "
        "fewer live layers; `graft inspect --memory` shows what needs how much",
        needed, (double)needed / MEMORY_MIB, limit, (double)limit / MEMORY_MIB);
}

enum status memory_plan_make(const struct job *job, const struct manifest *manifest,
                             const struct model *model, size_t channels, struct memory_plan *out,
                             struct error *err)
{
    struct planner planner = {
        .job = job, .manifest = manifest, .model = model, .out = out, .err = err};
    struct codec *codecs[CHANNELS_MAX] = {NULL};
    CHECK(channels <= CHANNELS_MAX);
    *out = (struct memory_plan){0};
    enum status status = OK;
    for (size_t i = 0; i < channels && status == OK; i++)
        status = codec_create(&codecs[i], err);
    if (status == OK)
        status = build(&planner);
    for (size_t i = 0; i < channels; i++)
        codec_destroy(&codecs[i]);
    if (status == OK)
        status = fit(&planner);
    if (status == OK)
        status = judge(&planner);
    for (size_t i = 0; i < job->stage_count; i++) {
        head_destroy(&planner.heads[i]);
        plan_destroy(&planner.plans[i]);
    }
    memory_trim();
    return status;
}

/* ---- as a program ---- */

static enum status print(int argc, char **argv, struct error *err)
{
    struct job *job = NULL;
    struct manifest *manifest = NULL;
    struct model *model = NULL;
    struct memory_plan plan = {0};
    enum status status =
        job_load(argv[0], NULL, (const char *const *)argv + 1, (size_t)argc - 1, &job, err);
    if (status == OK)
        status = manifest_build(job, MANIFEST_WORKER, &manifest, err);
    if (status == OK)
        status = model_open(&job->model, &job->data.preprocess, job->data.class_count, &model, err);
    memory_trim();
    if (status == OK)
        status = memory_plan_make(job, manifest, model, LINK_CHANNELS + job->cluster.servers, &plan,
                                  err);
    if (plan.sum.count > 0 && (status == OK || status == ERR_STATE)) {
        char title[64];
        snprintf(title, sizeof title, "each of %u workers", job->cluster.workers);
        memory_sum_print(&plan.sum, title, stdout);
    }
    model_destroy(&model);
    manifest_destroy(&manifest);
    job_destroy(&job);
    return status;
}

int memory_plan_main(int argc, char **argv)
{
    struct error err = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: graft-worker --memory CONFIG [PATH=VALUE]...\n");
        return EXIT_FAILURE;
    }
    enum status status = print(argc - 2, argv + 2, &err);
    if (status != OK)
        fprintf(stderr, "graft-worker: %s\n", err.text);
    return status == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
