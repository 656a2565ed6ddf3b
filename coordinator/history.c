#include "coordinator/history.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/job/checkpoint.h"

enum status history_create(const struct job *job, struct journal *journal, struct history **out,
                           struct error *err)
{
    struct history *history = memory_alloc(1, sizeof *history);
    size_t room = 0;
    for (size_t i = 0; i < job->stage_count; i++)
        room += job->stages[i].epochs;
    if (history != NULL)
        history->epochs = memory_alloc(room, sizeof *history->epochs);
    if (history == NULL || history->epochs == NULL) {
        history_destroy(&history);
        return error_set(err, ERR_MEMORY, "no memory for the history of %zu epochs", room);
    }
    history->job = job;
    history->journal = journal;
    history->room = room;
    *out = history;
    return OK;
}

void history_destroy(struct history **history)
{
    if (*history == NULL)
        return;
    memory_free((*history)->epochs);
    memory_free(*history);
    *history = NULL;
}

static void remember(struct history *history, const struct journal_epoch *epoch)
{
    if (history->count == history->room || epoch->stage >= history->job->stage_count)
        return;
    struct journal_epoch *kept = &history->epochs[history->count++];
    *kept = *epoch;
    kept->checkpoint = NULL;
    if (epoch->best)
        history->best_steps[epoch->stage] = epoch->step;
}

static void replay_epoch(void *context, const struct journal_epoch *epoch)
{
    remember(context, epoch);
}

/* Epochs after `step` have no sound checkpoint and are trained again. */
static void forget_after(struct history *history, uint64_t step)
{
    size_t kept = 0, count = history->count;
    memset(history->best_steps, 0, sizeof history->best_steps);
    history->count = 0;
    for (size_t i = 0; i < count; i++)
        if (history->epochs[i].step <= step) {
            struct journal_epoch epoch = history->epochs[i];
            remember(history, &epoch);
            kept++;
        }
    CHECK(kept == history->count);
}

static bool has_row(const struct history *history, uint64_t step)
{
    for (size_t i = 0; i < history->count; i++)
        if (history->epochs[i].step == step)
            return true;
    return false;
}

static enum status read_step(const struct history *history, const struct controller *controller,
                             uint64_t step, struct values **out, struct error *err)
{
    char path[PATH_BYTES];
    struct checkpoint_head head;
    enum status status = checkpoint_path(path, history->job->run.directory, step, err);
    if (status == OK)
        status = checkpoint_peek(path, history->job, &head, err);
    if (status == OK)
        status = checkpoint_read(path, history->job, controller_plan(controller, head.stage), out,
                                 NULL, err);
    return status;
}

/* The newest checkpoint that is sound and whose epoch the journal knows: one without a row was
 * written by a coordinator that died before the epoch was scored and kept. *out is NULL when there
 * is none. */
static enum status read_latest(const struct history *history, const struct controller *controller,
                               struct values **out, uint64_t *step, struct error *err)
{
    uint64_t *steps;
    size_t count;
    enum status status = checkpoint_list(history->job->run.directory, &steps, &count, err);
    if (status != OK)
        return status;
    for (size_t i = 0; i < count && *out == NULL; i++) {
        if (!has_row(history, steps[i]))
            continue;
        *step = steps[i];
        status = read_step(history, controller, steps[i], out, err);
        if (status == ERR_STATE || status == ERR_MEMORY)
            break;
        if (status != OK)
            log_event(LOG_WARN, "checkpoint_damaged", "step=%llu why=\"%s\"",
                      (unsigned long long)steps[i], err->text);
        status = OK;
    }
    memory_free(steps);
    return status;
}

static double score_at(const struct history *history, uint64_t step)
{
    for (size_t i = 0; i < history->count; i++)
        if (history->epochs[i].step == step)
            return history->epochs[i].score;
    return 0;
}

static enum status restore_best(struct history *history, struct controller *controller,
                                size_t stage, struct error *err)
{
    struct values *values = NULL;
    uint64_t step = history->best_steps[stage];
    enum status status = read_step(history, controller, step, &values, err);
    if (status != OK)
        return error_prefix(err,
                            "the selected epoch of stage '%s' is damaged, --restart begins anew",
                            history->job->stages[stage].name);
    status = controller_restore_best(controller, values, score_at(history, step), err);
    values_destroy(&values);
    return status;
}

enum status history_restore(struct history *history, struct controller *controller,
                            struct error *err)
{
    struct values *values = NULL;
    uint64_t step = 0;
    enum status status = journal_epochs(history->journal, replay_epoch, history, err);
    if (status == OK)
        status = read_latest(history, controller, &values, &step, err);
    forget_after(history, step);
    if (status != OK || values == NULL)
        return status;
    for (size_t i = 0; status == OK && i < history->job->stage_count; i++)
        if (history->best_steps[i] != 0)
            status = restore_best(history, controller, i, err);
    if (status == OK)
        status = controller_restore_current(controller, values, err);
    values_destroy(&values);
    return status;
}

static struct journal_epoch journal_epoch_of(const struct epoch_report *report,
                                             const char *checkpoint)
{
    struct journal_epoch epoch = {
        .stage = report->stage,
        .epoch = report->epoch,
        .stage_step = report->stage_step,
        .step = report->step,
        .seconds = report->seconds,
        .source_validation = report->source_validation,
        .information = report->information,
        .entropy = report->entropy,
        .score = report->score,
        .best = report->best,
        .pseudo_share = report->pseudo_share,
        .checkpoint = checkpoint,
    };
    memcpy(epoch.terms, report->terms, sizeof epoch.terms);
    return epoch;
}

enum status history_keep(struct history *history, const struct values *values,
                         const struct epoch_report *report, struct error *err)
{
    char path[PATH_BYTES];
    const struct run_config *run = &history->job->run;
    enum status status =
        checkpoint_write(run->directory, history->job, values, report->step, path, err);
    if (status != OK)
        return status;
    struct journal_epoch epoch = journal_epoch_of(report, path);
    status = journal_add_epoch(history->journal, &epoch, err);
    if (status != OK)
        return status;
    remember(history, &epoch);
    return checkpoint_prune(run->directory, run->checkpoints_kept, history->best_steps,
                            history->job->stage_count, err);
}
