/* Turns sums over shards into PUSH messages: for every node held (a range of shards), the blocks of
 * one server together. Knows no socket. */
#ifndef GRAFT_WORKER_SYNC_PUSH_H
#define GRAFT_WORKER_SYNC_PUSH_H

#include <stddef.h>
#include <stdint.h>

#include "common/model/layout.h"
#include "common/tensor/reduction.h"
#include "common/wire/outbox.h"

/* Where the blocks live: server (position in the view) of each block, and the peer of each server.
 */
struct push_route {
    const uint32_t *owners;  /* [layout->block_count] */
    const uint64_t *servers; /* [server_count] peers for outbox.send */
    size_t server_count;
};

/* A block's slice of the summed vectors. */
struct push_slice {
    uint32_t block;
    size_t offset_bytes;
    size_t bytes;
    uint32_t partition; /* by push_order */
};

/* Sorts slices partition by partition (partitions: of each block), so that a server can publish one
 * while the next are on their way. */
void push_order(struct push_slice *slices, size_t count, const uint32_t *partitions);

/* sums[domains]: nodes of all are the same ranges. Sends at least one message per (node, server
 * that owns a slice). */
void push_sums(const struct reduction *const *sums, size_t domains, const struct push_slice *slices,
               size_t slice_count, const struct push_route *route, uint64_t version,
               struct outbox outbox);

/* One shard's step (ssp, asp): sums[domains] hold that shard alone. seen[block]: updates in the weights
 * that were used; NULL: of metrics. All domains of a block go into one message. */
void push_update(const struct reduction *const *sums, size_t domains,
                 const struct push_slice *slices, size_t slice_count,
                 const struct push_route *route, uint32_t clock, const uint64_t *seen,
                 struct outbox outbox);

#endif
