/* One server, spoken to message by message; what it sends is recorded. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/server_fixture.h"

static double first_double(const struct sent *message)
{
    double value;
    memcpy(&value, message->first, sizeof value);
    return value;
}

static void a_view_and_a_load_are_confirmed(void **state)
{
    (void)state;
    assert_int_equal(sent_count, 2);
    assert_int_equal(sent[0].type, MESSAGE_VIEWED);
    assert_int_equal(sent[0].view, 3);
    assert_int_equal(sent[1].type, MESSAGE_LOADED);
    assert_int_equal(sent[1].generation, GENERATION);
    assert_true(sent[0].peer == PEER_COORDINATOR && sent[1].peer == PEER_COORDINATOR);
}

static void a_pull_after_a_load_gives_the_one_version_there_is(void **state)
{
    (void)state;
    forget();
    pull(WORKER_A);
    assert_int_equal(sent_count, 2);
    assert_int_equal(sent[1].type, MESSAGE_WANTED);
    assert_int_equal(sent[0].type, MESSAGE_WEIGHTS);
    assert_int_equal(sent[0].version, FRESH);
    assert_int_equal(sent[0].peer, WORKER_A);
    assert_true(first_float(&sent[0]) == 10);
}

/* With the statistics of both: whoever makes up for a dead worker needs those of the older step. */
static void a_pull_after_a_step_gives_the_previous_and_the_current_version(void **state)
{
    (void)state;
    one_step(0);
    push(PUSH(WORKER_A, .version_off = 1, .block = STATISTIC, .range = WHOLE, .value = 50));
    forget();
    pull(WORKER_B);
    assert_int_equal(sent_count, 5);
    assert_int_equal(sent[4].type, MESSAGE_WANTED);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(sent[i].type, i % 2 == 0 ? MESSAGE_WEIGHTS : MESSAGE_STATISTICS);
        assert_int_equal(sent[i].version, FRESH + i / 2);
    }
    assert_true(first_float(&sent[0]) == 10);
    assert_true(first_double(&sent[1]) == 8 && sent[1].count == 2);
    assert_true(first_float(&sent[2]) == 10 - 3);
    assert_true(first_double(&sent[3]) == 50 && sent[3].count == 1);
}

static void a_pull_brings_only_what_the_worker_lacks(void **state)
{
    (void)state;
    one_step(0);
    push(PUSH(WORKER_A, .version_off = 1, .block = STATISTIC, .range = WHOLE, .value = 50));
    forget();
    pull_from(WORKER_B, FRESH, true);
    assert_int_equal(sent_count, 3);
    assert_true(sent[0].type == MESSAGE_WEIGHTS && sent[0].version == FRESH + 1);
    assert_true(sent[1].type == MESSAGE_STATISTICS && sent[1].version == FRESH + 1);
    forget();
    pull_from(WORKER_B, FRESH, false);
    assert_int_equal(sent_count, 4);
    assert_true(sent[0].type == MESSAGE_STATISTICS && sent[0].version == FRESH);
    forget();
    pull_from(WORKER_B, FRESH + 1, false);
    assert_int_equal(sent_count, 2);
    assert_true(sent[0].type == MESSAGE_STATISTICS && sent[0].version == FRESH + 1);
    forget();
    pull_from(WORKER_B, FRESH + 1, true);
    assert_int_equal(sent_count, 1);
    assert_true(sent[0].type == MESSAGE_WANTED && sent[0].version == FRESH + 1);
}

static void a_pull_tells_which_pushes_never_came(void **state)
{
    (void)state;
    push(PUSH(WORKER_A, .block = STATISTIC, .value = 4));
    push(PUSH(WORKER_A, .block = METRIC, .range = WHOLE));
    push(PUSH(WORKER_A, .range = LEAF, .first = 1));
    forget();
    pull_from(WORKER_A, FRESH, true);
    assert_int_equal(sent[0].type, MESSAGE_WANTED);
    assert_int_equal(sent[0].part, 2);  /* statistics of shards 2 and 3 */
    assert_int_equal(sent[0].parts, 3); /* gradients of 0, 2 and 3 */
}

