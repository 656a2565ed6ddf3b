/* Blocks of one server: loading, the open step, and what leaves in parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/base/shared.h"
#include "paramserver/table/table.h"

#define MANY (WIRE_FRAMES_MAX + 100) /* blocks: more than one message may carry */
#define VERSION 5u

static const char *domain_names[] = {"a", "b"};
static const struct stage_config stage = {
    .name = "s",
    .domains = domain_names,
    .domain_count = 2,
    .epochs = 1,
    .optimizer = {.kind = OPTIMIZER_ADAM, .rate = 0.1, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 1e-8},
    .domain_weights = {1, 1}};
static const struct message_load head = {.shards = 2,
                                         .domains = 2,
                                         .version = VERSION,
                                         .stage_version = 1,
                                         .steps_per_epoch = 4,
                                         .parameters = WIRE_BLOCKS_MAX};
static struct table *table;
static struct error err;
static struct update_room room;

static int teardown(void **state)
{
    (void)state;
    update_room_deinit(&room);
    table_destroy(&table);
    return 0;
}

static enum status load(const struct load_block *blocks, size_t count, const struct frame *frames,
                        size_t frame_count)
{
    struct message_load load = head;
    load.blocks = (struct load_block *)(uintptr_t)blocks;
    load.block_count = count;
    return table_load_part(table, &load, frames, frame_count, &err);
}

static void make(void)
{
    assert_int_equal(table_create(&stage, &head, &table, &err), OK);
}

/* `parameters` blocks of one float, numbered from 0 by twos, then a statistic and a metric. */
static void fill(uint32_t parameters)
{
    const float value = 1;
    const struct frame frame = {&value, sizeof value};
    make();
    for (uint32_t i = 0; i < parameters; i++) {
        const struct load_block block = {.block = 2 * i, .kind = BLOCK_PARAMETER, .elements = 1};
        assert_int_equal(load(&block, 1, &frame, 1), OK);
    }
    const struct load_block rest[] = {
        {.block = 2 * parameters, .kind = BLOCK_STATISTIC, .elements = 1},
        {.block = 2 * parameters + 1, .kind = BLOCK_METRIC, .elements = 1}};
    assert_int_equal(load(rest, 2, NULL, 0), OK);
    assert_int_equal(table_ready(table, &room, &err), OK);
}

static enum reduction_result add(uint32_t block, uint32_t domain, uint32_t first, uint32_t log2,
                                 double value, bool parameter)
{
    const float single = (float)value;
    const struct frame frame =
        parameter ? (struct frame){&single, sizeof single} : (struct frame){&value, sizeof value};
    const struct push_entry entry = {block, domain, 1};
    return table_add(table, &entry, first, log2, &frame);
}

static void a_step_is_complete_when_all_kinds_of_blocks_are(void **state)
{
    (void)state;
    fill(1);
    assert_int_equal(add(0, 0, 0, 1, 1, true), REDUCTION_ADDED); /* of the first domain only */
    assert_int_equal(add(0, 1, 0, 0, 1, true), REDUCTION_ADDED);
    assert_int_equal(add(0, 1, 1, 0, 1, true), REDUCTION_COMPLETE);
    assert_int_equal(add(2, 0, 0, 1, 1, false), REDUCTION_ADDED);
    assert_false(table_statistics_complete(table));
    assert_int_equal(add(2, 1, 0, 1, 1, false), REDUCTION_COMPLETE);
    assert_true(table_statistics_complete(table));
    assert_false(table_step_complete(table));
    add(3, 0, 0, 1, 1, false);
    add(3, 1, 0, 1, 1, false);
    assert_true(table_step_complete(table));
    assert_false(table_has_previous(table));
    assert_int_equal(table_advance(table, 1, &err), OK);
    assert_int_equal(table_version(table), VERSION + 1);
    assert_true(table_has_previous(table));
    assert_false(table_step_complete(table) || table_statistics_complete(table));
    assert_int_equal(add(0, 0, 0, 1, 1, true), REDUCTION_ADDED); /* the next step is open */
}

static void finish_a_step(void)
{
    add(0, 0, 0, 1, 1, true);
    add(0, 1, 0, 1, 1, true);
    add(2, 0, 0, 1, 1, false);
    add(2, 1, 0, 1, 1, false);
    add(3, 0, 0, 1, 1, false);
    add(3, 1, 0, 1, 1, false);
    assert_int_equal(table_advance(table, 1, &err), OK);
}

