#include "coordinator/cluster/placement.h"

#include <stdbool.h>

#include "common/base/check.h"

static size_t load_of(uint32_t member, const uint32_t *owners, size_t shards)
{
    size_t load = 0;
    for (size_t s = 0; s < shards; s++)
        load += owners[s] == member;
    return load;
}

/* The member with least (most) shards; ties go to the first. */
static uint32_t extreme(const uint32_t *members, size_t count, const uint32_t *owners,
                        size_t shards, int most)
{
    uint32_t best = members[0];
    for (size_t i = 1; i < count; i++) {
        size_t load = load_of(members[i], owners, shards),
               best_load = load_of(best, owners, shards);
        if (most ? load > best_load : load < best_load)
            best = members[i];
    }
    return best;
}

static int is_member(const uint32_t *members, size_t count, uint32_t member)
{
    for (size_t i = 0; i < count; i++)
        if (members[i] == member)
            return 1;
    return 0;
}

size_t placement_shards(const uint32_t *members, size_t member_count, uint32_t *owners,
                        size_t shards)
{
    size_t moved = 0;
    CHECK(member_count >= 1);
    for (size_t s = 0; s < shards; s++)
        if (!is_member(members, member_count, owners[s]))
            owners[s] = PLACEMENT_NOBODY;
    for (size_t s = 0; s < shards; s++) {
        if (owners[s] != PLACEMENT_NOBODY)
            continue;
        owners[s] = extreme(members, member_count, owners, shards, 0);
        moved++;
    }
    for (;;) {
        uint32_t most = extreme(members, member_count, owners, shards, 1);
        uint32_t least = extreme(members, member_count, owners, shards, 0);
        if (load_of(most, owners, shards) <= load_of(least, owners, shards) + 1)
            return moved;
        size_t s = shards;
        while (owners[s - 1] != most) /* the last one: a worker's first shards stay together */
            s--;
        owners[s - 1] = least;
        moved++;
    }
}

/* Bytes dealt so far. */
struct deal {
    size_t server[PLACEMENT_SERVERS_MAX], partition[PLACEMENT_PARTITIONS_MAX];
    bool parameters[PLACEMENT_PARTITIONS_MAX]; /* this partition has some */
};

/* Is partition a the better place than b? */
static bool is_lighter(const struct deal *deal, const uint32_t *homes, size_t a, size_t b)
{
    size_t at_a = deal->server[homes[a]], at_b = deal->server[homes[b]];
    return at_a != at_b ? at_a < at_b : deal->partition[a] < deal->partition[b];
}

void placement_blocks(const size_t *bytes, size_t parameters, size_t blocks, const uint32_t *homes,
                      size_t partitions, uint32_t *owners)
{
    struct deal deal = {0};
    CHECK(partitions >= 1 && partitions <= PLACEMENT_PARTITIONS_MAX && parameters >= 1);
    for (size_t p = 0; p < partitions; p++)
        CHECK(homes[p] < PLACEMENT_SERVERS_MAX);
    for (size_t i = 0; i < blocks; i++) {
        size_t best = partitions;
        for (size_t p = 0; p < partitions; p++)
            if ((i < parameters || deal.parameters[p]) &&
                (best == partitions || is_lighter(&deal, homes, p, best)))
                best = p;
        owners[i] = (uint32_t)best;
        deal.server[homes[best]] += bytes[i];
        deal.partition[best] += bytes[i];
        deal.parameters[best] |= i < parameters;
    }
}
