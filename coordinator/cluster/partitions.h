/* Which server is the primary and which the backup of each partition, and where it shall move. Pure
 * arithmetic; servers are member numbers.
 *
 * A partition moves by its backup: the new server becomes the backup, is filled while training goes
 * on, and once it is synced a next view makes it the primary. As few move as possible. */
#ifndef GRAFT_COORDINATOR_CLUSTER_PARTITIONS_H
#define GRAFT_COORDINATOR_CLUSTER_PARTITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/wire/message.h"

struct partitions {
    size_t count;
    uint32_t primary[WIRE_PARTITIONS_MAX], backup[WIRE_PARTITIONS_MAX]; /* or PLACEMENT_NOBODY */
    bool synced[WIRE_PARTITIONS_MAX]; /* the backup could take over */
    bool empty[WIRE_PARTITIONS_MAX];  /* no blocks: moves at once */
};

/* Servers in ascending order of number. */
struct partition_servers {
    const uint32_t *alive;
    size_t alive_count;
    const uint32_t *wanted; /* of these, the ones that shall own partitions; at least one */
    size_t wanted_count;
    bool replicas;
    bool fixed; /* what is not empty stays with its primary while that lives */
};

/* All on nobody. */
void partitions_init(struct partitions *partitions, size_t count);

/* Lets synced backups take over from the dead. False when a partition that is not empty has lost
 * its only copy: then all must be loaded again (partitions_place_anew). */
bool partitions_bury(struct partitions *partitions, const struct partition_servers *servers);

/* Values do not matter: everything to its place at once. */
void partitions_place_anew(struct partitions *partitions, const struct partition_servers *servers);

/* After partitions_bury: completes the moves whose backups are synced, begins those that are due,
 * chooses backups where there are none. */
void partitions_place(struct partitions *partitions, const struct partition_servers *servers);

/* Would partitions_place complete all the moves that are under way (and is there any)? */
bool partitions_can_move(const struct partitions *partitions,
                         const struct partition_servers *servers);

/* Does this server hold anything? */
bool partitions_holds(const struct partitions *partitions, uint32_t server);

#endif
