/* A whole cluster in one process, without sockets, clocks or threads: the real controller, servers
 * and worker cores, and between each pair of them a queue that keeps its order. Which queue is
 * delivered next, and which worker acts next, is drawn from a seed; every message goes through the
 * real codec. Members may die, freeze, join late; pushes may come twice. A failing run prints its
 * seed. */
#ifndef GRAFT_TESTS_UNIT_SIM_FIXTURE_H
#define GRAFT_TESTS_UNIT_SIM_FIXTURE_H

#include "common/base/random.h"
#include "common/data/shard.h"
#include "common/wire/codec.h"
#include "coordinator/job/controller.h"
#include "paramserver/server.h"
#include "tests/unit/data_fixture.h"
#include "worker/stage.h"
#include "worker/worker.h"

#define SIM_MEMBERS 10 /* number 0 is the coordinator */
#define SIM_IDENTITY 1000u
#define SIM_STRANGER 7777u
#define SIM_EPOCHS 16
#define SIM_EVENTS_MAX 60000
#define SIM_NEVER UINT64_MAX

struct sim_letter {
    struct sim_letter *next;
    struct frame *frames;
    size_t frame_count;
    uint8_t *header;
    size_t header_bytes;
};

struct sim_queue {
    struct sim_letter *first, *last;
};

struct sim_worker {
    struct worker core;
    uint32_t number, view, generation;
    struct stage *stages[JOB_STAGES_MAX], *stage;
    struct link_progress progress;
    uint64_t servers[SIM_MEMBERS], positions[SIM_MEMBERS];
    size_t server_count;
    uint32_t *owners;
    bool begun, idle;
    uint64_t begun_version;
};

struct sim_member {
    struct sim *sim;
    enum member_role role;
    uint64_t identity;
    bool running;
    bool deaf; /* does not obey STOP: a process that hangs and comes back */
    struct server *server;
    struct sim_worker *worker;
};

/* What is asked of a run. Events are numbered from 0. */
struct sim_plan {
    uint64_t seed;
    uint32_t workers, servers;
    uint64_t kill_worker_at, kill_server_at, freeze_worker_at, join_worker_at; /* SIM_NEVER: no */
    bool doubled;   /* every push twice, and once more after the next one */
    bool strangers; /* poisoned pushes and snapshots from nobody */
};

/* What must not depend on the cluster. */
struct sim_result {
    struct digest epochs[SIM_EPOCHS];
    size_t epoch_count;
    struct digest outcome;
    uint64_t events;
    uint64_t duplicates, fenced, broken;
    uint32_t views;
};

/* What the runs of a test have in common. */
struct sim_world {
    struct job *job;
    struct manifest *manifest, *blind; /* the coordinator's, and the workers' without labels */
    struct model *model;
    struct decoder *decoder;
};

struct sim {
    const struct sim_world *world;
    struct sim_plan plan;
    struct sim_result result;
    struct codec *codec;
    struct controller *controller;
    struct sim_member members[SIM_MEMBERS];
    size_t member_count;
    struct sim_queue queues[SIM_MEMBERS][SIM_MEMBERS]; /* [from][to] */
    struct sim_letter *held[SIM_MEMBERS][SIM_MEMBERS]; /* an old push that comes once more */
    size_t obituaries[SIM_MEMBERS]; /* members whose end the coordinator is yet to hear of */
    size_t obituary_count;
    int64_t now_ms;
    uint32_t draws;
};


static void sim_fail(const struct sim *sim, const char *why)
{
    const struct sim_plan *plan = &sim->plan;
    fail_msg("%s (seed %llu, %u workers, %u servers, event %llu; kill worker %lld server %lld "
             "freeze %lld join %lld)",
             why, (unsigned long long)plan->seed, plan->workers, plan->servers,
             (unsigned long long)sim->result.events, (long long)plan->kill_worker_at,
             (long long)plan->kill_server_at, (long long)plan->freeze_worker_at,
             (long long)plan->join_worker_at);
}

static void sim_check(const struct sim *sim, enum status status, const struct error *err)
{
    if (status != OK)
        sim_fail(sim, err->text);
}

static uint32_t sim_draw(struct sim *sim, uint32_t below)
{
    struct random_key key = {.seed = sim->plan.seed, .purpose = RANDOM_SHUFFLE};
    return (uint32_t)(random_bits(key, sim->draws++) % below);
}

