/* What a worker does next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/worker.h"

#define SHARDS 4u
#define ME 7u
#define ELSE 8u
#define START 5u

static struct worker worker;

static void own(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint32_t owners[SHARDS] = {a, b, c, d};
    const struct message_view view = {.shard_owners = owners, .shard_count = SHARDS};
    worker_take_view(&worker, &view, ME);
}

static void task(enum task_kind kind, uint32_t steps, bool statistics)
{
    static uint32_t parts[] = {3, 1};
    const struct message_task body = {.task = 1,
                                      .kind = kind,
                                      .version = START,
                                      .steps = steps,
                                      .parts = parts,
                                      .part_count = kind == TASK_TRAIN ? 0 : 2};
    worker_take_task(&worker, &body, statistics);
}

static int setup(void **state)
{
    (void)state;
    worker_init(&worker, SHARDS);
    own(ME, ELSE, ME, ELSE);
    return 0;
}

static void expect(uint64_t latest, bool has_statistics, enum worker_action_kind kind,
                   uint32_t shard)
{
    struct worker_action action = worker_next(&worker, latest, has_statistics);
    assert_int_equal(action.kind, kind);
    if (kind == ACTION_FORWARD || kind == ACTION_BACKWARD || kind == ACTION_PREPARE ||
        kind == ACTION_PREDICT)
        assert_int_equal(action.shard, shard);
    assert_int_equal(action.version, worker.version);
}

static void without_a_task_it_waits(void **state)
{
    (void)state;
    expect(START, true, ACTION_WAIT, 0);
}

static void a_step_goes_forward_statistics_backward_gradients(void **state)
{
    (void)state;
    task(TASK_TRAIN, 2, true);
    expect(START, false, ACTION_FORWARD, 0);
    expect(START, false, ACTION_FORWARD, 2);
    expect(START, false, ACTION_PUSH_STATISTICS, 0);
    expect(START, false, ACTION_WAIT, 0);
    expect(START, true, ACTION_BACKWARD, 0);
    expect(START, true, ACTION_BACKWARD, 2);
    expect(START, true, ACTION_PUSH_GRADIENTS, 0);
    expect(START, true, ACTION_WAIT, 0);
    expect(START + 1, true, ACTION_FORWARD, 0); /* the statistics were those of the step before */
    expect(START + 1, false, ACTION_FORWARD, 2);
    expect(START + 1, false, ACTION_PUSH_STATISTICS, 0);
    expect(START + 2, false, ACTION_WAIT, 0);
    expect(START + 2, false, ACTION_WAIT, 0);
}

static void without_statistics_backward_follows_forward(void **state)
{
    (void)state;
    task(TASK_TRAIN, 1, false);
    expect(START, false, ACTION_FORWARD, 0);
    expect(START, false, ACTION_FORWARD, 2);
    expect(START, false, ACTION_BACKWARD, 0);
    expect(START, false, ACTION_BACKWARD, 2);
    expect(START, false, ACTION_PUSH_GRADIENTS, 0);
    expect(START + 1, false, ACTION_WAIT, 0);
}

static void before_the_weights_are_there_it_waits(void **state)
{
    (void)state;
    task(TASK_TRAIN, 1, false);
    expect(0, false, ACTION_WAIT, 0);
    expect(START - 1, false, ACTION_WAIT, 0);
    expect(START, false, ACTION_FORWARD, 0);
}

static void a_shard_that_comes_before_the_statistics_joins_them(void **state)
{
    (void)state;
    task(TASK_TRAIN, 1, true);
    expect(START, false, ACTION_FORWARD, 0);
    expect(START, false, ACTION_FORWARD, 2);
    expect(START, false, ACTION_PUSH_STATISTICS, 0);
    own(ME, ME, ME, ELSE);
    expect(START, false, ACTION_FORWARD, 1);
    expect(START, false, ACTION_PUSH_STATISTICS, 0);
    expect(START, false, ACTION_WAIT, 0);
}

static void a_shard_that_comes_after_the_gradients_is_made_up_for(void **state)
{
    (void)state;
    task(TASK_TRAIN, 1, true);
    expect(START, false, ACTION_FORWARD, 0);
    expect(START, false, ACTION_FORWARD, 2);
    expect(START, true, ACTION_BACKWARD, 0);
    expect(START, true, ACTION_BACKWARD, 2);
    expect(START, true, ACTION_PUSH_GRADIENTS, 0);
    own(ME, ELSE, ME, ME);
    expect(START, true, ACTION_FORWARD, 3);
    expect(START, true, ACTION_BACKWARD, 3);
    expect(START, true, ACTION_PUSH_GRADIENTS, 0);
    expect(START, true, ACTION_WAIT, 0);
}

