#include "worker/trainer.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/adapt/binary_cross_entropy.h"
#include "worker/adapt/coral.h"
#include "worker/adapt/cross_entropy.h"
#include "worker/adapt/focal.h"
#include "worker/adapt/information.h"
#include "worker/adapt/label_information.h"
#include "worker/adapt/squared_error.h"
#include "worker/batch.h"
#include "worker/engine/head.h"
#include "worker/sync/compressor.h"

/* A shard's micro-batch of one domain, between forward and backward. */
struct flight {
    struct tape *tape;
    struct batch batch;
};

struct trainer {
    const struct job *job;
    const struct manifest *manifest;
    const struct plan *plan;
    const struct stage_config *stage;
    struct features *features;
    struct batch_source *source;
    struct layout layout;
    struct head *head;
    struct coral *coral; /* NULL: off */
    bool coral_begun;
    size_t coral_source, coral_target; /* slots */
    bool statistics; /* a loss looks at the whole step: all go forward before one goes back … */
    bool overlap;    /* … and stay there; else each goes forward again for its backward */
    struct flight
        *flights; /* overlap: [shard, slot], in ssp and asp [slot]; else one; made on first
                               use */
    uint32_t step;
    struct compressor *compressor; /* NULL: gradients are summed and sent as they are */
    struct reduction *sums[3][JOB_DOMAINS_MAX];
    float *gradient; /* [live_elements] */
    float *dlogits;  /* [micro_batch, K] */
    float *dhidden;  /* [micro_batch, d] */
    double *moments; /* [statistic_elements] of a micro-batch … */
    double *totals;  /* … and of a shard's step */
};

static enum status create_sums(struct trainer *trainer, struct error *err)
{
    const struct compressor *compressor = trainer->compressor;
    const size_t elements[] = {trainer->layout.statistic_elements,
                               compressor != NULL ? compressor_bytes(compressor)
                                                  : trainer->plan->live_elements,
                               trainer->layout.metric_elements};
    const enum reduction_type types[] = {
        REDUCTION_F64, compressor != NULL ? REDUCTION_APART : REDUCTION_F32, REDUCTION_F64};
    for (int s = 0; s < 3; s++)
        for (size_t slot = 0; slot < trainer->stage->domain_count; slot++) {
            enum status status = reduction_create(types[s], trainer->job->cluster.shards,
                                                  elements[s], &trainer->sums[s][slot], err);
            if (status != OK)
                return status;
        }
    return OK;
}

static size_t flight_count(const struct trainer *trainer)
{
    size_t shards = trainer->stage->mode == MODE_BSP ? trainer->job->cluster.shards : 1;
    return trainer->overlap ? shards * trainer->stage->domain_count : 1;
}

static enum status create_room(struct trainer *trainer, struct error *err)
{
    const struct stage_config *stage = trainer->stage;
    size_t batch = stage->micro_batch;
    trainer->gradient = memory_alloc(trainer->plan->live_elements, sizeof(float));
    trainer->dlogits = memory_alloc(batch * trainer->plan->model->class_count, sizeof(float));
    trainer->dhidden = memory_alloc(batch * trainer->plan->model->feature_count, sizeof(float));
    trainer->moments = memory_alloc(trainer->layout.statistic_elements, sizeof(double));
    trainer->totals = memory_alloc(trainer->layout.statistic_elements, sizeof(double));
    trainer->flights = memory_alloc(flight_count(trainer), sizeof *trainer->flights);
    bool all = trainer->gradient && trainer->dlogits && trainer->dhidden && trainer->moments &&
               trainer->totals && trainer->flights;
    return all ? OK : error_set(err, ERR_MEMORY, "no memory for stage '%s'", stage->name);
}

