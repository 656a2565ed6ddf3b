#include "worker/stage.h"

#include "common/base/memory.h"

static enum status make_slices(struct stage *stage, struct error *err)
{
    const struct layout *layout = &stage->layout;
    const struct compressor *compressor = trainer_compressor(stage->trainer);
    stage->parameter_slices =
        memory_alloc(layout->parameter_count, sizeof *stage->parameter_slices);
    stage->statistic_slices =
        memory_alloc(layout->statistic_count, sizeof *stage->statistic_slices);
    if (stage->parameter_slices == NULL || stage->statistic_slices == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the blocks of a stage");
    for (size_t i = 0; i < layout->parameter_count; i++) {
        const struct plan_block *block = &stage->plan->blocks[i];
        struct push_slice slice = {(uint32_t)i, block->offset * sizeof(float),
                                   block->elements * sizeof(float)};
        if (compressor != NULL) {
            slice.offset_bytes = compressor_block_offset(compressor, i);
            slice.bytes = compressor_block_bytes(compressor, i);
        }
        stage->parameter_slices[i] = slice;
    }
    for (size_t i = 0; i < layout->statistic_count; i++)
        stage->statistic_slices[i] = (struct push_slice){
            (uint32_t)(layout->parameter_count + i), layout_statistic_offset(i) * sizeof(double),
            layout_statistic_size(layout, i) * sizeof(double)};
    stage->metric_slice =
        (struct push_slice){layout->metric_block, 0, layout->metric_elements * sizeof(double)};
    return OK;
}

enum status stage_forget(struct stage *stage, struct error *err)
{
    weights_destroy(&stage->weights);
    fresh_destroy(&stage->fresh);
    statistics_destroy(&stage->statistics);
    enum status status = stage->job->stages[stage->index].mode == MODE_BSP
                             ? weights_create(stage->plan, &stage->weights, err)
                             : fresh_create(stage->plan, &stage->fresh, err);
    if (status == OK && stage->layout.statistic_count > 0)
        status = statistics_create(&stage->layout, stage->job->stages[stage->index].domain_count,
                                   &stage->statistics, err);
    return status;
}

enum status stage_open(const struct job *job, const struct model *model,
                       const struct manifest *manifest, size_t index, struct decoder *decoder,
                       struct link_progress *progress, size_t activations_max, struct stage **out,
                       struct error *err)
{
    const struct stage_config *config = &job->stages[index];
    struct stage *stage = memory_alloc(1, sizeof *stage);
    if (stage == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a stage");
    stage->job = job;
    stage->index = index;
    enum status status = plan_create(model, &config->live, &stage->plan, err);
    if (status == OK) {
        stage->layout = layout_of(stage->plan, config);
        status =
            features_create(job, manifest, stage->plan, decoder, progress, &stage->features, err);
    }
    if (status == OK)
        status = trainer_create(job, manifest, stage->plan, index, stage->features, activations_max,
                                &stage->trainer, err);
    if (status == OK)
        status = make_slices(stage, err);
    if (status == OK)
        status = stage_forget(stage, err);
    if (status != OK) {
        stage_close(&stage);
        return status;
    }
    *out = stage;
    return OK;
}

void stage_rest(struct stage *stage, bool prepared)
{
    features_rest(stage->features);
    if (!prepared)
        trainer_rest(stage->trainer);
    memory_trim();
}

void stage_close(struct stage **stage)
{
    if (*stage == NULL)
        return;
    statistics_destroy(&(*stage)->statistics);
    weights_destroy(&(*stage)->weights);
    fresh_destroy(&(*stage)->fresh);
    trainer_destroy(&(*stage)->trainer);
    features_destroy(&(*stage)->features);
    plan_destroy(&(*stage)->plan);
    memory_free((*stage)->parameter_slices);
    memory_free((*stage)->statistic_slices);
    memory_free(*stage);
    *stage = NULL;
}

/* Of each domain of the stage; returns how many those are. */
static size_t sums_of(const struct stage *stage, enum trainer_sum kind,
                      const struct reduction *sums[JOB_DOMAINS_MAX])
{
    size_t domains = stage->job->stages[stage->index].domain_count;
    for (size_t slot = 0; slot < domains; slot++)
        sums[slot] = trainer_sums(stage->trainer, kind, slot);
    return domains;
}

static void push_kind(const struct stage *stage, enum trainer_sum kind,
                      const struct push_slice *slices, size_t count, const struct push_route *route,
                      uint64_t version, struct outbox outbox)
{
    const struct reduction *sums[JOB_DOMAINS_MAX];
    size_t domains = sums_of(stage, kind, sums);
    push_sums(sums, domains, slices, count, route, version, outbox);
}

void stage_push(const struct stage *stage, bool gradients, const struct push_route *route,
                uint64_t version, struct outbox outbox)
{
    const struct layout *layout = &stage->layout;
    if (!gradients) {
        push_kind(stage, SUM_STATISTICS, stage->statistic_slices, layout->statistic_count, route,
                  version, outbox);
        return;
    }
    push_kind(stage, SUM_GRADIENTS, stage->parameter_slices, layout->parameter_count, route,
              version, outbox);
    push_kind(stage, SUM_METRICS, &stage->metric_slice, 1, route, version, outbox);
}

/* ---- ssp and asp ---- */

uint64_t stage_latest(const struct stage *stage, const struct message_task *task, uint64_t version)
{
    if (stage->fresh == NULL)
        return weights_latest(stage->weights);
    uint64_t updates = (version - task->stage_version) * stage->job->cluster.shards;
    bool here = task->kind == TASK_PREDICT ? fresh_is_at(stage->fresh, updates)
                                           : fresh_complete(stage->fresh);
    return here ? version : 0;
}

const float *stage_live(struct stage *stage, uint64_t version)
{
    return stage->fresh != NULL ? fresh_use(stage->fresh) : weights_live(stage->weights, version);
}

size_t stage_take_clocks(struct stage *stage, const struct message_clocks *clocks,
                         const struct frame *payloads, size_t count)
{
    size_t strays = 0;
    for (size_t i = 0; i < clocks->block_count && i < count; i++)
        strays += stage->fresh == NULL ||
                  !fresh_take(stage->fresh, clocks->blocks[i].updates, clocks->blocks[i].block,
                              payloads[i].data, payloads[i].bytes);
    return strays;
}

/* As if the shard were all there are. */
static void finish_statistics(struct stage *stage)
{
    const struct layout *layout = &stage->layout;
    stage->turns++;
    for (uint32_t slot = 0; slot < stage->job->stages[stage->index].domain_count; slot++) {
        struct reduction_node node;
        uint32_t at = 0;
        if (!reduction_next(trainer_sums(stage->trainer, SUM_STATISTICS, slot), &at, &node))
            continue;
        for (size_t i = 0; i < layout->statistic_count; i++)
            (void)statistics_take(stage->statistics, stage->turns,
                                  (uint32_t)(layout->parameter_count + i), slot, node.count,
                                  (const double *)node.sum + layout_statistic_offset(i),
                                  layout_statistic_size(layout, i) * sizeof(double));
    }
}

enum status stage_turn(struct stage *stage, uint32_t shard, uint32_t step, struct error *err)
{
    trainer_begin_step(stage->trainer, fresh_use(stage->fresh));
    enum status status = trainer_forward(stage->trainer, shard, step, err);
    if (status == OK && stage->statistics != NULL)
        finish_statistics(stage);
    return status == OK ? trainer_backward(stage->trainer, shard, stage->statistics, err) : status;
}

static void push_turn(const struct stage *stage, enum trainer_sum kind,
                      const struct push_slice *slices, size_t count, const uint64_t *seen,
                      const struct push_route *route, uint32_t clock, struct outbox outbox)
{
    const struct reduction *sums[JOB_DOMAINS_MAX];
    size_t domains = sums_of(stage, kind, sums);
    push_update(sums, domains, slices, count, route, clock, seen, outbox);
}

void stage_push_turn(const struct stage *stage, const struct push_route *route, uint32_t clock,
                     struct outbox outbox)
{
    push_turn(stage, SUM_GRADIENTS, stage->parameter_slices, stage->layout.parameter_count,
              fresh_seen(stage->fresh), route, clock, outbox);
    push_turn(stage, SUM_METRICS, &stage->metric_slice, 1, NULL, route, clock, outbox);
}
