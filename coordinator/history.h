/* What a run has kept so far: epochs in the journal, numbers in checkpoints, and how to go on from
 * them. */
#ifndef GRAFT_COORDINATOR_HISTORY_H
#define GRAFT_COORDINATOR_HISTORY_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "coordinator/job/controller.h"
#include "coordinator/journal/journal.h"

struct history {
    const struct job *job;
    struct journal *journal;      /* borrowed */
    struct journal_epoch *epochs; /* in order; checkpoint is NULL here */
    size_t count, room;
    uint64_t best_steps[JOB_STAGES_MAX]; /* checkpoints that must stay; 0 = none */
};

enum status history_create(const struct job *job, struct journal *journal, struct history **out,
                           struct error *err) MUST_CHECK;
void history_destroy(struct history **history);

/* Reads the journal and the newest sound checkpoints and gives both to a new controller. Without
 * any the job starts from its beginning. Blocks on the disk. Errors: ERR_STATE, ERR_IO, ERR_MEMORY.
 */
enum status history_restore(struct history *history, struct controller *controller,
                            struct error *err) MUST_CHECK;

/* Keeps an epoch: checkpoint, journal; then removes checkpoints that are neither among the newest
 * run.checkpoints_kept nor the best of their stage. */
enum status history_keep(struct history *history, const struct values *values,
                         const struct epoch_report *report, struct error *err) MUST_CHECK;

#endif
