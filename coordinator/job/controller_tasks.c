/* What workers are asked to do, and what they answer. */
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/data/shard.h"
#include "coordinator/job/controller_state.h"

/* ---- tasks ---- */

void controller_send_task(struct controller *c, struct cluster_member *worker, uint32_t *again,
                          size_t again_count)
{
    struct message message = {.type = MESSAGE_TASK};
    struct frame labels = {c->current->labels, c->current->label_count * sizeof(int32_t)};
    message.body.task = c->task_body;
    message.body.task.again = again;
    message.body.task.again_count = again_count;
    bool with_labels = c->task_body.kind == TASK_TRAIN && c->current->label_count > 0;
    controller_send(c, worker->incarnation, &message, &labels, with_labels ? 1 : 0);
    c->worker_tasked[worker->number] = true;
}

/* To all workers of the settled view that do not have it yet. */
void controller_spread_task(struct controller *c)
{
    struct cluster_member *workers[MEMBERSHIP_MAX];
    size_t count = controller_ready_workers(c, workers);
    if (!c->task_sent || !c->view_settled)
        return;
    for (size_t i = 0; i < count; i++)
        if (!c->worker_tasked[workers[i]->number])
            controller_send_task(c, workers[i], NULL, 0);
}

void controller_begin_task(struct controller *c, enum task_kind kind, size_t part_count)
{
    CHECK(part_count <= sizeof c->task_parts / sizeof *c->task_parts);
    uint64_t version = FIRST_VERSION + (c->current != NULL ? c->current->stage_step : 0);
    const struct layout *layout = &c->stages[c->stage].layout;
    c->task_body = (struct message_task){
        .task = ++c->task,
        .kind = kind,
        .stage = (uint32_t)c->stage,
        .epoch = c->current != NULL ? c->current->epoch : 0,
        .version = version,
        .stage_version = FIRST_VERSION,
        .parts = c->task_parts,
        .part_count = part_count,
        .owners = c->block_partitions,
        .owner_count = c->block_partitions != NULL ? layout->block_count : 0,
    };
    memset(c->worker_tasked, 0, sizeof c->worker_tasked);
    memset(c->shard_done, 0, sizeof c->shard_done);
    c->task_samples = 0;
    for (size_t i = 0; kind != TASK_SHOW && i < part_count; i++)
        c->task_samples += controller_part_samples(c, c->task_parts[i]);
    c->task_sent = true;
    c->moved++;
    c->phase_began_ms = c->now_ms;
}

static void add_part(struct controller *c, size_t *count, size_t domain, enum split split)
{
    uint32_t part = (uint32_t)(domain * SPLIT_COUNT + (size_t)split);
    for (size_t i = 0; i < *count; i++)
        if (c->task_parts[i] == part)
            return;
    if (controller_part_samples(c, part) > 0)
        c->task_parts[(*count)++] = part;
}

/* Validation of labelled domains and the unlabelled training data: what an epoch is judged by
 * without target labels. */
static void add_score_parts(struct controller *c, size_t *count)
{
    const struct stage_config *config = controller_config(c, c->stage);
    for (size_t slot = 0; slot < config->domain_count; slot++) {
        size_t domain = controller_domain(c, c->stage, slot);
        bool labelled = c->job->data.domains[domain].labelled;
        add_part(c, count, domain, labelled ? SPLIT_VALIDATION : SPLIT_TRAIN);
    }
}

void controller_enter_prepare(struct controller *c)
{
    size_t count = 0;
    const struct stage_config *config = controller_config(c, c->stage);
    for (size_t slot = 0; slot < config->domain_count; slot++)
        add_part(c, &count, controller_domain(c, c->stage, slot), SPLIT_TRAIN);
    add_score_parts(c, &count);
    if (c->stage == 0 || c->stage + 1 == c->job->stage_count)
        add_part(c, &count, controller_test_domain(c), SPLIT_TEST);
    c->phase = PHASE_PREPARE;
    c->stage_began_ms = c->now_ms;
    controller_begin_task(c, TASK_PREPARE, count);
    c->pieces_left = c->job->cluster.shards;
    controller_spread_task(c);
}

enum status controller_take_prepared(struct controller *c, const struct message_prepared *prepared,
                                     struct error *err)
{
    if (c->phase != PHASE_PREPARE || prepared->task != c->task ||
        prepared->shard >= c->job->cluster.shards)
        return OK;
    for (size_t i = 0; i < prepared->unreadable_count; i++) {
        uint32_t sample = prepared->unreadable[i];
        if (sample >= c->manifest->sample_count || c->unreadable[sample])
            continue;
        c->unreadable[sample] = true;
        c->unreadable_count++;
        c->ports.unreadable(c->ports.driver, sample);
    }
    double share = (double)c->unreadable_count / (double)c->manifest->sample_count;
    if (share > c->job->data.unreadable_share_max)
        return error_set(
            err, ERR_INPUT,
            "%zu of %zu samples cannot be read, more than data.unreadable_share_max = %g allows; "
            "the log names them",
            c->unreadable_count, c->manifest->sample_count, c->job->data.unreadable_share_max);
    if (!c->shard_done[0][prepared->shard]) {
        c->shard_done[0][prepared->shard] = true;
        c->moved++;
        c->pieces_left--;
    }
    return controller_advance(c, err);
}

