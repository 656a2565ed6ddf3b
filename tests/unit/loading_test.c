/* Values to the servers and back: what was loaded is what is gathered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "coordinator/cluster/placement.h"
#include "coordinator/job/loading.h"
#include "paramserver/table/table.h"

#define BLOCKS 1200 /* with 4 frames each: several messages to each server */
#define HEAD 300    /* of them, the last, belong to the new head */
#define SERVERS 3u
#define DOMAINS 2u
#define VERSION 8u

static const char *domain_names[] = {"a", "b"};
static const struct stage_config stage = {.name = "s",
                                          .domains = domain_names,
                                          .domain_count = DOMAINS,
                                          .optimizer = {.kind = OPTIMIZER_ADAM}};
static struct live_tensor tensors[] = {{.name = "old", .pretrained = true}, {.name = "new"}};
static struct plan_block blocks[BLOCKS];
static struct plan plan = {
    .tensors = tensors, .tensor_count = 2, .blocks = blocks, .block_count = BLOCKS};
static const struct layout layout = {.parameter_count = BLOCKS,
                                     .statistic_count = 1,
                                     .statistic_elements = 5,
                                     .metric_block = BLOCKS + 1,
                                     .metric_elements = 4,
                                     .block_count = BLOCKS + 2};
static struct values *values, *back;
static float anchor[2 * BLOCKS];
static uint32_t owners[BLOCKS + 2];
static const uint32_t homes[] = {0, 1, 2};
static double metrics[DOMAINS * 4];
static bool has[BLOCKS + 2];
static struct gathering gathering;
static struct table *tables[SERVERS];
static uint32_t parts_seen[SERVERS], parts_announced[SERVERS];
static struct error err;
static struct update_room room;

static int setup(void **state)
{
    size_t bytes[BLOCKS + 2];
    (void)state;
    plan.live_elements = 0;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        size_t elements = 1 + i % 2;
        blocks[i] = (struct plan_block){i >= BLOCKS - HEAD, plan.live_elements, elements};
        plan.live_elements += elements;
    }
    if (values_create(&plan, 0, (struct values_sizes){2, DOMAINS * 4, 0}, &values, &err) != OK ||
        values_create(&plan, 0, (struct values_sizes){2, DOMAINS * 4, 0}, &back, &err) != OK)
        return -1;
    for (size_t i = 0; i < plan.live_elements; i++) {
        values->live[i] = (float)i;
        values->states[0][i] = (float)i + 0.25f;
        values->states[1][i] = (float)i + 0.5f;
        anchor[i] = -(float)i;
    }
    loading_block_bytes(&plan, &layout, DOMAINS, bytes);
    assert_int_equal(bytes[0], 4 * (DOMAINS + 1));
    assert_int_equal(bytes[BLOCKS], 5 * 8 * DOMAINS * 2);
    assert_int_equal(bytes[BLOCKS + 1], 4 * 8 * DOMAINS);
    placement_blocks(bytes, BLOCKS, BLOCKS + 2, homes, SERVERS, owners);
    gathering = (struct gathering){
        .values = back, .metrics = metrics, .layout = &layout, .domains = DOMAINS, .has = has};
    memset(parts_seen, 0, sizeof parts_seen);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    update_room_deinit(&room);
    values_destroy(&values);
    values_destroy(&back);
    for (size_t i = 0; i < SERVERS; i++)
        table_destroy(&tables[i]);
    return 0;
}

/* A server takes it. */
static void take_load(void *driver, uint64_t peer, struct message *message,
                      const struct frame *payloads, size_t count)
{
    const struct message_load *load = &message->body.load;
    size_t server = peer - 50;
    (void)driver;
    assert_int_equal(message->type, MESSAGE_LOAD);
    assert_true(count <= WIRE_FRAMES_MAX && load->block_count <= WIRE_FRAMES_MAX);
    assert_int_equal(load->part, parts_seen[server]++);
    parts_announced[server] = load->parts;
    if (load->part == 0)
        assert_int_equal(table_create(&stage, load, &tables[server], &err), OK);
    if (table_load_part(tables[server], load, payloads, count, &err) != OK)
        fail_msg("%s", err.text);
}

