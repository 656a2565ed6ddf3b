/* graft-swarm: many workers in one process that compute nothing. Each is a real one to the coordinator and to the servers: its own
 * state machine (worker/worker.c), identity, control connection with heartbeats, and a connection to every server. What it pushes
 * has the blocks, domains and sizes of the job's gradients, statistics and metrics; the numbers are random and always the same.
 * Weights are counted, not kept; predictions are zeros.
 *
 *   swarm tcp://HOST:PORT COUNT
 *
 * "begin" and "end" are printed at the first and after the last step of a stage, and one line of JSON at the end: what went over
 * the wires while TRAIN tasks were in work. One thread, and ZeroMQ's. */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/platform.h"
#include "common/base/shared.h"
#include "common/data/shard.h"
#include "common/model/layout.h"
#include "common/net/lines.h"
#include "common/tensor/reduction.h"
#include "worker/worker.h"

#define SWARM_MAX 1024
#define CONTEXT_SIMS 50 /* libzmq lets a context have 1023 sockets */
#define HELLO_AGAIN_MS 1000
#define BLOCK_BYTES_MAX ((size_t)1 << 20)

/* What a version of the weights or its statistics still lacks. */
struct collection {
    uint64_t version;
    bool *has;
    size_t missing;
};

struct sim {
    struct worker worker;
    uint64_t incarnation;
    uint32_t number; /* 0: not welcomed yet */
    struct channel *control;
    struct lines servers;
    uint32_t primaries[WIRE_PARTITIONS_MAX];
    uint32_t *partitions; /* of each block */
    struct collection weights[2], statistics;
    struct reduction *tree; /* of one number: which ranges its shards make */
    int64_t said_ms;        /* HELLO or heartbeat */
    uint64_t samples;
    bool stopped;
};

struct traffic {
    uint64_t control_in, control_out, heartbeats_in, heartbeats_out, server_in, server_out,
        pushed_bytes, weight_bytes, versions;
    int64_t first_ms, last_ms;
};

static struct {
    struct sim sims[SWARM_MAX];
    size_t count, stopped;
    struct channel_context *contexts[SWARM_MAX / CONTEXT_SIMS + 1];
    uint64_t run;
    uint32_t heartbeat_ms;
    struct job *job;
    struct manifest *manifest;
    struct model *model;
    struct plan *plans[JOB_STAGES_MAX];
    struct layout layouts[JOB_STAGES_MAX];
    float *gradients; /* shared memory of BLOCK_BYTES_MAX each */
    double *sums;
    struct traffic traffic;
    struct received received;
} swarm;

static void must(enum status status, const struct error *err)
{
    if (status == OK)
        return;
    fprintf(stderr, "swarm: %s\n", err->text);
    exit(EXIT_FAILURE);
}

static void *must_have(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "swarm: no memory\n");
        exit(EXIT_FAILURE);
    }
    return memory;
}

static void make_numbers(void)
{
    uint64_t state = 1;
    swarm.gradients = must_have(shared_alloc(BLOCK_BYTES_MAX, 1));
    swarm.sums = must_have(shared_alloc(BLOCK_BYTES_MAX, 1));
    for (size_t i = 0; i < BLOCK_BYTES_MAX / sizeof *swarm.gradients; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
        swarm.gradients[i] = ((float)(state >> 40) / 16777216.0f - 0.5f) * 1e-3f;
    }
    for (size_t i = 0; i < BLOCK_BYTES_MAX / sizeof *swarm.sums; i++)
        swarm.sums[i] = 0.1 + swarm.gradients[i];
}

static bool training(const struct sim *sim)
{
    return sim->worker.active && sim->worker.task.kind == TASK_TRAIN;
}

/* ---- to the coordinator and the servers ---- */

static void send_on(struct sim *sim, struct channel *channel, struct message *message,
                    const struct frame *frames, size_t count)
{
    struct error err = {0};
    message->run = swarm.run;
    message->sender = sim->incarnation;
    message->view = sim->worker.view;
    message->generation = sim->worker.generation;
    must(channel_send(channel, 0, message, frames, count, &err), &err);
}

static void tell(struct sim *sim, struct message *message, const struct frame *frames, size_t count)
{
    swarm.traffic.control_out += training(sim) && message->type != MESSAGE_HEARTBEAT;
    swarm.traffic.heartbeats_out += training(sim) && message->type == MESSAGE_HEARTBEAT;
    send_on(sim, sim->control, message, frames, count);
}

