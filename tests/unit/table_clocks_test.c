/* Steps of single shards: each counts once, in order, within the bound; and what a peer has seen. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "paramserver/table/table.h"
#include "tests/unit/data_fixture.h"

#define SHARDS 2u
#define CLOCK 4u /* at the LOAD, of 4 steps an epoch */
#define PEER 7u

static const char *domain_names[] = {"s"};
static struct stage_config stage;
static struct table *table;
static struct update_room room;
static struct error err;

static void make(enum stage_mode mode)
{
    const float value = 10;
    const struct frame frame = {&value, sizeof value};
    struct load_block blocks[] = {{.block = 0, .kind = BLOCK_PARAMETER, .elements = 1},
                                  {.block = 1, .kind = BLOCK_STATISTIC, .elements = 1},
                                  {.block = 2, .kind = BLOCK_METRIC, .elements = 1}};
    const struct message_load load = {.shards = SHARDS,
                                      .domains = 1,
                                      .version = 1 + CLOCK,
                                      .stage_version = 1,
                                      .steps_per_epoch = 4,
                                      .parameters = 1,
                                      .blocks = blocks,
                                      .block_count = 3};
    stage = (struct stage_config){.name = "s",
                                  .domains = domain_names,
                                  .domain_count = 1,
                                  .epochs = 3,
                                  .micro_batch = 1,
                                  .accumulate = 1,
                                  .mode = mode,
                                  .staleness = 1,
                                  .optimizer = {.kind = OPTIMIZER_SGD, .rate = 1},
                                  .domain_weights = {1}};
    assert_int_equal(table_create(&stage, &load, &table, &err), OK);
    assert_int_equal(table_load_part(table, &load, &frame, 1, &err), OK);
    assert_int_equal(table_ready(table, &room, &err), OK);
}

static int teardown(void **state)
{
    (void)state;
    update_room_deinit(&room);
    table_destroy(&table);
    return 0;
}

static enum update_result take_of(uint32_t block, uint32_t shard, uint32_t clock, double gradient,
                                  uint64_t seen)
{
    const float single = (float)gradient;
    const struct frame frame = block == 0 ? (struct frame){&single, sizeof single}
                                          : (struct frame){&gradient, sizeof gradient};
    const struct update_entry entry = {block, 0, 1, seen};
    const struct message_update head = {.shard = shard, .clock = clock};
    enum update_result result;
    if (table_take_update(table, PEER, &head, &entry, &frame, &result, &err) != OK)
        fail_msg("%s", err.text);
    return result;
}

/* With the newest weights. */
static enum update_result take(uint32_t shard, uint32_t clock)
{
    return take_of(0, shard, clock, 2, 0);
}

static double newest(uint64_t *updates)
{
    struct fresh_block block;
    struct frame frame;
    assert_true(table_show(table, PEER, 0, &block, &frame));
    *updates = block.updates;
    return (double)*(const float *)frame.data;
}

static void a_shards_step_counts_once_and_in_its_order(void **state)
{
    uint64_t updates;
    (void)state;
    make(MODE_ASP);
    assert_int_equal(take(0, CLOCK + 1), UPDATE_REFUSED);
    assert_int_equal(take(0, CLOCK), UPDATE_TAKEN);
    assert_int_equal(take(0, CLOCK), UPDATE_DUPLICATE);
    assert_int_equal(take(0, 0), UPDATE_DUPLICATE);
    assert_int_equal(take(0, CLOCK + 1), UPDATE_TAKEN);
    assert_int_equal(take(SHARDS, CLOCK), UPDATE_REFUSED);
    assert_true(newest(&updates) == 10 - 2 * (2 * 0.5));
    assert_int_equal(updates, SHARDS * CLOCK + 2);
    assert_int_equal(take_of(0, 1, CLOCK, 2, updates + 1), UPDATE_REFUSED);
    assert_int_equal(take_of(1, 1, CLOCK, 2, 0), UPDATE_REFUSED);
    assert_int_equal(take_of(3, 1, CLOCK, 2, 0), UPDATE_REFUSED);
}

