#include "worker/sync/push.h"

#include <stdlib.h>

#include "common/base/check.h"

static int by_partition(const void *a, const void *b)
{
    const struct push_slice *left = a, *right = b;
    if (left->partition != right->partition)
        return left->partition < right->partition ? -1 : 1;
    return left->block < right->block ? -1 : 1;
}

void push_order(struct push_slice *slices, size_t count, const uint32_t *partitions)
{
    for (size_t i = 0; i < count; i++)
        slices[i].partition = partitions[slices[i].block];
    qsort(slices, count, sizeof *slices, by_partition);
}

/* A PUSH or UPDATE that is being filled. */
struct parcel {
    struct message message;
    union {
        struct push_entry push[WIRE_FRAMES_MAX];
        struct update_entry update[WIRE_FRAMES_MAX];
    } entries;
    struct frame payloads[WIRE_FRAMES_MAX];
    size_t count;
    size_t bytes;
};

static void send_parcel(struct parcel *parcel, uint64_t peer, struct outbox outbox)
{
    if (parcel->count == 0)
        return;
    if (parcel->message.type == MESSAGE_PUSH) {
        parcel->message.body.push.entries = parcel->entries.push;
        parcel->message.body.push.entry_count = parcel->count;
    } else {
        parcel->message.body.update.entries = parcel->entries.update;
        parcel->message.body.update.entry_count = parcel->count;
    }
    outbox.send(outbox.driver, peer, &parcel->message, parcel->payloads, parcel->count);
    parcel->count = 0;
    parcel->bytes = 0;
}

/* The payload of the entry that was written last. */
static void add_payload(struct parcel *parcel, const struct push_slice *slice,
                        const struct reduction_node *node)
{
    CHECK(parcel->count < WIRE_FRAMES_MAX);
    parcel->payloads[parcel->count++] =
        (struct frame){(const uint8_t *)node->sum + slice->offset_bytes, slice->bytes, node->sum};
    parcel->bytes += slice->bytes;
}

static void push_node(const struct reduction_node *nodes, size_t domains,
                      const struct push_slice *slices, size_t slice_count,
                      const struct push_route *route, size_t server, uint64_t version,
                      struct outbox outbox)
{
    struct parcel parcel = {.message = {.type = MESSAGE_PUSH}};
    parcel.message.body.push = (struct message_push){
        .version = version, .range_first = nodes[0].first, .range_log2 = nodes[0].log2};
    for (size_t i = 0; i < slice_count; i++) {
        if (route->owners[slices[i].block] != server)
            continue;
        for (size_t d = 0; d < domains; d++) {
            parcel.entries.push[parcel.count] =
                (struct push_entry){slices[i].block, (uint32_t)d, nodes[d].count};
            add_payload(&parcel, &slices[i], &nodes[d]);
            if (parcel.count == WIRE_FRAMES_MAX || parcel.bytes >= WIRE_MESSAGE_BYTES_SOFT)
                send_parcel(&parcel, route->servers[server], outbox);
        }
    }
    send_parcel(&parcel, route->servers[server], outbox);
}

void push_sums(const struct reduction *const *sums, size_t domains, const struct push_slice *slices,
               size_t slice_count, const struct push_route *route, uint64_t version,
               struct outbox outbox)
{
    uint32_t at[JOB_DOMAINS_MAX] = {0};
    struct reduction_node nodes[JOB_DOMAINS_MAX];
    CHECK(domains >= 1 && domains <= JOB_DOMAINS_MAX);
    while (reduction_next(sums[0], &at[0], &nodes[0])) {
        for (size_t d = 1; d < domains; d++) {
            bool there = reduction_next(sums[d], &at[d], &nodes[d]);
            CHECK(there && nodes[d].first == nodes[0].first && nodes[d].log2 == nodes[0].log2);
        }
        for (size_t server = 0; server < route->server_count; server++)
            push_node(nodes, domains, slices, slice_count, route, server, version, outbox);
    }
}

/* ---- one shard's step ---- */

static void add_block(struct parcel *parcel, const struct push_slice *slice,
                      const struct reduction_node *nodes, size_t domains, uint64_t seen)
{
    for (size_t d = 0; d < domains; d++) {
        parcel->entries.update[parcel->count] =
            (struct update_entry){slice->block, (uint32_t)d, nodes[d].count, seen};
        add_payload(parcel, slice, &nodes[d]);
    }
}

void push_update(const struct reduction *const *sums, size_t domains,
                 const struct push_slice *slices, size_t slice_count,
                 const struct push_route *route, uint32_t clock, const uint64_t *seen,
                 struct outbox outbox)
{
    struct parcel parcel = {.message = {.type = MESSAGE_UPDATE}};
    struct reduction_node nodes[JOB_DOMAINS_MAX] = {{0}};
    CHECK(domains >= 1 && domains <= JOB_DOMAINS_MAX);
    for (size_t d = 0; d < domains; d++) {
        uint32_t at = 0;
        bool there = reduction_next(sums[d], &at, &nodes[d]);
        CHECK(there && nodes[d].log2 == 0 && nodes[d].first == nodes[0].first);
    }
    parcel.message.body.update = (struct message_update){.shard = nodes[0].first, .clock = clock};
    for (size_t server = 0; server < route->server_count; server++) {
        for (size_t i = 0; i < slice_count; i++) {
            if (route->owners[slices[i].block] != server)
                continue;
            add_block(&parcel, &slices[i], nodes, domains,
                      seen != NULL ? seen[slices[i].block] : 0);
            if (parcel.count + domains > WIRE_FRAMES_MAX || parcel.bytes >= WIRE_MESSAGE_BYTES_SOFT)
                send_parcel(&parcel, route->servers[server], outbox);
        }
        send_parcel(&parcel, route->servers[server], outbox);
    }
}
