#include "common/wire/message.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define U32(type, member)                                                                          \
    {                                                                                              \
        .kind = WIRE_U32, .offset = offsetof(struct type, member)                                  \
    }
#define U64(type, member)                                                                          \
    {                                                                                              \
        .kind = WIRE_U64, .offset = offsetof(struct type, member)                                  \
    }
#define DIGEST(type, member)                                                                       \
    {                                                                                              \
        .kind = WIRE_DIGEST, .offset = offsetof(struct type, member)                               \
    }
#define TEXT(type, member)                                                                         \
    {                                                                                              \
        .kind = WIRE_TEXT, .offset = offsetof(struct type, member),                                \
        .limit = sizeof(((struct type *)0)->member)                                                \
    }
#define LIST(type, member, counter, most, layout)                                                  \
    {                                                                                              \
        .kind = WIRE_LIST, .offset = offsetof(struct type, member), .limit = (most),               \
        .count_offset = offsetof(struct type, counter),                                            \
        .element_bytes = sizeof(*((struct type *)0)->member), .fields = (layout),                  \
        .field_count = COUNT(layout)                                                               \
    }

static const struct wire_field number[] = {{.kind = WIRE_U32, .offset = 0}};
static const struct wire_field view_member[] = {
    U32(view_member, member), U64(view_member, incarnation), TEXT(view_member, endpoint)};
static const struct wire_field view_partition[] = {U32(view_partition, primary),
                                                   U32(view_partition, backup)};
static const struct wire_field load_block[] = {
    U32(load_block, block),      U32(load_block, kind),    U64(load_block, elements),
    U32(load_block, pretrained), U32(load_block, running), U32(load_block, state_frames)};
static const struct wire_field snapshot_block[] = {U32(snapshot_block, block),
                                                   U32(snapshot_block, state_frames)};
static const struct wire_field push_entry[] = {U32(push_entry, block), U32(push_entry, domain),
                                               U64(push_entry, count)};

static const struct wire_field update_entry[] = {U32(update_entry, block),
                                                 U32(update_entry, domain),
                                                 U64(update_entry, count), U64(update_entry, seen)};
static const struct wire_field fresh_block[] = {U32(fresh_block, block), U64(fresh_block, updates)};

static const struct wire_field hello[] = {U32(message_hello, role), U64(message_hello, pid),
                                          TEXT(message_hello, host), TEXT(message_hello, endpoint),
                                          TEXT(message_hello, platform)};
static const struct wire_field ready[] = {DIGEST(message_ready, manifest),
                                          DIGEST(message_ready, model)};
static const struct wire_field reason[] = {TEXT(message_reason, text)};
static const struct wire_field heartbeat[] = {
    U32(message_heartbeat, task), U64(message_heartbeat, samples), U64(message_heartbeat, dropped)};
static const struct wire_field none[] = {{.kind = WIRE_U32, .offset = 0}};
static const struct wire_field snapshot[] = {
    U64(message_snapshot, version), U32(message_snapshot, part), U32(message_snapshot, parts),
    LIST(message_snapshot, blocks, block_count, WIRE_FRAMES_MAX, snapshot_block)};
static const struct wire_field prepared[] = {
    U32(message_prepared, task), U32(message_prepared, shard),
    LIST(message_prepared, unreadable, unreadable_count, WIRE_BLOCKS_MAX, number)};
static const struct wire_field predicted[] = {
    U32(message_predicted, task), U32(message_predicted, shard), U32(message_predicted, part),
    U32(message_predicted, count)};
static const struct wire_field pixels[] = {U32(message_pixels, task), U32(message_pixels, width),
                                           U32(message_pixels, height), U32(message_pixels, count)};
static const struct wire_field welcome[] = {U32(message_welcome, member),
                                            U32(message_welcome, heartbeat_ms),
                                            U32(message_welcome, lost_ms)};
static const struct wire_field view[] = {
    LIST(message_view, servers, server_count, WIRE_MEMBERS_MAX, view_member),
    LIST(message_view, workers, worker_count, WIRE_MEMBERS_MAX, view_member),
    LIST(message_view, shard_owners, shard_count, WIRE_SHARDS_MAX, number),
    LIST(message_view, partitions, partition_count, WIRE_PARTITIONS_MAX, view_partition)};
static const struct wire_field load[] = {
    U32(message_load, partition),
    U32(message_load, fill),
    U32(message_load, stage),
    U32(message_load, shards),
    U32(message_load, domains),
    U64(message_load, version),
    U64(message_load, stage_version),
    U32(message_load, steps_per_epoch),
    U32(message_load, parameters),
    U32(message_load, part),
    U32(message_load, parts),
    LIST(message_load, blocks, block_count, WIRE_FRAMES_MAX, load_block)};
static const struct wire_field loaded[] = {U32(message_loaded, partition),
                                           U32(message_loaded, fill), U32(message_loaded, part),
                                           U32(message_loaded, parts)};