static void say_hello(struct sim *sim)
{
    struct message message = {.type = MESSAGE_HELLO};
    struct message_hello *hello = &message.body.hello;
    hello->role = ROLE_WORKER;
    hello->pid = (uint64_t)getpid();
    snprintf(hello->host, sizeof hello->host, "swarm");
    platform_text(hello->platform, sizeof hello->platform);
    tell(sim, &message, NULL, 0);
}

static void beat(struct sim *sim)
{
    struct message message = {.type = MESSAGE_HEARTBEAT};
    message.body.heartbeat =
        (struct message_heartbeat){.task = sim->worker.task.task, .samples = sim->samples};
    tell(sim, &message, NULL, 0);
}

static void pull(struct sim *sim, uint64_t latest, bool statistics)
{
    for (size_t i = 0; i < sim->servers.count; i++) {
        struct message message = {.type = MESSAGE_PULL};
        message.body.pull = (struct message_pull){latest, statistics};
        send_on(sim, sim->servers.channels[i], &message, NULL, 0);
    }
}

/* ---- pushes ---- */

struct parcel {
    struct message message;
    struct push_entry entries[WIRE_FRAMES_MAX];
    struct frame frames[WIRE_FRAMES_MAX];
    size_t count, bytes;
};

static void send_parcel(struct sim *sim, size_t server, struct parcel *parcel)
{
    if (parcel->count == 0)
        return;
    parcel->message.body.push.entries = parcel->entries;
    parcel->message.body.push.entry_count = parcel->count;
    swarm.traffic.server_out++;
    swarm.traffic.pushed_bytes += parcel->bytes;
    send_on(sim, sim->servers.channels[server], &parcel->message, parcel->frames, parcel->count);
    parcel->count = parcel->bytes = 0;
}

static struct frame block_frame(size_t stage, size_t block)
{
    const struct layout *layout = &swarm.layouts[stage];
    if (block < layout->parameter_count)
        return (struct frame){swarm.gradients,
                              swarm.plans[stage]->blocks[block].elements * sizeof(float),
                              swarm.gradients};
    size_t elements = block == layout->metric_block
                          ? layout->metric_elements
                          : layout_statistic_size(layout, block - layout->parameter_count);
    return (struct frame){swarm.sums, elements * sizeof(double), swarm.sums};
}

/* The blocks of [first, end) that lie on this server, for one range of shards. */
static void push_range(struct sim *sim, size_t server, const struct reduction_node *node,
                       size_t first, size_t end, uint64_t version)
{
    static struct parcel parcel;
    size_t stage = sim->worker.task.stage, domains = swarm.job->stages[stage].domain_count;
    parcel.message = (struct message){.type = MESSAGE_PUSH};
    parcel.message.body.push = (struct message_push){
        .version = version, .range_first = node->first, .range_log2 = node->log2};
    for (size_t block = first; block < end; block++) {
        if (sim->primaries[sim->partitions[block]] != server)
            continue;
        for (uint32_t domain = 0; domain < domains; domain++) {
            struct frame frame = block_frame(stage, block);
            parcel.entries[parcel.count] =
                (struct push_entry){(uint32_t)block, domain, node->count};
            parcel.frames[parcel.count++] = frame;
            parcel.bytes += frame.bytes;
            if (parcel.count == WIRE_FRAMES_MAX || parcel.bytes >= WIRE_MESSAGE_BYTES_SOFT)
                send_parcel(sim, server, &parcel);
        }
    }
    send_parcel(sim, server, &parcel);
}

static void push(struct sim *sim, size_t first, size_t end, uint64_t version)
{
    struct reduction_node node;
    const float one = 1;
    reduction_reset(sim->tree);
    for (uint32_t s = 0; s < sim->worker.shards; s++)
        if (sim->worker.owned[s])
            CHECK(reduction_add(sim->tree, s, 0, 1, &one) != REDUCTION_REFUSED);
    for (uint32_t at = 0; reduction_next(sim->tree, &at, &node);)
        for (size_t server = 0; server < sim->servers.count; server++)
            push_range(sim, server, &node, first, end, version);
}

/* ---- from the coordinator ---- */

