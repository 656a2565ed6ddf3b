/* One server, spoken to message by message; what it sends is recorded. */
#ifndef GRAFT_TESTS_UNIT_SERVER_FIXTURE_H
#define GRAFT_TESTS_UNIT_SERVER_FIXTURE_H

#include "paramserver/partition.h"
#include "paramserver/server.h"
#include "tests/unit/data_fixture.h"

#define SENT_MAX 64
#define VALUES_MAX 16
#define GENERATION 5u
#define SELF 7u
#define OTHER 8u
#define WORKER_A 11u
#define WORKER_B 22u
#define STRANGER 33u
#define PARAMETER 0u
#define STATISTIC 1u
#define METRIC 2u
#define FRESH 9u /* version that LOAD brings */

struct sent {
    uint64_t peer;
    enum message_type type;
    uint32_t generation, view;
    uint64_t version;
    size_t frames;
    uint8_t first[VALUES_MAX * sizeof(double)]; /* of the first frame */
    uint64_t count;                             /* of the first statistic */
    uint32_t part, parts;
};

static struct sent sent[SENT_MAX];
static size_t sent_count;
static struct job *job;
static struct server *server;
static struct error err;
static int64_t now_ms;
static uint32_t parameters = 1;                      /* blocks of the stage, on all servers */
static uint32_t primary_at, backup_at = WIRE_NOBODY; /* in the view: SELF, OTHER */

static const char text[] =
    "data = { classes = [\"a\", \"b\"]; preprocess = { width = 1; height = 1; channels = 1; };\n"
    "domains = ( { name = \"s\"; sources = ( { format = \"csv\"; path = \"s\"; width = 1;\n"
    "height = 1; label_column = 1; } ); } ); };\n"
    "cluster = { shards = 4; };\n"
    "stages = ( { name = \"one\"; domains = [\"s\"]; l2sp = 0.0; optimizer = { kind = \"sgd\";\n"
    "rate = 1.0; momentum = 0.0; }; } );\n";

static void record(void *driver, uint64_t peer, struct message *message,
                   const struct frame *payloads, size_t count)
{
    (void)driver;
    assert_true(sent_count < SENT_MAX);
    struct sent *to = &sent[sent_count++];
    *to = (struct sent){.peer = peer,
                        .type = message->type,
                        .generation = message->generation,
                        .view = message->view,
                        .frames = count};
    if (count > 0) {
        assert_true(payloads[0].bytes <= sizeof to->first);
        memcpy(to->first, payloads[0].data, payloads[0].bytes);
    }
    if (message->type == MESSAGE_WEIGHTS)
        to->version = message->body.weights.version;
    if (message->type == MESSAGE_STATISTICS) {
        to->version = message->body.statistics.version;
        to->count = message->body.statistics.entries[0].count;
    }
    if (message->type == MESSAGE_LOADED) {
        to->part = message->body.loaded.part;
        to->parts = message->body.loaded.parts;
    }
    if (message->type == MESSAGE_WANTED) {
        to->version = message->body.wanted.version;
        to->part = (uint32_t)message->body.wanted.statistic_count;
        to->parts = (uint32_t)message->body.wanted.gradient_count;
    }
    if (message->type == MESSAGE_NORMS) {
        to->version = message->body.norms.version;
        to->part = message->body.norms.asks;
    }
    if (message->type == MESSAGE_SNAPSHOT) {
        to->version = message->body.snapshot.version;
        to->part = message->body.snapshot.part;
        to->parts = message->body.snapshot.parts;
    }
}

static void hear(uint64_t peer, const struct message *message, const struct frame *frames,
                 size_t count)
{
    if (server_handle(server, now_ms, peer, message, frames, count, &err) != OK)
        fail_msg("%s", err.text);
}

static void view_of(uint32_t number, const uint64_t *workers, size_t count)
{
    struct view_member list[2];
    struct message message = {.type = MESSAGE_VIEW, .view = number};
    for (size_t i = 0; i < count; i++)
        list[i] = (struct view_member){(uint32_t)i + 1, workers[i], ""};
    struct view_member servers[] = {{8, SELF, ""}, {9, OTHER, ""}};
    struct view_partition partition = {primary_at, backup_at};
    message.body.view = (struct message_view){.servers = servers,
                                              .server_count = 2,
                                              .workers = list,
                                              .worker_count = count,
                                              .partitions = &partition,
                                              .partition_count = 1};
    hear(PEER_COORDINATOR, &message, NULL, 0);
}