/* CORAL is between the first labelled and the first unlabelled domain of the stage. */
static enum status create_coral(struct trainer *trainer, struct error *err)
{
    if (trainer->layout.coral_elements == 0)
        return OK;
    while (!batch_labelled(trainer->source, trainer->coral_source))
        trainer->coral_source++;
    while (batch_labelled(trainer->source, trainer->coral_target))
        trainer->coral_target++;
    return coral_create(trainer->plan->model->feature_count, trainer->stage->micro_batch,
                        &trainer->coral, err);
}

struct head_room trainer_head_room(const struct job *job, const struct layout *layout, size_t stage,
                                   size_t bytes_max)
{
    bool alone = job->stages[stage].mode != MODE_BSP; /* one shard at a time */
    size_t shards = alone ? 1 : (job->cluster.shards - 1) / job->cluster.workers + 1;
    bool overlap = layout->statistic_count > 0 && job->stages[stage].accumulate == 1;
    return (struct head_room){.overlap = overlap,
                              .tapes = overlap ? shards * job->stages[stage].domain_count : 1,
                              .bytes_max = bytes_max};
}

enum status trainer_create(const struct job *job, const struct manifest *manifest,
                           const struct plan *plan, size_t stage, struct features *features,
                           size_t bytes_max, struct trainer **out, struct error *err)
{
    struct trainer *trainer = memory_alloc(1, sizeof *trainer);
    if (trainer == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the trainer");
    trainer->job = job;
    trainer->manifest = manifest;
    trainer->plan = plan;
    trainer->stage = &job->stages[stage];
    trainer->features = features;
    trainer->layout = layout_of(plan, trainer->stage);
    trainer->statistics = trainer->layout.statistic_count > 0;
    const struct head_room room = trainer_head_room(job, &trainer->layout, stage, bytes_max);
    trainer->overlap = room.overlap;
    enum status status =
        batch_source_create(job, manifest, plan, stage, features, &trainer->source, err);
    if (status == OK)
        status = create_room(trainer, err);
    if (status == OK && trainer->stage->compression.kind != COMPRESSION_NONE)
        status = compressor_create(job, plan, stage, &trainer->compressor, err);
    if (status == OK)
        status = create_sums(trainer, err);
    if (status == OK)
        status = create_coral(trainer, err);
    if (status == OK)
        status = head_create(plan, trainer->stage->micro_batch, &room, &trainer->head, err);
    if (status != OK) {
        trainer_destroy(&trainer);
        return status;
    }
    *out = trainer;
    return OK;
}

void trainer_rest(struct trainer *trainer)
{
    for (size_t i = 0; trainer->flights != NULL && i < flight_count(trainer); i++) {
        struct flight *flight = &trainer->flights[i];
        tape_destroy(&flight->tape);
        batch_deinit(&flight->batch);
    }
    if (trainer->compressor != NULL)
        compressor_begin(trainer->compressor);
    if (trainer->head != NULL)
        head_rest(trainer->head);
}

void trainer_destroy(struct trainer **trainer)
{
    if (*trainer == NULL)
        return;
    struct trainer *t = *trainer;
    trainer_rest(t);
    for (int s = 0; s < 3; s++)
        for (size_t slot = 0; slot < JOB_DOMAINS_MAX; slot++)
            reduction_destroy(&t->sums[s][slot]);
    batch_source_destroy(&t->source);
    memory_free(t->flights);
    memory_free(t->gradient);
    memory_free(t->dlogits);
    memory_free(t->dhidden);
    memory_free(t->moments);
    memory_free(t->totals);
    coral_destroy(&t->coral);
    compressor_destroy(&t->compressor);
    head_destroy(&t->head);
    memory_free(t);
    *trainer = NULL;
}

enum status trainer_pseudo_labels(struct trainer *trainer, const void *labels, size_t bytes,
                                  struct error *err)
{
    return batch_pseudo_labels(trainer->source, labels, bytes, err);
}

void trainer_begin_epoch(struct trainer *trainer)
{
    if (trainer->compressor != NULL)
        compressor_begin(trainer->compressor);
}

void trainer_begin_step(struct trainer *trainer, const float *live)
{
    head_set_weights(trainer->head, live);
    trainer->coral_begun = false;
    for (int s = 0; s < 3; s++)
        for (size_t slot = 0; slot < trainer->stage->domain_count; slot++)
            reduction_reset(trainer->sums[s][slot]);
}

const struct reduction *trainer_sums(const struct trainer *trainer, enum trainer_sum sum,
                                     size_t slot)
{
    return trainer->sums[sum][slot];
}

const struct compressor *trainer_compressor(const struct trainer *trainer)
{
    return trainer->compressor;
}

/* ---- forward ---- */

static enum status take_flight(struct trainer *trainer, uint32_t shard, size_t slot,
                               struct flight **out, struct error *err)
{
    uint32_t place = trainer->stage->mode == MODE_BSP ? shard : 0;
    size_t at = trainer->overlap ? place * trainer->stage->domain_count + slot : 0;
    struct flight *flight = &trainer->flights[at];
    *out = flight;
    if (flight->tape != NULL)
        return OK;
    enum status status = batch_init(trainer->source, &flight->batch, err);
    return status == OK ? tape_create(trainer->head, &flight->tape, err) : status;
}

/* Phase 1 of the losses that look at the whole step: a micro-batch's part of it. */
static void add_moments(struct trainer *trainer, const struct flight *flight)
{
    const struct layout *layout = &trainer->layout;
    size_t classes = trainer->plan->model->class_count;
    if (trainer->coral != NULL)
        coral_moments(trainer->coral, tape_hidden(flight->tape), flight->batch.count,
                      trainer->moments);
    if (layout->statistic_elements > layout->coral_elements)
        (trainer->job->data.task == DATA_MULTILABEL ? label_information_sums : information_sums)(
            tape_logits(flight->tape), flight->batch.count, classes,
            trainer->moments + layout->coral_elements);
    for (size_t i = 0; i < layout->statistic_elements; i++)
        trainer->totals[i] += trainer->moments[i];
}

/* Micro-batch `micro` of the step. */
static enum status forward_slot(struct trainer *trainer, uint32_t shard, size_t slot,
                                uint32_t micro, struct flight **out, struct error *err)
{
    enum status status = take_flight(trainer, shard, slot, out, err);
    if (status == OK)
        status =
            batch_fill(trainer->source, slot, shard, trainer->step, micro, &(*out)->batch, err);
    const struct batch *batch = &(*out)->batch;
    return status != OK || batch->count == 0
               ? status
               : head_forward(trainer->head, (*out)->tape, batch->features, batch->count, err);
}

static enum status statistics_slot(struct trainer *trainer, uint32_t shard, size_t slot,
                                   struct error *err)
{
    uint64_t count = 0;
    memset(trainer->totals, 0, trainer->layout.statistic_elements * sizeof *trainer->totals);
    for (uint32_t micro = 0; micro < trainer->stage->accumulate; micro++) {
        struct flight *flight;
        enum status status = forward_slot(trainer, shard, slot, micro, &flight, err);
        if (status != OK)
            return status;
        add_moments(trainer, flight);
        count += flight->batch.count;
    }
    reduction_add(trainer->sums[SUM_STATISTICS][slot], shard, 0, count, trainer->totals);
    return OK;
}

enum status trainer_forward(struct trainer *trainer, uint32_t shard, uint32_t step,
                            struct error *err)
{
    enum status status = OK;
    trainer->step = step;
    if (!trainer->statistics)
        return OK;
    for (size_t slot = 0; status == OK && slot < trainer->stage->domain_count; slot++)
        status = statistics_slot(trainer, shard, slot, err);
    return status;
}

/* ---- backward ---- */

static void note(double *metrics, enum layout_term term, struct loss_sum sum)
{
    metrics[(size_t)term * METRIC_COUNT + METRIC_LOSS] += sum.loss;
    metrics[(size_t)term * METRIC_COUNT + METRIC_GRADIENT_SQUARE] += sum.gradient_square;
    metrics[(size_t)term * METRIC_COUNT + METRIC_SAMPLES] += (double)sum.samples;
}

static void begin_coral(struct trainer *trainer, const struct statistics *statistics)
{
    uint64_t source_count, target_count;
    const double *source = statistics_sums(statistics, trainer->coral_source, &source_count);
    const double *target = statistics_sums(statistics, trainer->coral_target, &target_count);
    coral_begin(trainer->coral, source, source_count, target, target_count);
    trainer->coral_begun = true;
}

/* On labels, or on pseudo labels. */
static struct loss_sum target_loss(const struct trainer *trainer, const struct flight *flight,
                                   bool labelled, double weight)
{
    const struct loss_config *losses = &trainer->stage->losses;
    const float *logits = tape_logits(flight->tape), *targets = flight->batch.targets;
    size_t count = flight->batch.count, classes = trainer->plan->model->class_count;
    const double *weights =
        labelled && losses->class_weight_count > 0 ? losses->class_weights : NULL;
    if (trainer->job->data.task == DATA_MULTILABEL)
        return binary_cross_entropy(logits, targets, count, classes, weights, weight,
                                    trainer->dlogits);
    if (trainer->job->data.task == DATA_REGRESSION)
        return squared_error(logits, targets, count, classes, weights, weight, trainer->dlogits);
    if (labelled && losses->focal_gamma > 0)
        return focal(logits, targets, count, classes, losses->focal_gamma, weights, weight,
                     trainer->dlogits);
    return cross_entropy(logits, targets, count, classes, losses->label_smoothing, weights, weight,
                         trainer->dlogits);
}

static void output_losses(struct trainer *trainer, size_t slot, const struct flight *flight,
                          const struct statistics *statistics, double *metrics)
{
    const struct loss_config *losses = &trainer->stage->losses;
    bool labelled = batch_labelled(trainer->source, slot);
    double weight =
        labelled ? job_labelled_loss(&trainer->job->data, losses) : losses->self_training;
    size_t classes = trainer->plan->model->class_count;
    memset(trainer->dlogits, 0, flight->batch.count * classes * sizeof(float));
    if (weight > 0)
        note(metrics, labelled ? TERM_LABELLED : TERM_SELF_TRAINING,
             target_loss(trainer, flight, labelled, weight));
    if (labelled || losses->information <= 0)
        return;
    uint64_t total;
    const double *sums = statistics_sums(statistics, slot, &total) + trainer->layout.coral_elements;
    note(metrics, TERM_INFORMATION,
         (trainer->job->data.task == DATA_MULTILABEL
              ? label_information_gradient
              : information_gradient)(tape_logits(flight->tape), flight->batch.count, classes, sums,
                                      total, losses->information, trainer->dlogits));
}

/* NULL when no feature loss touches this slot. */
static const float *feature_losses(struct trainer *trainer, size_t slot, bool reports,
                                   const struct flight *flight, double *metrics)
{
    bool source = slot == trainer->coral_source, target = slot == trainer->coral_target;
    if (trainer->coral == NULL || !(source || target))
        return NULL;
    size_t values = flight->batch.count * trainer->plan->model->feature_count;
    memset(trainer->dhidden, 0, values * sizeof(float));
    struct loss_sum sum =
        coral_gradient(trainer->coral, source, tape_hidden(flight->tape), flight->batch.count,
                       trainer->stage->losses.coral, trainer->dhidden);
    /* The loss belongs to the step, not to a sample. */
    sum.loss = source && reports ? coral_loss(trainer->coral) : 0.0;
    note(metrics, TERM_CORAL, sum);
    return trainer->dhidden;
}

static enum status add_gradient(struct trainer *trainer, uint32_t shard, size_t slot,
                                uint64_t count, struct error *err)
{
    const void *values = trainer->gradient;
    enum status status = OK;
    if (trainer->compressor != NULL)
        status = compressor_code(trainer->compressor, shard, slot, trainer->step, trainer->gradient,
                                 &values, err);
    if (status == OK)
        reduction_add(trainer->sums[SUM_GRADIENTS][slot], shard, 0, count, values);
    return status;
}

/* Adds a micro-batch's gradients. reports: for the step, what is said once. */
static void backward_micro(struct trainer *trainer, size_t slot, bool reports,
                           const struct flight *flight, const struct statistics *statistics,
                           double *metrics)
{
    if (flight->batch.count == 0)
        return;
    output_losses(trainer, slot, flight, statistics, metrics);
    const float *dhidden = feature_losses(trainer, slot, reports, flight, metrics);
    head_backward(trainer->head, flight->tape, dhidden, trainer->dlogits, trainer->gradient);
}

static enum status backward_slot(struct trainer *trainer, uint32_t shard, size_t slot,
                                 const struct statistics *statistics, struct error *err)
{
    double metrics[TERM_COUNT * METRIC_COUNT] = {0};
    uint64_t count = 0;
    memset(trainer->gradient, 0, trainer->plan->live_elements * sizeof(float));
    for (uint32_t micro = 0; micro < trainer->stage->accumulate; micro++) {
        struct flight *flight;
        enum status status = trainer->overlap
                                 ? take_flight(trainer, shard, slot, &flight, err)
                                 : forward_slot(trainer, shard, slot, micro, &flight, err);
        if (status != OK)
            return status;
        backward_micro(trainer, slot, shard == 0 && micro == 0, flight, statistics, metrics);
        count += flight->batch.count;
    }
    reduction_add(trainer->sums[SUM_METRICS][slot], shard, 0, count, metrics);
    return add_gradient(trainer, shard, slot, count, err);
}

enum status trainer_backward(struct trainer *trainer, uint32_t shard,
                             const struct statistics *statistics, struct error *err)
{
    enum status status = OK;
    if (trainer->coral != NULL && !trainer->coral_begun)
        begin_coral(trainer, statistics);
    for (size_t slot = 0; slot < trainer->stage->domain_count && status == OK; slot++)
        status = backward_slot(trainer, shard, slot, statistics, err);
    return status;
}

/* ---- predict ---- */

/* Logits as they are; values in the targets' own units. */
static void write_outputs(const struct trainer *trainer, const float *logits, size_t count,
                          float *out)
{
    size_t classes = trainer->plan->model->class_count;
    const struct target_scale *scale = trainer->manifest->scale;
    memcpy(out, logits, count * classes * sizeof *out);
    for (size_t i = 0; scale != NULL && i < count * classes; i++)
        out[i] =
            (float)(scale[i % classes].mean + scale[i % classes].deviation * (double)logits[i]);
}

enum status trainer_predict(struct trainer *trainer, size_t domain, enum split split,
                            uint32_t shard, float *logits, uint8_t *readable, struct error *err)
{
    struct features_rows rows;
    struct flight *flight;
    size_t batch = trainer->stage->micro_batch, row = trainer->plan->boundary_elements;
    size_t classes = trainer->plan->model->class_count;
    enum status status = features_get(trainer->features, domain, split, shard, &rows, err);
    if (status == OK)
        status = take_flight(trainer, shard, 0, &flight, err);
    if (status != OK)
        return status;
    for (size_t first = 0; first < rows.count; first += batch) {
        size_t count = rows.count - first < batch ? rows.count - first : batch;
        status = head_predict(trainer->head, flight->tape, rows.rows + first * row, count, err);
        if (status != OK)
            return status;
        write_outputs(trainer, tape_logits(flight->tape), count, logits + first * classes);
    }
    memcpy(readable, rows.valid, rows.count);
    return OK;
}
