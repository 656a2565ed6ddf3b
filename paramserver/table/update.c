#include "paramserver/table/update.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "paramserver/merge/merge.h"
#include "paramserver/optim/anchor.h"
#include "paramserver/optim/schedule.h"

enum status update_room_reserve(struct update_room *room, size_t domains, size_t elements,
                                struct error *err)
{
    if (domains <= room->domains && elements <= room->elements)
        return OK;
    domains = domains > room->domains ? domains : room->domains;
    elements = elements > room->elements ? elements : room->elements;
    update_room_deinit(room);
    room->merged = memory_alloc(elements, sizeof(float));
    bool all = room->merged != NULL;
    for (size_t d = 0; d < domains; d++)
        all &= (room->gradients[d] = memory_alloc(elements, sizeof(float))) != NULL;
    if (!all) {
        update_room_deinit(room);
        return error_set(err, ERR_MEMORY, "no memory for the gradients of %zu values", elements);
    }
    room->domains = domains;
    room->elements = elements;
    return OK;
}

void update_room_deinit(struct update_room *room)
{
    memory_free(room->merged);
    for (size_t d = 0; d < JOB_DOMAINS_MAX; d++)
        memory_free(room->gradients[d]);
    *room = (struct update_room){0};
}

#define INFINITY_BITS 0x7f800000

/* out = sum · scale; false when a value is not finite. */
static bool scale_gradient(const float *sum, float scale, size_t elements, float *out)
{
    int32_t largest = 0; /* as bits, without sign: the order of magnitudes, infinity and NaN last */
    for (size_t i = 0; i < elements; i++) {
        int32_t bits;
        out[i] = sum[i] * scale;
        memcpy(&bits, &out[i], sizeof bits);
        bits &= INT32_MAX;
        largest = bits > largest ? bits : largest;
    }
    return largest < INFINITY_BITS;
}

static enum status not_finite(const struct block *block, const struct stage_config *stage, size_t d,
                              uint64_t stage_step, struct error *err)
{
    return error_set(err, ERR_INPUT,
                     "the gradient of block %u for domain '%s' is not finite at step %llu; lower "
                     "the learning rate or look for broken samples",
                     block->id, stage->domains[d], (unsigned long long)stage_step);
}

/* What a step is made of. */
struct step {
    const struct stage_config *stage;
    struct update_room *room;
    struct reduction_node sums[JOB_DOMAINS_MAX];
    uint64_t samples; /* that each sum is divided by; 0: its own */
    uint64_t stage_step;
    uint32_t steps_per_epoch;
    double share;      /* of a whole step's rate */
    uint64_t count;    /* of steps that the optimiser has taken, with this one */
    float scale;       /* of the merged gradient, where the stage clips */
    const float *seen; /* weights that it was computed with, for delay compensation; NULL: none */
};

/* A domain's share of the mean is by its samples, not by its weight in the merge. */
static enum status follow(const struct block *block, const struct step *step, const float *from,
                          float *to, struct error *err)
{
    uint64_t count = 0;
    const struct stage_config *stage = step->stage;
    float *mean = step->room->merged, *part = step->room->gradients[0];
    memset(mean, 0, block->elements * sizeof *mean);
    for (size_t d = 0; d < block->domains; d++)
        count += stage->followed[d] ? step->sums[d].count : 0;
    for (size_t d = 0; d < block->domains; d++) {
        if (!stage->followed[d] || step->sums[d].count == 0)
            continue;
        double weight = (double)step->sums[d].count / (double)count;
        if (!scale_gradient(step->sums[d].sum, (float)(weight / (double)step->sums[d].count),
                            block->elements, part))
            return not_finite(block, stage, d, step->stage_step, err);
        for (size_t i = 0; i < block->elements; i++)
            mean[i] += part[i];
    }
    const float momentum = count > 0 ? (float)(stage->batch_norm_momentum * step->share) : 0;
    for (size_t i = 0; i < block->elements; i++)
        to[i] = (1 - momentum) * from[i] + momentum * mean[i];
    return OK;
}

/* room->merged = the merged gradient. */
static enum status merge_sums(const struct block *block, const struct step *step, struct error *err)
{
    const struct stage_config *stage = step->stage;
    for (size_t d = 0; d < block->domains; d++) {
        uint64_t samples = step->samples > 0 ? step->samples : step->sums[d].count;
        float scale = samples > 0 ? (float)(stage->domain_weights[d] / (double)samples) : 0.0f;
        if (!scale_gradient(step->sums[d].sum, scale, block->elements, step->room->gradients[d]))
            return not_finite(block, stage, d, step->stage_step, err);
    }
    merge_gradients(stage->merge, step->room->gradients, block->domains, block->elements,
                    step->room->merged);
    return OK;
}

