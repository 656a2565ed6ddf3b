/* One epoch: pseudo labels, training, and what it was worth. */
#include <math.h>
#include <string.h>

#include "common/data/shard.h"
#include "coordinator/job/controller_state.h"

/* ---- train ---- */

static void choose_pseudo_labels(struct controller *c)
{
    const struct stage_config *config = controller_config(c, c->stage);
    size_t chosen = 0;
    double fraction = pseudo_labels_fraction(&config->losses, c->current->epoch, config->epochs);
    c->pseudo_count = 0;
    for (size_t slot = 0; slot < config->domain_count; slot++) {
        size_t domain = controller_domain(c, c->stage, slot);
        if (c->job->data.domains[domain].labelled)
            continue;
        const struct predictions *guesses = c->parts[domain * SPLIT_COUNT + SPLIT_TRAIN];
        size_t samples = c->manifest->part_count[domain][SPLIT_TRAIN];
        if (guesses != NULL)
            chosen += pseudo_labels_choose(guesses, fraction, config->losses.confidence_min,
                                           c->guesses, c->pseudo + c->pseudo_count);
        c->pseudo_count += samples;
    }
    c->pseudo_share = c->pseudo_count > 0 ? (double)chosen / (double)c->pseudo_count : 0.0;
}

static bool awaits_blocks(const struct controller *c, uint32_t partition)
{
    const struct layout *layout = &c->stages[c->stage].layout;
    for (size_t i = 0; i < layout->block_count; i++)
        if (c->block_partitions[i] == partition && !c->gathering_has[i] &&
            (i < layout->parameter_count || i == layout->metric_block))
            return true;
    return false;
}

void controller_ask_for_snapshot(struct controller *c)
{
    struct message take = {.type = MESSAGE_TAKE};
    take.body.take.version = c->gathering.version;
    for (uint32_t i = 0; i < c->partitions.count; i++) {
        take.body.take.partition = i;
        if (awaits_blocks(c, i))
            controller_send(c, controller_primary(c, i), &take, NULL, 0);
    }
}

/* The servers hand out their blocks when they reach the epoch's last version. */
static void begin_gathering(struct controller *c, uint64_t version)
{
    c->gathering = (struct gathering){
        .values = c->incoming,
        .metrics = c->metrics,
        .layout = &c->stages[c->stage].layout,
        .domains = controller_config(c, c->stage)->domain_count,
        .has = c->gathering_has,
    };
    gathering_begin(&c->gathering, version);
    controller_ask_for_snapshot(c);
}

enum status controller_enter_train(struct controller *c, struct error *err)
{
    const struct stage_config *config = controller_config(c, c->stage);
    enum status status = controller_keep_values(&c->incoming, c->current, err);
    if (status != OK)
        return status;
    c->pseudo_count = 0;
    c->pseudo_share = 0;
    if (config->losses.self_training > 0)
        choose_pseudo_labels(c);
    c->phase = PHASE_TRAIN;
    c->epoch_began_ms = c->now_ms;
    controller_begin_task(c, TASK_TRAIN, 0);
    c->task_body.steps = shard_steps_per_epoch(c->job, c->manifest, c->stage);
    c->task_samples = (uint64_t)c->task_body.steps * config->micro_batch * config->accumulate *
                      config->domain_count * c->job->cluster.shards;
    begin_gathering(c, c->task_body.version + c->task_body.steps);
    controller_spread_task(c);
    return OK;
}

enum status controller_take_snapshot(struct controller *c, const struct message *message,
                                     const struct frame *payloads, size_t count, struct error *err)
{
    if (c->phase != PHASE_TRAIN || message->generation != c->generation)
        return OK;
    if (!gathering_take(&c->gathering, &message->body.snapshot, payloads, count))
        return error_set(err, ERR_PEER, "a snapshot does not fit the stage's blocks");
    c->moved++;
    return c->gathering.missing == 0 ? controller_advance(c, err) : OK;
}

/* Of the validation split of a labelled domain, if there is one. */
static enum status validate(const struct controller *c, size_t slot, double *out, struct error *err)
{
    size_t domain = controller_domain(c, c->stage, slot);
    const struct predictions *predictions = c->parts[domain * SPLIT_COUNT + SPLIT_VALIDATION];
    struct truth *truth = NULL;
    if (predictions == NULL || predictions->count == 0)
        return OK;
    enum status status =
        truth_create(c->job->data.task, c->manifest, domain, SPLIT_VALIDATION, &truth, err);
    if (status == OK)
        status = score_main(predictions, truth, out, err);
    truth_destroy(&truth);
    return status;
}

