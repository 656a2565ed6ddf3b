/* Who owns what: shards → workers, blocks → servers. Pure arithmetic. */
#ifndef GRAFT_COORDINATOR_CLUSTER_PLACEMENT_H
#define GRAFT_COORDINATOR_CLUSTER_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>

#define PLACEMENT_NOBODY UINT32_MAX
#define PLACEMENT_MEMBERS_MAX 4096
#define PLACEMENT_SHARDS_MAX 1024 /* a power of two */
#define PLACEMENT_SERVERS_MAX 1024
#define PLACEMENT_PARTITIONS_MAX 1024

/* Deals shards so that the slowest member is done as early as possible (at equal speeds their numbers
 * differ by at most one), in aligned power-of-two ranges as wide as possible, because a worker
 * pushes one sum for such a range (worker/sync/push.h). Moves as few as possible: who lives and has
 * no more than its share keeps all; wide ranges come second. members[count >= 1] in ascending order;
 * speeds[count] > 0 in any unit (NULL: all alike); owners[shards] is member numbers (PLACEMENT_NOBODY
 * at first) and is updated. Returns how many moved. */
size_t placement_shards(const uint32_t *members, const double *speeds, size_t count,
                        uint32_t *owners, size_t shards);

/* Each block, in order, to the partition (owners[i] = 0 … partitions-1) that lies on the server with
 * the least bytes so far, and there to the one with the least (ties: the first). homes[partitions]:
 * the server of each. Blocks from `parameters` on (statistics, metrics) go only to partitions that
 * have a parameter block: workers wait for the parameters of a step and for nothing else, so a
 * partition without any could fall behind them. parameters >= 1. */
void placement_blocks(const size_t *bytes, size_t parameters, size_t blocks, const uint32_t *homes,
                      size_t partitions, uint32_t *owners);

#endif
