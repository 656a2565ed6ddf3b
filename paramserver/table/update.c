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

/* out = sum · weight / count; false when a value is not finite. */
static bool mean_gradient(const struct reduction_node *root, double weight, size_t elements,
                          float *out)
{
    const float *sum = root->sum;
    float scale = root->count > 0 ? (float)(weight / (double)root->count) : 0.0f;
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

/* A domain's share of the mean is by its samples, not by its weight in the merge. */
static enum status follow(const struct block *block, const struct stage_config *stage,
                          struct update_room *room, const float *from, uint64_t stage_step,
                          float *to, struct error *err)
{
    uint64_t count = 0;
    float *mean = room->merged, *share = room->gradients[0];
    memset(mean, 0, block->elements * sizeof *mean);
    for (size_t d = 0; d < block->domains; d++)
        count += stage->followed[d] ? reduction_root(block->sums[d]).count : 0;
    for (size_t d = 0; d < block->domains; d++) {
        struct reduction_node root = reduction_root(block->sums[d]);
        if (!stage->followed[d] || root.count == 0)
            continue;
        if (!mean_gradient(&root, (double)root.count / (double)count, block->elements, share))
            return not_finite(block, stage, d, stage_step, err);
        for (size_t i = 0; i < block->elements; i++)
            mean[i] += share[i];
    }
    const float momentum = count > 0 ? (float)stage->batch_norm_momentum : 0;
    for (size_t i = 0; i < block->elements; i++)
        to[i] = (1 - momentum) * from[i] + momentum * mean[i];
    return OK;
}

/* room->merged = the merged gradient. */
static enum status merge_block(const struct block *block, const struct stage_config *stage,
                               struct update_room *room, uint64_t stage_step, struct error *err)
{
    CHECK(block->kind == BLOCK_PARAMETER && block->domains_complete == block->domains);
    for (size_t d = 0; d < block->domains; d++) {
        struct reduction_node root = reduction_root(block->sums[d]);
        if (!mean_gradient(&root, stage->domain_weights[d], block->elements, room->gradients[d]))
            return not_finite(block, stage, d, stage_step, err);
    }
    merge_gradients(stage->merge, room->gradients, block->domains, block->elements, room->merged);
    return OK;
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

enum status update_measure(struct block *block, const struct stage_config *stage,
                           struct update_room *room, uint64_t version, uint64_t stage_step,
                           struct error *err)
{
    block->squares[version % 2] = 0;
    if (block->running)
        return OK;
    enum status status = merge_block(block, stage, room, stage_step, err);
    if (status == OK)
        block->squares[version % 2] = sum_squares(room->merged, block->elements);
    return status;
}

/* Where merge_block left the gradient. */
static void clip_gradient(struct block *block, struct update_room *room, float scale,
                          uint64_t version)
{
    block->squares[version % 2] = sum_squares(room->merged, block->elements);
    for (size_t i = 0; scale < 1 && i < block->elements; i++)
        room->merged[i] *= scale;
}

enum status update_block(struct block *block, const struct stage_config *stage,
                         struct update_room *room, float scale, uint64_t version,
                         uint64_t stage_step, uint32_t steps_per_epoch, struct error *err)
{
    const float *from = block->weights[version % 2];
    float *to = block_writable(block, version + 1);
    if (to == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the next weights of block %u", block->id);
    if (block->running)
        return follow(block, stage, room, from, stage_step, to, err);
    enum status status = merge_block(block, stage, room, stage_step, err);
    if (status != OK)
        return status;
    if (stage->clip_norm > 0)
        clip_gradient(block, room, scale, version);
    anchor_pull(block->pretrained ? stage->l2sp : stage->head_decay, from, block->anchor,
                room->merged, block->elements);
    bool head = !block->pretrained && stage->optimizer.head_rate > 0;
    double base = head ? stage->optimizer.head_rate : stage->optimizer.rate;
    double rate = schedule_rate(&stage->schedule, base, stage_step,
                                (uint64_t)stage->epochs * steps_per_epoch, steps_per_epoch);
    optimizer_apply(&stage->optimizer, rate, stage_step + 1, from, room->merged, block->states, to,
                    block->elements);
    return OK;
}
