/* One epoch: pseudo labels, training, and what it was worth. */
#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/data/shard.h"
#include "coordinator/job/controller_state.h"

/* ---- train ---- */

static void choose_pseudo_labels(struct controller *c)
{
    const struct stage_config *config = controller_config(c, c->stage);
    struct values *values = c->current;
    size_t chosen = 0, count = 0;
    double fraction = pseudo_labels_fraction(&config->losses, values->epoch, config->epochs);
    for (size_t slot = 0; values->label_count > 0 && slot < config->domain_count; slot++) {
        size_t domain = controller_domain(c, c->stage, slot);
        if (c->job->data.domains[domain].labelled)
            continue;
        const struct predictions *guesses = c->parts[domain * SPLIT_COUNT + SPLIT_TRAIN];
        if (guesses != NULL)
            chosen += pseudo_labels_choose(guesses, fraction, config->losses.confidence_min,
                                           c->guesses, values->labels + count);
        count += c->manifest->part_count[domain][SPLIT_TRAIN];
    }
    CHECK(count == values->label_count);
    values->label_share = count > 0 ? (double)chosen / (double)count : 0.0;
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
    take.body.take.number = c->take_number;
    for (uint32_t i = 0; i < c->partitions.count; i++) {
        take.body.take.partition = i;
        if (awaits_blocks(c, i))
            controller_send(c, controller_primary(c, i), &take, NULL, 0);
    }
}

static uint32_t steps_per_epoch(const struct controller *c)
{
    return shard_steps_per_epoch(c->job, c->manifest, c->stage);
}

static uint64_t last_version(const struct controller *c)
{
    return c->task_body.version + c->task_body.steps;
}

/* A version that no server should have passed when it is asked for it: as many steps beyond the
 * newest known one as were made in a second. */
static uint64_t soon(const struct controller *c, uint64_t known)
{
    uint64_t steps = controller_samples_done(c) * c->task_body.steps / c->task_samples;
    int64_t past_ms = c->now_ms - c->phase_began_ms + 1;
    if (known < c->task_body.version + steps)
        known = c->task_body.version + steps;
    return known + (known - c->task_body.version) * 1000 / (uint64_t)past_ms + 2;
}

bool controller_is_in_step(const struct controller *c)
{
    const struct stage_config *config = controller_config(c, c->stage);
    return config->mode == MODE_BSP && !job_feeds_back_errors(config);
}

/* By time. */
static bool is_due(const struct controller *c)
{
    int64_t every_ms = (int64_t)c->job->run.checkpoint_seconds * 1000;
    return every_ms > 0 && c->now_ms - c->kept_ms >= every_ms;
}

/* The first version after `passed` to be kept. */
static uint64_t next_version(const struct controller *c, uint64_t passed)
{
    uint64_t last = last_version(c), next = last, every = c->job->run.checkpoint_steps;
    if (!controller_is_in_step(c))
        return last;
    if (every > 0)
        next = FIRST_VERSION + ((passed - FIRST_VERSION) / every + 1) * every;
    if (is_due(c)) {
        uint64_t due = soon(c, passed);
        next = due < next ? due : next;
    }
    return next < last ? next : last;
}

static void begin_gathering(struct controller *c, uint64_t version)
{
    c->gathering = (struct gathering){
        .values = c->incoming,
        .metrics = c->incoming->metrics,
        .layout = &c->stages[c->stage].layout,
        .domains = controller_config(c, c->stage)->domain_count,
        .has = c->gathering_has,
    };
    gathering_begin(&c->gathering, version);
    c->take_number++;
    controller_ask_for_snapshot(c);
}

void controller_ask_sooner(struct controller *c)
{
    if (c->phase != PHASE_TRAIN || !controller_is_in_step(c) || c->asked_sooner || !is_due(c))
        return;
    uint64_t version = next_version(c, FIRST_VERSION + c->current->stage_step);
    c->asked_sooner = true;
    if (version < c->gathering.version)
        begin_gathering(c, version);
}

enum status controller_enter_train(struct controller *c, struct error *err)
{
    const struct stage_config *config = controller_config(c, c->stage);
    bool begins = c->current->epoch_step == 0;
    if (begins)
        choose_pseudo_labels(c);
    enum status status = values_keep(&c->incoming, c->current, err);
    if (status != OK)
        return status;
    c->phase = PHASE_TRAIN;
    c->asked_sooner = false;
    if (begins)
        c->epoch_began_ms = c->kept_ms = c->now_ms;
    controller_begin_task(c, TASK_TRAIN, 0);
    c->task_body.steps = steps_per_epoch(c) - c->current->epoch_step;
    c->task_samples = (uint64_t)c->task_body.steps * config->micro_batch * config->accumulate *
                      config->domain_count * c->job->cluster.shards;
    begin_gathering(c, next_version(c, c->task_body.version));
    controller_spread_task(c);
    return OK;
}

static uint64_t step_of(const struct controller *c, const struct values *values)
{
    uint64_t step = values->stage_step;
    for (size_t i = 0; i < c->stage; i++)
        step += (uint64_t)controller_config(c, i)->epochs *
                shard_steps_per_epoch(c->job, c->manifest, i);
    return step;
}

/* All is here of a version within the epoch: from now on training would go on from there. */
static void keep_step(struct controller *c)
{
    struct values *before = c->current;
    c->current = c->incoming;
    c->incoming = before;
    c->current->stage_step = c->gathering.version - FIRST_VERSION;
    c->current->epoch_step =
        (uint32_t)(c->current->stage_step - (uint64_t)c->current->epoch * steps_per_epoch(c));
    c->kept_ms = c->now_ms;
    c->asked_sooner = false;
    c->ports.keep_step(c->ports.driver, c->current, step_of(c, c->current));
    begin_gathering(c, next_version(c, c->gathering.version));
}

enum status controller_take_snapshot(struct controller *c, const struct message *message,
                                     const struct frame *payloads, size_t count, struct error *err)
{
    const struct message_snapshot *snapshot = &message->body.snapshot;
    if (c->phase != PHASE_TRAIN || message->generation != c->generation)
        return OK;
    if (snapshot->version > c->gathering.version && c->gathering.version < last_version(c)) {
        /* That server had passed it when it was asked. */
        begin_gathering(c, next_version(c, snapshot->version));
        return OK;
    }
    if (!gathering_take(&c->gathering, snapshot, payloads, count))
        return error_set(err, ERR_PEER, "a snapshot does not fit the stage's blocks");
    c->moved++;
    if (c->gathering.missing > 0 || c->gathering.version == last_version(c))
        return controller_advance(c, err);
    keep_step(c);
    return OK;
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

/* Over all domains. */
static void collect_terms(const struct controller *c, double terms[TERM_COUNT][METRIC_COUNT])
{
    size_t n = (size_t)TERM_COUNT * METRIC_COUNT;
    for (size_t i = 0; i < c->current->metric_count; i++)
        terms[i % n / METRIC_COUNT][i % METRIC_COUNT] += c->current->metrics[i];
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
        .step = step_of(c, c->current),
        .seconds = (double)(c->now_ms - c->epoch_began_ms) / 1000.0,
        .source_validation = NAN,
        .information = NAN,
        .entropy = NAN,
        .pseudo_share = c->current->label_share,
    };
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
    collect_terms(c, report->terms);
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
        status = values_keep(&stage->best, c->current, err);
    }
    if (status == OK)
        status = c->ports.keep_epoch(c->ports.driver, c->current, &c->report, err);
    c->unscored = false;
    return status;
}
