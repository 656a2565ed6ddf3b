/* Whose turn it is in ssp and asp: each shard is a virtual worker with a clock, the number of its steps
 * that the servers have taken. A worker has one step under way at a time, of its shard that is furthest
 * behind, and begins step c of a shard only if, in ssp, c is at most `staleness` above the slowest
 * shard's clock. The servers' clocks are the acknowledgement: a step that they do not count is pushed
 * again, and who takes a shard over goes on from them. Pure arithmetic. */
#ifndef GRAFT_WORKER_PACE_H
#define GRAFT_WORKER_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define PACE_UNBOUNDED UINT32_MAX

struct pace {
    uint32_t shards, staleness, end; /* clock at which the task ends */
    size_t partitions;
    uint32_t *clocks; /* [partitions, shards]; UINT32_MAX in one without blocks */
    bool under_way, pushed;
    bool asked;            /* by the caller, since the push: an answer tells whether it was lost */
    uint32_t shard, clock; /* of the step under way */
};

/* Of a task: from clock `begin` to `end`; partitions[count]: of each block, each below
 * WIRE_PARTITIONS_MAX. Errors: ERR_MEMORY. */
enum status pace_create(uint32_t shards, uint32_t staleness, uint32_t begin, uint32_t end,
                        const uint32_t *partitions, size_t count, struct pace **out,
                        struct error *err) MUST_CHECK;
void pace_destroy(struct pace **pace);

/* A partition's clocks, which may be old ones. */
void pace_take(struct pace *pace, uint32_t partition, const uint32_t *clocks, size_t count);

enum pace_turn {
    PACE_WAIT,
    PACE_COMPUTE, /* the step pace->clock of pace->shard */
    PACE_PUSH,    /* it */
};
/* What comes next; counts as done. */
enum pace_turn pace_next(struct pace *pace, const bool *owned);

#endif
