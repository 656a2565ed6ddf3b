#include "paramserver/partition.h"

#include <string.h>

#include "common/base/check.h"

void partition_init(struct partition *partition, uint32_t id, const struct job *job,
                    struct update_room *room, struct outbox outbox)
{
    *partition = (struct partition){.id = id, .job = job, .room = room, .outbox = outbox};
}

void partition_deinit(struct partition *partition)
{
    table_destroy(&partition->table);
}

bool partition_is_loaded(const struct partition *partition)
{
    return partition->table != NULL && partition->load_part == partition->load_parts;
}

static void send_to(const struct partition *partition, uint64_t peer, struct message *message,
                    const struct frame *payloads, size_t count)
{
    message->generation = partition->generation;
    partition->outbox.send(partition->outbox.driver, peer, message, payloads, count);
}

/* ---- snapshots ---- */

static void send_snapshot(struct partition *partition)
{
    struct snapshot_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    struct message message = {.type = MESSAGE_SNAPSHOT};
    struct message_snapshot *snapshot = &message.body.snapshot;
    size_t at = 0, count, frames;
    snapshot->version = table_version(partition->table);
    snapshot->parts = table_snapshot_parts(partition->table);
    snapshot->blocks = blocks;
    while ((count = table_snapshot_part(partition->table, &at, blocks, payloads, &frames)) > 0) {
        snapshot->block_count = count;
        send_to(partition, PEER_COORDINATOR, &message, payloads, frames);
        snapshot->part++;
    }
    CHECK(snapshot->part == snapshot->parts);
    partition->take_pending = false;
}

static void answer_take(struct partition *partition)
{
    if (partition->take_pending && table_version(partition->table) == partition->take_version)
        send_snapshot(partition);
}

void partition_take_take(struct partition *partition, uint64_t version)
{
    if (version < table_version(partition->table) || version < partition->take_version)
        return; /* of an epoch that is over */
    partition->take_pending = true;
    partition->take_version = version;
    answer_take(partition);
}

/* ---- the backup, as the primary sees it ---- */