/* As a message does that a slow worker has not got yet: two steps on, its memory is not reused. */
static void weights_that_somebody_keeps_do_not_change(void **state)
{
    struct frame frame, later;
    uint32_t block;
    size_t at = 0;
    (void)state;
    fill(1);
    assert_int_equal(table_weights_part(table, VERSION, &at, &block, &frame), 1);
    assert_non_null(frame.shared);
    shared_keep(frame.shared);
    finish_a_step();
    finish_a_step();
    assert_true(*(const float *)frame.data == 1);
    at = 0;
    assert_int_equal(table_weights_part(table, VERSION + 2, &at, &block, &later), 1);
    assert_true(*(const float *)later.data < 1);
    table_destroy(&table);
    assert_true(*(const float *)frame.data == 1);
    shared_drop(frame.shared);
}

static enum reduction_result push(uint32_t block, uint32_t domain, uint32_t first, uint32_t log2,
                                  const void *coded, size_t bytes)
{
    const struct push_entry entry = {block, domain, 1};
    const struct frame frame = {coded, bytes};
    return table_add_pushed(table, &entry, first, log2, &frame);
}

static void coded_gradients_are_decoded_one_shard_at_a_time(void **state)
{
    struct stage_config coded = stage;
    const float values[] = {1, 2, 3, 4}, seven = 7;
    const struct frame frame = {values, sizeof values};
    const struct load_block parameter = {.block = 0, .kind = BLOCK_PARAMETER, .elements = 4};
    const struct load_block running = {
        .block = 1, .kind = BLOCK_PARAMETER, .elements = 4, .running = true};
    struct {
        uint32_t position;
        float value;
    } kept = {2, seven}, outside = {4, seven};
    struct push_entry entries[8];
    struct frame sums[8];
    struct table_cursor at = {0};
    (void)state;
    coded.compression = (struct compression_config){COMPRESSION_TOP_K, 0.25};
    assert_int_equal(table_create(&coded, &head, &table, &err), OK);
    assert_int_equal(load(&parameter, 1, &frame, 1), OK);
    assert_int_equal(load(&running, 1, &frame, 1), OK);
    assert_int_equal(table_ready(table, &room, &err), OK);
    assert_int_equal(push(0, 0, 0, 0, &outside, sizeof outside), REDUCTION_REFUSED);
    assert_int_equal(push(0, 0, 0, 0, &kept, sizeof kept - 1), REDUCTION_REFUSED);
    assert_int_equal(push(0, 0, 0, 0, values, sizeof values), REDUCTION_REFUSED);
    assert_int_equal(push(0, 0, 0, 1, &kept, sizeof kept), REDUCTION_REFUSED); /* two shards */
    for (uint32_t domain = 0; domain < 2; domain++) {
        assert_int_equal(push(0, domain, 0, 0, &kept, sizeof kept), REDUCTION_ADDED);
        assert_int_equal(push(0, domain, 0, 0, &kept, sizeof kept), REDUCTION_DUPLICATE);
        push(0, domain, 1, 0, &kept, sizeof kept);
        push(1, domain, 0, 1, values, sizeof values); /* as it is */
    }
    assert_true(table_step_complete(table));
    assert_true(table_sums_part(table, &at, entries, sums) >= 1);
    const float expected[] = {0, 0, 14, 0};
    assert_memory_equal(sums[0].data, expected, sizeof expected);
}

static void sums_that_fit_no_block_are_refused(void **state)
{
    const double values[2] = {0};
    const struct frame two = {values, sizeof values};
    const struct push_entry entry = {0, 0, 1};
    (void)state;
    fill(2);
    assert_int_equal(add(1, 0, 0, 1, 1, true), REDUCTION_REFUSED); /* between two numbers */
    assert_int_equal(add(99, 0, 0, 1, 1, true), REDUCTION_REFUSED);
    assert_int_equal(add(0, 2, 0, 1, 1, true), REDUCTION_REFUSED);  /* no such domain */
    assert_int_equal(add(0, 0, 0, 1, 1, false), REDUCTION_REFUSED); /* 8 bytes for 4 */
    assert_int_equal(add(4, 0, 0, 1, 1, true), REDUCTION_REFUSED);
    assert_int_equal(table_add(table, &entry, 0, 1, &two), REDUCTION_REFUSED);
    assert_int_equal(add(0, 0, 2, 0, 1, true), REDUCTION_REFUSED); /* no such shard */
}

static void weights_leave_in_parts_with_every_block_once(void **state)
{
    uint32_t blocks[WIRE_FRAMES_MAX], expected = 0;
    struct frame payloads[WIRE_FRAMES_MAX];
    size_t at = 0, count, parts = 0;
    (void)state;
    fill(MANY);
    while ((count = table_weights_part(table, VERSION, &at, blocks, payloads)) > 0) {
        parts++;
        for (size_t i = 0; i < count; i++, expected++) {
            assert_int_equal(blocks[i], 2 * expected);
            assert_int_equal(payloads[i].bytes, sizeof(float));
        }
    }
    assert_int_equal(parts, 2);
    assert_int_equal(expected, MANY);
}

