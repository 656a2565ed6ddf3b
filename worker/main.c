/* graft-worker: one worker. Sockets, files and computation around the state machine of worker.c. */
#include <cblas.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/platform.h"
#include "common/data/shard.h"
#include "common/net/channel.h"
#include "common/net/lines.h"
#include "common/net/member.h"
#include "worker/engine/trunk.h"
#include "worker/memory_plan.h"
#include "worker/stage.h"
#include "worker/worker.h"

/* Of OpenMP's run-time library, in which oneDNN works; clang keeps its omp.h in a package of its
 * own. */
void omp_set_num_threads(int threads);

#define WAIT_MS (WORKER_AGAIN_MS / 2)

struct driver {
    struct member member;
    struct model *model;
    struct manifest *manifest;
    struct decoder *decoder;
    struct stage *stages[JOB_STAGES_MAX];
    struct stage *stage; /* of the current task */
    size_t activations_max[JOB_STAGES_MAX];
    struct worker worker;
    struct lines servers;
    uint64_t peers[LINES_MAX]; /* positions in the view: push_route's servers */
    uint32_t partition_primary[WIRE_PARTITIONS_MAX]; /* positions in the view */
    uint32_t *partitions;                            /* of each block of the stage */
    uint32_t *owners; /* position in the view of each block's server */
    size_t block_count;
    bool begun; /* the trainer uses the weights of begun_version */
    uint64_t begun_version;
    struct received received;
    uint64_t pushed; /* bytes of sums sent to servers */
    bool stop;
};

/* ---- to the servers ---- */

static void send_to_server(void *context, uint64_t peer, struct message *message,
                           const struct frame *frames, size_t count)
{
    struct driver *driver = context;
    struct error why = {0};
    CHECK(peer < driver->servers.count);
    message->run = driver->member.run;
    message->sender = driver->member.incarnation;
    message->view = driver->worker.view;
    message->generation = driver->worker.generation;
    for (size_t i = 0; message->type == MESSAGE_PUSH && i < count; i++)
        driver->pushed += frames[i].bytes;
    /* A server that is gone is the coordinator's affair: it ends or rewinds the run. */
    if (channel_send(driver->servers.channels[peer], 0, message, frames, count, &why) != OK)
        log_event(LOG_WARN, "not_sent", "server=%zu why=\"%s\"", (size_t)peer, why.text);
}

static struct push_route route_of(struct driver *driver)
{
    for (size_t i = 0; i < driver->servers.count; i++)
        driver->peers[i] = i;
    for (size_t i = 0; i < driver->block_count; i++)
        driver->owners[i] = driver->partition_primary[driver->partitions[i]];
    return (struct push_route){driver->owners, driver->peers, driver->servers.count};
}

static void pull(struct driver *driver)
{
    const struct stage *stage = driver->stage;
    uint64_t latest = stage->fresh == NULL ? weights_latest(stage->weights) : 0;
    bool complete = stage->statistics != NULL && statistics_complete(stage->statistics, latest);
    for (size_t i = 0; i < driver->servers.count; i++) {
        struct message message = {.type = MESSAGE_PULL};
        message.body.pull = (struct message_pull){latest, complete};
        send_to_server(driver, i, &message, NULL, 0);
    }
}

/* ---- from the coordinator ---- */

static enum status take_view(struct driver *driver, struct error *err)
{
    const struct message_view *view = &driver->received.message.body.view;
    uint32_t number = driver->received.message.view;
    if (!worker_take_view(&driver->worker, view, number, driver->member.number))
        return OK;
    link_counters(driver->member.link)->view = number;
    for (size_t i = 0; i < view->partition_count; i++)
        driver->partition_primary[i] = view->partitions[i].primary;
    return lines_follow(&driver->servers, view, err);
}

