/* ssp and asp: each shard's gradient is a step of its own, block by block. */
#include <string.h>

#include "common/base/check.h"
#include "paramserver/table/table_state.h"

bool table_has_clocks(const struct table *table)
{
    return table->stage->mode != MODE_BSP;
}

bool table_bounds_staleness(const struct table *table)
{
    return table->stage->mode == MODE_SSP;
}

uint32_t table_ahead_max(const struct table *table)
{
    return table->ahead_max;
}

/* ---- taking ---- */

static bool fits(const struct table *table, const struct block *block,
                 const struct message_update *head, const struct update_entry *entries,
                 const struct frame *sums)
{
    if (block == NULL || block->kind == BLOCK_STATISTIC || head->shard >= table->shards)
        return false;
    for (size_t d = 0; d < table->domains; d++)
        if (entries[d].block != block->id || entries[d].domain != d ||
            sums[d].bytes != block->elements * block_value_bytes(block))
            return false;
    return entries[0].seen <= block->updates;
}

static enum update_result judge(const struct table *table, const struct block *block,
                                const struct message_update *head)
{
    if (head->clock < block->clocks[head->shard])
        return UPDATE_DUPLICATE;
    if (head->clock > block->clocks[head->shard])
        return UPDATE_REFUSED;
    if (table_bounds_staleness(table) && head->clock > block->slowest &&
        head->clock - block->slowest > table->stage->staleness)
        return UPDATE_BEYOND;
    return UPDATE_TAKEN;
}

/* Totals are of one epoch; no shard begins the next before all have ended one. */
static void add_metric(const struct table *table, struct block *block, const struct frame *sums)
{
    uint64_t epoch = (uint64_t)table->steps_per_epoch * block->shards;
    if (block->updates % epoch == 0)
        memset(block->totals, 0, block->domains * block->elements * sizeof *block->totals);
    for (size_t d = 0; d < block->domains; d++) {
        const double *sum = sums[d].data;
        for (size_t i = 0; i < block->elements; i++)
            block->totals[d * block->elements + i] += sum[i];
    }
}

static enum status update(struct table *table, struct block *block, uint64_t peer,
                          const struct message_update *head, const struct update_entry *entries,
                          const struct frame *sums, struct error *err)
{
    struct reduction_node nodes[JOB_DOMAINS_MAX];
    uint64_t seen = entries[0].seen;
    for (size_t d = 0; d < table->domains; d++)
        nodes[d] = (struct reduction_node){.count = entries[d].count,
                                           .sum = (void *)(uintptr_t)sums[d].data};
    const struct shard_step step = {
        .sums = nodes,
        .shards = table->shards,
        .clock = head->clock,
        .steps_per_epoch = table->steps_per_epoch,
        .staleness = (double)(block->updates - seen) / (double)table->shards,
        .seen = table->stage->delay_compensation > 0 ? block_seen(block, peer, seen) : NULL};
    return update_by_shard(block, table->stage, table->room, &step, err);
}

/* The slowest shard's clock, over all blocks that take updates. */
static void advance_version(struct table *table)
{
    uint32_t slowest = UINT32_MAX;
    for (size_t i = 0; i < table->block_count; i++)
        if (table->blocks[i].kind != BLOCK_STATISTIC && table->blocks[i].slowest < slowest)
            slowest = table->blocks[i].slowest;
    table->version = table->stage_version + slowest;
}

enum status table_take_update(struct table *table, uint64_t peer, const struct message_update *head,
                              const struct update_entry *entries, const struct frame *sums,
                              enum update_result *result, struct error *err)
{
    struct block *block = table_find(table, entries[0].block);
    enum status status = OK;
    CHECK(table_has_clocks(table));
    *result = fits(table, block, head, entries, sums) ? judge(table, block, head) : UPDATE_REFUSED;
    if (*result != UPDATE_TAKEN)
        return OK;
    if (block->kind == BLOCK_METRIC)
        add_metric(table, block, sums);
    else
        status = update(table, block, peer, head, entries, sums, err);
    if (status != OK)
        return status;
    uint32_t ahead = head->clock - block->slowest;
    table->ahead_max = ahead > table->ahead_max ? ahead : table->ahead_max;
    block_tick(block, head->shard);
    advance_version(table);
    return OK;
}

/* ---- showing ---- */

size_t table_clocks(const struct table *table, uint32_t *clocks)
{
    for (uint32_t s = 0; s < table->shards; s++)
        clocks[s] = UINT32_MAX;
    for (size_t i = 0; i < table->block_count; i++) {
        const struct block *block = &table->blocks[i];
        for (uint32_t s = 0; s < table->shards && block->kind != BLOCK_STATISTIC; s++)
            clocks[s] = block->clocks[s] < clocks[s] ? block->clocks[s] : clocks[s];
    }
    return table->shards;
}

static bool show(struct table *table, uint64_t peer, struct block *block, struct fresh_block *out,
                 struct frame *payload)
{
    struct error ignored; /* without what it has seen a gradient is not compensated, no more */
    float *newest = block->weights[block->updates % 2];
    if (block->kind != BLOCK_PARAMETER)
        return false;
    if (table->stage->delay_compensation > 0)
        (void)!block_show(block, peer, &ignored);
    *out = (struct fresh_block){block->id, block->updates};
    *payload = (struct frame){newest, block->elements * sizeof *newest, newest};
    return true;
}

bool table_show(struct table *table, uint64_t peer, uint32_t id, struct fresh_block *out,
                struct frame *payload)
{
    struct block *block = table_find(table, id);
    return block != NULL && show(table, peer, block, out, payload);
}

size_t table_show_part(struct table *table, uint64_t peer, size_t *at, struct fresh_block *blocks,
                       struct frame *payloads)
{
    size_t count = 0, bytes = 0;
    for (; *at < table->block_count && count < WIRE_FRAMES_MAX && bytes < WIRE_MESSAGE_BYTES_SOFT;
         (*at)++)
        if (show(table, peer, &table->blocks[*at], &blocks[count], &payloads[count]))
            bytes += payloads[count++].bytes;
    return count;
}

void table_keep_peers(struct table *table, const uint64_t *peers, size_t count)
{
    for (size_t i = 0; i < table->block_count; i++)
        block_keep_seen(&table->blocks[i], peers, count);
}
