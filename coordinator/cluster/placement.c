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

/* Bytes that `server` owns among the first `count` blocks. */
static size_t bytes_of(uint32_t server, const size_t *bytes, const uint32_t *owners, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += owners[i] == server ? bytes[i] : 0;
    return sum;
}

void placement_blocks(const size_t *bytes, size_t parameters, size_t blocks, size_t servers,
                      uint32_t *owners)
{
    CHECK(servers >= 1 && parameters >= 1);
    for (size_t i = 0; i < blocks; i++) {
        size_t best_load = SIZE_MAX;
        for (uint32_t server = 0; server < servers; server++) {
            size_t load = bytes_of(server, bytes, owners, i);
            bool allowed = i < parameters || load_of(server, owners, parameters) > 0;
            if (!allowed || load >= best_load)
                continue;
            owners[i] = server;
            best_load = load;
        }
    }
}