/* The version is the clock of the slowest shard in the slowest block. */
static void the_version_follows_the_slowest(void **state)
{
    uint32_t clocks[SHARDS];
    (void)state;
    make(MODE_ASP);
    take(0, CLOCK);
    take(1, CLOCK);
    take_of(2, 0, CLOCK, 1, 0);
    assert_int_equal(table_version(table), 1 + CLOCK);
    assert_int_equal(table_clocks(table, clocks), SHARDS);
    assert_int_equal(clocks[0], CLOCK + 1);
    assert_int_equal(clocks[1], CLOCK);
    take_of(2, 1, CLOCK, 1, 0);
    assert_int_equal(table_version(table), 2 + CLOCK);
    assert_false(table_step_complete(table) || table_statistics_complete(table));
}

static void ssp_takes_no_step_beyond_the_bound(void **state)
{
    (void)state;
    make(MODE_SSP);
    assert_int_equal(take(0, CLOCK), UPDATE_TAKEN);
    assert_int_equal(take(0, CLOCK + 1), UPDATE_TAKEN); /* one ahead */
    assert_int_equal(take(0, CLOCK + 2), UPDATE_BEYOND);
    assert_int_equal(take(1, CLOCK), UPDATE_TAKEN);
    assert_int_equal(take(0, CLOCK + 2), UPDATE_TAKEN);
    assert_int_equal(table_ahead_max(table), 1);
}

static double total(void)
{
    struct snapshot_block blocks[WIRE_FRAMES_MAX];
    struct frame frames[WIRE_FRAMES_MAX];
    size_t at = 0, count;
    assert_int_equal(table_snapshot_part(table, &at, blocks, frames, &count), 2);
    return *(const double *)frames[count - 1].data;
}

static void totals_are_of_one_epoch(void **state)
{
    (void)state;
    make(MODE_ASP);
    for (uint32_t clock = CLOCK; clock < CLOCK + 4; clock++)
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            assert_int_equal(take_of(2, shard, clock, 3, 0), UPDATE_TAKEN);
            assert_int_equal(take_of(2, shard, clock, 3, 0), UPDATE_DUPLICATE);
        }
    assert_true(total() == 8 * 3);
    take_of(2, 0, CLOCK + 4, 3, 0);
    assert_true(total() == 3);
}

/* λ·g²·(now − seen), where what was seen is what this peer was shown last. */
static void a_gradient_is_compensated_by_what_its_peer_saw(void **state)
{
    uint64_t seen, updates;
    (void)state;
    make(MODE_ASP);
    stage.delay_compensation = 0.25;
    assert_true(newest(&seen) == 10);
    assert_int_equal(take_of(0, 0, CLOCK, 2, seen), UPDATE_TAKEN); /* not stale: to 9 */
    assert_int_equal(take_of(0, 1, CLOCK, 2, seen), UPDATE_TAKEN); /* 2 + 0.25 · 4 · (9 − 10) = 1 */
    assert_true(newest(&updates) == 9 - 0.5);
    assert_int_equal(take_of(0, 0, CLOCK + 1, 2, seen), UPDATE_TAKEN); /* shown another since */
    assert_true(newest(&updates) == 9 - 0.5 - 1);
    const uint64_t others[] = {PEER + 1};
    table_keep_peers(table, others, 1);
    assert_int_equal(take_of(0, 1, CLOCK + 1, 2, updates), UPDATE_TAKEN);
    assert_int_equal(take_of(0, 0, CLOCK + 2, 2, updates), UPDATE_TAKEN); /* forgotten */
    assert_true(newest(&updates) == 9 - 0.5 - 1 - 2);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_shards_step_counts_once_and_in_its_order),
        TEST(the_version_follows_the_slowest),
        TEST(ssp_takes_no_step_beyond_the_bound),
        TEST(totals_are_of_one_epoch),
        TEST(a_gradient_is_compensated_by_what_its_peer_saw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
