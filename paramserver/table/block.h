/* One block on one server: its values of two versions, its optimiser state, its ordered sums.
 * Owned by the table; the server's thread. */
#ifndef GRAFT_PARAMSERVER_TABLE_BLOCK_H
#define GRAFT_PARAMSERVER_TABLE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/tensor/reduction.h"
#include "common/wire/message.h"
#include "paramserver/optim/optimizer.h"

/* Weights that a peer was sent last, kept for delay compensation. */
struct seen_weights {
    uint64_t peer, updates;
    float *weights; /* shared memory */
};

struct block {
    uint32_t id;
    enum block_kind kind;
    size_t elements;
    float *weights[2]; /* parameter: version v lies in weights[v % 2]; shared memory */
    float *anchor;     /* parameter: w⁰ when pretrained, else NULL */
    bool pretrained;
    bool running; /* moves toward the mean of what is pushed instead of learning from it */
    float *states[OPTIMIZER_STATES_MAX];
    double *totals;   /* metric: [domains, elements], over the steps of the epoch */
    double *finished; /* statistic: [domains, elements] of the step before the open one */
    uint64_t finished_counts[JOB_DOMAINS_MAX];
    struct reduction *sums[JOB_DOMAINS_MAX];
    size_t domains;
    size_t domains_complete; /* in the open step */
    /* ssp and asp, where version v is that many updates: */
    uint64_t updates; /* shards' steps taken, from the stage's beginning */
    uint32_t *clocks; /* [shards] steps taken of each; NULL in bsp */
    uint32_t shards, slowest;
    struct seen_weights *seen; /* of peers that own shards */
    size_t seen_count, seen_room;
    double squares[2]; /* parameter, when the stage clips: ‖g‖² of step v in squares[v % 2] */
};

/* Allocates everything for the kind, zeroed. */
enum status block_init(struct block *block, const struct load_block *load, size_t domains,
                       uint32_t shards, size_t states, struct error *err) MUST_CHECK;
void block_deinit(struct block *block);

/* Where a version's weights are to be written, all of them: other memory than the version before
 * the last has when that is still being sent. NULL: no memory. */
float *block_writable(struct block *block, uint64_t version);

/* Bytes of one value of its kind: 4 for parameters, 8 for sums. */
size_t block_value_bytes(const struct block *block);

/* Adds one pushed node; when it completes the block (all domains), returns REDUCTION_COMPLETE. */
enum reduction_result block_add(struct block *block, uint32_t domain, uint32_t first, uint32_t log2,
                                uint64_t count, const void *sum);
/* Forgets the open step's sums. */
void block_reset(struct block *block);

/* All shards have done `clock` steps; each counts its own from now on. */
enum status block_set_clocks(struct block *block, uint32_t shards, uint32_t clock,
                             struct error *err) MUST_CHECK;
/* Counts a step of one shard. */
void block_tick(struct block *block, uint32_t shard);

/* The peer is being sent the newest weights. */
enum status block_show(struct block *block, uint64_t peer, struct error *err) MUST_CHECK;
/* The weights after `updates`, if they are what it was sent last; else NULL. */
const float *block_seen(const struct block *block, uint64_t peer, uint64_t updates);
/* Forgets what others than these were sent. */
void block_keep_seen(struct block *block, const uint64_t *peers, size_t count);

#endif