/* From merged gradients on. */
static void take_step(struct block *block, const struct step *step, const float *from, float *to)
{
    const struct stage_config *stage = step->stage;
    anchor_pull(block->pretrained ? stage->l2sp : stage->head_decay, from, block->anchor,
                step->room->merged, block->elements);
    bool head = !block->pretrained && stage->optimizer.head_rate > 0;
    double base = head ? stage->optimizer.head_rate : stage->optimizer.rate;
    double rate =
        schedule_rate(&stage->schedule, base, step->stage_step,
                      (uint64_t)stage->epochs * step->steps_per_epoch, step->steps_per_epoch);
    optimizer_apply(&stage->optimizer, rate * step->share, step->count, from, step->room->merged,
                    block->states, to, block->elements);
}

/* Eight sums side by side, for the processor's sake. */
static double sum_squares(const float *values, size_t count)
{
    double sums[8] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (size_t k = 0; k < 8; k++)
            sums[k] += (double)values[i + k] * (double)values[i + k];
    for (; i < count; i++)
        sums[0] += (double)values[i] * (double)values[i];
    for (size_t k = 0; k < 8; k++)
        sum += sums[k];
    return sum;
}

static void compensate(double lambda, const float *now, const float *seen, size_t elements,
                       float *gradient)
{
    const float factor = (float)lambda;
    for (size_t i = 0; i < elements; i++)
        gradient[i] += factor * gradient[i] * gradient[i] * (now[i] - seen[i]);
}

/* The weights of `version` and a step become those of the next. */
static enum status advance(struct block *block, const struct step *step, uint64_t version,
                           struct error *err)
{
    const struct stage_config *stage = step->stage;
    float *merged = step->room->merged;
    const float *from = block->weights[version % 2];
    float *to = block_writable(block, version + 1);
    if (to == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the next weights of block %u", block->id);
    if (block->running)
        return follow(block, step, from, to, err);
    enum status status = merge_sums(block, step, err);
    if (status != OK)
        return status;
    if (stage->clip_norm > 0)
        block->squares[version % 2] = sum_squares(merged, block->elements);
    for (size_t i = 0; step->scale < 1 && i < block->elements; i++)
        merged[i] *= step->scale;
    if (step->seen != NULL)
        compensate(stage->delay_compensation, from, step->seen, block->elements, merged);
    take_step(block, step, from, to);
    return OK;
}

/* ---- of all shards ---- */

static struct step whole_step(const struct block *block, const struct stage_config *stage,
                              struct update_room *room, uint64_t stage_step,
                              uint32_t steps_per_epoch)
{
    CHECK(block->kind == BLOCK_PARAMETER && block->domains_complete == block->domains);
    struct step step = {.stage = stage,
                        .room = room,
                        .stage_step = stage_step,
                        .steps_per_epoch = steps_per_epoch,
                        .share = 1,
                        .count = stage_step + 1,
                        .scale = 1};
    for (size_t d = 0; d < block->domains; d++)
        step.sums[d] = reduction_root(block->sums[d]);
    return step;
}

enum status update_measure(struct block *block, const struct stage_config *stage,
                           struct update_room *room, uint64_t version, uint64_t stage_step,
                           struct error *err)
{
    const struct step step = whole_step(block, stage, room, stage_step, 1);
    block->squares[version % 2] = 0;
    if (block->running)
        return OK;
    enum status status = merge_sums(block, &step, err);
    if (status == OK)
        block->squares[version % 2] = sum_squares(room->merged, block->elements);
    return status;
}

enum status update_block(struct block *block, const struct stage_config *stage,
                         struct update_room *room, float scale, uint64_t version,
                         uint64_t stage_step, uint32_t steps_per_epoch, struct error *err)
{
    struct step step = whole_step(block, stage, room, stage_step, steps_per_epoch);
    if (stage->clip_norm > 0)
        step.scale = scale;
    return advance(block, &step, version, err);
}

/* ---- of one shard ---- */

enum status update_by_shard(struct block *block, const struct stage_config *stage,
                            struct update_room *room, const struct shard_step *shard,
                            struct error *err)
{
    struct step step = {.stage = stage,
                        .room = room,
                        .samples = (uint64_t)stage->micro_batch * stage->accumulate,
                        .stage_step = shard->clock,
                        .steps_per_epoch = shard->steps_per_epoch,
                        .share = 1.0 / shard->shards,
                        .count = block->updates + 1,
                        .scale = 1,
                        .seen = shard->seen};
    if (stage->staleness_scaling && shard->staleness > 1)
        step.share /= shard->staleness;
    memcpy(step.sums, shard->sums, block->domains * sizeof *step.sums);
    return advance(block, &step, block->updates, err);
}