static const struct wire_field take[] = {U32(message_take, partition), U64(message_take, version)};
static const struct wire_field task[] = {
    U32(message_task, task),
    U32(message_task, kind),
    U32(message_task, stage),
    U32(message_task, epoch),
    U64(message_task, version),
    U64(message_task, stage_version),
    U32(message_task, steps),
    LIST(message_task, parts, part_count, WIRE_PARTS_MAX, number),
    LIST(message_task, owners, owner_count, WIRE_BLOCKS_MAX, number),
    LIST(message_task, again, again_count, WIRE_PIECES_MAX, number)};
static const struct wire_field pull[] = {U64(message_pull, version), U32(message_pull, statistics)};
static const struct wire_field wanted[] = {
    U64(message_wanted, version),
    LIST(message_wanted, statistics, statistic_count, WIRE_SHARDS_MAX, number),
    LIST(message_wanted, gradients, gradient_count, WIRE_SHARDS_MAX, number)};
static const struct wire_field push[] = {
    U64(message_push, version), U32(message_push, range_first), U32(message_push, range_log2),
    LIST(message_push, entries, entry_count, WIRE_FRAMES_MAX, push_entry)};
static const struct wire_field update[] = {
    U32(message_update, shard), U32(message_update, clock),
    LIST(message_update, entries, entry_count, WIRE_FRAMES_MAX, update_entry)};
static const struct wire_field clocks[] = {
    U32(message_clocks, partition),
    LIST(message_clocks, clocks, clock_count, WIRE_SHARDS_MAX, number),
    LIST(message_clocks, blocks, block_count, WIRE_FRAMES_MAX, fresh_block)};
static const struct wire_field weights[] = {
    U64(message_weights, version),
    LIST(message_weights, blocks, block_count, WIRE_FRAMES_MAX, number)};
static const struct wire_field replicate[] = {
    U32(message_replicate, partition), U32(message_replicate, fill),
    U64(message_replicate, version), U32(message_replicate, scale_bits),
    LIST(message_replicate, entries, entry_count, WIRE_FRAMES_MAX, push_entry)};
static const struct wire_field ack[] = {U32(message_ack, partition), U32(message_ack, fill),
                                        U64(message_ack, version)};
static const struct wire_field norms[] = {
    U64(message_norms, version), U32(message_norms, asks),
    LIST(message_norms, blocks, block_count, WIRE_FRAMES_MAX, number)};
static const struct wire_field synced[] = {U32(message_synced, partition),
                                           U64(message_synced, backup)};
static const struct wire_field statistics[] = {
    U64(message_statistics, version),
    LIST(message_statistics, entries, entry_count, WIRE_FRAMES_MAX, push_entry)};
static const struct wire_field ask[] = {U32(message_ask, what), U32(message_ask, member),
                                        U32(message_ask, workers), U32(message_ask, servers)};

#define LAYOUT(type, fields) [MESSAGE_##type] = {#type, fields, COUNT(fields)}
#define EMPTY(type) [MESSAGE_##type] = {#type, none, 0}

static const struct wire_layout layouts[] = {
    LAYOUT(HELLO, hello),
    LAYOUT(READY, ready),
    LAYOUT(FAILED, reason),
    LAYOUT(HEARTBEAT, heartbeat),
    LAYOUT(LOADED, loaded),
    LAYOUT(SNAPSHOT, snapshot),
    LAYOUT(PREPARED, prepared),
    LAYOUT(PREDICTED, predicted),
    LAYOUT(WELCOME, welcome),
    LAYOUT(REFUSE, reason),
    LAYOUT(VIEW, view),
    LAYOUT(LOAD, load),
    LAYOUT(TAKE, take),
    LAYOUT(TASK, task),
    LAYOUT(STOP, reason),
    LAYOUT(PULL, pull),
    LAYOUT(PUSH, push),
    LAYOUT(WEIGHTS, weights),
    LAYOUT(STATISTICS, statistics),
    LAYOUT(WANTED, wanted),
    LAYOUT(UPDATE, update),
    LAYOUT(CLOCKS, clocks),
    LAYOUT(REPLICATE, replicate),
    LAYOUT(ACK, ack),
    LAYOUT(NORMS, norms),
    LAYOUT(SYNCED, synced),
    LAYOUT(ASK, ask),
    EMPTY(TELL),
    LAYOUT(DECLINE, reason),
    EMPTY(VIEWED),
    LAYOUT(PIXELS, pixels),
};

struct wire_layout message_layout(uint32_t type)
{
    if (type >= COUNT(layouts))
        return (struct wire_layout){0};
    return layouts[type];
}

const char *message_name(uint32_t type)
{
    struct wire_layout layout = message_layout(type);
    return layout.name != NULL ? layout.name : "unknown";
}