static void load_all(void)
{
    const struct loading loading = {.values = values,
                                    .anchor = anchor,
                                    .layout = &layout,
                                    .owners = owners,
                                    .shards = 4,
                                    .domains = DOMAINS,
                                    .steps_per_epoch = 2,
                                    .version = VERSION,
                                    .stage_version = 1};
    for (uint32_t i = 0; i < SERVERS; i++) {
        loading_send(&loading, i, 0, 50 + i, (struct outbox){NULL, take_load});
        assert_int_equal(table_ready(tables[i], &room, &err), OK);
    }
}

static bool gather(const struct table *table, uint64_t version)
{
    struct snapshot_block list[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    struct message_snapshot snapshot = {.version = version, .blocks = list};
    size_t at = 0, frames;
    bool all = true;
    while ((snapshot.block_count = table_snapshot_part(table, &at, list, payloads, &frames)) > 0)
        all &= gathering_take(&gathering, &snapshot, payloads, frames);
    return all;
}

static void what_was_loaded_comes_back(void **state)
{
    size_t bytes;
    (void)state;
    load_all();
    for (size_t i = 0; i < SERVERS; i++) {
        assert_true(parts_announced[i] >= 2);
        assert_int_equal(parts_seen[i], parts_announced[i]);
    }
    gathering_begin(&gathering, VERSION);
    assert_int_equal(gathering.missing, BLOCKS + 1);
    for (size_t i = 0; i < SERVERS; i++) {
        assert_true(gathering.missing > 0);
        assert_true(gather(tables[i], VERSION));
        assert_true(gather(tables[i], VERSION)); /* twice is once */
    }
    assert_int_equal(gathering.missing, 0);
    bytes = plan.live_elements * sizeof(float);
    assert_memory_equal(back->live, values->live, bytes);
    assert_memory_equal(back->states[0], values->states[0], bytes);
    assert_memory_equal(back->states[1], values->states[1], bytes);
}

static void a_server_without_blocks_is_loaded_with_none(void **state)
{
    const struct loading loading = {.values = values,
                                    .anchor = anchor,
                                    .layout = &layout,
                                    .owners = owners,
                                    .shards = 4,
                                    .domains = DOMAINS,
                                    .steps_per_epoch = 1,
                                    .version = VERSION,
                                    .stage_version = 1};
    (void)state;
    memset(owners, 0, sizeof owners);
    loading_send(&loading, 1, 0, 51, (struct outbox){NULL, take_load});
    assert_int_equal(parts_seen[1], 1);
    assert_int_equal(parts_announced[1], 1);
}

static bool take_one(uint64_t version, uint32_t block, uint32_t state_frames, size_t bytes,
                     size_t frames)
{
    const double zeros[16] = {0};
    struct snapshot_block entry = {block, state_frames};
    const struct frame list[] = {{zeros, bytes}, {zeros, bytes}, {zeros, bytes}, {zeros, bytes}};
    const struct message_snapshot snapshot = {
        .version = version, .parts = 1, .blocks = &entry, .block_count = 1};
    return gathering_take(&gathering, &snapshot, list, frames);
}

static void snapshots_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    gathering_begin(&gathering, VERSION);
    assert_true(take_one(VERSION - 1, 0, 2, 4, 3));    /* a late one: nothing to be said */
    assert_false(take_one(VERSION, BLOCKS, 0, 40, 1)); /* statistics are never handed out */
    assert_false(take_one(VERSION, BLOCKS + 2, 0, 4, 1));
    assert_false(take_one(VERSION, 0, 1, 4, 2)); /* Adam has two vectors */
    assert_false(take_one(VERSION, 0, UINT32_MAX, 4, 3));
    assert_false(take_one(VERSION, 0, 2, 4, 2)); /* a frame is missing */
    assert_false(take_one(VERSION, 1, 2, 4, 3)); /* this one has two values */
    assert_false(take_one(VERSION, BLOCKS + 1, 0, 8, 1));
    assert_int_equal(gathering.missing, BLOCKS + 1);
    assert_true(take_one(VERSION, BLOCKS + 1, 0, sizeof metrics, 1));
    assert_false(take_one(VERSION, 0, 2, 4, 4)); /* a frame too many */
    assert_true(take_one(VERSION, 0, 2, 4, 3));
    assert_int_equal(gathering.missing, BLOCKS - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_loaded_comes_back),
        TEST(a_server_without_blocks_is_loaded_with_none),
        TEST(snapshots_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