/* ---- letters ---- */

static void sim_post(struct sim *sim, size_t from, size_t to, struct sim_letter *letter)
{
    struct sim_queue *queue = &sim->queues[from][to];
    letter->next = NULL;
    if (queue->first == NULL)
        queue->first = letter;
    else
        queue->last->next = letter;
    queue->last = letter;
}

static struct sim_letter *sim_letter_make(const uint8_t *header, size_t header_bytes,
                                          const struct frame *frames, size_t frame_count)
{
    struct sim_letter *letter = calloc(1, sizeof *letter);
    assert_non_null(letter);
    letter->header = malloc(header_bytes);
    memcpy(letter->header, header, header_bytes);
    letter->header_bytes = header_bytes;
    letter->frames = calloc(frame_count + 1, sizeof *letter->frames);
    letter->frame_count = frame_count;
    for (size_t i = 0; i < frame_count; i++) {
        void *copy = malloc(frames[i].bytes + 1);
        if (frames[i].bytes > 0)
            memcpy(copy, frames[i].data, frames[i].bytes);
        letter->frames[i] = (struct frame){copy, frames[i].bytes};
    }
    return letter;
}

static struct sim_letter *sim_letter_copy(const struct sim_letter *letter)
{
    return sim_letter_make(letter->header, letter->header_bytes, letter->frames,
                           letter->frame_count);
}

static void sim_letter_free(struct sim_letter *letter)
{
    if (letter == NULL)
        return;
    for (size_t i = 0; i < letter->frame_count; i++)
        free((void *)(uintptr_t)letter->frames[i].data);
    free(letter->frames);
    free(letter->header);
    free(letter);
}

/* A dead process's last messages may be lost, but never out of order. */
static void sim_cut_queue(struct sim_queue *queue, uint32_t keep)
{
    struct sim_letter **at = &queue->first, *last = NULL;
    for (; *at != NULL && keep > 0; keep--) {
        last = *at;
        at = &last->next;
    }
    struct sim_letter *gone = *at;
    *at = NULL;
    queue->last = last;
    while (gone != NULL) {
        struct sim_letter *next = gone->next;
        sim_letter_free(gone);
        gone = next;
    }
}

static size_t sim_number(uint64_t peer)
{
    return peer == PEER_COORDINATOR ? 0 : (size_t)(peer - SIM_IDENTITY);
}

static void sim_send_double(struct sim *sim, size_t from, size_t to,
                            const struct sim_letter *letter)
{
    sim_post(sim, from, to, sim_letter_copy(letter));
    if (sim->held[from][to] != NULL)
        sim_post(sim, from, to, sim->held[from][to]);
    sim->held[from][to] = sim_letter_copy(letter);
}

static void sim_send(void *driver, uint64_t peer, struct message *message,
                     const struct frame *payloads, size_t count)
{
    struct sim_member *member = driver;
    struct sim *sim = member->sim;
    size_t from = (size_t)(member - sim->members), to = sim_number(peer);
    size_t sizes[WIRE_FRAMES_MAX], header_bytes;
    const uint8_t *header;
    struct error err;
    if (peer == SIM_STRANGER)
        return;
    assert_true(to < sim->member_count);
    message->run = 1;
    message->sender = member->identity;
    for (size_t i = 0; i < count; i++)
        sizes[i] = payloads[i].bytes;
    sim_check(sim, codec_encode(sim->codec, message, sizes, count, &header, &header_bytes, &err),
              &err);
    struct sim_letter *letter = sim_letter_make(header, header_bytes, payloads, count);
    sim_post(sim, from, to, letter);
    if (sim->plan.doubled && message->type == MESSAGE_PUSH)
        sim_send_double(sim, from, to, letter);
}

/* ---- a worker, as worker/main.c drives it ---- */

static void sim_to_server(void *driver, uint64_t position, struct message *message,
                          const struct frame *payloads, size_t count)
{
    struct sim_member *member = driver;
    message->view = member->worker->view;
    message->generation = member->worker->generation;
    assert_true(position < member->worker->server_count);
    sim_send(member, member->worker->servers[position], message, payloads, count);
}

static void sim_worker_view(struct sim_worker *worker, const struct message *message)
{
    const struct message_view *view = &message->body.view;
    worker->view = message->view;
    worker_take_view(&worker->core, view, worker->number);
    worker->server_count = view->server_count;
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
    worker->owners = calloc(task->owner_count, sizeof *worker->owners);
    memcpy(worker->owners, task->owners, task->owner_count * sizeof *worker->owners);
}

