#include "coordinator/cluster/partitions.h"

#include <string.h>

#include "common/base/check.h"
#include "coordinator/cluster/placement.h"

void partitions_init(struct partitions *partitions, size_t count)
{
    CHECK(count >= 1 && count <= WIRE_PARTITIONS_MAX);
    *partitions = (struct partitions){.count = count};
    for (size_t p = 0; p < count; p++)
        partitions->primary[p] = partitions->backup[p] = PLACEMENT_NOBODY;
}

static bool is_among(const uint32_t *servers, size_t count, uint32_t server)
{
    for (size_t i = 0; i < count; i++)
        if (servers[i] == server)
            return true;
    return false;
}

static void set_backup(struct partitions *partitions, size_t p, uint32_t server)
{
    if (partitions->backup[p] == server)
        return;
    partitions->backup[p] = server;
    partitions->synced[p] = false;
}

static void promote(struct partitions *partitions, size_t p)
{
    partitions->primary[p] = partitions->backup[p];
    set_backup(partitions, p, PLACEMENT_NOBODY);
}

bool partitions_bury(struct partitions *partitions, const struct partition_servers *servers)
{
    bool kept = true;
    for (size_t p = 0; p < partitions->count; p++) {
        if (!is_among(servers->alive, servers->alive_count, partitions->backup[p]))
            set_backup(partitions, p, PLACEMENT_NOBODY);
        if (is_among(servers->alive, servers->alive_count, partitions->primary[p]))
            continue;
        if (partitions->synced[p])
            promote(partitions, p);
        else
            kept &= partitions->empty[p];
    }
    return kept;
}

/* The wanted server with the fewest backups, but for the primary (ties: the next one after it);
 * nobody when there is no other. */
static uint32_t choose_backup(const struct partitions *partitions,
                              const struct partition_servers *servers, size_t p)
{
    uint32_t best = PLACEMENT_NOBODY;
    size_t best_count = SIZE_MAX, after = 0;
    while (after < servers->wanted_count && servers->wanted[after] <= partitions->primary[p])
        after++;
    for (size_t i = 0; i < servers->wanted_count; i++) {
        uint32_t server = servers->wanted[(after + i) % servers->wanted_count];
        size_t count = 0;
        for (size_t other = 0; other < partitions->count; other++)
            count += partitions->backup[other] == server;
        if (server == partitions->primary[p] || count >= best_count)
            continue;
        best = server;
        best_count = count;
    }
    return best;
}

/* The backup of a partition that stays where it is. */
static void place_backup(struct partitions *partitions, const struct partition_servers *servers,
                         size_t p)
{
    if (!servers->replicas)
        set_backup(partitions, p, PLACEMENT_NOBODY);
    else if (partitions->backup[p] == partitions->primary[p] ||
             !is_among(servers->wanted, servers->wanted_count, partitions->backup[p]))
        set_backup(partitions, p, choose_backup(partitions, servers, p));
}

void partitions_place_anew(struct partitions *partitions, const struct partition_servers *servers)
{
    placement_shards(servers->wanted, NULL, servers->wanted_count, partitions->primary,
                     partitions->count);
    memset(partitions->synced, 0, sizeof partitions->synced);
    for (size_t p = 0; p < partitions->count; p++)
        place_backup(partitions, servers, p);
}

/* Where every partition shall be. */
static void aim(const struct partitions *partitions, const struct partition_servers *servers,
                uint32_t *target)
{
    memcpy(target, partitions->primary, partitions->count * sizeof *target);
    placement_shards(servers->wanted, NULL, servers->wanted_count, target, partitions->count);
}

static bool is_ready(const struct partitions *partitions, size_t p, uint32_t target)
{
    return partitions->empty[p] || (partitions->backup[p] == target && partitions->synced[p]);
}

void partitions_place(struct partitions *partitions, const struct partition_servers *servers)
{
    uint32_t target[WIRE_PARTITIONS_MAX];
    aim(partitions, servers, target);
    for (size_t p = 0; p < partitions->count; p++) {
        bool stays = servers->fixed && !partitions->empty[p];
        if (partitions->primary[p] != target[p] && !stays) {
            bool ready = is_ready(partitions, p, target[p]);
            set_backup(partitions, p, target[p]);
            if (!ready)
                continue;
            promote(partitions, p);
        }
        place_backup(partitions, servers, p);
    }
}

bool partitions_can_move(const struct partitions *partitions,
                         const struct partition_servers *servers)
{
    uint32_t target[WIRE_PARTITIONS_MAX];
    bool any = false;
    aim(partitions, servers, target);
    for (size_t p = 0; p < partitions->count; p++) {
        if (partitions->primary[p] == target[p])
            continue;
        any = true;
        if (!is_ready(partitions, p, target[p]))
            return false;
    }
    return any;
}

bool partitions_holds(const struct partitions *partitions, uint32_t server)
{
    for (size_t p = 0; p < partitions->count; p++)
        if (partitions->primary[p] == server || partitions->backup[p] == server)
            return true;
    return false;
}
