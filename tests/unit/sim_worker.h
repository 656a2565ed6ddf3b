/* A simulated worker: the real core, stage and trainer, driven as worker/main.c drives them. For
 * sim_fixture.h. */
#ifndef GRAFT_TESTS_UNIT_SIM_WORKER_H
#define GRAFT_TESTS_UNIT_SIM_WORKER_H

#include "tests/unit/sim_letters.h"

static void sim_to_server(void *driver, uint64_t position, struct message *message,
                          const struct frame *payloads, size_t count)
{
    struct sim_member *member = driver;
    message->view = member->worker->core.view;
    message->generation = member->worker->core.generation;
    assert_true(position < member->worker->server_count);
    sim_send(member, member->worker->servers[position], message, payloads, count);
}

static void sim_worker_view(struct sim_worker *worker, const struct message *message)
{
    const struct message_view *view = &message->body.view;
    if (!worker_take_view(&worker->core, view, message->view, worker->number))
        return;
    worker->server_count = view->server_count;
    for (size_t i = 0; i < view->partition_count; i++)
        worker->primaries[i] = view->partitions[i].primary;
    for (size_t i = 0; i < view->server_count; i++) {
        worker->servers[i] = view->servers[i].incarnation;
        worker->positions[i] = i;
    }
}

static void sim_worker_owners(struct sim_member *member, const struct message_task *task)
{
    struct sim_worker *worker = member->worker;
    if (task->kind == TASK_PREPARE || task->kind == TASK_SHOW)
        return;
    assert_int_equal(task->owner_count, worker->stage->layout.block_count);
    free(worker->owners);
    free(worker->partitions);
    worker->owners = calloc(task->owner_count, sizeof *worker->owners);
    worker->partitions = calloc(task->owner_count, sizeof *worker->partitions);
    memcpy(worker->partitions, task->owners, task->owner_count * sizeof *task->owners);
}

static void sim_worker_task(struct sim_member *member, const struct message *message,
                            const struct frame *payloads, size_t count)
{
    struct sim *sim = member->sim;
    const struct sim_world *world = sim->world;
    struct sim_worker *worker = member->worker;
    const struct message_task *task = &message->body.task;
    struct error err;
    if (worker_weigh_task(&worker->core, message) != WORKER_TASK_NEW)
        return;
    if (worker->stages[task->stage] == NULL)
        sim_check(sim,
                  stage_open(world->job, world->worker_model, world->blind, task->stage,
                             world->decoder, &worker->progress, SIZE_MAX,
                             &worker->stages[task->stage], &err),
                  &err);
    worker->stage = worker->stages[task->stage];
    sim_worker_owners(member, task);
    if (task->kind == TASK_TRAIN && count == 1)
        sim_check(sim,
                  trainer_pseudo_labels(worker->stage->trainer, payloads[0].data, payloads[0].bytes,
                                        &err),
                  &err);
    if (task->kind == TASK_TRAIN)
        trainer_begin_epoch(worker->stage->trainer);
    if (message->generation != worker->core.generation)
        sim_check(sim, stage_forget(worker->stage, &err), &err);
    worker->begun = false;
    worker_take_task(&worker->core, message, worker->stage->statistics != NULL);
    const struct stage_config *config = &world->job->stages[task->stage];
    if (config->mode != MODE_BSP && (task->kind == TASK_TRAIN || task->kind == TASK_PREDICT))
        sim_check(sim,
                  worker_take_pace(&worker->core,
                                   config->mode == MODE_SSP ? config->staleness : PACE_UNBOUNDED,
                                   worker->partitions, task->owner_count, &err),
                  &err);
}

static void sim_worker_pull(struct sim_member *member)
{
    const struct sim_worker *worker = member->worker;
    const struct stage *stage = worker->stage;
    uint64_t latest = stage->fresh == NULL ? weights_latest(stage->weights) : 0;
    for (size_t i = 0; i < worker->server_count; i++) {
        struct message pull = {.type = MESSAGE_PULL};
        pull.body.pull = (struct message_pull){
            latest, stage->statistics != NULL && statistics_complete(stage->statistics, latest)};
        sim_to_server(member, i, &pull, NULL, 0);
    }
}

