/* The worker's state machine: what to do next, given views, tasks and what has arrived. No socket,
 * clock or number crunching inside: the driver performs each action and then asks for the next.
 *
 * Training a step at version v, for the shards that the view gives to this worker:
 *   FORWARD each → PUSH_STATISTICS → (statistics of v complete)
 *   → BACKWARD each → PUSH_GRADIENTS → (weights v+1) → next
 * In ssp and asp: TURN (forward and backward of one shard) → PUSH_TURN → (clocks that count it) → next,
 * as pace.h says.
 * A shard that a new view brings in the middle of a step is simply not done yet, so it is done
 * now.
 *
 * Any message may be lost, doubled, late or out of order. Who waits asks: a worker says READY until
 * it has a view, and PULL when nothing has come for a while; the server's answer brings what was
 * lost on its way here and, as WANTED, names what was lost on its way there. The coordinator sends
 * a task again, with the pieces whose answers it lacks. */
#ifndef GRAFT_WORKER_WORKER_H
#define GRAFT_WORKER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/retry.h"
#include "common/config/job.h"
#include "common/wire/message.h"
#include "worker/pace.h"

enum worker_action_kind {
    ACTION_WAIT, /* nothing to do before the next event or, at the latest, WORKER_AGAIN_MS */
    ACTION_READY,
    ACTION_PULL, /* from all servers */
    ACTION_PREPARE,
    ACTION_PREDICT,
    ACTION_SHOW,
    ACTION_FORWARD,
    ACTION_PUSH_STATISTICS,
    ACTION_BACKWARD,
    ACTION_PUSH_GRADIENTS,
    ACTION_TURN, /* of a shard, at the step that its clock tells: version - stage_version */
    ACTION_PUSH_TURN,
};

struct worker_action {
    enum worker_action_kind kind;
    uint32_t shard;
    uint32_t part;    /* PREDICT */
    uint64_t version; /* of the weights in use */
};

/* The first wait before asking again; doubles up to the last. */
#define WORKER_AGAIN_MS 1000
#define WORKER_AGAIN_MS_LAST 16000

struct worker {
    bool owned[JOB_SHARDS_MAX];
    uint32_t shards;
    uint32_t view; /* 0: none yet */
    uint32_t generation;
    struct retry again; /* since 0: it does not wait; a wait of 0: it asks at once */
    /* PULL was sent and no such sums since: an answer tells which were lost. */
    bool asked_statistics, asked_gradients;
    struct message_task task; /* its lists are copied below */
    uint32_t parts[WIRE_PARTS_MAX];
    bool active;
    bool statistics; /* the stage needs them */
    uint64_t version;
    bool prepared[JOB_SHARDS_MAX];
    bool predicted[WIRE_PARTS_MAX][JOB_SHARDS_MAX];
    bool forwarded[JOB_SHARDS_MAX], statistics_pushed[JOB_SHARDS_MAX];
    bool differentiated[JOB_SHARDS_MAX], pushed[JOB_SHARDS_MAX];
    struct pace *pace; /* of a task in ssp or asp, else NULL */
};

void worker_init(struct worker *worker, uint32_t shards);
void worker_deinit(struct worker *worker);

/* `member` is this worker's number in the view. False, and nothing changed: an older view than the
 * one held. */
bool worker_take_view(struct worker *worker, const struct message_view *view, uint32_t number,
                      uint32_t member);

enum worker_task {
    WORKER_TASK_NEW,   /* to be opened, then taken */
    WORKER_TASK_KNOWN, /* its lost pieces will be done again */
    WORKER_TASK_STRAY, /* older than the one in work, or of a view that is not here */
};

/* What a TASK message is; changes nothing but the pieces that are asked for again. */
enum worker_task worker_weigh_task(struct worker *worker, const struct message *message);

/* Begins a new task. statistics: the task's stage has a loss that needs them. */
void worker_take_task(struct worker *worker, const struct message *message, bool statistics);

/* After worker_take_task: the task's stage is one of ssp (staleness) or asp (PACE_UNBOUNDED);
 * partitions[count]: of each block. */
enum status worker_take_pace(struct worker *worker, uint32_t staleness, const uint32_t *partitions,
                             size_t count, struct error *err) MUST_CHECK;
/* A partition's clocks. */
void worker_take_clocks(struct worker *worker, const struct message_clocks *clocks);

/* Something came from a server. */
void worker_heard(struct worker *worker);

void worker_take_wanted(struct worker *worker, const struct message_wanted *wanted);

/* What to do now. latest: the newest version of which all weights are here, 0 = none;
 * has_statistics: the statistics of worker->version are complete. Newer weights than
 * worker->version begin a later step (one that may have been finished without this worker). The
 * action counts as done when this returns. */
struct worker_action worker_next(struct worker *worker, int64_t now_ms, uint64_t latest,
                                 bool has_statistics);

#endif