static enum status open_stage(struct driver *driver, uint32_t index, struct error *err)
{
    if (index >= driver->member.job->stage_count)
        return error_set(err, ERR_PEER, "a task for stage %u, which the job lacks", index);
    struct stage **stage = &driver->stages[index];
    enum status status = OK;
    if (*stage == NULL)
        status = stage_open(driver->member.job, driver->model, driver->manifest, index,
                            driver->decoder, link_counters(driver->member.link),
                            driver->activations_max[index], stage, err);
    if (status != OK)
        return status;
    if (driver->stage != NULL && driver->stage != *stage)
        stage_rest(driver->stage, false);
    driver->stage = *stage;
    return status;
}

static enum status take_partitions(struct driver *driver, const struct message_task *task,
                                   struct error *err)
{
    size_t bytes = task->owner_count * sizeof *driver->partitions;
    if (task->kind == TASK_PREPARE || task->kind == TASK_SHOW)
        return OK;
    if (task->owner_count != driver->stage->layout.block_count)
        return error_set(err, ERR_PEER, "a task with %zu blocks, the stage has %zu",
                         task->owner_count, driver->stage->layout.block_count);
    for (size_t i = 0; i < task->owner_count; i++)
        if (task->owners[i] >= WIRE_PARTITIONS_MAX)
            return error_set(err, ERR_PEER, "a task with partition %u", task->owners[i]);
    memory_free(driver->partitions);
    memory_free(driver->owners);
    driver->block_count = 0;
    driver->partitions = memory_alloc(bytes, 1);
    driver->owners = memory_alloc(bytes, 1);
    if (driver->partitions == NULL || driver->owners == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu block owners", task->owner_count);
    memcpy(driver->partitions, task->owners, bytes);
    driver->block_count = task->owner_count;
    push_order(driver->stage->parameter_slices, driver->stage->layout.parameter_count,
               driver->partitions);
    return OK;
}

/* Of the task before: features are computed before training and predicting. */
static void give_back(struct driver *driver, const struct message_task *task)
{
    if (task->kind != TASK_PREPARE && task->kind != TASK_SHOW)
        stage_rest(driver->stage, true);
}

static enum status take_pace(struct driver *driver, const struct message_task *task,
                             struct error *err)
{
    const struct stage_config *config = &driver->member.job->stages[task->stage];
    if (config->mode == MODE_BSP || (task->kind != TASK_TRAIN && task->kind != TASK_PREDICT))
        return OK;
    return worker_take_pace(&driver->worker,
                            config->mode == MODE_SSP ? config->staleness : PACE_UNBOUNDED,
                            driver->partitions, driver->block_count, err);
}

static enum status take_task(struct driver *driver, struct error *err)
{
    const struct message *message = &driver->received.message;
    const struct message_task *task = &message->body.task;
    if (worker_weigh_task(&driver->worker, message) != WORKER_TASK_NEW)
        return OK;
    enum status status = open_stage(driver, task->stage, err);
    if (status == OK)
        status = take_partitions(driver, task, err);
    if (status == OK && task->kind == TASK_TRAIN && driver->received.frame_count == 1)
        status = trainer_pseudo_labels(driver->stage->trainer, driver->received.frames[0].data,
                                       driver->received.frames[0].bytes, err);
    if (status == OK && task->kind == TASK_TRAIN)
        trainer_begin_epoch(driver->stage->trainer);
    if (status == OK)
        give_back(driver, task);
    if (status == OK && message->generation != driver->worker.generation)
        status = stage_forget(driver->stage, err);
    if (status != OK)
        return status;
    driver->begun = false;
    link_counters(driver->member.link)->task = task->task;
    link_counters(driver->member.link)->samples = 0;
    worker_take_task(&driver->worker, message, driver->stage->statistics != NULL);
    return take_pace(driver, task, err);
}

static enum status drain_coordinator(struct driver *driver, struct error *err)
{
    enum status status = OK;
    struct channel *channel = link_channel(driver->member.link);
    while (status == OK && !driver->stop && channel_receive(channel, &driver->received)) {
        if (driver->received.message.type == MESSAGE_VIEW) {
            status = take_view(driver, err);
        } else if (driver->received.message.type == MESSAGE_TASK) {
            status = take_task(driver, err);
        } else if (driver->received.message.type == MESSAGE_STOP) {
            member_take_stop(&driver->member, &driver->received.message.body.stop);
            driver->stop = true;
        }
    }
    return status;
}

/* ---- from the servers ---- */

static void take_weights(struct driver *driver)
{
    const struct message_weights *weights = &driver->received.message.body.weights;
    for (size_t i = 0; i < weights->block_count && i < driver->received.frame_count; i++)
        if (!weights_take(driver->stage->weights, weights->version, weights->blocks[i],
                          driver->received.frames[i].data, driver->received.frames[i].bytes))
            link_counters(driver->member.link)->dropped++;
}

static void take_statistics(struct driver *driver)
{
    const struct message_statistics *sums = &driver->received.message.body.statistics;
    for (size_t i = 0; i < sums->entry_count && i < driver->received.frame_count; i++)
        if (driver->stage->statistics == NULL ||
            !statistics_take(driver->stage->statistics, sums->version, sums->entries[i].block,
                             sums->entries[i].domain, sums->entries[i].count,
                             driver->received.frames[i].data, driver->received.frames[i].bytes))
            link_counters(driver->member.link)->dropped++;
}

static void take_clocks(struct driver *driver)
{
    const struct message_clocks *clocks = &driver->received.message.body.clocks;
    link_counters(driver->member.link)->dropped += stage_take_clocks(
        driver->stage, clocks, driver->received.frames, driver->received.frame_count);
    worker_take_clocks(&driver->worker, clocks);
}

static void drain_server(struct driver *driver, struct channel *channel)
{
    while (channel_receive(channel, &driver->received)) {
        const struct message *message = &driver->received.message;
        if (message->run != driver->member.run ||
            message->generation != driver->worker.generation || driver->stage == NULL)
            continue; /* of a table that was loaded over */
        if (message->type == MESSAGE_WANTED) {
            worker_take_wanted(&driver->worker, &message->body.wanted);
            continue;
        }
        worker_heard(&driver->worker);
        if (message->type == MESSAGE_WEIGHTS && driver->stage->weights != NULL)
            take_weights(driver);
        else if (message->type == MESSAGE_STATISTICS)
            take_statistics(driver);
        else if (message->type == MESSAGE_CLOCKS)
            take_clocks(driver);
    }
}

/* ---- actions ---- */

static void begin(struct driver *driver, uint64_t version)
{
    if (driver->begun && driver->begun_version == version)
        return;
    trainer_begin_step(driver->stage->trainer, stage_live(driver->stage, version));
    driver->begun = true;
    driver->begun_version = version;
}

static enum status prepare(struct driver *driver, uint32_t shard, struct error *err)
{
    const struct worker *worker = &driver->worker;
    uint32_t shards = driver->member.job->cluster.shards;
    uint32_t unreadable[1024]; /* more than that are counted, not listed */
    struct message message = {.type = MESSAGE_PREPARED};
    struct message_prepared *prepared = &message.body.prepared;
    *prepared = (struct message_prepared){worker->task.task, shard, unreadable, 0};
    for (size_t i = 0; i < worker->task.part_count; i++) {
        size_t domain = worker->parts[i] / SPLIT_COUNT;
        enum split split = (enum split)(worker->parts[i] % SPLIT_COUNT);
        struct features_rows rows;
        if (domain >= driver->member.job->data.domain_count)
            return error_set(err, ERR_PEER, "a task for domain %zu, which the job lacks", domain);
        enum status status =
            features_get(driver->stage->features, domain, split, shard, &rows, err);
        if (status != OK)
            return status;
        for (size_t k = 0; k < rows.count; k++)
            if (!rows.valid[k] && prepared->unreadable_count < 1024)
                unreadable[prepared->unreadable_count++] =
                    shard_sample(driver->manifest, domain, split, shards, shard, k);
    }
    return member_send(&driver->member, &message, NULL, 0, err);
}

static enum status predict(struct driver *driver, const struct worker_action *action,
                           struct error *err)
{
    const struct job *job = driver->member.job;
    size_t domain = action->part / SPLIT_COUNT, classes = job->data.class_count;
    enum split split = (enum split)(action->part % SPLIT_COUNT);
    if (domain >= job->data.domain_count)
        return error_set(err, ERR_PEER, "a task for domain %zu, which the job lacks", domain);
    begin(driver, action->version);
    size_t count = shard_count(driver->manifest, domain, split, job->cluster.shards, action->shard);
    float *logits = memory_alloc(count * classes, sizeof *logits);
    uint8_t *readable = memory_alloc(count, 1);
    enum status status = logits == NULL || readable == NULL
                             ? error_set(err, ERR_MEMORY, "no memory for %zu predictions", count)
                             : trainer_predict(driver->stage->trainer, domain, split, action->shard,
                                               logits, readable, err);
    if (status == OK) {
        struct message message = {.type = MESSAGE_PREDICTED,
                                  .generation = driver->worker.generation};
        message.body.predicted = (struct message_predicted){driver->worker.task.task, action->shard,
                                                            action->part, (uint32_t)count};
        struct frame frames[] = {{logits, count * classes * sizeof *logits}, {readable, count}};
        status = member_send(&driver->member, &message, frames, 2, err);
        link_counters(driver->member.link)->samples += count;
    }
    memory_free(logits);
    memory_free(readable);
    return status;
}

/* Back from network input to pixels: v = x·std + mean, inverted if the job says so. */
static void pixels_of(const struct preprocess_config *config, const float *input, uint8_t *rgb)
{
    size_t plane = (size_t)config->width * config->height;
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++) {
            size_t from = c < config->channels ? c : 0;
            double value = input[from * plane + i] * config->std[from] + config->mean[from];
            value = fmin(255.0, fmax(0.0, config->invert ? 255.0 - value : value));
            rgb[i * 3 + c] = (uint8_t)lround(value);
        }
}

