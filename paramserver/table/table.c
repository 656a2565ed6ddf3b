#include "paramserver/table/table.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/wire/coding.h"
#include "paramserver/table/table_state.h"

#define BLOCKS_FIRST 64

enum status table_create(const struct stage_config *stage, const struct message_load *load,
                         struct table **out, struct error *err)
{
    if (load->domains != stage->domain_count || load->shards < 1 ||
        load->shards > REDUCTION_SHARDS_MAX || load->steps_per_epoch < 1 ||
        load->version < load->stage_version || load->version - load->stage_version > UINT32_MAX ||
        load->parameters > WIRE_BLOCKS_MAX)
        return error_set(err, ERR_PEER, "a LOAD that does not fit stage '%s'", stage->name);
    struct table *table = memory_alloc(1, sizeof *table);
    if (table == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the table");
    table->stage = stage;
    table->stage_index = load->stage;
    table->shards = load->shards;
    table->domains = load->domains;
    table->version = table->load_version = load->version;
    table->stage_version = load->stage_version;
    table->steps_per_epoch = load->steps_per_epoch;
    table->parameters = load->parameters;
    *out = table;
    return OK;
}

void table_destroy(struct table **table)
{
    if (*table == NULL)
        return;
    for (size_t i = 0; i < (*table)->block_count; i++)
        block_deinit(&(*table)->blocks[i]);
    memory_free((*table)->blocks);
    memory_free(*table);
    *table = NULL;
}

static enum status reserve_block(struct table *table, struct error *err)
{
    if (table->block_count < table->block_room)
        return OK;
    size_t room = table->block_room ? 2 * table->block_room : BLOCKS_FIRST;
    struct block *blocks = memory_alloc(room, sizeof *blocks);
    if (blocks == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu blocks", room);
    if (table->block_count > 0)
        memcpy(blocks, table->blocks, table->block_count * sizeof *blocks);
    memory_free(table->blocks);
    table->blocks = blocks;
    table->block_room = room;
    return OK;
}

/* Copies the next payload into `to`; false when it is missing or of another size. */
static bool take_values(float *to, size_t elements, const struct frame *payloads, size_t count,
                        size_t *used)
{
    if (*used >= count || payloads[*used].bytes != elements * sizeof *to)
        return false;
    memcpy(to, payloads[*used].data, elements * sizeof *to);
    (*used)++;
    return true;
}

static float *newest_weights(const struct table *table, const struct block *block)
{
    return block->weights[(block->clocks != NULL ? block->updates : table->version) % 2];
}

static bool take_parameter(struct table *table, struct block *block, uint32_t state_frames,
                           const struct frame *payloads, size_t count, size_t *used)
{
    size_t states = optimizer_states(&table->stage->optimizer);
    if (state_frames != 0 && state_frames != states)
        return false;
    if (!take_values(newest_weights(table, block), block->elements, payloads, count, used))
        return false;
    if (block->pretrained && !take_values(block->anchor, block->elements, payloads, count, used))
        return false;
    for (uint32_t i = 0; i < state_frames; i++)
        if (!take_values(block->states[i], block->elements, payloads, count, used))
            return false;
    return true;
}

static bool take_totals(struct block *block, uint32_t state_frames, const struct frame *payloads,
                        size_t count, size_t *used)
{
    size_t bytes = block->elements * block->domains * sizeof *block->totals;
    if (state_frames == 0)
        return true;
    if (state_frames != 1 || *used >= count || payloads[*used].bytes != bytes)
        return false;
    memcpy(block->totals, payloads[(*used)++].data, bytes);
    return true;
}

static bool take_block(struct table *table, struct block *block, uint32_t state_frames,
                       const struct frame *payloads, size_t count, size_t *used)
{
    if (block->kind == BLOCK_PARAMETER)
        return take_parameter(table, block, state_frames, payloads, count, used);
    return block->kind == BLOCK_STATISTIC ||
           take_totals(block, state_frames, payloads, count, used);
}

static bool fits_table(const struct table *table, const struct load_block *load)
{
    bool ascending =
        table->block_count == 0 || load->block > table->blocks[table->block_count - 1].id;
    return ascending && load->kind <= BLOCK_METRIC && load->elements >= 1 &&
           load->elements <= TABLE_ELEMENTS_MAX && load->block < WIRE_BLOCKS_MAX &&
           (load->kind != BLOCK_PARAMETER || load->block < table->parameters);
}

enum status table_load_part(struct table *table, const struct message_load *load,
                            const struct frame *payloads, size_t count, struct error *err)
{
    size_t used = 0;
    for (size_t i = 0; i < load->block_count; i++) {
        const struct load_block *entry = &load->blocks[i];
        enum status status = reserve_block(table, err);
        if (status == OK && !fits_table(table, entry))
            status = error_set(err, ERR_PEER, "LOAD: block %u does not fit", entry->block);
        struct block *block = &table->blocks[table->block_count];
        if (status == OK)
            status = block_init(block, entry, table->domains, table->shards,
                                optimizer_states(&table->stage->optimizer), err);
        if (status == OK && table->stage->mode != MODE_BSP)
            status = block_set_clocks(block, table->shards,
                                      (uint32_t)(table->version - table->stage_version), err);
        if (status != OK) {
            block_deinit(block);
            return status;
        }
        table->block_count++;
        table->total[block->kind]++;
        if (!take_block(table, block, entry->state_frames, payloads, count, &used))
            return error_set(err, ERR_PEER, "LOAD: values of block %u do not fit", entry->block);
    }
    return OK;
}

static void open_step(struct table *table)
{
    for (size_t i = 0; i < table->block_count; i++)
        block_reset(&table->blocks[i]);
    memcpy(table->open, table->total, sizeof table->open);
    table->measured = false;
}

enum status table_ready(struct table *table, struct update_room *room, struct error *err)
{
    size_t elements_max = 1;
    for (size_t i = 0; i < table->block_count; i++)
        if (table->blocks[i].kind == BLOCK_PARAMETER && table->blocks[i].elements > elements_max)
            elements_max = table->blocks[i].elements;
    open_step(table);
    table->room = room;
    return update_room_reserve(room, table->domains, elements_max, err);
}

uint64_t table_version(const struct table *table)
{
    return table->version;
}

bool table_has_previous(const struct table *table)
{
    return table->version > table->load_version;
}

bool table_statistics_complete(const struct table *table)
{
    return table->total[BLOCK_STATISTIC] > 0 && table->open[BLOCK_STATISTIC] == 0;
}

bool table_step_complete(const struct table *table)
{
    return table->open[BLOCK_PARAMETER] == 0 && table->open[BLOCK_METRIC] == 0 &&
           table->open[BLOCK_STATISTIC] == 0 && table->block_count > 0;
}

struct block *table_find(const struct table *table, uint32_t id)
{
    size_t low = 0, high = table->block_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->blocks[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < table->block_count && table->blocks[low].id == id ? &table->blocks[low] : NULL;
}

bool table_has(const struct table *table, uint32_t block)
{
    return table_find(table, block) != NULL;
}

uint32_t table_shards_log2(const struct table *table)
{
    uint32_t log2 = 0;
    while ((1u << log2) < table->shards)
        log2++;
    return log2;
}

enum reduction_result table_add(struct table *table, const struct push_entry *entry,
                                uint32_t range_first, uint32_t range_log2, const struct frame *sum)
{
    struct block *block = table_find(table, entry->block);
    if (block == NULL || entry->domain >= table->domains ||
        sum->bytes != block->elements * block_value_bytes(block))
        return REDUCTION_REFUSED;
    enum reduction_result result =
        block_add(block, entry->domain, range_first, range_log2, entry->count, sum->data);
    if (result == REDUCTION_COMPLETE)
        table->open[block->kind]--;
    return result;
}

enum reduction_result table_add_pushed(struct table *table, const struct push_entry *entry,
                                       uint32_t range_first, uint32_t range_log2,
                                       const struct frame *sum)
{
    const struct compression_config *config = &table->stage->compression;
    const struct block *block = table_find(table, entry->block);
    if (config->kind == COMPRESSION_NONE || block == NULL || block->kind != BLOCK_PARAMETER ||
        block->running)
        return table_add(table, entry, range_first, range_log2, sum);
    float *values = table->room->merged; /* free between updates */
    const struct frame decoded = {values, block->elements * sizeof *values};
    if (range_log2 != 0 || sum->bytes != coding_bytes(config, block->elements) ||
        !coding_decode(config, sum->data, block->elements, values))
        return REDUCTION_REFUSED;
    return table_add(table, entry, range_first, range_log2, &decoded);
}

/* Totals are of one epoch. */
static void add_metric(const struct table *table, struct block *block)
{
    if ((table->version - table->stage_version) % table->steps_per_epoch == 0)
        memset(block->totals, 0, block->domains * block->elements * sizeof *block->totals);
    for (size_t d = 0; d < block->domains; d++) {
        const double *sum = reduction_root(block->sums[d]).sum;
        for (size_t i = 0; i < block->elements; i++)
            block->totals[d * block->elements + i] += sum[i];
    }
}

static void keep_statistic(struct block *block)
{
    for (size_t d = 0; d < block->domains; d++) {
        struct reduction_node root = reduction_root(block->sums[d]);
        memcpy(block->finished + d * block->elements, root.sum, block->elements * sizeof(double));
        block->finished_counts[d] = root.count;
    }
}

double table_clip_norm(const struct table *table)
{
    return table->stage->clip_norm;
}

enum status table_measure(struct table *table, struct error *err)
{
    enum status status = OK;
    CHECK(table_step_complete(table));
    for (size_t i = 0; i < table->block_count && status == OK; i++)
        if (table->blocks[i].kind == BLOCK_PARAMETER)
            status = update_measure(&table->blocks[i], table->stage, table->room, table->version,
                                    table->version - table->stage_version, err);
    table->measured = status == OK;
    return status;
}

enum status table_advance(struct table *table, float scale, struct error *err)
{
    CHECK(table_step_complete(table));
    for (size_t i = 0; i < table->block_count; i++) {
        struct block *block = &table->blocks[i];
        enum status status = OK;
        if (block->kind == BLOCK_PARAMETER)
            status =
                update_block(block, table->stage, table->room, scale, table->version,
                             table->version - table->stage_version, table->steps_per_epoch, err);
        else if (block->kind == BLOCK_METRIC)
            add_metric(table, block);
        else
            keep_statistic(block);
        if (status != OK)
            return status;
    }
    table->version++;
    open_step(table);
    return OK;
}

size_t table_weights_part(const struct table *table, uint64_t version, size_t *at, uint32_t *blocks,
                          struct frame *payloads)
{
    size_t count = 0, bytes = 0;
    for (; *at < table->block_count && count < WIRE_FRAMES_MAX && bytes < WIRE_MESSAGE_BYTES_SOFT;
         (*at)++) {
        const struct block *block = &table->blocks[*at];
        if (block->kind != BLOCK_PARAMETER)
            continue;
        blocks[count] = block->id;
        payloads[count] =
            (struct frame){block->weights[version % 2], block->elements * sizeof(float),
                           block->weights[version % 2]};
        bytes += payloads[count++].bytes;
    }
    return count;
}

size_t table_norms_part(const struct table *table, uint64_t version, size_t *at, uint32_t *blocks,
                        double *squares)
{
    bool open = version == table->version && table->measured;
    bool before = version + 1 == table->version && table_has_previous(table);
    size_t count = 0;
    for (; (open || before) && *at < table->block_count && count < WIRE_FRAMES_MAX; (*at)++) {
        const struct block *block = &table->blocks[*at];
        if (block->kind != BLOCK_PARAMETER)
            continue;
        blocks[count] = block->id;
        squares[count++] = block->squares[version % 2];
    }
    return count;
}

static struct reduction_node finished_statistic(const struct table *table,
                                                const struct block *block, uint64_t version,
                                                size_t domain)
{
    CHECK(version + 1 == table->version && table_has_previous(table));
    return (struct reduction_node){.count = block->finished_counts[domain],
                                   .sum = block->finished + domain * block->elements};
}

/* Sums of one kind (`statistics`) or of all. */
static size_t sums_part(const struct table *table, uint64_t version, bool statistics,
                        struct table_cursor *at, struct push_entry *entries, struct frame *payloads)
{
    size_t count = 0, bytes = 0;
    while (at->block < table->block_count && count < WIRE_FRAMES_MAX &&
           bytes < WIRE_MESSAGE_BYTES_SOFT) {
        const struct block *block = &table->blocks[at->block];
        bool wanted = !statistics || block->kind == BLOCK_STATISTIC;
        if (wanted) {
            struct reduction_node root =
                version == table->version ? reduction_root(block->sums[at->domain])
                                          : finished_statistic(table, block, version, at->domain);
            entries[count] = (struct push_entry){block->id, (uint32_t)at->domain, root.count};
            payloads[count] = (struct frame){root.sum, block->elements * block_value_bytes(block)};
            bytes += payloads[count++].bytes;
            at->domain++;
        }
        if (!wanted || at->domain == table->domains) {
            at->domain = 0;
            at->block++;
        }
    }
    return count;
}

size_t table_statistics_part(const struct table *table, uint64_t version, struct table_cursor *at,
                             struct push_entry *entries, struct frame *payloads)
{
    return sums_part(table, version, true, at, entries, payloads);
}

size_t table_sums_part(const struct table *table, struct table_cursor *at,
                       struct push_entry *entries, struct frame *payloads)
{
    return sums_part(table, table->version, false, at, entries, payloads);
}

#define VALUE_FRAMES_MAX (2 + OPTIMIZER_STATES_MAX)

/* What a block holds, for a LOAD (with its anchor) or a snapshot: at most VALUE_FRAMES_MAX frames;
 * none of a statistic. */
static size_t value_frames(const struct table *table, const struct block *block, bool anchor,
                           struct frame *payloads)
{
    size_t count = 0, bytes = block->elements * sizeof(float);
    if (block->kind == BLOCK_METRIC)
        payloads[count++] =
            (struct frame){block->totals, block->elements * block->domains * sizeof(double)};
    if (block->kind != BLOCK_PARAMETER)
        return count;
    payloads[count++] = (struct frame){newest_weights(table, block), bytes};
    if (anchor && block->pretrained)
        payloads[count++] = (struct frame){block->anchor, bytes};
    for (size_t i = 0; i < optimizer_states(&table->stage->optimizer); i++)
        payloads[count++] = (struct frame){block->states[i], bytes};
    return count;
}

static size_t bytes_in(const struct frame *payloads, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += payloads[i].bytes;
    return bytes;
}

size_t table_snapshot_part(const struct table *table, size_t *at, struct snapshot_block *blocks,
                           struct frame *payloads, size_t *payload_count)
{
    size_t count = 0, used = 0, bytes = 0;
    for (; *at < table->block_count && bytes < WIRE_MESSAGE_BYTES_SOFT &&
           used + VALUE_FRAMES_MAX <= WIRE_FRAMES_MAX;
         (*at)++) {
        size_t added = value_frames(table, &table->blocks[*at], false, payloads + used);
        if (added > 0)
            blocks[count++] = (struct snapshot_block){table->blocks[*at].id, (uint32_t)added - 1};
        bytes += bytes_in(payloads + used, added);
        used += added;
    }
    *payload_count = used;
    return count;
}

uint32_t table_snapshot_parts(const struct table *table)
{
    struct snapshot_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    size_t at = 0, frames;
    uint32_t parts = 0;
    while (table_snapshot_part(table, &at, blocks, payloads, &frames) > 0)
        parts++;
    return parts;
}

static bool lacks(const struct table *table, bool statistics, uint32_t shard)
{
    for (size_t i = 0; i < table->block_count; i++) {
        const struct block *block = &table->blocks[i];
        if ((block->kind == BLOCK_STATISTIC) != statistics)
            continue;
        for (size_t d = 0; d < block->domains; d++)
            if (!reduction_covers(block->sums[d], shard))
                return true;
    }
    return false;
}

size_t table_missing(const struct table *table, bool statistics, uint32_t *shards)
{
    size_t count = 0;
    for (uint32_t s = 0; s < table->shards; s++)
        if (lacks(table, statistics, s))
            shards[count++] = s;
    return count;
}

/* ---- filling another server's ---- */

static struct load_block describe(const struct table *table, const struct block *block)
{
    size_t states = optimizer_states(&table->stage->optimizer);
    return (struct load_block){
        .block = block->id,
        .kind = block->kind,
        .elements = block->elements,
        .pretrained = block->pretrained,
        .running = block->running,
        .state_frames =
            block->kind == BLOCK_PARAMETER ? (uint32_t)states : block->kind == BLOCK_METRIC,
    };
}

size_t table_fill_part(const struct table *table, size_t *at, struct load_block *blocks,
                       struct frame *payloads, size_t *payload_count)
{
    size_t count = 0, used = 0, bytes = 0;
    for (; *at < table->block_count && count < WIRE_FRAMES_MAX && bytes < WIRE_MESSAGE_BYTES_SOFT &&
           used + VALUE_FRAMES_MAX <= WIRE_FRAMES_MAX;
         (*at)++) {
        size_t added = value_frames(table, &table->blocks[*at], true, payloads + used);
        blocks[count++] = describe(table, &table->blocks[*at]);
        bytes += bytes_in(payloads + used, added);
        used += added;
    }
    *payload_count = used;
    return count;
}

uint32_t table_fill_parts(const struct table *table)
{
    struct load_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    size_t at = 0, frames;
    uint32_t parts = 0;
    while (table_fill_part(table, &at, blocks, payloads, &frames) > 0)
        parts++;
    return parts;
}

struct message_load table_load_head(const struct table *table)
{
    return (struct message_load){.stage = table->stage_index,
                                 .shards = table->shards,
                                 .domains = (uint32_t)table->domains,
                                 .version = table->version,
                                 .stage_version = table->stage_version,
                                 .steps_per_epoch = table->steps_per_epoch,
                                 .parameters = table->parameters};
}
