/* What table.c and table_clocks.c share. */
#ifndef GRAFT_PARAMSERVER_TABLE_TABLE_STATE_H
#define GRAFT_PARAMSERVER_TABLE_TABLE_STATE_H

#include "paramserver/table/table.h"
#include "paramserver/table/update.h"

struct table {
    const struct stage_config *stage;
    uint32_t stage_index;
    struct block *blocks;
    size_t block_count;
    size_t block_room;
    uint32_t shards;
    size_t domains;
    uint64_t version;
    uint64_t load_version;
    uint64_t stage_version;
    uint32_t steps_per_epoch;
    uint32_t parameters; /* of the stage, on all servers */
    bool measured;       /* the open step */
    size_t open[3];      /* blocks of each kind that are not complete in the open step */
    size_t total[3];
    struct update_room *room; /* borrowed */
    uint32_t ahead_max;
};

/* NULL: not here. */
struct block *table_find(const struct table *table, uint32_t id);

#endif
