/* Stragglers: shards move from slow workers to fast ones. Who computes a shard does not change the
 * result, so a shard may move in the middle of a step (it is then computed twice and counts once). */
#include <string.h>

#include "coordinator/cluster/placement.h"
#include "coordinator/job/controller_state.h"

/* A move is worth while if a step's computing becomes shorter than this share of what it was. */
#define BALANCE_GAIN 0.9
/* Time in which speeds are measured; doubles with each move, because what moved may have to be
 * computed or read first and because speeds may go up and down. */
#define BALANCE_MS 10000
#define BALANCE_MS_LAST 320000
#define BALANCE_BUSY_US 1000000 /* that the slowest must have computed in that time */
#define BALANCE_HOPE 1.25       /* who has no shards is believed to recover so much in that time */

static size_t shards_of(const struct controller *c, const uint32_t *owners, uint32_t worker)
{
    size_t count = 0;
    for (uint32_t s = 0; s < c->job->cluster.shards; s++)
        count += owners[s] == worker;
    return count;
}

void controller_speeds(struct cluster_member *const *workers, size_t count, double *speeds)
{
    double sum = 0;
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        sum += workers[i]->speed;
        known += workers[i]->speed > 0;
    }
    for (size_t i = 0; i < count; i++)
        speeds[i] = workers[i]->speed > 0 ? workers[i]->speed : known > 0 ? sum / (double)known : 1;
}

static void begin_window(struct controller *c)
{
    c->balanced_ms = c->now_ms;
    c->balanced_view = c->view;
    for (size_t i = 0; i < c->members.count; i++)
        c->members.members[i].measured_from = c->members.members[i].progress;
}

/* Shards a microsecond of each worker in the window; false while one of them cannot be told. */
static bool measure(const struct controller *c, struct cluster_member *const *workers, size_t count,
                    double *speeds)
{
    uint64_t slowest_us = 0;
    controller_speeds(workers, count, speeds);
    for (size_t i = 0; i < count; i++) {
        const struct message_heartbeat *now = &workers[i]->progress,
                                       *from = &workers[i]->measured_from;
        uint64_t busy_us = now->busy_us - from->busy_us, trained = now->trained - from->trained;
        if (shards_of(c, c->shard_owners, workers[i]->number) == 0) {
            speeds[i] *= BALANCE_HOPE;
            continue;
        }
        if (now->trained <= from->trained || now->busy_us <= from->busy_us)
            return false;
        speeds[i] = (double)trained / (double)busy_us;
        slowest_us = busy_us > slowest_us ? busy_us : slowest_us;
    }
    return slowest_us >= BALANCE_BUSY_US;
}

/* How long the slowest computes in a step. */
static double step_time(const struct controller *c, const uint32_t *owners,
                        struct cluster_member *const *workers, size_t count, const double *speeds)
{
    double slowest = 0;
    for (size_t i = 0; i < count; i++) {
        double time = (double)shards_of(c, owners, workers[i]->number) / speeds[i];
        slowest = time > slowest ? time : slowest;
    }
    return slowest;
}

/* Would a step become so much shorter with a deal by these speeds? */
static bool is_worth_while(const struct controller *c, struct cluster_member *const *workers,
                           size_t count, const double *speeds)
{
    uint32_t numbers[MEMBERSHIP_MAX], owners[JOB_SHARDS_MAX];
    memcpy(owners, c->shard_owners, sizeof owners);
    for (size_t i = 0; i < count; i++)
        numbers[i] = workers[i]->number;
    placement_shards(numbers, speeds, count, owners, c->job->cluster.shards);
    return step_time(c, owners, workers, count, speeds) <
           BALANCE_GAIN * step_time(c, c->shard_owners, workers, count, speeds);
}

enum status controller_balance(struct controller *c, struct error *err)
{
    struct cluster_member *workers[MEMBERSHIP_MAX];
    double speeds[MEMBERSHIP_MAX];
    if (c->phase != PHASE_TRAIN || !c->view_settled || !controller_is_in_step(c) ||
        c->job->cluster.memory_limit > 0)
        return OK; /* a worker that has planned its memory has done so for an even share */
    if (c->balanced_view != c->view) {
        begin_window(c);
        return OK;
    }
    size_t count = controller_ready_workers(c, workers);
    if (c->now_ms - c->balanced_ms < (int64_t)BALANCE_MS << c->balanced || count < 2 ||
        !measure(c, workers, count, speeds))
        return OK;
    bool moves = is_worth_while(c, workers, count, speeds);
    for (size_t i = 0; i < count; i++)
        if (moves || shards_of(c, c->shard_owners, workers[i]->number) == 0)
            workers[i]->speed = speeds[i];
    begin_window(c);
    if (!moves)
        return OK;
    c->balanced += (int64_t)BALANCE_MS << c->balanced < BALANCE_MS_LAST;
    c->ports.event(c->ports.driver, "balance", "shards move to faster workers");
    return controller_make_view(c, err);
}
