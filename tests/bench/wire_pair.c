#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "tests/bench/wire_pair.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/model/plan.h"
#include "common/net/channel.h"
#include "common/net/endpoint.h"
#include "paramserver/server.h"
#include "worker/sync/push.h"
#include "worker/sync/weights.h"

#define WORKER 11u
#define SERVER 9u
#define GENERATION 1u
#define FRESH 2u /* version that the load brings */
#define DEADLINE_S 20.0

/* Shared by the two processes. */
struct board {
    char endpoint[WIRE_TEXT_BYTES];
    _Atomic int ready;
    _Atomic uint64_t update_ns; /* since the start */
};

struct wire_pair {
    struct wire_size size;
    struct board *board;
    pid_t child;
    struct job *job;
    /* the server's, in the child */
    struct server *server;
    double handle_began;
    /* the worker's */
    struct channel_context *context;
    struct keys *keys;
    char directory[32]; /* of the keys, "" = none */
    struct channel *channel;
    struct reduction *sums;
    struct push_slice *slices;
    uint32_t *owners;
    struct plan plan;
    struct weights *weights;
    uint64_t version;
    struct received received;
};

static struct error err;

static void must(enum status status)
{
    if (status == OK)
        return;
    fprintf(stderr, "wire_bench: %s\n", err.text);
    _exit(1);
}