static void open_job(const struct frame *text)
{
    struct error err = {0};
    char *copy = must_have(memory_dup_text(text->data, text->bytes));
    must(job_load(NULL, copy, NULL, 0, &swarm.job, &err), &err);
    memory_free(copy);
    const struct job *job = swarm.job;
    must(manifest_build(job, MANIFEST_WORKER, &swarm.manifest, &err), &err);
    must(model_open(&job->model, &job->data.preprocess, job->data.class_count, &swarm.model, &err),
         &err);
    for (size_t i = 0; i < job->stage_count; i++) {
        must(plan_create(swarm.model, &job->stages[i].live, &swarm.plans[i], &err), &err);
        swarm.layouts[i] = layout_of(swarm.plans[i], &job->stages[i]);
    }
}

static void take_welcome(struct sim *sim)
{
    struct error err = {0};
    const struct message_welcome *welcome = &swarm.received.message.body.welcome;
    if (sim->number != 0)
        return;
    if (swarm.job == NULL)
        open_job(&swarm.received.frames[0]);
    swarm.run = swarm.received.message.run;
    swarm.heartbeat_ms = welcome->heartbeat_ms;
    sim->number = welcome->member;
    worker_init(&sim->worker, swarm.job->cluster.shards);
    must(reduction_create(REDUCTION_F32, swarm.job->cluster.shards, 1, &sim->tree, &err), &err);
}

static void take_view(struct sim *sim)
{
    struct error err = {0};
    const struct message_view *view = &swarm.received.message.body.view;
    if (!worker_take_view(&sim->worker, view, swarm.received.message.view, sim->number))
        return;
    for (size_t i = 0; i < view->partition_count; i++)
        sim->primaries[i] = view->partitions[i].primary;
    must(lines_follow(&sim->servers, view, &err), &err);
}

static void collection_init(struct collection *collection, size_t count)
{
    memory_free(collection->has);
    *collection = (struct collection){
        .has = must_have(memory_alloc(count, sizeof *collection->has)), .missing = count};
}

static void take_task(struct sim *sim)
{
    const struct message *message = &swarm.received.message;
    const struct message_task *task = &message->body.task;
    if (worker_weigh_task(&sim->worker, message) != WORKER_TASK_NEW)
        return;
    const struct layout *layout = &swarm.layouts[task->stage];
    size_t domains = swarm.job->stages[task->stage].domain_count;
    if (task->owner_count > 0) {
        CHECK(task->owner_count == layout->block_count);
        memory_free(sim->partitions);
        sim->partitions = must_have(memory_alloc(task->owner_count, sizeof *sim->partitions));
        memcpy(sim->partitions, task->owners, task->owner_count * sizeof *task->owners);
    }
    if (message->generation != sim->worker.generation) {
        collection_init(&sim->weights[0], layout->parameter_count);
        collection_init(&sim->weights[1], layout->parameter_count);
        collection_init(&sim->statistics, layout->statistic_count * domains);
    }
    if (sim == &swarm.sims[0] && sim->worker.task.kind == TASK_TRAIN)
        puts("end");
    sim->samples = 0;
    worker_take_task(&sim->worker, message, layout->statistic_count > 0);
}

static bool drain_coordinator(struct sim *sim)
{
    bool any = false;
    while (!sim->stopped && channel_receive(sim->control, &swarm.received)) {
        enum message_type type = swarm.received.message.type;
        any = true;
        swarm.traffic.control_in += training(sim) && type != MESSAGE_HEARTBEAT;
        swarm.traffic.heartbeats_in += training(sim) && type == MESSAGE_HEARTBEAT;
        if (type == MESSAGE_WELCOME)
            take_welcome(sim);
        else if (type == MESSAGE_VIEW)
            take_view(sim);
        else if (type == MESSAGE_TASK)
            take_task(sim);
        else if (type == MESSAGE_STOP || type == MESSAGE_REFUSE) {
            sim->stopped = true;
            swarm.stopped++;
            if (swarm.stopped == 1)
                fprintf(stderr, "swarm: stopped: %s\n", swarm.received.message.body.reason.text);
        }
    }
    return any;
}

/* ---- from the servers ---- */

static void collect(struct collection *collection, uint64_t version, size_t i, size_t count)
{
    if (version < collection->version || i >= count)
        return;
    if (version > collection->version) {
        memset(collection->has, 0, count * sizeof *collection->has);
        collection->missing = count;
        collection->version = version;
    }
    collection->missing -= !collection->has[i];
    collection->has[i] = true;
}

