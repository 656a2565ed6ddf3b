#include "coordinator/cluster/placement.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/check.h"

/* ---- shards ---- */

/* An aligned power-of-two range of shards, cut off at the last one: a node of the reduction's tree
 * (common/tensor/reduction.h). */
struct node {
    size_t first, count;
};

static struct node node_at(size_t first, size_t width, size_t shards)
{
    return (struct node){first, first + width < shards ? width : shards - first};
}

static bool is_owned(struct node node, uint32_t member, const uint32_t *owners)
{
    for (size_t s = node.first; s < node.first + node.count; s++)
        if (owners[s] != member)
            return false;
    return true;
}

static void give(struct node node, uint32_t member, uint32_t *owners)
{
    for (size_t s = node.first; s < node.first + node.count; s++)
        owners[s] = member;
}

/* How much of the node that is twice as wide a member owns. */
static size_t owned_around(struct node node, size_t width, uint32_t member, const uint32_t *owners,
                           size_t shards)
{
    size_t owned = 0;
    struct node parent = node_at(node.first & ~width, 2 * width, shards);
    for (size_t s = parent.first; s < parent.first + parent.count; s++)
        owned += owners[s] == member;
    return owned;
}

static size_t load_of(uint32_t member, const uint32_t *owners, size_t shards)
{
    size_t load = 0;
    for (size_t s = 0; s < shards; s++)
        load += owners[s] == member;
    return load;
}

/* How many shards each shall have: one after the other to whoever would have done it first; who has
 * more already comes first among equals. */
static void share_out(const uint32_t *members, const double *speeds, size_t count,
                      const uint32_t *owners, size_t shards, size_t *quotas)
{
    size_t loads[PLACEMENT_MEMBERS_MAX];
    memset(quotas, 0, count * sizeof *quotas);
    for (size_t i = 0; i < count; i++)
        loads[i] = load_of(members[i], owners, shards);
    for (size_t s = 0; s < shards; s++) {
        size_t best = 0;
        for (size_t i = 1; i < count; i++) {
            double time = (double)(quotas[i] + 1) / (speeds != NULL ? speeds[i] : 1),
                   least = (double)(quotas[best] + 1) / (speeds != NULL ? speeds[best] : 1);
            if (time < least || (time <= least && loads[i] > loads[best]))
                best = i;
        }
        quotas[best]++;
    }
}

/* The last of a member's nodes of this width with at most `most` shards, if possible one that is no
 * half of a wider one. */
static bool find_spare(uint32_t member, size_t width, size_t most, const uint32_t *owners,
                       size_t shards, struct node *out)
{
    bool found = false, found_half = false;
    for (size_t first = 0; first < shards; first += width) {
        struct node node = node_at(first, width, shards);
        if (node.count > most || !is_owned(node, member, owners))
            continue;
        bool half = owned_around(node, width, member, owners, shards) > node.count;
        if (found && half && !found_half)
            continue;
        *out = node;
        found = true;
        found_half = half;
    }
    return found;
}

/* A member gives back what it has beyond its quota, in the widest nodes. */
static void take_back(uint32_t member, size_t quota, uint32_t *owners, size_t shards)
{
    size_t load = load_of(member, owners, shards);
    for (size_t width = PLACEMENT_SHARDS_MAX; width > 0; width /= 2) {
        struct node node;
        while (load > quota && find_spare(member, width, load - quota, owners, shards, &node)) {
            give(node, PLACEMENT_NOBODY, owners);
            load -= node.count;
        }
    }
}

/* Free nodes of this width to those who need as many shards: to whoever has most around it, and
 * with nothing around (only when `apart`), to whoever needs most. */
static size_t deal_nodes(const uint32_t *members, size_t count, size_t width, bool apart,
                         uint32_t *owners, size_t shards, size_t *needs)
{
    size_t dealt = 0;
    for (size_t first = 0; first < shards; first += width) {
        struct node node = node_at(first, width, shards);
        size_t best = count, most = 0;
        if (!is_owned(node, PLACEMENT_NOBODY, owners))
            continue;
        for (size_t i = 0; i < count; i++) {
            size_t around = owned_around(node, width, members[i], owners, shards);
            if (needs[i] < node.count || (around == 0 && !apart) || around < most ||
                (best < count && around == most && needs[i] <= needs[best]))
                continue;
            best = i;
            most = around;
        }
        if (best == count)
            continue;
        give(node, members[best], owners);
        needs[best] -= node.count;
        dealt += node.count;
    }
    return dealt;
}

static bool is_member(const uint32_t *members, size_t count, uint32_t member)
{
    for (size_t i = 0; i < count; i++)
        if (members[i] == member)
            return true;
    return false;
}

size_t placement_shards(const uint32_t *members, const double *speeds, size_t count,
                        uint32_t *owners, size_t shards)
{
    size_t needs[PLACEMENT_MEMBERS_MAX], moved = 0;
    CHECK(count >= 1 && count <= PLACEMENT_MEMBERS_MAX && shards <= PLACEMENT_SHARDS_MAX);
    for (size_t s = 0; s < shards; s++)
        if (!is_member(members, count, owners[s]))
            owners[s] = PLACEMENT_NOBODY;
    share_out(members, speeds, count, owners, shards, needs);
    for (size_t i = 0; i < count; i++) {
        take_back(members[i], needs[i], owners, shards);
        needs[i] -= load_of(members[i], owners, shards);
    }
    for (size_t width = PLACEMENT_SHARDS_MAX; width > 0; width /= 2) {
        moved += deal_nodes(members, count, width, false, owners, shards, needs);
        moved += deal_nodes(members, count, width, true, owners, shards, needs);
    }
    CHECK(load_of(PLACEMENT_NOBODY, owners, shards) == 0);
    return moved;
}

/* ---- blocks ---- */

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
