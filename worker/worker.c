#include "worker/worker.h"

#include <string.h>

#include "common/base/check.h"

void worker_init(struct worker *worker, uint32_t shards)
{
    CHECK(shards >= 1 && shards <= JOB_SHARDS_MAX);
    memset(worker, 0, sizeof *worker);
    worker->shards = shards;
}

void worker_deinit(struct worker *worker)
{
    pace_destroy(&worker->pace);
}

bool worker_take_view(struct worker *worker, const struct message_view *view, uint32_t number,
                      uint32_t member)
{
    if (number < worker->view)
        return false;
    if (number > worker->view && worker->view > 0)
        worker->again.wait_ms = 0; /* another server may have to be asked now */
    worker->view = number;
    for (uint32_t s = 0; s < worker->shards; s++)
        worker->owned[s] = s < view->shard_count && view->shard_owners[s] == member;
    return true;
}

static void begin_step(struct worker *worker)
{
    memset(worker->forwarded, 0, sizeof worker->forwarded);
    memset(worker->statistics_pushed, 0, sizeof worker->statistics_pushed);
    memset(worker->differentiated, 0, sizeof worker->differentiated);
    memset(worker->pushed, 0, sizeof worker->pushed);
}

/* Pieces of which the coordinator lacks the answers are no longer done. */
static void undo(struct worker *worker, const struct message_task *task)
{
    for (size_t i = 0; i < task->again_count; i++) {
        size_t part = task->again[i] / worker->shards;
        uint32_t shard = task->again[i] % worker->shards;
        if (task->kind == TASK_PREPARE)
            worker->prepared[shard] = false;
        else if (task->kind == TASK_PREDICT && part < worker->task.part_count)
            worker->predicted[part][shard] = false;
        else if (task->kind == TASK_SHOW)
            worker->active = true;
    }
}

enum worker_task worker_weigh_task(struct worker *worker, const struct message *message)
{
    const struct message_task *task = &message->body.task;
    if (message->view != worker->view || task->task < worker->task.task)
        return WORKER_TASK_STRAY;
    if (task->task > worker->task.task)
        return WORKER_TASK_NEW;
    if (task->kind == worker->task.kind)
        undo(worker, task);
    return WORKER_TASK_KNOWN;
}

void worker_take_task(struct worker *worker, const struct message *message, bool statistics)
{
    const struct message_task *task = &message->body.task;
    CHECK(task->part_count <= WIRE_PARTS_MAX);
    worker->again.since_ms = 0;
    if (message->generation != worker->generation)
        worker->again.wait_ms = 0;
    worker->generation = message->generation;
    worker->task = *task;
    memcpy(worker->parts, task->parts, task->part_count * sizeof *task->parts);
    worker->active = true;
    pace_destroy(&worker->pace);
    worker->statistics = statistics;
    worker->version = task->version;
    memset(worker->prepared, 0, sizeof worker->prepared);
    memset(worker->predicted, 0, sizeof worker->predicted);
    begin_step(worker);
}

enum status worker_take_pace(struct worker *worker, uint32_t staleness, const uint32_t *partitions,
                             size_t count, struct error *err)
{
    uint32_t begin = (uint32_t)(worker->task.version - worker->task.stage_version);
    if (worker->task.kind == TASK_PREDICT)
        worker->again.wait_ms = 0; /* who has pushed early lacks the others' last steps */
    return pace_create(worker->shards, staleness, begin, begin + worker->task.steps, partitions,
                       count, &worker->pace, err);
}

void worker_take_clocks(struct worker *worker, const struct message_clocks *clocks)
{
    if (worker->pace != NULL)
        pace_take(worker->pace, clocks->partition, clocks->clocks, clocks->clock_count);
}

/* First owned shard whose flag is not set, with the flag set now; false when there is none. */
static bool claim(const struct worker *worker, bool *flags, uint32_t *shard)
{
    for (uint32_t s = 0; s < worker->shards; s++) {
        if (!worker->owned[s] || flags[s])
            continue;
        flags[s] = true;
        *shard = s;
        return true;
    }
    return false;
}

/* Marks all shards that are `done` as sent; true when any was not yet. */
static bool claim_push(const struct worker *worker, const bool *done, bool *sent)
{
    bool any = false;
    for (uint32_t s = 0; s < worker->shards; s++) {
        any |= done[s] && !sent[s];
        sent[s] = done[s];
    }
    return any;
}

static enum worker_action_kind next_predict(struct worker *worker, uint64_t latest,
                                            struct worker_action *action)
{
    for (size_t i = 0; latest == worker->version && i < worker->task.part_count; i++) {
        if (claim(worker, worker->predicted[i], &action->shard)) {
            action->part = worker->parts[i];
            return ACTION_PREDICT;
        }
    }
    return ACTION_WAIT;
}