/* The parts of a LOAD may come twice, late and out of order; each is answered with the next one. */
static void parts_are_taken_in_their_order(void **state)
{
    const uint32_t came[] = {1, 0, 2, 0, 1, 1, 2, 0}, next[] = {0, 1, 1, 1, 2, 2, 3, 3};
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        forget();
        load_part(GENERATION + 1, came[i], 3);
        assert_int_equal(sent_count, i > 0);
        assert_int_equal(sent[0].part, next[i]);
    }
    pull(WORKER_A); /* of the generation before */
    assert_int_equal(server_counters(server).fenced, 1);
}

static void an_older_view_or_load_or_take_changes_nothing(void **state)
{
    const uint64_t nobody[] = {99};
    struct message take = {.type = MESSAGE_TAKE, .generation = GENERATION};
    (void)state;
    view_of(2, nobody, 1);
    load(GENERATION - 1);
    one_step(0);
    one_step(1);
    forget();
    take.body.take.version = FRESH + 3;
    hear(PEER_COORDINATOR, &take, NULL, 0);
    take.body.take.version = FRESH + 1;
    hear(PEER_COORDINATOR, &take, NULL, 0);
    one_step(2);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0].version, FRESH + 3);
}

static void it_says_that_it_is_ready_until_there_is_a_view(void **state)
{
    struct server *fresh;
    (void)state;
    assert_int_equal(server_create(job, SELF, (struct outbox){NULL, record}, &fresh, &err), OK);
    forget();
    server_tick(fresh, 1);
    server_tick(fresh, SERVER_READY_MS);
    assert_int_equal(sent_count, 1);
    server_tick(fresh, 1 + SERVER_READY_MS);
    assert_int_equal(sent_count, 2);
    assert_int_equal(sent[1].type, MESSAGE_READY);
    server_destroy(&fresh);
    server_tick(server, 100000);
    assert_int_equal(sent_count, 2);
}

static void statistics_come_first_and_then_the_weights(void **state)
{
    (void)state;
    pull(WORKER_A);
    pull(WORKER_B);
    forget();
    push(PUSH(WORKER_A, .block = STATISTIC, .value = 4, .count = 2));
    assert_int_equal(sent_count, 0);
    push(PUSH(WORKER_B, .block = STATISTIC, .first = 2, .value = 5, .count = 3));
    assert_int_equal(sent_count, 2);
    assert_int_equal(sent[0].type, MESSAGE_STATISTICS);
    assert_true(sent[0].peer == WORKER_A && sent[1].peer == WORKER_B);
    assert_int_equal(sent[0].version, FRESH);
    assert_int_equal(sent[0].count, 5);
    assert_true(first_double(&sent[0]) == 9);
    forget();
    push(PUSH(WORKER_A, .block = METRIC, .range = WHOLE));
    push(PUSH(WORKER_A, .value = 3, .count = 2));
    assert_int_equal(sent_count, 0);
    push(PUSH(WORKER_B, .first = 2, .value = 9, .count = 4));
    assert_int_equal(sent_count, 2);
    assert_int_equal(sent[1].type, MESSAGE_WEIGHTS);
    assert_int_equal(sent[1].version, FRESH + 1);
    assert_true(first_float(&sent[1]) == 10 - 12.0f / 6);
    assert_int_equal(server_counters(server).version, FRESH + 1);
}

static void a_late_worker_gets_the_statistics_of_the_open_step(void **state)
{
    (void)state;
    push(PUSH(WORKER_A, .block = STATISTIC, .range = WHOLE, .value = 4));
    forget();
    pull(WORKER_B);
    assert_int_equal(sent_count, 3);
    assert_int_equal(sent[1].type, MESSAGE_STATISTICS);
    assert_true(first_double(&sent[1]) == 4);
}

/* None of these may count: the step then completes with the right ones alone. */
static void pushes_of_another_time_or_sender_change_nothing(void **state)
{
    (void)state;
    pull(WORKER_A);
    forget();
    push(PUSH(WORKER_A, .version_off = -1, .range = WHOLE, .value = 100));
    push(PUSH(WORKER_A, .version_off = 1, .range = WHOLE, .value = 100));
    assert_int_equal(server_counters(server).duplicates, 2);
    push(PUSH(WORKER_A, .generation_off = -1, .range = WHOLE, .value = 100));
    push(PUSH(STRANGER, .range = WHOLE, .value = 100));
    push(PUSH(WORKER_A, .sender = WORKER_B, .range = WHOLE, .value = 100));
    assert_int_equal(server_counters(server).fenced, 3);
    push(PUSH(WORKER_A, .block = 77, .range = WHOLE, .value = 100));
    push(PUSH(WORKER_A, .first = 1, .value = 100));
    push(PUSH(WORKER_A, .range = BEYOND, .value = 100));
    assert_int_equal(server_counters(server).broken, 3);
    assert_int_equal(sent_count, 0);
    one_step(0);
    assert_true(first_float(&sent[sent_count - 1]) == 10 - 3);
}