static enum status show(struct driver *driver, struct error *err)
{
    const struct preprocess_config *config = &driver->member.job->data.preprocess;
    size_t bytes = (size_t)config->width * config->height * 3,
           count = driver->worker.task.part_count;
    uint8_t *rgb = memory_alloc(count, bytes);
    float *input = memory_alloc(decoder_elements(driver->decoder), sizeof *input);
    enum status status = rgb == NULL || input == NULL
                             ? error_set(err, ERR_MEMORY, "no memory for %zu pictures", count)
                             : OK;
    for (size_t i = 0; status == OK && i < count; i++) {
        uint32_t id = driver->worker.parts[i];
        if (id < driver->manifest->sample_count &&
            decoder_read(driver->decoder, id, 0, input, NULL) == OK)
            pixels_of(config, input, rgb + i * bytes);
    }
    struct message message = {.type = MESSAGE_PIXELS};
    message.body.pixels = (struct message_pixels){driver->worker.task.task, config->width,
                                                  config->height, (uint32_t)count};
    struct frame frame = {rgb, count * bytes};
    if (status == OK)
        status = member_send(&driver->member, &message, &frame, 1, err);
    memory_free(rgb);
    memory_free(input);
    return status;
}

static enum status forward(struct driver *driver, const struct worker_action *action,
                           struct error *err)
{
    begin(driver, action->version);
    uint32_t step = (uint32_t)(action->version - driver->worker.task.stage_version);
    return trainer_forward(driver->stage->trainer, action->shard, step, err);
}