static enum worker_action_kind next_turn(struct worker *worker, uint64_t latest,
                                         struct worker_action *action)
{
    enum pace_turn turn = latest > 0 ? pace_next(worker->pace, worker->owned) : PACE_WAIT;
    action->shard = worker->pace->shard;
    action->version = worker->task.stage_version + worker->pace->clock;
    return turn == PACE_COMPUTE ? ACTION_TURN : turn == PACE_PUSH ? ACTION_PUSH_TURN : ACTION_WAIT;
}

static enum worker_action_kind next_train(struct worker *worker, uint64_t latest,
                                          bool has_statistics, struct worker_action *action)
{
    if (latest > worker->version) {
        begin_step(worker);
        worker->version = action->version = latest;
        has_statistics = false;
    }
    if (worker->version >= worker->task.version + worker->task.steps) {
        worker->active = false;
        return ACTION_WAIT;
    }
    if (latest < worker->version)
        return ACTION_WAIT;
    if (claim(worker, worker->forwarded, &action->shard))
        return ACTION_FORWARD;
    /* Even when the statistics are complete: a server that has taken over may lack its share. */
    if (worker->statistics && claim_push(worker, worker->forwarded, worker->statistics_pushed))
        return ACTION_PUSH_STATISTICS;
    if (worker->statistics && !has_statistics)
        return ACTION_WAIT;
    if (claim(worker, worker->differentiated, &action->shard))
        return ACTION_BACKWARD;
    if (claim_push(worker, worker->differentiated, worker->pushed))
        return ACTION_PUSH_GRADIENTS;
    return ACTION_WAIT;
}

void worker_heard(struct worker *worker)
{
    worker->again.since_ms = 0;
}

static void push_again(bool *pushed, const uint32_t *shards, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (shards[i] < JOB_SHARDS_MAX)
            pushed[shards[i]] = false;
}

void worker_take_wanted(struct worker *worker, const struct message_wanted *wanted)
{
    if (wanted->version != worker->version)
        return;
    if (worker->asked_statistics)
        push_again(worker->statistics_pushed, wanted->statistics, wanted->statistic_count);
    if (worker->asked_gradients)
        push_again(worker->pushed, wanted->gradients, wanted->gradient_count);
}

static enum worker_action_kind next_of_task(struct worker *worker, uint64_t latest,
                                            bool has_statistics, struct worker_action *action)
{
    switch ((enum task_kind)worker->task.kind) {
    case TASK_PREPARE:
        return claim(worker, worker->prepared, &action->shard) ? ACTION_PREPARE : ACTION_WAIT;
    case TASK_PREDICT:
        return next_predict(worker, latest, action);
    case TASK_SHOW:
        worker->active = false;
        return ACTION_SHOW;
    case TASK_TRAIN:
        return worker->pace != NULL ? next_turn(worker, latest, action)
                                    : next_train(worker, latest, has_statistics, action);
    }
    return ACTION_WAIT;
}

/* Is it something from a server that is waited for? */
static bool waits_for_servers(const struct worker *worker, uint64_t latest)
{
    return worker->active && (worker->task.kind == TASK_TRAIN ||
                              (worker->task.kind == TASK_PREDICT && latest < worker->version));
}

/* Asks when nothing has come for a while. */
static enum worker_action_kind ask(struct worker *worker, int64_t now_ms,
                                   enum worker_action_kind question)
{
    if (worker->again.since_ms == 0)
        worker->again.since_ms = now_ms;
    return retry_is_due(&worker->again, now_ms, WORKER_AGAIN_MS, WORKER_AGAIN_MS_LAST)
               ? question
               : ACTION_WAIT;
}

struct worker_action worker_next(struct worker *worker, int64_t now_ms, uint64_t latest,
                                 bool has_statistics)
{
    struct worker_action action = {.version = worker->version};
    if (worker->view == 0) {
        action.kind = ask(worker, now_ms, ACTION_READY);
        return action;
    }
    action.kind =
        worker->active ? next_of_task(worker, latest, has_statistics, &action) : ACTION_WAIT;
    if (action.kind == ACTION_WAIT && waits_for_servers(worker, latest)) {
        action.kind = ask(worker, now_ms, ACTION_PULL);
        if (action.kind == ACTION_PULL) {
            worker->asked_statistics = worker->asked_gradients = true;
            if (worker->pace != NULL)
                worker->pace->asked = true;
        }
    } else if (action.kind != ACTION_WAIT) {
        worker->asked_statistics &= action.kind != ACTION_PUSH_STATISTICS;
        worker->asked_gradients &= action.kind != ACTION_PUSH_GRADIENTS;
        worker->again.since_ms = 0;
        if (worker->again.wait_ms > 0)
            worker->again.wait_ms = WORKER_AGAIN_MS;
    }
    return action;
}
