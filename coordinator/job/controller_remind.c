/* No wait is without end: what has not come is asked for again, and given up in the end. Whatever
 * was lost, doubled or late on the way, an answer counts once. */
#include <string.h>

#include "coordinator/job/controller_state.h"

uint64_t controller_samples_done(const struct controller *c)
{
    uint64_t done = 0;
    for (size_t i = 0; i < c->members.count; i++)
        if (c->members.members[i].role == ROLE_WORKER &&
            c->members.members[i].progress.task == c->task)
            done += c->members.members[i].progress.samples;
    return done < c->task_samples ? done : c->task_samples;
}

/* Pieces of the task that this worker has not answered. */
static size_t missing_pieces(const struct controller *c, uint32_t worker, uint32_t *pieces)
{
    uint32_t shards = c->job->cluster.shards;
    size_t count = 0, parts = c->task_body.kind == TASK_PREDICT ? c->task_body.part_count : 1;
    for (uint32_t part = 0; part < parts; part++)
        for (uint32_t s = 0; s < shards; s++)
            if (c->shard_owners[s] == worker && !c->shard_done[part][s])
                pieces[count++] = part * shards + s;
    return count;
}

/* In training the servers have the answers, and whoever waits for them asks them. */
static bool is_on_course(const struct controller *c, const struct cluster_member *worker)
{
    return c->phase == PHASE_TRAIN && worker->view == c->view && worker->progress.task == c->task;
}

static void remind_workers(struct controller *c)
{
    struct cluster_member *workers[MEMBERSHIP_MAX];
    uint32_t pieces[WIRE_PIECES_MAX];
    size_t count = controller_ready_workers(c, workers);
    for (size_t i = 0; c->task_sent && i < count; i++) {
        if (is_on_course(c, workers[i]))
            continue;
        size_t missing = missing_pieces(c, workers[i]->number, pieces);
        if (missing > 0)
            controller_send_task(c, workers[i], pieces, missing);
    }
}

static void remind(struct controller *c)
{
    controller_send_view(c);
    if (!c->view_settled)
        return;
    if (c->phase == PHASE_LOAD)
        controller_send_loads(c);
    else
        remind_workers(c);
    if (c->phase == PHASE_TRAIN)
        controller_ask_for_snapshot(c);
}

static bool waits(const struct controller *c)
{
    return c->view > 0 && c->phase != PHASE_DONE && c->phase != PHASE_STOPPED;
}

static void note_movement(struct controller *c)
{
    uint64_t samples = controller_samples_done(c);
    if (c->still_ms != 0 && c->moved == c->moved_seen && samples == c->samples_seen && waits(c))
        return;
    c->moved_seen = c->moved;
    c->samples_seen = samples;
    c->still_ms = c->now_ms;
    retry_begin(&c->again, c->now_ms, REMIND_MS);
}

enum status controller_check_progress(struct controller *c, struct error *err)
{
    note_movement(c);
    if (c->now_ms - c->still_ms >= STALL_MS_MAX)
        return error_set(
            err, ERR_PEER,
            "nothing has moved for %d s while %zu pieces and %zu blocks were awaited from "
            "living members; their logs may tell why; --resume goes on from the newest checkpoint",
            STALL_MS_MAX / 1000, c->pieces_left,
            c->phase == PHASE_TRAIN ? c->gathering.missing : 0);
    if (retry_is_due(&c->again, c->now_ms, REMIND_MS, REMIND_MS_LAST))
        remind(c);
    return OK;
}
