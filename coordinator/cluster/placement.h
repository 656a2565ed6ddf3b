/* Who owns what: shards → workers, blocks → servers. Pure arithmetic. */
#ifndef GRAFT_COORDINATOR_CLUSTER_PLACEMENT_H
#define GRAFT_COORDINATOR_CLUSTER_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>

#define PLACEMENT_NOBODY UINT32_MAX
#define PLACEMENT_SERVERS_MAX 1024
#define PLACEMENT_PARTITIONS_MAX 1024

/* Moves as few shards as possible: owners that live keep theirs, orphans go to whoever has least,
 * and only then does the most loaded give to the least loaded, until their numbers differ by at
 * most one. members[member_count >= 1] in ascending order; owners[shards] is member numbers
 * (PLACEMENT_NOBODY at first) and is updated. Returns how many moved. */
size_t placement_shards(const uint32_t *members, size_t member_count, uint32_t *owners,
                        size_t shards);

/* Each block, in order, to the partition (owners[i] = 0 … partitions-1) that lies on the server with
 * the least bytes so far, and there to the one with the least (ties: the first). homes[partitions]:
 * the server of each. Blocks from `parameters` on (statistics, metrics) go only to partitions that
 * have a parameter block: workers wait for the parameters of a step and for nothing else, so a
 * partition without any could fall behind them. parameters >= 1. */
void placement_blocks(const size_t *bytes, size_t parameters, size_t blocks, const uint32_t *homes,
                      size_t partitions, uint32_t *owners);

#endif