enum status controller_enter_predict(struct controller *c, enum predict_reason reason,
                                     struct error *err)
{
    size_t count = 0;
    const struct stage_config *config = controller_config(c, c->stage);
    c->reason = reason;
    c->phase = PHASE_PREDICT;
    if (reason == PREDICT_TEST)
        c->task_parts[count++] = controller_test_part(c);
    if (reason == PREDICT_SCORES)
        add_score_parts(c, &count);
    for (size_t slot = 0; reason == PREDICT_GUESSES && slot < config->domain_count; slot++)
        if (!c->job->data.domains[controller_domain(c, c->stage, slot)].labelled)
            add_part(c, &count, controller_domain(c, c->stage, slot), SPLIT_TRAIN);
    controller_begin_task(c, TASK_PREDICT, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t part = c->task_parts[i];
        predictions_destroy(&c->parts[part]);
        enum status status = predictions_create(controller_part_samples(c, part),
                                                c->job->data.class_count, &c->parts[part], err);
        if (status != OK)
            return status;
    }
    c->pieces_left = count * c->job->cluster.shards;
    controller_spread_task(c);
    return c->pieces_left == 0 ? controller_advance(c, err) : OK;
}

/* Sample number k of shard s is number s + k·S of its part. */
static void place_predictions(struct predictions *to, uint32_t shard, uint32_t shards,
                              const float *logits, const uint8_t *readable, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        size_t position = shard + k * shards;
        memcpy(to->logits + position * to->classes, logits + k * to->classes,
               to->classes * sizeof *logits);
        to->readable[position] = readable[k];
    }
}

enum status controller_take_predicted(struct controller *c, const struct message *message,
                                      const struct frame *payloads, size_t count, struct error *err)
{
    const struct message_predicted *predicted = &message->body.predicted;
    uint32_t shards = c->job->cluster.shards;
    size_t at = 0;
    if (c->phase != PHASE_PREDICT || predicted->task != c->task || predicted->shard >= shards)
        return OK;
    while (at < c->task_body.part_count && c->task_parts[at] != predicted->part)
        at++;
    if (at == c->task_body.part_count || c->shard_done[at][predicted->shard])
        return OK;
    uint32_t part = predicted->part;
    size_t expected = shard_count(c->manifest, part / SPLIT_COUNT, (enum split)(part % SPLIT_COUNT),
                                  shards, predicted->shard);
    size_t classes = c->job->data.class_count;
    if (count != 2 || predicted->count != expected ||
        payloads[0].bytes != expected * classes * sizeof(float) || payloads[1].bytes != expected)
        return error_set(err, ERR_PEER, "predictions for shard %u do not fit the manifest",
                         predicted->shard);
    place_predictions(c->parts[part], predicted->shard, shards, payloads[0].data, payloads[1].data,
                      expected);
    c->shard_done[at][predicted->shard] = true;
    c->moved++;
    c->pieces_left--;
    return c->pieces_left == 0 ? controller_advance(c, err) : OK;
}

void controller_enter_show(struct controller *c)
{
    size_t domain = controller_test_domain(c);
    size_t count = c->job->data.task == DATA_CLASSIFICATION ? c->adapted->count : 0;
    c->shown_count = 0;
    bool pictures = !job_is_text(&c->job->data.preprocess);
    for (int changed = 1; changed >= 0 && pictures; changed--)
        for (size_t i = 0; i < count && c->shown_count < CONTROLLER_SHOWN_MAX; i++) {
            bool differs = predictions_class(c->adapted, i) != predictions_class(c->source_only, i);
            /* Three quarters for changes where there are enough, the rest for what stayed. */
            if (differs != (changed == 1) ||
                (changed && c->shown_count >= CONTROLLER_SHOWN_MAX * 3 / 4))
                continue;
            c->shown[c->shown_count] = c->manifest->part[domain][SPLIT_TEST][i];
            c->task_parts[c->shown_count] = c->shown[c->shown_count];
            c->shown_count++;
        }
    if (c->shown_count == 0) {
        c->phase = PHASE_DONE;
        return;
    }
    c->phase = PHASE_SHOW;
    controller_begin_task(c, TASK_SHOW, c->shown_count);
    controller_spread_task(c);
}

enum status controller_take_pixels(struct controller *c, const struct message *message,
                                   const struct frame *payloads, size_t count, struct error *err)
{
    const struct message_pixels *pixels = &message->body.pixels;
    if (c->phase != PHASE_SHOW || pixels->task != c->task)
        return OK;
    size_t bytes = (size_t)pixels->width * pixels->height * 3 * pixels->count;
    if (pixels->width != c->job->data.preprocess.width ||
        pixels->height != c->job->data.preprocess.height || pixels->count != c->shown_count ||
        count != 1 || payloads[0].bytes != bytes)
        return error_set(err, ERR_PEER, "pictures that do not fit what was asked for");
    c->pixels = memory_alloc(bytes, 1);
    if (c->pixels == NULL)
        return error_set(err, ERR_MEMORY, "no memory for pictures");
    memcpy(c->pixels, payloads[0].data, bytes);
    c->pixels_width = pixels->width;
    c->pixels_height = pixels->height;
    c->phase = PHASE_DONE;
    return OK;
}