static void send_replicate(struct partition *partition)
{
    struct push_entry entries[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    struct message message = {.type = MESSAGE_REPLICATE};
    struct message_replicate *replicate = &message.body.replicate;
    struct table_cursor at = {0};
    *replicate = (struct message_replicate){.partition = partition->id,
                                            .fill = partition->last_fill,
                                            .version = table_version(partition->table)};
    memcpy(&replicate->scale_bits, &partition->scale, sizeof replicate->scale_bits);
    replicate->entries = entries;
    while ((replicate->entry_count = table_sums_part(partition->table, &at, entries, payloads)) > 0)
        send_to(partition, partition->backup, &message, payloads, replicate->entry_count);
}

/* Something has come from it, or something new is asked of it. */
static void heard_of_backup(struct partition *partition, int64_t now_ms)
{
    retry_begin(&partition->again, now_ms, PARTITION_AGAIN_MS);
}

static void begin_fill(struct partition *partition)
{
    struct load_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    struct message message = {.type = MESSAGE_LOAD};
    struct message_load *load = &message.body.load;
    size_t at = 0, frames;
    *load = table_load_head(partition->table);
    load->partition = partition->id;
    load->fill = ++partition->last_fill;
    load->parts = table_fill_parts(partition->table);
    load->blocks = blocks;
    while ((load->block_count = table_fill_part(partition->table, &at, blocks, payloads, &frames)) >
           0) {
        send_to(partition, partition->backup, &message, payloads, frames);
        load->part++;
    }
    partition->filling = true;
    partition->synced = partition->waiting = false;
    partition->fill_version = load->version;
    partition->acked = 0;
}

static void fill_new_backup(struct partition *partition, int64_t now_ms)
{
    heard_of_backup(partition, now_ms);
    begin_fill(partition);
}

static void tell_synced(const struct partition *partition)
{
    struct message message = {.type = MESSAGE_SYNCED};
    message.body.synced = (struct message_synced){partition->id, partition->backup};
    send_to(partition, PEER_COORDINATOR, &message, NULL, 0);
}

static enum status finish_step(struct partition *partition, struct error *err)
{
    partition->waiting = false;
    enum status status = table_advance(partition->table, partition->scale, err);
    if (status != OK)
        return status;
    partition->finished = true;
    answer_take(partition);
    return OK;
}

enum status partition_take_scale(struct partition *partition, float scale, int64_t now_ms,
                                 struct error *err)
{
    partition->measuring = false;
    partition->scale = scale;
    if (partition->filling || partition->synced)
        send_replicate(partition);
    if (!partition->synced)
        return finish_step(partition, err);
    partition->waiting = true;
    heard_of_backup(partition, now_ms);
    return OK;
}

/* The open step is complete: to the next version, or first to the backup, or before that to all. */
static enum status complete_step(struct partition *partition, int64_t now_ms, struct error *err)
{
    if (table_clip_norm(partition->table) <= 0)
        return partition_take_scale(partition, 1.0f, now_ms, err);
    partition->measuring = partition->measured = true;
    return table_measure(partition->table, err);
}

enum status partition_take_ack(struct partition *partition, const struct message_ack *ack,
                               int64_t now_ms, struct error *err)
{
    uint64_t open = table_version(partition->table), version = ack->version;
    if (ack->fill != partition->last_fill)
        return OK;
    if (version <= partition->acked || version > open + partition->waiting)
        return OK;
    partition->acked = version;
    heard_of_backup(partition, now_ms);
    if (partition->waiting && version == open + 1)
        return finish_step(partition, err);
    if (partition->filling && version == open && version > partition->fill_version) {
        partition->filling = false;
        partition->synced = true;
        tell_synced(partition);
    }
    return OK;
}

void partition_take_filled(struct partition *partition, const struct message_loaded *loaded,
                           int64_t now_ms)
{
    if (!partition->filling || loaded->fill != partition->last_fill)
        return;
    heard_of_backup(partition, now_ms);
    if (loaded->part == loaded->parts && partition->acked < partition->fill_version)
        partition->acked = partition->fill_version;
}

void partition_tick(struct partition *partition, int64_t now_ms)
{
    if (partition->backup == 0 || table_has_clocks(partition->table) ||
        !retry_is_due(&partition->again, now_ms, PARTITION_AGAIN_MS, PARTITION_AGAIN_MS_LAST))
        return;
    if (partition->waiting)
        send_replicate(partition);
    else if (partition->synced)
        tell_synced(partition);
    else if (partition->acked < table_version(partition->table))
        begin_fill(partition); /* it does not catch up: something was lost */
}

/* ---- roles and values ---- */

enum status partition_set_roles(struct partition *partition, uint64_t self, uint64_t primary,
                                uint64_t backup, int64_t now_ms, struct error *err)
{
    bool was_primary = partition->is_primary, waiting = partition->waiting;
    bool new_backup = backup != partition->backup || !was_primary;
    partition->primary = primary;
    partition->backup = backup;
    partition->is_primary = primary == self;
    partition->is_backup = backup == self;
    if (!partition->is_primary && !partition->is_backup) {
        table_destroy(&partition->table);
        partition->generation = 0;
    }
    if (!partition->is_primary)
        partition->measuring = false;
    if (!partition->is_primary || new_backup)
        partition->filling = partition->synced = partition->waiting = false;
    if (!partition->is_primary || !new_backup || !partition_is_loaded(partition))
        return OK;
    enum status status = waiting ? finish_step(partition, err) : OK;
    if (status == OK && backup != 0 && !table_has_clocks(partition->table))
        fill_new_backup(partition, now_ms);
    return status;
}

static bool is_newer(const struct partition *partition, const struct message *message)
{
    return message->generation > partition->generation ||
           (message->generation == partition->generation &&
            message->body.load.fill > partition->fill);
}

static enum status begin_load(struct partition *partition, const struct message *message,
                              struct error *err)
{
    const struct message_load *load = &message->body.load;
    if (load->stage >= partition->job->stage_count)
        return error_set(err, ERR_PEER, "a LOAD for stage %u, the job has %zu", load->stage,
                         partition->job->stage_count);
    table_destroy(&partition->table);
    partition->generation = message->generation;
    partition->stage = load->stage;
    partition->fill = partition->last_fill = load->fill;
    partition->load_part = 0;
    partition->load_parts = load->parts;
    partition->take_pending = partition->filling = partition->synced = partition->waiting = false;
    partition->measuring = partition->measured = false;
    partition->take_version = 0;
    return table_create(&partition->job->stages[load->stage], load, &partition->table, err);
}

enum status partition_take_load(struct partition *partition, uint64_t peer,
                                const struct message *message, const struct frame *payloads,
                                size_t count, int64_t now_ms, struct error *err)
{
    const struct message_load *load = &message->body.load;
    enum status status = OK;
    if (is_newer(partition, message) && load->part == 0)
        status = begin_load(partition, message, err);
    if (status != OK || message->generation != partition->generation ||
        load->fill != partition->fill || partition->table == NULL)
        return status;
    bool loads = load->part == partition->load_part && !partition_is_loaded(partition);
    if (loads) {
        status = table_load_part(partition->table, load, payloads, count, err);
        if (status == OK && ++partition->load_part == partition->load_parts)
            status = table_ready(partition->table, partition->room, err);
    }
    if (status != OK)
        return status;
    struct message loaded = {.type = MESSAGE_LOADED};
    loaded.body.loaded = (struct message_loaded){partition->id, partition->fill,
                                                 partition->load_part, partition->load_parts};
    send_to(partition, peer, &loaded, NULL, 0);
    if (loads && partition->is_primary && partition->backup != 0 &&
        partition_is_loaded(partition) && !table_has_clocks(partition->table))
        fill_new_backup(partition, now_ms);
    return OK;
}

/* ---- steps ---- */

enum status partition_take_push(struct partition *partition, const struct message_push *push,
                                const struct frame *payloads, int64_t now_ms, uint64_t *results,
                                struct error *err)
{
    bool open =
        push->version == table_version(partition->table) && !table_has_clocks(partition->table);
    bool had_statistics = table_statistics_complete(partition->table);
    bool was_complete = table_step_complete(partition->table);
    for (size_t i = 0; i < push->entry_count; i++) {
        if (!table_has(partition->table, push->entries[i].block))
            continue;
        if (open)
            results[table_add_pushed(partition->table, &push->entries[i], push->range_first,
                                     push->range_log2, &payloads[i])]++;
        else
            results[REDUCTION_DUPLICATE]++;
    }
    if (!had_statistics && table_statistics_complete(partition->table))
        partition->statistics_finished = true;
    return !was_complete && table_step_complete(partition->table)
               ? complete_step(partition, now_ms, err)
               : OK;
}

/* False: no factor of a gradient. */
static bool take_scale_bits(struct partition *partition, uint32_t bits)
{
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    if (!(scale >= 0 && scale <= 1))
        return false;
    partition->scale = scale;
    return true;
}

enum status partition_take_update(struct partition *partition, uint64_t peer,
                                  const struct message_update *update, const struct frame *payloads,
                                  uint64_t *results, struct error *err)
{
    uint64_t before = table_version(partition->table);
    size_t domains = partition->job->stages[partition->stage].domain_count;
    enum status status = OK;
    for (size_t i = 0; status == OK && i < update->entry_count; i += domains) {
        enum update_result result = UPDATE_REFUSED;
        if (!table_has(partition->table, update->entries[i].block))
            continue;
        if (update->entry_count - i >= domains)
            status = table_take_update(partition->table, peer, update, &update->entries[i],
                                       &payloads[i], &result, err);
        results[result] += domains;
    }
    if (status == OK && table_version(partition->table) > before) {
        partition->finished = true;
        answer_take(partition);
    }
    return status;
}

enum status partition_take_replicate(struct partition *partition,
                                     const struct message_replicate *replicate,
                                     const struct frame *payloads, size_t count, struct error *err)
{
    uint64_t open = table_version(partition->table);
    enum status status = OK;
    if (replicate->version > open || replicate->fill != partition->fill ||
        replicate->entry_count != count)
        return OK; /* the step before was lost: the primary will fill anew */
    if (replicate->version == open && take_scale_bits(partition, replicate->scale_bits)) {
        for (size_t i = 0; i < count; i++)
            table_add(partition->table, &replicate->entries[i], 0,
                      table_shards_log2(partition->table), &payloads[i]);
        if (!table_step_complete(partition->table))
            return OK;
        status = table_advance(partition->table, partition->scale, err);
    }
    struct message ack = {.type = MESSAGE_ACK};
    ack.body.ack =
        (struct message_ack){partition->id, partition->fill, table_version(partition->table)};
    if (status == OK)
        send_to(partition, partition->primary, &ack, NULL, 0);
    return status;
}
