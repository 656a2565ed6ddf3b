/* All blocks that one server holds for one stage, and the open step. Sizes and numbers come from
 * LOAD, which the coordinator sends; pushes come from workers and are checked against the blocks.
 * One thread. */
#ifndef GRAFT_PARAMSERVER_TABLE_TABLE_H
#define GRAFT_PARAMSERVER_TABLE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/wire/message.h"
#include "common/wire/outbox.h"
#include "paramserver/table/block.h"
#include "paramserver/table/update.h"

#define TABLE_ELEMENTS_MAX ((uint64_t)1 << 22) /* of one block; parameters have at most 2^18 */

struct table;

/* An empty table for `load`'s stage (the parts bring the blocks). `stage` is borrowed. */
enum status table_create(const struct stage_config *stage, const struct message_load *load,
                         struct table **out, struct error *err) MUST_CHECK;
void table_destroy(struct table **table);

/* Takes the blocks of one part. Per PARAMETER block the payloads are: weights, anchor (when
 * pretrained), state vectors (state_frames of them: none = start at zero); per METRIC block with a
 * state frame its totals. Errors: ERR_PEER when a size does not fit. */
enum status table_load_part(struct table *table, const struct message_load *load,
                            const struct frame *payloads, size_t count,
                            struct error *err) MUST_CHECK;
/* After the last part: makes room for updates in `room`, which is borrowed. */
enum status table_ready(struct table *table, struct update_room *room,
                        struct error *err) MUST_CHECK;

uint64_t table_version(const struct table *table);
/* False until the first update after a LOAD. */
bool table_has_previous(const struct table *table);
/* All statistic blocks of the open step are complete (false when there are none). */
bool table_statistics_complete(const struct table *table);
/* All parameter and metric blocks of the open step are complete. */
bool table_step_complete(const struct table *table);

/* Is this block here? */
bool table_has(const struct table *table, uint32_t block);
/* Shards [0, 2^this) are all. */
uint32_t table_shards_log2(const struct table *table);
/* A sum, in the block's own numbers. REDUCTION_REFUSED when it fits no block here. */
enum reduction_result table_add(struct table *table, const struct push_entry *entry,
                                uint32_t range_first, uint32_t range_log2, const struct frame *sum);
/* The same of what a worker pushed, which may be coded (common/wire/coding.h); REDUCTION_REFUSED also
 * for a code that cannot be. */
enum reduction_result table_add_pushed(struct table *table, const struct push_entry *entry,
                                       uint32_t range_first, uint32_t range_log2,
                                       const struct frame *sum);

/* Largest global norm of a gradient; 0: any. */
double table_clip_norm(const struct table *table);
/* Measures the gradients of the open step, which is complete. Errors: those of table_advance. */
enum status table_measure(struct table *table, struct error *err) MUST_CHECK;

/* scale: of all gradients (1 unless the stage clips).
 * Updates all parameter blocks, adds metrics to their totals, opens the next step. Only when the
 * step is complete. Errors: ERR_INPUT for a gradient that is not finite (the run must stop: blocks
 * may differ in version then). */
enum status table_advance(struct table *table, float scale, struct error *err) MUST_CHECK;

/* The six below fill one message's entries and payloads from where *at stands, within
 * WIRE_FRAMES_MAX frames and WIRE_MESSAGE_BYTES_SOFT bytes, and return the number of entries; 0 at
 * the end. Payloads are borrowed until the next change of the table. */
size_t table_weights_part(const struct table *table, uint64_t version, size_t *at, uint32_t *blocks,
                          struct frame *payloads);

/* Squares of the norms of the gradients of step `version`: the open one, measured, or the one before;
 * 0 at once for any other. */
size_t table_norms_part(const struct table *table, uint64_t version, size_t *at, uint32_t *blocks,
                        double *squares);

struct table_cursor {
    size_t block;
    size_t domain;
};
/* version: of the open step, complete, or of the one before. */
size_t table_statistics_part(const struct table *table, uint64_t version, struct table_cursor *at,
                             struct push_entry *entries, struct frame *payloads);
/* Finished sums of all blocks of the open step, which is complete. */
size_t table_sums_part(const struct table *table, struct table_cursor *at,
                       struct push_entry *entries, struct frame *payloads);
size_t table_snapshot_part(const struct table *table, size_t *at, struct snapshot_block *blocks,
                           struct frame *payloads, size_t *payload_count);
/* Everything that another server needs to go on from the open version. */
size_t table_fill_part(const struct table *table, size_t *at, struct load_block *blocks,
                       struct frame *payloads, size_t *payload_count);
/* Number of parts that table_fill_part will make. */
uint32_t table_fill_parts(const struct table *table);
/* The head of a LOAD that brings this table: all but partition, fill, part, parts and blocks. */
struct message_load table_load_head(const struct table *table);
/* Number of parts that table_snapshot_part will make. */
uint32_t table_snapshot_parts(const struct table *table);

/* ---- ssp and asp (table_clocks.c) ---- */

/* Does each shard have a clock of its own? Then table_version is the slowest shard's, no step is ever
 * complete, and what follows is used instead of table_add and table_advance. */
bool table_has_clocks(const struct table *table);
/* Must all workers hear when the slowest shard has gone on? */
bool table_bounds_staleness(const struct table *table);

enum update_result {
    UPDATE_TAKEN,
    UPDATE_DUPLICATE, /* the block has taken this shard's step: nothing changed */
    UPDATE_BEYOND,    /* ssp: too far before the slowest shard; nothing changed */
    UPDATE_REFUSED,   /* fits no block here, or a step is missing before; nothing changed */
    UPDATE_RESULTS
};

/* One block's part of one shard's step: entries[domains], one domain after the other. `peer`: who
 * computed it, with weights it was shown. Errors: those of table_advance. */
enum status table_take_update(struct table *table, uint64_t peer, const struct message_update *head,
                              const struct update_entry *entries, const struct frame *sums,
                              enum update_result *result, struct error *err) MUST_CHECK;
/* Steps taken of each shard by all blocks here, clocks[shards]; returns the number of shards. */
size_t table_clocks(const struct table *table, uint32_t *clocks);
/* Largest number of steps that a taken one was before the slowest shard. */
uint32_t table_ahead_max(const struct table *table);

/* The newest weights of one block, shown to `peer`; false when it is no parameter of this table. */
bool table_show(struct table *table, uint64_t peer, uint32_t block, struct fresh_block *out,
                struct frame *payload);
/* Likewise of all blocks, part by part as above. */
size_t table_show_part(struct table *table, uint64_t peer, size_t *at, struct fresh_block *blocks,
                       struct frame *payloads);
/* Only these peers will come back with what they were shown. */
void table_keep_peers(struct table *table, const uint64_t *peers, size_t count);

/* Shards that some block of the open step still lacks: statistic blocks, or parameters and metrics.
 * Fills shards[WIRE_SHARDS_MAX], ascending; returns their number. */
size_t table_missing(const struct table *table, bool statistics, uint32_t *shards);

#endif