static void large_blocks_fill_a_message_sooner(void **state)
{
    const size_t elements = 1 << 16, count = 10; /* 256 KiB each; 1 MiB a message */
    float *values = memory_alloc(elements, sizeof *values);
    const struct frame frame = {values, elements * sizeof *values};
    uint32_t blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    size_t at = 0;
    (void)state;
    make();
    for (uint32_t i = 0; i < count; i++) {
        const struct load_block block = {.block = i, .kind = BLOCK_PARAMETER, .elements = elements};
        assert_int_equal(load(&block, 1, &frame, 1), OK);
    }
    assert_int_equal(table_ready(table, &room, &err), OK);
    assert_int_equal(table_weights_part(table, VERSION, &at, blocks, payloads), 4);
    assert_int_equal(table_weights_part(table, VERSION, &at, blocks, payloads), 4);
    assert_int_equal(table_weights_part(table, VERSION, &at, blocks, payloads), 2);
    assert_int_equal(table_weights_part(table, VERSION, &at, blocks, payloads), 0);
    memory_free(values);
}

/* Weights and two Adam vectors a block, one frame for the metric, nothing for the statistic. */
static void a_snapshot_has_as_many_parts_as_announced(void **state)
{
    struct snapshot_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    size_t at = 0, frames, count, parts = 0, block_total = 0, frame_total = 0;
    (void)state;
    fill(MANY);
    uint32_t announced = table_snapshot_parts(table);
    while ((count = table_snapshot_part(table, &at, blocks, payloads, &frames)) > 0) {
        assert_true(frames <= WIRE_FRAMES_MAX);
        parts++;
        block_total += count;
        frame_total += frames;
    }
    assert_int_equal(parts, announced);
    assert_int_equal(block_total, MANY + 1);
    assert_int_equal(frame_total, 3 * MANY + 1);
}