/* Of a shard's step. */
static void count_samples(struct driver *driver)
{
    const struct stage_config *config = &driver->member.job->stages[driver->stage->index];
    link_counters(driver->member.link)->samples +=
        (uint64_t)config->micro_batch * config->accumulate * config->domain_count;
}

static enum status backward(struct driver *driver, const struct worker_action *action,
                            struct error *err)
{
    count_samples(driver);
    link_counters(driver->member.link)->trained++;
    return trainer_backward(driver->stage->trainer, action->shard, driver->stage->statistics, err);
}

static enum status turn(struct driver *driver, const struct worker_action *action,
                        struct error *err)
{
    count_samples(driver);
    return stage_turn(driver->stage, action->shard,
                      (uint32_t)(action->version - driver->worker.task.stage_version), err);
}

static enum status say_ready(struct driver *driver, struct error *err)
{
    struct message ready = {.type = MESSAGE_READY};
    ready.body.ready = (struct message_ready){driver->manifest->digest, driver->model->digest};
    return member_send(&driver->member, &ready, NULL, 0, err);
}

static enum status perform(struct driver *driver, const struct worker_action *action,
                           struct error *err)
{
    struct outbox outbox = {driver, send_to_server};
    struct push_route route = route_of(driver);
    switch (action->kind) {
    case ACTION_WAIT:
        return OK;
    case ACTION_READY:
        return say_ready(driver, err);
    case ACTION_PULL:
        pull(driver);
        return OK;
    case ACTION_PREPARE:
        return prepare(driver, action->shard, err);
    case ACTION_PREDICT:
        return predict(driver, action, err);
    case ACTION_SHOW:
        return show(driver, err);
    case ACTION_FORWARD:
        return forward(driver, action, err);
    case ACTION_BACKWARD:
        return backward(driver, action, err);
    case ACTION_PUSH_STATISTICS:
        stage_push(driver->stage, false, &route, action->version, outbox);
        return OK;
    case ACTION_TURN:
        return turn(driver, action, err);
    case ACTION_PUSH_TURN:
        stage_push_turn(driver->stage, &route,
                        (uint32_t)(action->version - driver->worker.task.stage_version), outbox);
        return OK;
    case ACTION_PUSH_GRADIENTS:
        stage_push(driver->stage, true, &route, action->version, outbox);
        return OK;
    }
    return OK;
}

