#include "coordinator/history.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/job/checkpoint.h"
#include "coordinator/job/checkpoint_writer.h"

enum status history_create(const struct job *job, struct journal *journal, struct history **out,
                           struct error *err)
{
    struct history *history = memory_alloc(1, sizeof *history);
    size_t room = 0;
    for (size_t i = 0; i < job->stage_count; i++)
        room += job->stages[i].epochs;
    if (history != NULL)
        history->epochs = memory_alloc(room, sizeof *history->epochs);
    if (history == NULL || history->epochs == NULL ||
        checkpoint_writer_create(job, &history->writer, err) != OK) {
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
    checkpoint_writer_destroy(&(*history)->writer);
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
    size_t count = history->count;
    memset(history->best_steps, 0, sizeof history->best_steps);
    history->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct journal_epoch epoch = history->epochs[i];
        if (epoch.step <= step)
            remember(history, &epoch);
    }
}

/* Its own row, or of one within an epoch that of the epoch before. An epoch's end without a row was
 * written by a coordinator that died before it was scored and kept. */
static bool has_row(const void *context, const struct checkpoint_head *head)
{
    const struct history *history = context;
    for (size_t i = 0; i < history->count; i++)
        if (history->epochs[i].stage == head->stage && history->epochs[i].epoch == head->epoch)
            return true;
    return head->epoch == 0 && head->epoch_step > 0;
}

static double score_at(const struct history *history, uint64_t step)
{
    for (size_t i = 0; i < history->count; i++)
        if (history->epochs[i].step == step)
            return history->epochs[i].score;
    return 0;
}

static enum status restore_best(struct history *history, struct controller *controller,
                                const struct plan *const *plans, size_t stage, struct error *err)
{
    struct values *values = NULL;
    uint64_t step = history->best_steps[stage];
    enum status status =
        checkpoint_at(history->job->run.directory, step, history->job, plans, &values, NULL, err);
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
    const struct job *job = history->job;
    const struct plan *plans[JOB_STAGES_MAX];
    struct checkpoint_head head = {0};
    struct values *values = NULL;
    for (size_t i = 0; i < job->stage_count; i++)
        plans[i] = controller_plan(controller, i);
    enum status status = journal_epochs(history->journal, replay_epoch, history, err);
    if (status == OK)
        status = checkpoint_latest(job->run.directory, job, plans, has_row, history, &values, &head,
                                   err);
    if (status != OK)
        return status;
    forget_after(history, head.step);
    if (values == NULL)
        return OK;
    for (size_t i = 0; status == OK && i < job->stage_count; i++)
        if (history->best_steps[i] != 0)
            status = restore_best(history, controller, plans, i, err);
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

static enum status add_row(struct history *history, const char *path, struct error *err)
{
    struct journal_epoch epoch = journal_epoch_of(&history->report, path);
    enum status status = journal_add_epoch(history->journal, &epoch, err);
    if (status == OK)
        remember(history, &epoch);
    return status;
}

/* A failure within an epoch harms nobody: the checkpoint before serves. */
static void warn(struct history *history, const struct error *why)
{
    struct error ignored;
    snprintf(history->warning, sizeof history->warning, "%s", why->text);
    log_event(LOG_WARN, "checkpoint_failed", "why=\"%s\"", why->text);
    if (journal_event(history->journal, "checkpoint_failed", why->text, &ignored) != OK)
        log_event(LOG_WARN, "not_noted", "why=\"%s\"", ignored.text);
}

enum status history_settle(struct history *history, bool wait, struct error *err)
{
    const struct run_config *run = &history->job->run;
    char path[PATH_BYTES];
    struct error why;
    enum status status;
    if (!checkpoint_writer_end(history->writer, wait, &status, path, &why))
        return OK;
    if (status != OK && history->writes_epoch)
        return error_set(err, status, "%s", why.text);
    if (status != OK) {
        warn(history, &why);
        return OK;
    }
    history->warning[0] = '\0';
    log_event(LOG_INFO, "checkpoint", "path=%s", path);
    if (history->writes_epoch)
        status = add_row(history, path, err);
    return status == OK ? checkpoint_prune(run->directory, run->checkpoints_kept,
                                           history->best_steps, history->job->stage_count, err)
                        : status;
}

enum status history_keep(struct history *history, const struct values *values,
                         const struct epoch_report *report, struct error *err)
{
    enum status status = history_settle(history, true, err);
    if (status != OK)
        return status;
    history->writes_epoch = true;
    history->report = *report;
    return checkpoint_writer_begin(history->writer, values, report->step, err);
}

void history_keep_step(struct history *history, const struct values *values, uint64_t step)
{
    struct error why;
    if (checkpoint_writer_is_busy(history->writer))
        return;
    history->writes_epoch = false;
    if (checkpoint_writer_begin(history->writer, values, step, &why) != OK)
        warn(history, &why);
}
