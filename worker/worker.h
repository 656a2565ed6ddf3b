/* The worker's state machine: what to do next, given views, tasks and what has arrived. No socket,
 * clock or number crunching inside: the driver performs each action and then asks for the next.
 *
 * Training a step at version v, for the shards that the view gives to this worker:
 *   FORWARD each → PUSH_STATISTICS → (statistics of v complete)
 *   → BACKWARD each → PUSH_GRADIENTS → (weights v+1) → next
 * A shard that a new view brings in the middle of a step is simply not done yet, so it is done
 * now. */
#ifndef GRAFT_WORKER_WORKER_H
#define GRAFT_WORKER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/job.h"
#include "common/wire/message.h"

enum worker_action_kind {
    ACTION_WAIT, /* nothing to do before the next event */
    ACTION_PREPARE,
    ACTION_PREDICT,
    ACTION_SHOW,
    ACTION_FORWARD,
    ACTION_PUSH_STATISTICS,
    ACTION_BACKWARD,
    ACTION_PUSH_GRADIENTS,
};

struct worker_action {
    enum worker_action_kind kind;
    uint32_t shard;
    uint32_t part;    /* PREDICT */
    uint64_t version; /* of the weights in use */
};

#define WORKER_PARTS_MAX 64

struct worker {
    bool owned[JOB_SHARDS_MAX];
    uint32_t shards;
    struct message_task task; /* its lists are copied below */
    uint32_t parts[WORKER_PARTS_MAX];
    bool active;
    bool statistics; /* the stage needs them */
    uint64_t version;
    bool prepared[JOB_SHARDS_MAX];
    bool predicted[WORKER_PARTS_MAX][JOB_SHARDS_MAX];
    bool forwarded[JOB_SHARDS_MAX], statistics_pushed[JOB_SHARDS_MAX];
    bool differentiated[JOB_SHARDS_MAX], pushed[JOB_SHARDS_MAX];
};

void worker_init(struct worker *worker, uint32_t shards);

/* `member` is this worker's number in the view. */
void worker_take_view(struct worker *worker, const struct message_view *view, uint32_t member);

/* Begins a task (a new one replaces the old). statistics: the task's stage has a loss that needs
 * them. */
void worker_take_task(struct worker *worker, const struct message_task *task, bool statistics);

/* What to do now. latest: the newest version of which all weights are here, 0 = none;
 * has_statistics: the statistics of worker->version are complete. Newer weights than
 * worker->version begin a later step (one that may have been finished without this worker). The
 * action counts as done when this returns. */
struct worker_action worker_next(struct worker *worker, uint64_t latest, bool has_statistics);

#endif
