#include "worker/pace.h"

#include <string.h>

#include "common/base/check.h"

void pace_begin(struct pace *pace, uint32_t shards, uint32_t staleness, uint32_t begin,
                uint32_t end, const uint32_t *partitions, size_t count)
{
    CHECK(shards >= 1 && shards <= JOB_SHARDS_MAX && begin <= end);
    *pace = (struct pace){.on = true, .shards = shards, .staleness = staleness, .end = end};
    for (size_t i = 0; i < count; i++)
        if (partitions[i] < WIRE_PARTITIONS_MAX)
            pace->used[partitions[i]] = true;
    for (size_t p = 0; p < WIRE_PARTITIONS_MAX; p++)
        for (uint32_t s = 0; s < shards && pace->used[p]; s++)
            pace->clocks[p][s] = begin;
}

/* Steps that all partitions have taken of the shard. */
static uint32_t clock_of(const struct pace *pace, uint32_t shard)
{
    uint32_t clock = UINT32_MAX;
    for (size_t p = 0; p < WIRE_PARTITIONS_MAX; p++)
        if (pace->used[p] && pace->clocks[p][shard] < clock)
            clock = pace->clocks[p][shard];
    return clock;
}

static uint32_t slowest(const struct pace *pace)
{
    uint32_t clock = UINT32_MAX;
    for (uint32_t s = 0; s < pace->shards; s++)
        clock = clock_of(pace, s) < clock ? clock_of(pace, s) : clock;
    return clock;
}

void pace_take(struct pace *pace, uint32_t partition, const uint32_t *clocks, size_t count)
{
    if (!pace->on || partition >= WIRE_PARTITIONS_MAX || !pace->used[partition] ||
        count != pace->shards)
        return;
    for (size_t s = 0; s < count; s++)
        if (clocks[s] > pace->clocks[partition][s])
            pace->clocks[partition][s] = clocks[s];
    if (pace->under_way && pace->asked && clocks[pace->shard] <= pace->clock)
        pace->pushed = false;
}

/* The owned shard that is furthest behind; false when all are at the end. */
static bool choose(struct pace *pace, const bool *owned)
{
    bool any = false;
    for (uint32_t s = 0; s < pace->shards; s++) {
        uint32_t clock = clock_of(pace, s);
        if (!owned[s] || clock >= pace->end || (any && clock >= pace->clock))
            continue;
        any = true;
        pace->shard = s;
        pace->clock = clock;
    }
    return any;
}

enum pace_turn pace_next(struct pace *pace, const bool *owned)
{
    if (pace->under_way && clock_of(pace, pace->shard) > pace->clock)
        pace->under_way = false;
    if (pace->under_way && pace->pushed)
        return PACE_WAIT;
    if (pace->under_way) {
        pace->pushed = true;
        pace->asked = false;
        return PACE_PUSH;
    }
    if (!choose(pace, owned) ||
        (pace->staleness != PACE_UNBOUNDED && pace->clock - slowest(pace) > pace->staleness))
        return PACE_WAIT;
    pace->under_way = true;
    pace->pushed = false;
    return PACE_COMPUTE;
}