static void a_push_with_fewer_frames_than_entries_is_dropped(void **state)
{
    struct push_entry entries[2] = {{.block = PARAMETER, .count = 1}, {.block = METRIC}};
    const float value[] = {1, 2};
    const struct frame frame = {value, sizeof value};
    struct message message = {.type = MESSAGE_PUSH, .sender = WORKER_A, .generation = GENERATION};
    (void)state;
    message.body.push = (struct message_push){
        .version = FRESH, .range_log2 = 2, .entries = entries, .entry_count = 2};
    hear(WORKER_A, &message, &frame, 1);
    assert_int_equal(server_counters(server).broken, 1);
    const struct frame cut = {value, sizeof value - 1};
    message.body.push.entry_count = 1;
    hear(WORKER_A, &message, &cut, 1);
    assert_int_equal(server_counters(server).broken, 2);
}

static void a_push_seen_twice_counts_once(void **state)
{
    (void)state;
    pull(WORKER_A);
    push(PUSH(WORKER_A, .value = 3));
    push(PUSH(WORKER_A, .value = 3));
    push(PUSH(WORKER_B, .range = LEAF, .value = 50));
    assert_int_equal(server_counters(server).duplicates, 2);
    one_step(0);
    assert_true(first_float(&sent[sent_count - 1]) == 10 - 3);
}

static void a_worker_that_left_the_view_is_fenced_and_gets_nothing(void **state)
{
    const uint64_t left[] = {WORKER_B};
    (void)state;
    pull(WORKER_A);
    pull(WORKER_B);
    view_of(4, left, 1);
    forget();
    push(PUSH(WORKER_A, .range = WHOLE, .value = 100));
    pull(WORKER_A);
    assert_int_equal(server_counters(server).fenced, 2);
    push(PUSH(WORKER_B, .block = STATISTIC, .range = WHOLE));
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0].peer, WORKER_B);
    assert_int_equal(sent[0].view, 4);
}

static void a_snapshot_is_sent_when_its_version_is_there(void **state)
{
    struct message take = {.type = MESSAGE_TAKE, .generation = GENERATION};
    (void)state;
    take.body.take.version = FRESH + 2;
    forget();
    hear(PEER_COORDINATOR, &take, NULL, 0);
    one_step(0);
    assert_int_equal(sent_count, 0);
    one_step(1);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0].type, MESSAGE_SNAPSHOT);
    assert_int_equal(sent[0].version, FRESH + 2);
    assert_int_equal(sent[0].frames, 2); /* the parameter and the metric; statistics stay */
    assert_true(sent[0].part == 0 && sent[0].parts == 1);
    assert_true(first_float(&sent[0]) == 10 - 6);
    forget();
    take.body.take.version = FRESH + 2;
    hear(PEER_COORDINATOR, &take, NULL, 0); /* it is there already: at once */
    assert_int_equal(sent_count, 1);
    forget();
    take.generation = GENERATION - 1;
    hear(PEER_COORDINATOR, &take, NULL, 0);
    assert_int_equal(sent_count, 0);
}