/* With a clock on what training takes: the coordinator deals shards by it. */
static enum status perform_timed(struct driver *driver, const struct worker_action *action,
                                 struct error *err)
{
    bool trains = action->kind == ACTION_FORWARD || action->kind == ACTION_BACKWARD;
    double begun = clock_seconds();
    enum status status = perform(driver, action, err);
    if (trains)
        link_counters(driver->member.link)->busy_us += (uint64_t)((clock_seconds() - begun) * 1e6);
    return status;
}

static struct worker_action next(struct driver *driver)
{
    const struct stage *stage = driver->stage;
    uint64_t version = driver->worker.version;
    bool complete = stage != NULL && stage->statistics != NULL &&
                    statistics_complete(stage->statistics, version);
    return worker_next(&driver->worker, clock_ms(),
                       stage != NULL ? stage_latest(stage, &driver->worker.task, version) : 0,
                       complete);
}

static void wait(struct driver *driver)
{
    struct channel *channels[LINES_MAX + 1] = {link_channel(driver->member.link)};
    memcpy(channels + 1, driver->servers.channels,
           driver->servers.count * sizeof *driver->servers.channels);
    channel_wait(channels, driver->servers.count + 1, WAIT_MS);
}

static enum status work(struct driver *driver, struct error *err)
{
    enum status status = OK;
    while (status == OK && !driver->stop) {
        status = drain_coordinator(driver, err);
        for (size_t i = 0; i < driver->servers.count; i++)
            drain_server(driver, driver->servers.channels[i]);
        if (status != OK || driver->stop)
            break;
        struct worker_action action = next(driver);
        if (action.kind == ACTION_WAIT)
            wait(driver);
        else
            status = perform_timed(driver, &action, err);
    }
    return status;
}