static void load_part(uint32_t generation, uint32_t part, uint32_t parts)
{
    struct load_block blocks[] = {
        {.block = PARAMETER, .kind = BLOCK_PARAMETER, .elements = 2},
        {.block = STATISTIC, .kind = BLOCK_STATISTIC, .elements = 1},
        {.block = METRIC, .kind = BLOCK_METRIC, .elements = 1},
    };
    const float weights[] = {10, 20};
    const struct frame frame = {weights, sizeof weights};
    struct message message = {.type = MESSAGE_LOAD, .generation = generation};
    message.body.load = (struct message_load){.shards = 4,
                                              .domains = 1,
                                              .version = FRESH,
                                              .stage_version = 1,
                                              .steps_per_epoch = 10,
                                              .parameters = parameters,
                                              .part = part,
                                              .parts = parts,
                                              .blocks = part == 0 ? blocks : NULL,
                                              .block_count = part == 0 ? 3 : 0};
    hear(PEER_COORDINATOR, &message, &frame, part == 0 ? 1 : 0);
}

static void load(uint32_t generation)
{
    load_part(generation, 0, 1);
}

static int setup(void **state)
{
    const uint64_t workers[] = {WORKER_A, WORKER_B};
    (void)state;
    sent_count = 0;
    now_ms = 1000;
    primary_at = 0;
    backup_at = WIRE_NOBODY;
    job = NULL;
    if (job_load(NULL, text, NULL, 0, &job, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(server_create(job, SELF, (struct outbox){NULL, record}, &server, &err), OK);
    view_of(3, workers, 2);
    load(GENERATION);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_destroy(&server);
    job_destroy(&job);
    return 0;
}

static void forget(void)
{
    sent_count = 0;
}

static void pull_from(uint64_t peer, uint64_t version, bool statistics)
{
    struct message message = {.type = MESSAGE_PULL, .sender = peer, .generation = GENERATION};
    message.body.pull = (struct message_pull){version, statistics};
    hear(peer, &message, NULL, 0);
}

static void pull(uint64_t peer)
{
    pull_from(peer, 0, false);
}

enum range { PAIR, LEAF, WHOLE, BEYOND };

/* A push of shards [first, …) with one sample of the open step, but for what is said otherwise. */
struct push {
    uint64_t peer, sender, count;
    int32_t version_off, generation_off;
    uint32_t block, first;
    enum range range;
    double value;
};

#define PUSH(who, ...) (&(const struct push){.peer = (who), __VA_ARGS__})

static enum status push_status(const struct push *push)
{
    const float floats[] = {(float)push->value, (float)(2 * push->value)};
    const double value = push->value;
    const struct frame frame = push->block == PARAMETER ? (struct frame){floats, sizeof floats}
                                                        : (struct frame){&value, sizeof value};
    static const uint32_t log2s[] = {[PAIR] = 1, [LEAF] = 0, [WHOLE] = 2, [BEYOND] = 3};
    struct push_entry entry = {.block = push->block, .count = push->count > 0 ? push->count : 1};
    struct message message = {.type = MESSAGE_PUSH,
                              .sender = push->sender > 0 ? push->sender : push->peer,
                              .generation = GENERATION + (uint32_t)push->generation_off};
    message.body.push =
        (struct message_push){.version = (uint64_t)((int64_t)FRESH + push->version_off),
                              .range_first = push->first,
                              .range_log2 = log2s[push->range],
                              .entries = &entry,
                              .entry_count = 1};
    return server_handle(server, now_ms, push->peer, &message, &frame, 1, &err);
}

static void push(const struct push *push)
{
    if (push_status(push) != OK)
        fail_msg("%s", err.text);
}

/* Statistics, gradients and metrics of both halves of the shards: mean gradient (3, 6). */
static void one_step(int32_t off)
{
    for (uint32_t half = 0; half < 2; half++)
        push(PUSH(WORKER_A, .version_off = off, .block = STATISTIC, .first = 2 * half, .value = 4));
    for (uint32_t half = 0; half < 2; half++) {
        push(PUSH(WORKER_A, .version_off = off, .block = METRIC, .first = 2 * half, .value = 7));
        push(PUSH(WORKER_A, .version_off = off, .first = 2 * half, .value = 3));
    }
}

static float first_float(const struct sent *message)
{
    float value;
    memcpy(&value, message->first, sizeof value);
    return value;
}

#endif