static void sim_worker_task(struct sim_member *member, const struct message *message,
                            const struct frame *payloads, size_t count)
{
    struct sim *sim = member->sim;
    const struct sim_world *world = sim->world;
    struct sim_worker *worker = member->worker;
    const struct message_task *task = &message->body.task;
    struct error err;
    if (worker->stages[task->stage] == NULL)
        sim_check(sim,
                  stage_open(world->job, world->model, world->blind, task->stage, world->decoder,
                             &worker->progress, &worker->stages[task->stage], &err),
                  &err);
    worker->stage = worker->stages[task->stage];
    sim_worker_owners(member, task);
    if (task->kind == TASK_TRAIN && count == 1)
        sim_check(sim,
                  trainer_pseudo_labels(worker->stage->trainer, payloads[0].data,
                                        payloads[0].bytes, &err),
                  &err);
    bool anew = message->generation != worker->generation;
    if (anew)
        sim_check(sim, stage_forget(worker->stage, &err), &err);
    worker->generation = message->generation;
    worker->begun = false;
    worker_take_task(&worker->core, task, worker->stage->statistics != NULL);
    for (size_t i = 0; anew && i < worker->server_count; i++) {
        struct message pull = {.type = MESSAGE_PULL};
        sim_to_server(member, i, &pull, NULL, 0);
    }
}

static void sim_worker_ready(struct sim_member *member, const struct message *welcome)
{
    const struct sim_world *world = member->sim->world;
    struct message ready = {.type = MESSAGE_READY};
    member->worker->number = welcome->body.welcome.member;
    ready.body.ready = (struct message_ready){world->blind->digest, world->model->digest};
    sim_send(member, PEER_COORDINATOR, &ready, NULL, 0);
}