static void finished_statistics_leave_with_their_counts(void **state)
{
    struct push_entry entries[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    struct table_cursor at = {0};
    (void)state;
    fill(3);
    add(6, 0, 0, 1, 10, false);
    add(6, 1, 0, 0, 1, false);
    add(6, 1, 1, 0, 2, false);
    assert_int_equal(table_statistics_part(table, VERSION, &at, entries, payloads), 2);
    assert_true(entries[0].domain == 0 && entries[0].count == 1);
    assert_true(entries[1].domain == 1 && entries[1].count == 2);
    const double *sum = payloads[1].data;
    assert_true(*sum == 3);
    assert_int_equal(table_statistics_part(table, VERSION, &at, entries, payloads), 0);
}

static double metric_total(void)
{
    struct snapshot_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    size_t at = 0, frames;
    assert_int_equal(table_snapshot_part(table, &at, blocks, payloads, &frames), 2);
    const double *totals = payloads[frames - 1].data;
    assert_int_equal(payloads[frames - 1].bytes, 2 * sizeof(double));
    return totals[0] + totals[1];
}

static void steps(int count)
{
    for (int step = 0; step < count; step++) {
        for (uint32_t d = 0; d < 2; d++) {
            add(0, d, 0, 1, 1, true);
            add(2, d, 0, 1, 1, false);
            add(3, d, 0, 1, 1 + d, false);
        }
        assert_int_equal(table_advance(table, 1, &err), OK);
    }
}

/* The same step in two tables: pushed to one, and its finished sums handed to the other. */
static void both_step(struct table *first, struct table *second)
{
    struct push_entry entries[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    struct table_cursor at = {0};
    for (uint32_t shard = 0; shard < 2; shard++)
        for (uint32_t d = 0; d < 2; d++) {
            for (uint32_t i = 0; i < 3; i++)
                add(2 * i, d, shard, 0, 0.1 * (shard + 1) + i - d, true);
            add(6, d, shard, 0, 1, false);
            add(7, d, shard, 0, 0.7 + d, false);
        }
    assert_true(table_step_complete(first));
    size_t count = table_sums_part(first, &at, entries, payloads);
    assert_int_equal(count, 5 * 2);
    assert_int_equal(table_shards_log2(second), 1);
    for (size_t i = 0; i < count; i++)
        table_add(second, &entries[i], 0, 1, &payloads[i]);
    assert_true(table_step_complete(second));
    assert_int_equal(table_advance(first, 1, &err), OK);
    assert_int_equal(table_advance(second, 1, &err), OK);
}

/* A snapshot that was lost is made again, so they are kept until the next epoch's first step. */
static void metrics_add_up_over_an_epoch(void **state)
{
    int left = (int)(head.steps_per_epoch - (VERSION - 1) % head.steps_per_epoch);
    (void)state;
    fill(1);
    steps(left);
    assert_true(metric_total() == 3 * left);
    assert_true(metric_total() == 3 * left);
    steps(2);
    assert_true(metric_total() == 6);
}

/* What one table hands to another makes the same next version. */
static void a_filled_table_goes_on_like_its_origin(void **state)
{
    struct load_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    size_t at = 0, frames;
    (void)state;
    fill(3);
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t d = 0; d < 2; d++)
            add(2 * i, d, 0, 1, 0.5 + i, true);
    for (uint32_t d = 0; d < 2; d++) {
        add(6, d, 0, 1, 1, false);
        add(7, d, 0, 1, 1 + d, false);
    }
    assert_int_equal(table_advance(table, 1, &err), OK);
    assert_int_equal(table_fill_parts(table), 1);
    struct message_load load = table_load_head(table);
    struct table *other;
    assert_int_equal(table_create(&stage, &load, &other, &err), OK);
    load.blocks = blocks;
    load.block_count = table_fill_part(table, &at, blocks, payloads, &frames);
    assert_int_equal(load.block_count, 5);
    assert_int_equal(table_load_part(other, &load, payloads, frames, &err), OK);
    assert_int_equal(table_ready(other, &room, &err), OK);
    assert_true(table_version(other) == VERSION + 1 && !table_has_previous(other));
    for (int round = 0; round < 2; round++) {
        struct frame mine[WIRE_FRAMES_MAX], theirs[WIRE_FRAMES_MAX];
        struct snapshot_block listed[WIRE_FRAMES_MAX];
        size_t my_at = 0, their_at = 0, count, their_count;
        table_snapshot_part(table, &my_at, listed, mine, &count);
        table_snapshot_part(other, &their_at, listed, theirs, &their_count);
        assert_true(count == their_count && count == 3 * 3 + 1);
        for (size_t i = 0; i < count; i++)
            assert_memory_equal(mine[i].data, theirs[i].data, mine[i].bytes);
        if (round == 0)
            both_step(table, other);
    }
    table_destroy(&other);
}

static void what_the_open_step_lacks_is_known(void **state)
{
    uint32_t shards[WIRE_SHARDS_MAX];
    (void)state;
    fill(1);
    assert_int_equal(table_missing(table, true, shards), 2);
    for (uint32_t d = 0; d < 2; d++)
        add(2, d, 1, 0, 1, false);
    assert_int_equal(table_missing(table, true, shards), 1);
    assert_int_equal(shards[0], 0);
    add(0, 0, 1, 0, 1, true);
    add(0, 1, 1, 0, 1, true);
    assert_int_equal(table_missing(table, false, shards), 2); /* the metric, of all */
    add(3, 0, 0, 1, 1, false);
    add(3, 1, 0, 1, 1, false);
    assert_int_equal(table_missing(table, false, shards), 1);
    assert_int_equal(shards[0], 0);
}

static void loads_that_do_not_fit_are_errors(void **state)
{
    const float values[4] = {0};
    const struct frame frames[] = {{values, 4}, {values, 4}, {values, 4}, {values, 4}};
    struct load_block block = {.block = 4, .kind = BLOCK_PARAMETER, .elements = 1};
    (void)state;
    make();
    block.pretrained = 1;
    assert_int_equal(load(&block, 1, frames, 1), ERR_PEER); /* the anchor is missing */
    table_destroy(&table);
    make();
    block.state_frames = 1;
    assert_int_equal(load(&block, 1, frames, 4), ERR_PEER); /* Adam has two */
    table_destroy(&table);
    make();
    block.state_frames = 2;
    assert_int_equal(load(&block, 1, frames, 4), OK);
    assert_int_equal(load(&block, 1, frames, 4), ERR_PEER); /* the same number again */
    block.block = WIRE_BLOCKS_MAX;
    assert_int_equal(load(&block, 1, frames, 4), ERR_PEER);
    block.block = 5;
    block.elements = 0;
    assert_int_equal(load(&block, 1, frames, 4), ERR_PEER);
    table_destroy(&table);
    struct message_load backwards = head;
    backwards.stage_version = VERSION + 1;
    assert_int_equal(table_create(&stage, &backwards, &table, &err), ERR_PEER);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_step_is_complete_when_all_kinds_of_blocks_are),
        TEST(weights_that_somebody_keeps_do_not_change),
        TEST(coded_gradients_are_decoded_one_shard_at_a_time),
        TEST(sums_that_fit_no_block_are_refused),
        TEST(weights_leave_in_parts_with_every_block_once),
        TEST(large_blocks_fill_a_message_sooner),
        TEST(a_snapshot_has_as_many_parts_as_announced),
        TEST(finished_statistics_leave_with_their_counts),
        TEST(metrics_add_up_over_an_epoch),
        TEST(a_filled_table_goes_on_like_its_origin),
        TEST(what_the_open_step_lacks_is_known),
        TEST(loads_that_do_not_fit_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