double wire_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double wire_cpu_seconds(pid_t child)
{
    const clockid_t own = CLOCK_PROCESS_CPUTIME_ID;
    clockid_t clocks[2] = {own, own};
    double seconds = 0;
    if (clock_getcpuclockid(child, &clocks[1]) != 0)
        return 0;
    for (int i = 0; i < 2; i++) {
        struct timespec used;
        clock_gettime(clocks[i], &used);
        seconds += (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
    }
    return seconds;
}

static const char job_text[] =
    "data = { classes = [\"a\", \"b\"]; preprocess = { width = 1; height = 1; channels = 1; };\n"
    "domains = ( { name = \"s\"; sources = ( { format = \"csv\"; path = \"s\"; width = 1;\n"
    "height = 1; label_column = 1; } ); } ); };\n"
    "cluster = { shards = 1; };\n"
    "stages = ( { name = \"one\"; domains = [\"s\"]; l2sp = 0.0; optimizer = { kind = \"sgd\";\n"
    "rate = 1.0; momentum = 0.0; }; } );\n";

static void send_on(struct channel *channel, uint64_t peer, struct message *message,
                    const struct frame *frames, size_t count)
{
    must(channel_send(channel, peer, message, frames, count, &err));
}

static void make_keys(struct wire_pair *pair, enum wire_way way)
{
    if (way != WIRE_CURVE)
        return;
    snprintf(pair->directory, sizeof pair->directory, "/tmp/graft-bench-XXXXXX");
    if (mkdtemp(pair->directory) == NULL)
        must(error_set(&err, ERR_IO, "no directory for keys"));
    must(keys_make(pair->directory, "server", &err));
    must(keys_make(pair->directory, "worker", &err));
}

static void open_context(struct wire_pair *pair, enum wire_way way, const char *role)
{
    pair->context = channel_context_create();
    if (way != WIRE_CURVE)
        return;
    must(keys_load(pair->directory, role, &pair->keys, &err));
    must(channel_context_secure(pair->context, pair->keys, &err));
}

/* ---- the server ---- */

static void server_sends(void *driver, uint64_t peer, struct message *message,
                         const struct frame *frames, size_t count)
{
    struct wire_pair *pair = driver;
    if (peer == PEER_COORDINATOR)
        return;
    if (message->type == MESSAGE_WEIGHTS && pair->handle_began > 0) {
        pair->board->update_ns += (uint64_t)((wire_seconds() - pair->handle_began) * 1e9);
        pair->handle_began = 0;
    }
    send_on(pair->channel, peer, message, frames, count);
}

static void load_server(struct wire_pair *pair)
{
    struct view_member worker = {1, WORKER, ""};
    struct message view = {.type = MESSAGE_VIEW, .view = 1};
    struct view_member server = {2, SERVER, ""};
    struct view_partition partition = {0, WIRE_NOBODY};
    view.body.view = (struct message_view){.servers = &server,
                                           .server_count = 1,
                                           .workers = &worker,
                                           .worker_count = 1,
                                           .partitions = &partition,
                                           .partition_count = 1};
    must(server_handle(pair->server, clock_ms(), PEER_COORDINATOR, &view, NULL, 0, &err));
    struct load_block *blocks = calloc(pair->size.count, sizeof *blocks);
    struct frame *frames = calloc(pair->size.count, sizeof *frames);
    void *zeros = calloc(1, pair->size.bytes);
    for (size_t i = 0; i < pair->size.count; i++) {
        blocks[i] = (struct load_block){
            .block = (uint32_t)i, .kind = BLOCK_PARAMETER, .elements = pair->size.bytes / 4};
        frames[i] = (struct frame){.data = zeros, .bytes = pair->size.bytes};
    }
    struct message load = {.type = MESSAGE_LOAD, .generation = GENERATION};
    load.body.load = (struct message_load){.shards = 1,
                                           .domains = 1,
                                           .version = FRESH,
                                           .stage_version = 1,
                                           .steps_per_epoch = 10,
                                           .parameters = WIRE_BLOCKS_MAX,
                                           .parts = 1,
                                           .blocks = blocks,
                                           .block_count = pair->size.count};
    must(server_handle(pair->server, clock_ms(), PEER_COORDINATOR, &load, frames, pair->size.count,
                       &err));
    free(blocks);
    free(frames);
    free(zeros);
}

static void serve(struct wire_pair *pair, enum wire_way way)
{
    open_context(pair, way, "server");
    must(channel_listen(pair->context, "127.0.0.1", 0, &pair->channel, &err));
    must(
        server_create(pair->job, SERVER, (struct outbox){pair, server_sends}, &pair->server, &err));
    load_server(pair);
    snprintf(pair->board->endpoint, sizeof pair->board->endpoint, "%s",
             channel_endpoint(pair->channel));
    if (way != WIRE_IPC)
        endpoint_forget_path(pair->board->endpoint);
    pair->board->ready = 1;
    for (;;) {
        channel_wait(&pair->channel, 1, 1000);
        if (getppid() == 1)
            _exit(1);
        while (channel_receive(pair->channel, &pair->received)) {
            pair->handle_began = wire_seconds();
            must(server_handle(pair->server, clock_ms(), pair->received.peer,
                               &pair->received.message, pair->received.frames,
                               pair->received.frame_count, &err));
        }
    }
}

/* ---- the worker ---- */

static void worker_sends(void *driver, uint64_t peer, struct message *message,
                         const struct frame *frames, size_t count)
{
    struct wire_pair *pair = driver;
    (void)peer;
    message->sender = WORKER;
    message->view = 1;
    message->generation = GENERATION;
    send_on(pair->channel, 0, message, frames, count);
}

static void take_weights(struct wire_pair *pair, uint64_t version)
{
    double deadline = wire_seconds() + DEADLINE_S;
    while (weights_latest(pair->weights) < version) {
        channel_wait(&pair->channel, 1, 1000);
        while (channel_receive(pair->channel, &pair->received)) {
            const struct message_weights *weights = &pair->received.message.body.weights;
            if (pair->received.message.type != MESSAGE_WEIGHTS)
                continue;
            for (size_t i = 0; i < weights->block_count; i++)
                weights_take(pair->weights, weights->version, weights->blocks[i],
                             pair->received.frames[i].data, pair->received.frames[i].bytes);
        }
        if (wire_seconds() > deadline) {
            fprintf(stderr, "wire_bench: no weights within %.0f s\n", DEADLINE_S);
            exit(1);
        }
    }
}

static void step(struct wire_pair *pair)
{
    static const uint64_t servers[] = {0};
    const struct reduction *sums[] = {pair->sums};
    struct push_route route = {pair->owners, servers, 1};
    push_sums(sums, 1, pair->slices, pair->size.count, &route, pair->version,
              (struct outbox){pair, worker_sends});
    take_weights(pair, ++pair->version);
}

struct wire_rates wire_pair_run(struct wire_pair *pair, size_t steps)
{
    uint64_t updated = pair->board->update_ns;
    double cpu = wire_cpu_seconds(pair->child), began = wire_seconds();
    for (size_t i = 0; i < steps; i++)
        step(pair);
    double whole = wire_seconds() - began;
    double update = (double)(pair->board->update_ns - updated) * 1e-9, wire = whole - update;
    cpu = wire_cpu_seconds(pair->child) - cpu - update;
    double bytes = 2.0 * (double)(steps * pair->size.bytes * pair->size.count);
    return (struct wire_rates){bytes / whole / 1e9, bytes / wire / 1e9, cpu / bytes * 1e9};
}

static void open_worker(struct wire_pair *pair, enum wire_way way)
{
    size_t elements = pair->size.bytes / 4, all = elements * pair->size.count;
    float *gradient = calloc(all, sizeof *gradient);
    pair->slices = calloc(pair->size.count, sizeof *pair->slices);
    pair->owners = calloc(pair->size.count, sizeof *pair->owners);
    pair->plan = (struct plan){.live_elements = all, .block_count = pair->size.count};
    pair->plan.blocks = calloc(pair->size.count, sizeof *pair->plan.blocks);
    for (size_t i = 0; i < pair->size.count; i++) {
        pair->slices[i] = (struct push_slice){(uint32_t)i, i * pair->size.bytes, pair->size.bytes};
        pair->plan.blocks[i] = (struct plan_block){0, i * elements, elements};
    }
    for (size_t i = 0; i < all; i++)
        gradient[i] = 1e-6f;
    must(reduction_create(REDUCTION_F32, 1, all, &pair->sums, &err));
    reduction_add(pair->sums, 0, 0, 1, gradient);
    free(gradient);
    must(weights_create(&pair->plan, &pair->weights, &err));
    open_context(pair, way, "worker");
    must(channel_connect(pair->context, pair->board->endpoint, WORKER, &pair->channel, &err));
    struct message pull = {.type = MESSAGE_PULL};
    worker_sends(pair, 0, &pull, NULL, 0);
    pair->version = FRESH;
    take_weights(pair, FRESH);
}

struct wire_pair *wire_pair_start(enum wire_way way, const struct wire_size *size)
{
    struct wire_pair *pair = calloc(1, sizeof *pair);
    pair->size = *size;
    pair->board =
        mmap(NULL, sizeof *pair->board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(job_load(NULL, job_text, NULL, 0, &pair->job, &err));
    make_keys(pair, way);
    pair->child = fork();
    if (pair->child == 0)
        serve(pair, way);
    const struct timespec pause = {0, 1000000};
    while (!pair->board->ready && waitpid(pair->child, NULL, WNOHANG) == 0)
        nanosleep(&pause, NULL);
    open_worker(pair, way);
    return pair;
}

void wire_pair_stop(struct wire_pair **out)
{
    struct wire_pair *pair = *out;
    kill(pair->child, SIGKILL);
    waitpid(pair->child, NULL, 0);
    channel_close(&pair->channel);
    channel_context_destroy(pair->context);
    keys_destroy(&pair->keys);
    if (pair->directory[0] != '\0')
        must(file_remove_tree(pair->directory, &err));
    weights_destroy(&pair->weights);
    reduction_destroy(&pair->sums);
    job_destroy(&pair->job);
    munmap(pair->board, sizeof *pair->board);
    free(pair->plan.blocks);
    free(pair->slices);
    free(pair->owners);
    free(pair);
    *out = NULL;
}