static void take_data(struct sim *sim)
{
    const struct message *message = &swarm.received.message;
    const struct layout *layout = &swarm.layouts[sim->worker.task.stage];
    size_t domains = swarm.job->stages[sim->worker.task.stage].domain_count;
    swarm.traffic.server_in += training(sim);
    if (message->type == MESSAGE_WANTED) {
        worker_take_wanted(&sim->worker, &message->body.wanted);
        return;
    }
    worker_heard(&sim->worker);
    const struct message_weights *weights = &message->body.weights;
    for (size_t i = 0; message->type == MESSAGE_WEIGHTS && i < weights->block_count; i++) {
        swarm.traffic.weight_bytes += training(sim) ? swarm.received.frames[i].bytes : 0;
        collect(&sim->weights[weights->version % 2], weights->version, weights->blocks[i],
                layout->parameter_count);
    }
    const struct message_statistics *sums = &message->body.statistics;
    for (size_t i = 0; message->type == MESSAGE_STATISTICS && i < sums->entry_count; i++)
        collect(&sim->statistics, sums->version,
                (sums->entries[i].block - layout->parameter_count) * domains +
                    sums->entries[i].domain,
                layout->statistic_count * domains);
}

static bool drain_servers(struct sim *sim)
{
    bool any = false;
    for (size_t i = 0; i < sim->servers.count; i++)
        while (channel_receive(sim->servers.channels[i], &swarm.received)) {
            any = true;
            if (swarm.received.message.run == swarm.run && sim->worker.task.task > 0 &&
                swarm.received.message.generation == sim->worker.generation)
                take_data(sim);
        }
    return any;
}

/* ---- actions ---- */

static void say_ready(struct sim *sim)
{
    struct message message = {.type = MESSAGE_READY};
    message.body.ready = (struct message_ready){swarm.manifest->digest, swarm.model->digest};
    tell(sim, &message, NULL, 0);
}

static void prepare(struct sim *sim, uint32_t shard)
{
    struct message message = {.type = MESSAGE_PREPARED};
    message.body.prepared = (struct message_prepared){sim->worker.task.task, shard, NULL, 0};
    tell(sim, &message, NULL, 0);
}

static void predict(struct sim *sim, uint32_t part, uint32_t shard)
{
    struct message message = {.type = MESSAGE_PREDICTED};
    size_t count = shard_count(swarm.manifest, part / SPLIT_COUNT, (enum split)(part % SPLIT_COUNT),
                               swarm.job->cluster.shards, shard);
    size_t bytes = count * swarm.job->data.class_count * sizeof(float);
    float *logits = must_have(memory_alloc(bytes, 1));
    uint8_t *readable = must_have(memory_alloc(count, 1));
    memset(readable, 1, count);
    message.body.predicted =
        (struct message_predicted){sim->worker.task.task, shard, part, (uint32_t)count};
    struct frame frames[] = {{logits, bytes, NULL}, {readable, count, NULL}};
    tell(sim, &message, frames, 2);
    memory_free(logits);
    memory_free(readable);
}

static void show(struct sim *sim)
{
    const struct preprocess_config *config = &swarm.job->data.preprocess;
    size_t bytes = (size_t)config->width * config->height * 3 * sim->worker.task.part_count;
    struct message message = {.type = MESSAGE_PIXELS};
    uint8_t *rgb = must_have(memory_alloc(bytes, 1));
    message.body.pixels =
        (struct message_pixels){sim->worker.task.task, config->width, config->height,
                                (uint32_t)sim->worker.task.part_count};
    struct frame frame = {rgb, bytes, NULL};
    tell(sim, &message, &frame, 1);
    memory_free(rgb);
}

static void note_step(const struct sim *sim)
{
    struct traffic *traffic = &swarm.traffic;
    traffic->last_ms = clock_ms();
    if (traffic->first_ms == 0) {
        traffic->first_ms = traffic->last_ms;
        puts("begin");
    }
    traffic->versions += sim == &swarm.sims[0];
}