void controller_collect_terms(struct controller *c)
{
    size_t domains = controller_config(c, c->stage)->domain_count,
           n = (size_t)TERM_COUNT * METRIC_COUNT;
    memset(c->terms, 0, sizeof c->terms);
    for (size_t d = 0; d < domains; d++)
        for (size_t i = 0; i < n; i++)
            c->terms[i / METRIC_COUNT][i % METRIC_COUNT] += c->metrics[d * n + i];
}

/* Lower is better. */
static double criterion(const struct controller *c, const struct epoch_report *report)
{
    switch (controller_config(c, c->stage)->select) {
    case SELECT_LAST:
        return -(double)report->epoch;
    case SELECT_SOURCE_VALIDATION:
        return isnan(report->source_validation) ? -(double)report->epoch
                                                : -report->source_validation;
    case SELECT_INFORMATION:
        return isnan(report->information) ? -(double)report->epoch : report->information;
    case SELECT_ENTROPY:
        return isnan(report->entropy) ? -(double)report->epoch : report->entropy;
    }
    return 0;
}

/* A term that is switched on but moves nothing is the most common silent bug of adaptation code. */
static enum status check_terms(const struct controller *c, const struct epoch_report *report,
                               struct error *err)
{
    static const char *const names[] = {"labelled", "CORAL", "information", "self-training"};
    const struct loss_config *losses = &controller_config(c, c->stage)->losses;
    const double weights[] = {job_labelled_loss(&c->job->data, losses), losses->coral,
                              losses->information, losses->self_training};
    for (size_t t = 0; t < TERM_COUNT; t++)
        if (weights[t] > 0 && report->terms[t][METRIC_SAMPLES] > 0 &&
            !(report->terms[t][METRIC_GRADIENT_SQUARE] > 0))
            return error_set(
                err, ERR_STATE,
                "the gradient of the %s term was zero through epoch %u of stage '%s': it does "
                "nothing; set its weight to 0 or find out why",
                names[t], report->epoch, controller_config(c, c->stage)->name);
    return OK;
}

static enum status fill_report(struct controller *c, struct epoch_report *report, struct error *err)
{
    enum data_task task = c->job->data.task;
    enum status status = OK;
    const struct stage_config *config = controller_config(c, c->stage);
    *report = (struct epoch_report){
        .stage = (uint32_t)c->stage,
        .epoch = c->current->epoch,
        .stage_step = c->current->stage_step,
        .step = c->current->stage_step,
        .seconds = (double)(c->now_ms - c->epoch_began_ms) / 1000.0,
        .source_validation = NAN,
        .information = NAN,
        .entropy = NAN,
        .pseudo_share = c->pseudo_share,
    };
    for (size_t i = 0; i < c->stage; i++)
        report->step += (uint64_t)controller_config(c, i)->epochs *
                        shard_steps_per_epoch(c->job, c->manifest, i);
    for (size_t slot = 0; slot < config->domain_count && status == OK; slot++) {
        size_t domain = controller_domain(c, c->stage, slot);
        const struct predictions *target = c->parts[domain * SPLIT_COUNT + SPLIT_TRAIN];
        if (c->job->data.domains[domain].labelled) {
            if (isnan(report->source_validation))
                status = validate(c, slot, &report->source_validation, err);
        } else if (target != NULL && isnan(report->entropy)) {
            report->entropy = score_entropy(task, target);
            report->information = score_information(task, target);
        }
    }
    memcpy(report->terms, c->terms, sizeof report->terms);
    report->score = criterion(c, report);
    return status;
}

enum status controller_finish_epoch(struct controller *c, struct error *err)
{
    struct stage_state *stage = &c->stages[c->stage];
    enum status status = fill_report(c, &c->report, err);
    if (status == OK)
        status = check_terms(c, &c->report, err);
    if (status != OK)
        return status;
    /* Equal scores: the later epoch, which has seen more. */
    c->report.best = stage->best == NULL || c->report.score <= stage->best_score;
    if (c->report.best) {
        stage->best_score = c->report.score;
        status = controller_keep_values(&stage->best, c->current, err);
    }
    if (status == OK)
        status = c->ports.keep_epoch(c->ports.driver, c->current, &c->report, err);
    c->unscored = false;
    return status;
}