static void a_shard_that_was_taken_away_is_not_differentiated(void **state)
{
    (void)state;
    task(TASK_TRAIN, 1, false);
    expect(START, false, ACTION_FORWARD, 0);
    expect(START, false, ACTION_FORWARD, 2);
    own(ME, ELSE, ELSE, ELSE);
    expect(START, false, ACTION_BACKWARD, 0);
    expect(START, false, ACTION_PUSH_GRADIENTS, 0);
    expect(START, false, ACTION_WAIT, 0);
}

static void newer_weights_skip_the_step_in_work(void **state)
{
    (void)state;
    task(TASK_TRAIN, 10, true);
    expect(START, false, ACTION_FORWARD, 0);
    expect(START + 3, true, ACTION_FORWARD, 0);
    assert_int_equal(worker.version, START + 3);
    expect(START + 3, false, ACTION_FORWARD, 2);
    expect(START + 10, false, ACTION_WAIT, 0);
}

static void weights_beyond_the_task_end_it(void **state)
{
    (void)state;
    task(TASK_TRAIN, 2, true);
    expect(START + 2, true, ACTION_WAIT, 0);
    expect(START + 2, true, ACTION_WAIT, 0);
}

static void a_worker_without_shards_only_follows(void **state)
{
    (void)state;
    own(ELSE, ELSE, ELSE, ELSE);
    task(TASK_TRAIN, 1, true);
    expect(START, false, ACTION_WAIT, 0);
    expect(START, true, ACTION_WAIT, 0);
    expect(START + 1, true, ACTION_WAIT, 0);
}

static void shards_are_prepared_once_and_new_ones_too(void **state)
{
    (void)state;
    task(TASK_PREPARE, 0, false);
    expect(0, false, ACTION_PREPARE, 0);
    expect(0, false, ACTION_PREPARE, 2);
    expect(0, false, ACTION_WAIT, 0);
    own(ME, ME, ELSE, ELSE);
    expect(0, false, ACTION_PREPARE, 1);
    expect(0, false, ACTION_WAIT, 0);
}

static void every_part_of_every_shard_is_predicted_at_its_version(void **state)
{
    const uint32_t parts[] = {3, 3, 1, 1}, shards[] = {0, 2, 0, 2};
    (void)state;
    task(TASK_PREDICT, 0, false);
    expect(START - 1, false, ACTION_WAIT, 0);
    for (size_t i = 0; i < 4; i++) {
        struct worker_action action = worker_next(&worker, START, false);
        assert_int_equal(action.kind, ACTION_PREDICT);
        assert_int_equal(action.part, parts[i]);
        assert_int_equal(action.shard, shards[i]);
    }
    expect(START, false, ACTION_WAIT, 0);
}

static void a_new_task_replaces_the_old(void **state)
{
    (void)state;
    task(TASK_TRAIN, 5, true);
    expect(START, false, ACTION_FORWARD, 0);
    task(TASK_SHOW, 0, false);
    expect(START, false, ACTION_SHOW, 0);
    expect(START, false, ACTION_WAIT, 0);
    task(TASK_TRAIN, 5, true);
    expect(START, false, ACTION_FORWARD, 0);
}

static void a_view_with_fewer_shards_than_the_job_owns_no_others(void **state)
{
    uint32_t owners[] = {ME};
    const struct message_view view = {.shard_owners = owners, .shard_count = 1};
    (void)state;
    worker_take_view(&worker, &view, ME);
    task(TASK_PREPARE, 0, false);
    expect(0, false, ACTION_PREPARE, 0);
    expect(0, false, ACTION_WAIT, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_task_it_waits),
        TEST(a_step_goes_forward_statistics_backward_gradients),
        TEST(without_statistics_backward_follows_forward),
        TEST(before_the_weights_are_there_it_waits),
        TEST(a_shard_that_comes_before_the_statistics_joins_them),
        TEST(a_shard_that_comes_after_the_gradients_is_made_up_for),
        TEST(a_shard_that_was_taken_away_is_not_differentiated),
        TEST(newer_weights_skip_the_step_in_work),
        TEST(weights_beyond_the_task_end_it),
        TEST(a_worker_without_shards_only_follows),
        TEST(shards_are_prepared_once_and_new_ones_too),
        TEST(every_part_of_every_shard_is_predicted_at_its_version),
        TEST(a_new_task_replaces_the_old),
        TEST(a_view_with_fewer_shards_than_the_job_owns_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