/* ---- start and end ---- */

static enum status plan_memory(struct driver *driver, struct error *err)
{
    const struct job *job = driver->member.job;
    struct memory_plan plan;
    for (size_t i = 0; i < JOB_STAGES_MAX; i++)
        driver->activations_max[i] = SIZE_MAX;
    memory_trim();
    if (job->cluster.memory_limit == 0)
        return OK;
    enum status status =
        memory_plan_make(job, driver->manifest, driver->model, job->cluster.servers, &plan, err);
    memcpy(driver->activations_max, plan.activations_max, sizeof driver->activations_max);
    return status;
}

static enum status open_job(struct driver *driver, struct error *err)
{
    const struct job *job = driver->member.job;
    enum status status = manifest_build(job, MANIFEST_WORKER, &driver->manifest, err);
    if (status == OK)
        status = model_open(&job->model, &job->data.preprocess, job->data.class_count,
                            &driver->model, err);
    if (status == OK)
        status = trunk_supports(job->model.trunk_dtype, trunk_isa(), err);
    if (status == OK)
        status = plan_memory(driver, err);
    if (status == OK)
        status = decoder_open(job, driver->manifest, driver->model, &driver->decoder, err);
    if (status != OK)
        return status;
    worker_init(&driver->worker, job->cluster.shards);
    omp_set_num_threads((int)job->cluster.threads);
    openblas_set_num_threads(1); /* whatever the environment says: the bits depend on it */
    return OK;
}

static enum status run(struct driver *driver, const struct member_options *options,
                       struct error *err)
{
    enum status status = member_open(&driver->member, options, ROLE_WORKER, err);
    driver->servers =
        (struct lines){.context = driver->member.context, .identity = driver->member.incarnation};
    if (status == OK)
        status = member_join(&driver->member, options->coordinator, ROLE_WORKER, "", err);
    if (status == OK)
        status = open_job(driver, err);
    if (status == OK)
        status = work(driver, err);
    return status;
}

static void close_driver(struct driver *driver)
{
    for (size_t i = 0; i < JOB_STAGES_MAX; i++)
        stage_close(&driver->stages[i]);
    lines_close(&driver->servers);
    worker_deinit(&driver->worker);
    decoder_close(&driver->decoder);
    model_destroy(&driver->model);
    manifest_destroy(&driver->manifest);
    memory_free(driver->partitions);
    memory_free(driver->owners);
    member_close(&driver->member);
    memory_free(driver);
}

int main(int argc, char **argv)
{
    struct member_options options;
    struct error err = {0};
    platform_prepare(argv);
    memory_prepare();
    if (argc > 1 && strcmp(argv[1], "--memory") == 0)
        return memory_plan_main(argc, argv);
    signal(SIGINT,
           SIG_IGN); /* Ctrl-C reaches the whole group; the coordinator decides and tells us */
    enum status status = member_options_read(argc, argv, "graft-worker", &options, &err);
    if (status == OK)
        status = log_open(options.log, "worker", LOG_INFO, &err);
    struct driver *driver = status == OK ? memory_alloc(1, sizeof *driver) : NULL;
    if (status == OK && driver == NULL)
        status = error_set(&err, ERR_MEMORY, "no memory");
    if (status == OK)
        status = run(driver, &options, &err);
    if (status != OK) {
        fprintf(stderr, "graft-worker: %s\n", err.text);
        if (driver != NULL)
            member_fail(&driver->member, &err);
    }
    if (status == OK) {
        log_event(LOG_INFO, "memory", "peak=%zu", memory_peak());
        log_event(LOG_INFO, "pushed", "bytes=%llu", (unsigned long long)driver->pushed);
    }
    uint32_t again_seconds = status == OK && driver != NULL ? driver->member.again_seconds : 0;
    if (driver != NULL)
        close_driver(driver);
    if (again_seconds > 0)
        member_again(again_seconds, argv);
    return status == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