static void perform(struct sim *sim, const struct worker_action *action, uint64_t latest,
                    bool statistics)
{
    const struct layout *layout = &swarm.layouts[sim->worker.task.stage];
    switch (action->kind) {
    case ACTION_WAIT:
    case ACTION_FORWARD:
    case ACTION_TURN: /* of ssp and asp, in which no swarm works */
    case ACTION_PUSH_TURN:
        return;
    case ACTION_READY:
        say_ready(sim);
        return;
    case ACTION_PULL:
        pull(sim, latest, statistics);
        return;
    case ACTION_PREPARE:
        prepare(sim, action->shard);
        return;
    case ACTION_PREDICT:
        predict(sim, action->part, action->shard);
        return;
    case ACTION_SHOW:
        show(sim);
        return;
    case ACTION_PUSH_STATISTICS:
        push(sim, layout->parameter_count, layout->parameter_count + layout->statistic_count,
             action->version);
        return;
    case ACTION_BACKWARD:
        sim->samples += swarm.job->stages[sim->worker.task.stage].micro_batch;
        return;
    case ACTION_PUSH_GRADIENTS:
        note_step(sim);
        push(sim, 0, layout->parameter_count, action->version);
        push(sim, layout->metric_block, layout->metric_block + 1, action->version);
        return;
    }
}

static uint64_t latest_of(const struct sim *sim)
{
    uint64_t latest = 0;
    for (int i = 0; i < 2; i++)
        if (sim->weights[i].has != NULL && sim->weights[i].missing == 0 &&
            sim->weights[i].version > latest)
            latest = sim->weights[i].version;
    return latest;
}

static bool act(struct sim *sim, int64_t now_ms)
{
    uint64_t latest = latest_of(sim);
    bool statistics = sim->statistics.missing == 0 && sim->statistics.version > 0 &&
                      sim->statistics.version == sim->worker.version;
    struct worker_action action = worker_next(&sim->worker, now_ms, latest, statistics);
    perform(sim, &action, latest, statistics);
    return action.kind != ACTION_WAIT;
}

static bool turn(struct sim *sim)
{
    int64_t now = clock_ms();
    bool any = drain_coordinator(sim);
    if (sim->stopped)
        return any;
    bool due = now - sim->said_ms >= (sim->number == 0 ? HELLO_AGAIN_MS : swarm.heartbeat_ms);
    if (due && sim->number == 0)
        say_hello(sim);
    else if (due)
        beat(sim);
    if (due)
        sim->said_ms = now;
    any |= drain_servers(sim);
    while (sim->number != 0 && act(sim, now))
        any = true;
    return any;
}

static void start(const char *coordinator, size_t count)
{
    struct error err = {0};
    swarm.count = count;
    for (size_t i = 0; i < count; i++) {
        struct sim *sim = &swarm.sims[i];
        struct channel_context **context = &swarm.contexts[i / CONTEXT_SIMS];
        if (*context == NULL)
            *context = must_have(channel_context_create());
        randombytes_buf(&sim->incarnation, sizeof sim->incarnation);
        sim->incarnation |= 1;
        sim->servers = (struct lines){.context = *context, .identity = sim->incarnation};
        must(channel_connect(*context, coordinator, sim->incarnation, &sim->control, &err), &err);
    }
}

static void print_traffic(void)
{
    const struct traffic *t = &swarm.traffic;
    printf("{\"workers\": %zu, \"steps\": %" PRIu64 ", \"train_ms\": %" PRId64
           ", \"control\": %" PRIu64 ", \"heartbeats\": %" PRIu64 ", \"data_messages\": %" PRIu64
           ", \"pushed_bytes\": %" PRIu64 ", \"weight_bytes\": %" PRIu64 "}\n",
           swarm.count, t->versions, t->last_ms - t->first_ms, t->control_in + t->control_out,
           t->heartbeats_in + t->heartbeats_out, t->server_in + t->server_out, t->pushed_bytes,
           t->weight_bytes);
}

int main(int argc, char **argv)
{
    const struct timespec pause = {0, 1000000};
    platform_prepare(argv);
    memory_prepare();
    setvbuf(stdout, NULL, _IOLBF, 0);
    long count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (count < 1 || count > SWARM_MAX || sodium_init() < 0) {
        fprintf(stderr, "usage: swarm tcp://HOST:PORT COUNT\n");
        return 2;
    }
    make_numbers();
    start(argv[1], (size_t)count);
    while (swarm.stopped < swarm.count) {
        bool any = false;
        for (size_t i = 0; i < swarm.count; i++)
            if (!swarm.sims[i].stopped)
                any |= turn(&swarm.sims[i]);
        if (!any)
            nanosleep(&pause, NULL);
    }
    print_traffic();
    return EXIT_SUCCESS;
}