static void a_gradient_that_is_not_finite_stops_with_its_block_and_step(void **state)
{
    const double values[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    for (int32_t i = 0; i < 3; i++) {
        load(GENERATION + (uint32_t)i);
        push(PUSH(WORKER_A, .generation_off = i, .block = STATISTIC, .range = WHOLE));
        push(PUSH(WORKER_A, .generation_off = i, .block = METRIC, .range = WHOLE));
        assert_int_equal(
            push_status(PUSH(WORKER_A, .generation_off = i, .range = WHOLE, .value = values[i])),
            ERR_INPUT);
        fixture_contains(err.text, "block 0");
        fixture_contains(err.text, "step 8"); /* of the stage, which began at version 1 */
        fixture_contains(err.text, "'s'");
    }
}

static void a_load_replaces_the_table_and_its_subscribers(void **state)
{
    (void)state;
    pull(WORKER_A);
    push(PUSH(WORKER_A, .value = 3));
    load(GENERATION + 1);
    forget();
    push(PUSH(WORKER_A, .first = 2, .value = 3));
    assert_int_equal(server_counters(server).fenced, 1);
    push(PUSH(WORKER_A, .generation_off = 1, .block = STATISTIC, .range = WHOLE));
    assert_int_equal(sent_count, 0);
}

static enum status load_broken(struct message_load body, const struct load_block *block,
                               size_t frame_bytes)
{
    const float weights[4] = {0};
    struct load_block one = *block;
    const struct frame frame = {weights, frame_bytes};
    static uint32_t generation = GENERATION;
    struct message message = {.type = MESSAGE_LOAD, .generation = ++generation};
    message.body.load = body;
    message.body.load.blocks = &one;
    message.body.load.block_count = 1;
    return server_handle(server, now_ms, PEER_COORDINATOR, &message, &frame, 1, &err);
}

static void a_load_that_does_not_fit_the_job_is_an_error(void **state)
{
    const struct message_load good = {.shards = 4,
                                      .domains = 1,
                                      .version = 1,
                                      .stage_version = 1,
                                      .steps_per_epoch = 1,
                                      .parameters = 1,
                                      .parts = 1};
    const struct load_block block = {.kind = BLOCK_PARAMETER, .elements = 2};
    struct message_load bad = good;
    struct load_block bad_block = block;
    (void)state;
    assert_int_equal(load_broken(good, &block, 8), OK);
    assert_int_equal(load_broken(good, &block, 7), ERR_PEER);
    bad.stage = 9;
    assert_int_equal(load_broken(bad, &block, 8), ERR_PEER);
    bad = good;
    bad.domains = 2;
    assert_int_equal(load_broken(bad, &block, 8), ERR_PEER);
    bad = good;
    bad.shards = 0;
    assert_int_equal(load_broken(bad, &block, 8), ERR_PEER);
    bad.shards = REDUCTION_SHARDS_MAX + 1;
    assert_int_equal(load_broken(bad, &block, 8), ERR_PEER);
    bad = good;
    bad.parameters = 0;
    assert_int_equal(load_broken(bad, &block, 8), ERR_PEER);
    bad.parameters = WIRE_BLOCKS_MAX + 1;
    assert_int_equal(load_broken(bad, &block, 8), ERR_PEER);
    bad_block.kind = 3;
    assert_int_equal(load_broken(good, &bad_block, 8), ERR_PEER);
    bad_block = block;
    bad_block.elements = UINT64_MAX;
    assert_int_equal(load_broken(good, &bad_block, 8), ERR_PEER);
    bad_block = block;
    bad_block.state_frames = 2; /* SGD without momentum keeps none */
    assert_int_equal(load_broken(good, &bad_block, 8), ERR_PEER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_view_and_a_load_are_confirmed),
        TEST(a_pull_after_a_load_gives_the_one_version_there_is),
        TEST(a_pull_after_a_step_gives_the_previous_and_the_current_version),
        TEST(a_pull_brings_only_what_the_worker_lacks),
        TEST(a_pull_tells_which_pushes_never_came),
        TEST(parts_are_taken_in_their_order),
        TEST(an_older_view_or_load_or_take_changes_nothing),
        TEST(it_says_that_it_is_ready_until_there_is_a_view),
        TEST(statistics_come_first_and_then_the_weights),
        TEST(a_late_worker_gets_the_statistics_of_the_open_step),
        TEST(pushes_of_another_time_or_sender_change_nothing),
        TEST(a_push_with_fewer_frames_than_entries_is_dropped),
        TEST(a_push_seen_twice_counts_once),
        TEST(a_worker_that_left_the_view_is_fenced_and_gets_nothing),
        TEST(a_snapshot_is_sent_when_its_version_is_there),
        TEST(a_gradient_that_is_not_finite_stops_with_its_block_and_step),
        TEST(a_load_replaces_the_table_and_its_subscribers),
        TEST(a_load_that_does_not_fit_the_job_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