static void sim_worker_ready(struct sim_member *member)
{
    const struct sim_world *world = member->sim->world;
    struct message ready = {.type = MESSAGE_READY};
    ready.body.ready = (struct message_ready){world->blind->digest, world->worker_model->digest};
    sim_send(member, PEER_COORDINATOR, &ready, NULL, 0);
}

static void sim_worker_published(struct sim_worker *worker, const struct message *message,
                                 const struct frame *payloads)
{
    const struct message_weights *weights = &message->body.weights;
    const struct message_statistics *sums = &message->body.statistics;
    if (message->generation != worker->core.generation || worker->stage == NULL)
        return;
    worker_heard(&worker->core);
    if (message->type == MESSAGE_CLOCKS) {
        const struct message_clocks *clocks = &message->body.clocks;
        stage_take_clocks(worker->stage, clocks, payloads, clocks->block_count);
        worker_take_clocks(&worker->core, clocks);
    } else if (message->type == MESSAGE_WEIGHTS)
        for (size_t i = 0; i < weights->block_count; i++)
            weights_take(worker->stage->weights, weights->version, weights->blocks[i],
                         payloads[i].data, payloads[i].bytes);
    else if (worker->stage->statistics != NULL)
        for (size_t i = 0; i < sums->entry_count; i++)
            statistics_take(worker->stage->statistics, sums->version, sums->entries[i].block,
                            sums->entries[i].domain, sums->entries[i].count, payloads[i].data,
                            payloads[i].bytes);
}

static void sim_worker_handle(struct sim_member *member, const struct message *message,
                              const struct frame *payloads, size_t count)
{
    member->worker->idle = false;
    switch ((uint32_t)message->type) {
    case MESSAGE_WELCOME:
        member->worker->number = message->body.welcome.member;
        break;
    case MESSAGE_VIEW:
        sim_worker_view(member->worker, message);
        break;
    case MESSAGE_TASK:
        sim_worker_task(member, message, payloads, count);
        break;
    case MESSAGE_WANTED:
        if (message->generation == member->worker->core.generation)
            worker_take_wanted(&member->worker->core, &message->body.wanted);
        break;
    case MESSAGE_WEIGHTS:
    case MESSAGE_STATISTICS:
    case MESSAGE_CLOCKS:
        sim_worker_published(member->worker, message, payloads);
        break;
    default:
        sim_fail(member->sim, "a message that is not for a worker");
    }
}

static void sim_worker_begin(struct sim_worker *worker, uint64_t version)
{
    if (worker->begun && worker->begun_version == version)
        return;
    trainer_begin_step(worker->stage->trainer, stage_live(worker->stage, version));
    worker->begun = true;
    worker->begun_version = version;
}

static void sim_worker_prepare(struct sim_member *member, uint32_t shard)
{
    struct sim_worker *worker = member->worker;
    struct message message = {.type = MESSAGE_PREPARED};
    struct error err;
    message.body.prepared = (struct message_prepared){worker->core.task.task, shard, NULL, 0};
    for (size_t i = 0; i < worker->core.task.part_count; i++) {
        struct features_rows rows;
        uint32_t part = worker->core.parts[i];
        sim_check(member->sim,
                  features_get(worker->stage->features, part / SPLIT_COUNT,
                               (enum split)(part % SPLIT_COUNT), shard, &rows, &err),
                  &err);
    }
    sim_send(member, PEER_COORDINATOR, &message, NULL, 0);
}

