/* What a run has kept so far: epochs in the journal, numbers in checkpoints, and how to go on from
 * them. */
#ifndef GRAFT_COORDINATOR_HISTORY_H
#define GRAFT_COORDINATOR_HISTORY_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "coordinator/job/controller.h"
#include "coordinator/journal/journal.h"

struct checkpoint_writer;

struct history {
    const struct job *job;
    struct journal *journal;      /* borrowed */
    struct journal_epoch *epochs; /* in order; checkpoint is NULL here */
    size_t count, room;
    uint64_t best_steps[JOB_STAGES_MAX]; /* checkpoints that must stay; 0 = none */
    struct checkpoint_writer *writer;
    bool writes_epoch; /* what it writes is an epoch's end, of which `report` tells */
    struct epoch_report report;
    char warning[ERROR_TEXT_BYTES]; /* why the last checkpoint within an epoch failed; "": it did
                                       not */
};

enum status history_create(const struct job *job, struct journal *journal, struct history **out,
                           struct error *err) MUST_CHECK;
void history_destroy(struct history **history);

/* Reads the journal and the newest sound checkpoints and gives both to a new controller. Without
 * any the job starts from its beginning. Blocks on the disk. Errors: ERR_STATE, ERR_IO, ERR_MEMORY.
 */
enum status history_restore(struct history *history, struct controller *controller,
                            struct error *err) MUST_CHECK;

/* Begins to keep an epoch: its checkpoint is written while the job goes on, its row in the journal
 * follows in history_settle. Errors: those of history_settle, ERR_MEMORY. */
enum status history_keep(struct history *history, const struct values *values,
                         const struct epoch_report *report, struct error *err) MUST_CHECK;

/* The same within an epoch, where nothing must be kept: not while another one is being written, and
 * a failure is no more than a `warning`. */
void history_keep_step(struct history *history, const struct values *values, uint64_t step);

/* When a checkpoint has been written (`wait`: when the one in work has): the epoch's row, and removes
 * checkpoints that are neither among the newest run.checkpoints_kept nor the best of their stage.
 * Errors: ERR_IO, ERR_MEMORY: an epoch could not be kept. */
enum status history_settle(struct history *history, bool wait, struct error *err) MUST_CHECK;

#endif