static void sim_worker_published(struct sim_worker *worker, const struct message *message,
                                 const struct frame *payloads)
{
    const struct message_weights *weights = &message->body.weights;
    const struct message_statistics *sums = &message->body.statistics;
    if (message->generation != worker->generation || worker->stage == NULL)
        return;
    if (message->type == MESSAGE_WEIGHTS)
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
        sim_worker_ready(member, message);
        break;
    case MESSAGE_VIEW:
        sim_worker_view(member->worker, message);
        break;
    case MESSAGE_TASK:
        sim_worker_task(member, message, payloads, count);
        break;
    case MESSAGE_WEIGHTS:
    case MESSAGE_STATISTICS:
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
    trainer_begin_step(worker->stage->trainer, weights_live(worker->stage->weights, version));
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
    struct message message = {.type = MESSAGE_PREDICTED, .generation = worker->generation};
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

static void sim_worker_push(struct sim_member *member, bool gradients, uint64_t version)
{
    struct sim_worker *worker = member->worker;
    struct push_route route = {worker->owners, worker->positions, worker->server_count};
    stage_push(worker->stage, gradients, &route, version,
               (struct outbox){member, sim_to_server});
}

static void sim_worker_act(struct sim_member *member)
{
    struct sim_worker *worker = member->worker;
    const struct stage *stage = worker->stage;
    struct error err;
    struct worker_action action = {.kind = ACTION_WAIT};
    if (stage != NULL)
        action =
            worker_next(&worker->core, weights_latest(stage->weights),
                        stage->statistics != NULL &&
                            statistics_complete(stage->statistics, worker->core.version));
    switch (action.kind) {
    case ACTION_WAIT:
        worker->idle = true;
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
        trainer_backward(stage->trainer, action.shard, stage->statistics);
        break;
    case ACTION_PUSH_STATISTICS:
    case ACTION_PUSH_GRADIENTS:
        sim_worker_push(member, action.kind == ACTION_PUSH_GRADIENTS, action.version);
        break;
    }
}

/* ---- members ---- */

static void sim_hello(struct sim_member *member)
{
    struct message message = {.type = MESSAGE_HELLO};
    message.body.hello.role = member->role;
    message.body.hello.pid = member->identity;
    sim_send(member, PEER_COORDINATOR, &message, NULL, 0);
}

static struct sim_member *sim_join(struct sim *sim, enum member_role role)
{
    assert_true(sim->member_count < SIM_MEMBERS);
    struct sim_member *member = &sim->members[sim->member_count];
    struct error err;
    *member = (struct sim_member){.sim = sim,
                                  .role = role,
                                  .identity = role == ROLE_COORDINATOR
                                                  ? PEER_COORDINATOR
                                                  : SIM_IDENTITY + sim->member_count,
                                  .running = true};
    sim->member_count++;
    if (role == ROLE_SERVER)
        sim_check(sim,
                  server_create(sim->world->job, (struct outbox){member, sim_send},
                                &member->server, &err),
                  &err);
    if (role == ROLE_WORKER) {
        member->worker = calloc(1, sizeof *member->worker);
        worker_init(&member->worker->core, sim->world->job->cluster.shards);
    }
    if (role != ROLE_COORDINATOR)
        sim_hello(member);
    return member;
}

static void sim_close_member(struct sim_member *member)
{
    if (member->server != NULL) {
        struct server_counters counters = server_counters(member->server);
        member->sim->result.duplicates += counters.duplicates;
        member->sim->result.fenced += counters.fenced;
        member->sim->result.broken += counters.broken;
    }
    server_destroy(&member->server);
    for (size_t i = 0; member->worker != NULL && i < JOB_STAGES_MAX; i++)
        stage_close(&member->worker->stages[i]);
    if (member->worker != NULL)
        free(member->worker->owners);
    free(member->worker);
    member->worker = NULL;
}

/* The n-th running member of a role; 0 when there are fewer than two (somebody must be left). */
static size_t sim_victim(struct sim *sim, enum member_role role)
{
    size_t list[SIM_MEMBERS], count = 0;
    for (size_t i = 1; i < sim->member_count; i++)
        if (sim->members[i].running && sim->members[i].role == role)
            list[count++] = i;
    return count >= 2 ? list[sim_draw(sim, (uint32_t)count)] : 0;
}

static void sim_kill(struct sim *sim, enum member_role role)
{
    size_t victim = sim_victim(sim, role);
    if (victim == 0)
        return;
    sim->members[victim].running = false;
    sim->obituaries[sim->obituary_count++] = victim;
    for (size_t to = 0; to < sim->member_count; to++)
        if (sim_draw(sim, 2) == 0)
            sim_cut_queue(&sim->queues[victim][to], sim_draw(sim, 4));
}

/* A worker hangs for so long that it is declared dead, and then goes on as if nothing had been. */
static void sim_freeze(struct sim *sim)
{
    struct error err;
    size_t victim = sim_victim(sim, ROLE_WORKER);
    struct message beat = {.type = MESSAGE_HEARTBEAT};
    if (victim == 0)
        return;
    sim->members[victim].deaf = true;
    sim->now_ms += sim->world->job->cluster.death_ms + 1;
    for (size_t i = 1; i < sim->member_count; i++)
        if (i != victim && sim->members[i].running)
            sim_check(sim,
                      controller_handle(sim->controller, sim->now_ms, sim->members[i].identity,
                                        &beat, NULL, 0, &err),
                      &err);
    sim_check(sim, controller_tick(sim->controller, sim->now_ms, &err), &err);
}

/* A push that would ruin the weights and a snapshot that would ruin the values, from nobody. */
static void sim_strangers(struct sim *sim)
{
    struct error err;
    float poison[64];
    struct push_entry entry = {.block = sim_draw(sim, 4), .domain = 0, .count = 1};
    struct frame frame = {poison, sizeof poison};
    for (size_t i = 0; i < 64; i++)
        poison[i] = 1e30f;
    for (size_t i = 1; i < sim->member_count; i++) {
        struct message push = {.type = MESSAGE_PUSH, .sender = SIM_STRANGER, .generation = 1};
        push.body.push = (struct message_push){
            .version = 1 + sim_draw(sim, 20), .entries = &entry, .entry_count = 1};
        if (sim->members[i].server != NULL)
            sim_check(sim,
                      server_handle(sim->members[i].server, SIM_STRANGER, &push, &frame, 1, &err),
                      &err);
    }
    struct snapshot_block block = {.block = 0};
    struct message snapshot = {.type = MESSAGE_SNAPSHOT, .generation = 1};
    snapshot.body.snapshot = (struct message_snapshot){
        .version = 1 + sim_draw(sim, 20), .parts = 1, .blocks = &block, .block_count = 1};
    sim_check(sim,
              controller_handle(sim->controller, sim->now_ms, SIM_STRANGER, &snapshot, &frame, 1,
                                &err),
              &err);
}

/* ---- the controller's ports ---- */

static enum status sim_keep_epoch(void *driver, const struct values *values,
                                  const struct epoch_report *report, struct error *err)
{
    struct sim_member *member = driver;
    struct sim_result *result = &member->sim->result;
    struct digest_stream stream;
    size_t bytes = values->plan->live_elements * sizeof(float);
    (void)err;
    assert_true(result->epoch_count < SIM_EPOCHS);
    digest_init(&stream);
    digest_add_u64(&stream, values->stage);
    digest_add_u64(&stream, values->epoch);
    digest_add_u64(&stream, values->stage_step);
    digest_add(&stream, values->live, bytes);
    for (size_t i = 0; i < values->state_count; i++)
        digest_add(&stream, values->states[i], bytes);
    digest_add_u64(&stream, report->step);
    digest_add(&stream, &report->source_validation, sizeof report->source_validation);
    digest_add(&stream, &report->information, sizeof report->information);
    digest_add(&stream, &report->score, sizeof report->score);
    digest_add(&stream, &report->pseudo_share, sizeof report->pseudo_share);
    digest_add(&stream, report->terms, sizeof report->terms);
    result->epochs[result->epoch_count++] = digest_end(&stream);
    return OK;
}

static void sim_note_event(void *driver, const char *kind, const char *text)
{
    (void)driver, (void)kind, (void)text;
}

static void sim_note_member(void *driver, const struct cluster_member *member)
{
    (void)driver, (void)member;
}

static void sim_note_unreadable(void *driver, uint32_t sample)
{
    struct sim_member *member = driver;
    (void)sample;
    sim_fail(member->sim, "a sample could not be read");
}

/* ---- running ---- */

static void sim_deliver(struct sim *sim, size_t from, size_t to)
{
    struct sim_queue *queue = &sim->queues[from][to];
    struct sim_letter *letter = queue->first;
    struct sim_member *member = &sim->members[to];
    struct message message;
    size_t sizes[WIRE_FRAMES_MAX], count;
    struct error err;
    queue->first = letter->next;
    uint64_t peer = sim->members[from].identity;
    if (member->running) {
        sim_check(sim,
                  codec_decode(sim->codec, letter->header, letter->header_bytes, &message, sizes,
                               &count, &err),
                  &err);
        assert_int_equal(count, letter->frame_count);
        if (to == 0)
            sim_check(sim,
                      controller_handle(sim->controller, sim->now_ms, peer, &message,
                                        letter->frames, count, &err),
                      &err);
        else if (message.type == MESSAGE_STOP)
            member->running = member->deaf;
        else if (member->role == ROLE_WORKER)
            sim_worker_handle(member, &message, letter->frames, count);
        else if (message.type == MESSAGE_WELCOME)
            sim_send(member, PEER_COORDINATOR, &(struct message){.type = MESSAGE_READY}, NULL, 0);
        else
            sim_check(sim, server_handle(member->server, peer, &message, letter->frames, count, &err),
                      &err);
    }
    sim_letter_free(letter);
}

/* Everything that could happen next; `from == to` stands for a worker's own action, (0, 0) for the
 * obituary. */
struct sim_choice {
    size_t from, to;
};

static size_t sim_choices(const struct sim *sim, struct sim_choice *out)
{
    size_t count = 0;
    for (size_t from = 0; from < sim->member_count; from++)
        for (size_t to = 0; to < sim->member_count; to++)
            if (sim->queues[from][to].first != NULL)
                out[count++] = (struct sim_choice){from, to};
    for (size_t i = 1; i < sim->member_count; i++)
        if (sim->members[i].running && sim->members[i].role == ROLE_WORKER &&
            !sim->members[i].worker->idle)
            out[count++] = (struct sim_choice){i, i};
    if (sim->obituary_count > 0)
        out[count++] = (struct sim_choice){0, 0};
    return count;
}

static void sim_faults(struct sim *sim)
{
    uint64_t event = sim->result.events;
    if (event == sim->plan.kill_worker_at)
        sim_kill(sim, ROLE_WORKER);
    if (event == sim->plan.kill_server_at)
        sim_kill(sim, ROLE_SERVER);
    if (event == sim->plan.freeze_worker_at)
        sim_freeze(sim);
    if (event == sim->plan.join_worker_at)
        sim_join(sim, ROLE_WORKER);
    if (sim->plan.strangers && event % 50 == 0)
        sim_strangers(sim);
}

/* False when nothing can happen any more. */
static bool sim_step(struct sim *sim)
{
    struct sim_choice choices[SIM_MEMBERS * SIM_MEMBERS + SIM_MEMBERS + 1];
    struct error err;
    if (controller_look(sim->controller).view > 0)
        sim_faults(sim);
    size_t count = sim_choices(sim, choices);
    if (count == 0)
        return false;
    struct sim_choice choice = choices[sim_draw(sim, (uint32_t)count)];
    sim->now_ms++;
    if (choice.from != choice.to)
        sim_deliver(sim, choice.from, choice.to);
    else if (choice.from != 0)
        sim_worker_act(&sim->members[choice.from]);
    else {
        uint64_t pid = sim->members[sim->obituaries[--sim->obituary_count]].identity;
        sim_check(sim, controller_process_ended(sim->controller, sim->now_ms, pid, &err), &err);
    }
    if (controller_look(sim->controller).view > 0)
        sim->result.events++;
    return true;
}

static void sim_record(struct sim *sim)
{
    struct controller_outcome outcome = controller_outcome(sim->controller);
    struct digest_stream stream;
    const struct predictions *const tables[] = {outcome.adapted, outcome.source_only};
    const struct values *const values[] = {outcome.first, outcome.last};
    digest_init(&stream);
    for (int i = 0; i < 2; i++) {
        digest_add(&stream, tables[i]->logits,
                   tables[i]->count * tables[i]->classes * sizeof(float));
        digest_add(&stream, values[i]->live, values[i]->plan->live_elements * sizeof(float));
    }
    digest_add(&stream, outcome.selected, sizeof outcome.selected);
    digest_add(&stream, outcome.selected_score, sizeof outcome.selected_score);
    digest_add(&stream, outcome.shown, outcome.shown_count * sizeof *outcome.shown);
    sim->result.outcome = digest_end(&stream);
    sim->result.views = controller_look(sim->controller).view;
}

static void sim_open(struct sim *sim, const struct sim_world *world, const struct sim_plan *plan)
{
    struct error err;
    sim->world = world;
    sim->plan = *plan;
    world->job->cluster.workers = plan->workers;
    world->job->cluster.servers = plan->servers;
    sim_check(sim, codec_create(&sim->codec, &err), &err);
    struct sim_member *coordinator = sim_join(sim, ROLE_COORDINATOR);
    struct controller_ports ports = {.driver = coordinator,
                                     .outbox = {coordinator, sim_send},
                                     .keep_epoch = sim_keep_epoch,
                                     .event = sim_note_event,
                                     .member = sim_note_member,
                                     .unreadable = sim_note_unreadable};
    sim_check(sim,
              controller_create(world->job, world->manifest, world->model, ports, sim->now_ms,
                                &sim->controller, &err),
              &err);
    for (uint32_t i = 0; i < plan->servers; i++)
        sim_join(sim, ROLE_SERVER);
    for (uint32_t i = 0; i < plan->workers; i++)
        sim_join(sim, ROLE_WORKER);
}

static void sim_close(struct sim *sim)
{
    for (size_t i = 0; i < sim->member_count; i++)
        sim_close_member(&sim->members[i]);
    for (size_t from = 0; from < SIM_MEMBERS; from++)
        for (size_t to = 0; to < SIM_MEMBERS; to++) {
            sim_cut_queue(&sim->queues[from][to], 0);
            sim_letter_free(sim->held[from][to]);
        }
    controller_destroy(&sim->controller);
    codec_destroy(&sim->codec);
}

/* Runs a job to its end. */
static struct sim_result sim_run(const struct sim_world *world, const struct sim_plan *plan)
{
    struct sim *sim = calloc(1, sizeof *sim);
    assert_non_null(sim);
    sim_open(sim, world, plan);
    while (controller_look(sim->controller).phase != PHASE_DONE) {
        if (!sim_step(sim))
            sim_fail(sim, "the cluster waits for ever");
        if (sim->result.events > SIM_EVENTS_MAX)
            sim_fail(sim, "the job does not end");
    }
    sim_record(sim);
    sim_close(sim);
    struct sim_result result = sim->result;
    free(sim);
    return result;
}

#endif
