/* One partition: the blocks of a stage that are placed, replicated and moved together. A server is
 * the primary of some partitions and the backup of others.
 *
 *   primary   gathers the workers' pushes; when a step is complete it goes on to the next version.
 *             With a backup, first REPLICATE (the finished sums of all shards) → ACK: the backup
 *             makes the same next version of them by itself, and nothing that only one server holds
 *             is published.
 *             With clipping, before that: its gradients' norms go to all servers (NORMS, server.h),
 *             and the step waits for the factor that comes of all of them.
 *   backup    holds the table as the primary had it when it was filled (LOAD from the primary), and
 *             every step since.
 *
 * A new backup is filled while the primary goes on: the sums of the steps that are completed
 * meanwhile follow the LOAD on the same way. It is `synced` once it has caught up, at least one
 * step after the filling (so that it holds the version before, too); only from then on the primary
 * waits for it, and only a synced backup may become the primary. What was lost on the way is asked
 * for by partition_tick. One thread. */
#ifndef GRAFT_PARAMSERVER_PARTITION_H
#define GRAFT_PARAMSERVER_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/retry.h"
#include "common/config/job.h"
#include "common/wire/outbox.h"
#include "paramserver/table/table.h"

/* The first wait before asking a backup again; doubles up to the last. */
#define PARTITION_AGAIN_MS 1000
#define PARTITION_AGAIN_MS_LAST 16000

struct partition {
    uint32_t id;
    const struct job *job;
    struct outbox outbox;
    uint64_t primary, backup; /* incarnations of the view; 0: none */
    bool is_primary, is_backup;
    uint32_t generation;                         /* of the table */
    uint32_t stage, fill, load_part, load_parts; /* of the LOAD that it came by */
    struct table *table;                         /* NULL: not loaded */
    struct update_room *room;
    bool take_pending;
    uint64_t take_version;
    /* primary with a backup */
    uint64_t fill_version, acked; /* version when the filling began; newest that is acknowledged */
    uint32_t last_fill;           /* that the backup was sent */
    bool filling, synced, waiting;
    struct retry again; /* of what it is asked */
    bool measuring;     /* the open step is complete and waits for its scale … */
    float scale;        /* … which is this; 1 unless the stage clips */
    /* since the server last announced */
    bool finished, statistics_finished, measured;
};

/* `job` and `room` are borrowed. */
void partition_init(struct partition *partition, uint32_t id, const struct job *job,
                    struct update_room *room, struct outbox outbox);
void partition_deinit(struct partition *partition);

/* Usable: all parts of its LOAD are here. */
bool partition_is_loaded(const struct partition *partition);

/* Who is who from now on; `self` is this server. What is no longer held here is dropped. */
enum status partition_set_roles(struct partition *partition, uint64_t self, uint64_t primary,
                                uint64_t backup, int64_t now_ms, struct error *err) MUST_CHECK;

/* Parts are taken in their order, and each is answered to `peer` with the next one (LOADED). */
enum status partition_take_load(struct partition *partition, uint64_t peer,
                                const struct message *message, const struct frame *payloads,
                                size_t count, int64_t now_ms, struct error *err) MUST_CHECK;

/* Primary: adds pushed sums of the entries whose blocks are here (other entries are not looked at);
 * counts them by result in results[REDUCTION_REFUSED + 1]. Sets `finished`, `measured` and
 * `statistics_finished`. */
enum status partition_take_push(struct partition *partition, const struct message_push *push,
                                const struct frame *payloads, int64_t now_ms, uint64_t *results,
                                struct error *err) MUST_CHECK;

/* Primary, ssp and asp: adds one shard's step to the blocks that are here; counts entries by result in
 * results[UPDATE_RESULTS]. Sets `finished` when the slowest shard has gone on. */
enum status partition_take_update(struct partition *partition, uint64_t peer,
                                  const struct message_update *update, const struct frame *payloads,
                                  uint64_t *results, struct error *err) MUST_CHECK;

/* Primary, measuring: the factor of the open step's gradient. */
enum status partition_take_scale(struct partition *partition, float scale, int64_t now_ms,
                                 struct error *err) MUST_CHECK;

/* Primary: sends a SNAPSHOT once this version is open. */
void partition_take_take(struct partition *partition, uint64_t version);

/* Backup: a step's sums from the primary. */
enum status partition_take_replicate(struct partition *partition,
                                     const struct message_replicate *replicate,
                                     const struct frame *payloads, size_t count,
                                     struct error *err) MUST_CHECK;
/* Primary: the backup has reached a version. */
enum status partition_take_ack(struct partition *partition, const struct message_ack *ack,
                               int64_t now_ms, struct error *err) MUST_CHECK;
/* Primary: how much of the filling the backup has. */
void partition_take_filled(struct partition *partition, const struct message_loaded *loaded,
                           int64_t now_ms);

void partition_tick(struct partition *partition, int64_t now_ms);

#endif
