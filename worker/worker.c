#include "worker/worker.h"

#include <string.h>

#include "common/base/check.h"

void worker_init(struct worker *worker, uint32_t shards)
{
    CHECK(shards >= 1 && shards <= JOB_SHARDS_MAX);
    memset(worker, 0, sizeof *worker);
    worker->shards = shards;
}

void worker_take_view(struct worker *worker, const struct message_view *view, uint32_t member)
{
    for (uint32_t s = 0; s < worker->shards; s++)
        worker->owned[s] = s < view->shard_count && view->shard_owners[s] == member;
}

static void begin_step(struct worker *worker)
{
    memset(worker->forwarded, 0, sizeof worker->forwarded);
    memset(worker->statistics_pushed, 0, sizeof worker->statistics_pushed);
    memset(worker->differentiated, 0, sizeof worker->differentiated);
    memset(worker->pushed, 0, sizeof worker->pushed);
}

void worker_take_task(struct worker *worker, const struct message_task *task, bool statistics)
{
    CHECK(task->part_count <= WORKER_PARTS_MAX);
    worker->task = *task;
    for (size_t i = 0; i < task->part_count; i++)
        worker->parts[i] = task->parts[i];
    worker->active = true;
    worker->statistics = statistics;
    worker->version = task->version;
    memset(worker->prepared, 0, sizeof worker->prepared);
    memset(worker->predicted, 0, sizeof worker->predicted);
    begin_step(worker);
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
    if (worker->statistics && !has_statistics)
        return claim_push(worker, worker->forwarded, worker->statistics_pushed)
                   ? ACTION_PUSH_STATISTICS
                   : ACTION_WAIT;
    if (claim(worker, worker->differentiated, &action->shard))
        return ACTION_BACKWARD;
    if (claim_push(worker, worker->differentiated, worker->pushed))
        return ACTION_PUSH_GRADIENTS;
    return ACTION_WAIT;
}

struct worker_action worker_next(struct worker *worker, uint64_t latest, bool has_statistics)
{
    struct worker_action action = {.kind = ACTION_WAIT, .version = worker->version};
    if (!worker->active)
        return action;
    switch ((enum task_kind)worker->task.kind) {
    case TASK_PREPARE:
        if (claim(worker, worker->prepared, &action.shard))
            action.kind = ACTION_PREPARE;
        break;
    case TASK_PREDICT:
        action.kind = next_predict(worker, latest, &action);
        break;
    case TASK_SHOW:
        worker->active = false;
        action.kind = ACTION_SHOW;
        break;
    case TASK_TRAIN:
        action.kind = next_train(worker, latest, has_statistics, &action);
        break;
    }
    return action;
}