static void sim_worker_predict(struct sim_member *member, const struct worker_action *action)
{
    const struct sim_world *world = member->sim->world;
    struct sim_worker *worker = member->worker;
    size_t domain = action->part / SPLIT_COUNT, classes = world->job->data.class_count;
    enum split split = (enum split)(action->part % SPLIT_COUNT);
    struct error err;
    size_t count =
        shard_count(world->blind, domain, split, world->job->cluster.shards, action->shard);
    float *logits = calloc(count * classes + 1, sizeof *logits);
    uint8_t *readable = calloc(count + 1, 1);
    sim_worker_begin(worker, action->version);
    sim_check(member->sim,
              trainer_predict(worker->stage->trainer, domain, split, action->shard, logits,
                              readable, &err),
              &err);
    struct message message = {.type = MESSAGE_PREDICTED, .generation = worker->core.generation};
    message.body.predicted = (struct message_predicted){worker->core.task.task, action->shard,
                                                        action->part, (uint32_t)count};
    const struct frame frames[] = {{logits, count * classes * sizeof *logits}, {readable, count}};
    sim_send(member, PEER_COORDINATOR, &message, frames, 2);
    free(logits);
    free(readable);
}

static void sim_worker_show(struct sim_member *member)
{
    const struct preprocess_config *config = &member->sim->world->job->data.preprocess;
    struct message message = {.type = MESSAGE_PIXELS};
    uint32_t count = (uint32_t)member->worker->core.task.part_count;
    size_t bytes = (size_t)config->width * config->height * 3 * count;
    uint8_t *rgb = calloc(bytes, 1);
    const struct frame frame = {rgb, bytes};
    message.body.pixels = (struct message_pixels){member->worker->core.task.task, config->width,
                                                  config->height, count};
    sim_send(member, PEER_COORDINATOR, &message, &frame, 1);
    free(rgb);
}

static struct push_route sim_worker_route(struct sim_worker *worker)
{
    for (size_t i = 0; i < worker->stage->layout.block_count; i++)
        worker->owners[i] = worker->primaries[worker->partitions[i]];
    return (struct push_route){worker->owners, worker->positions, worker->server_count};
}

static void sim_worker_push(struct sim_member *member, bool gradients, uint64_t version)
{
    struct push_route route = sim_worker_route(member->worker);
    stage_push(member->worker->stage, gradients, &route, version,
               (struct outbox){member, sim_to_server});
}

static void sim_worker_push_turn(struct sim_member *member, uint32_t clock)
{
    struct push_route route = sim_worker_route(member->worker);
    stage_push_turn(member->worker->stage, &route, clock, (struct outbox){member, sim_to_server});
}

static void sim_worker_act(struct sim_member *member)
{
    struct sim_worker *worker = member->worker;
    const struct stage *stage = worker->stage;
    struct error err;
    bool complete = stage != NULL && stage->statistics != NULL &&
                    statistics_complete(stage->statistics, worker->core.version);
    struct worker_action action = worker_next(
        &worker->core, member->sim->now_ms,
        stage != NULL ? stage_latest(stage, &worker->core.task, worker->core.version) : 0,
        complete);
    switch (action.kind) {
    case ACTION_WAIT:
        worker->idle = true;
        break;
    case ACTION_READY:
        sim_worker_ready(member);
        break;
    case ACTION_PULL:
        sim_worker_pull(member);
        break;
    case ACTION_PREPARE:
        sim_worker_prepare(member, action.shard);
        break;
    case ACTION_PREDICT:
        sim_worker_predict(member, &action);
        break;
    case ACTION_SHOW:
        sim_worker_show(member);
        break;
    case ACTION_FORWARD:
        sim_worker_begin(worker, action.version);
        sim_check(member->sim,
                  trainer_forward(stage->trainer, action.shard,
                                  (uint32_t)(action.version - worker->core.task.stage_version),
                                  &err),
                  &err);
        break;
    case ACTION_BACKWARD:
        sim_check(member->sim,
                  trainer_backward(stage->trainer, action.shard, stage->statistics, &err), &err);
        break;
    case ACTION_TURN:
        sim_check(member->sim,
                  stage_turn(worker->stage, action.shard,
                             (uint32_t)(action.version - worker->core.task.stage_version), &err),
                  &err);
        break;
    case ACTION_PUSH_TURN:
        sim_worker_push_turn(member, (uint32_t)(action.version - worker->core.task.stage_version));
        break;
    case ACTION_PUSH_STATISTICS:
    case ACTION_PUSH_GRADIENTS:
        sim_worker_push(member, action.kind == ACTION_PUSH_GRADIENTS, action.version);
        break;
    }
}

#endif
