#include "worker/pace.h"

#include "common/base/check.h"
#include "common/base/memory.h"

enum status pace_create(uint32_t shards, uint32_t staleness, uint32_t begin, uint32_t end,
                        const uint32_t *partitions, size_t count, struct pace **out,
                        struct error *err)
{
    CHECK(shards >= 1 && begin <= end);
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = partitions[i] + (size_t)1 > most ? partitions[i] + (size_t)1 : most;
    struct pace *pace = memory_alloc(1, sizeof *pace);
    uint32_t *clocks = memory_alloc(most * shards, sizeof *clocks);
    if (pace == NULL || clocks == NULL) {
        memory_free(pace);
        memory_free(clocks);
        return error_set(err, ERR_MEMORY, "no memory for the clocks of %u shards", shards);
    }
    for (size_t i = 0; i < most * shards; i++)
        clocks[i] = UINT32_MAX;
    for (size_t i = 0; i < count; i++)
        for (uint32_t s = 0; s < shards; s++)
            clocks[partitions[i] * (size_t)shards + s] = begin;
    *pace = (struct pace){
        .shards = shards, .staleness = staleness, .end = end, .partitions = most, .clocks = clocks};
    *out = pace;
    return OK;
}

void pace_destroy(struct pace **pace)
{
    if (*pace == NULL)
        return;
    memory_free((*pace)->clocks);
    memory_free(*pace);
    *pace = NULL;
}

/* Steps that all partitions have taken of the shard. */
static uint32_t clock_of(const struct pace *pace, uint32_t shard)
{
    uint32_t clock = UINT32_MAX;
    for (size_t p = 0; p < pace->partitions; p++) {
        uint32_t its = pace->clocks[p * pace->shards + shard];
        clock = its < clock ? its : clock;
    }
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
    if (partition >= pace->partitions || count != pace->shards)
        return;
    uint32_t *held = pace->clocks + (size_t)partition * pace->shards;
    for (size_t s = 0; s < count; s++)
        if (clocks[s] > held[s])
            held[s] = clocks[s];
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
