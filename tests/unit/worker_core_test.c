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
#define NOW 1000

static struct worker worker;

static void own(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint32_t owners[SHARDS] = {a, b, c, d};
    const struct message_view view = {.shard_owners = owners, .shard_count = SHARDS};
    assert_true(worker_take_view(&worker, &view, 1, ME));
}

static void task(enum task_kind kind, uint32_t steps, bool statistics)
{
    static uint32_t parts[] = {3, 1};
    static uint32_t number;
    struct message message = {.type = MESSAGE_TASK, .view = 1, .generation = 1};
    message.body.task = (struct message_task){.task = ++number,
                                              .kind = kind,
                                              .version = START,
                                              .steps = steps,
                                              .parts = parts,
                                              .part_count = kind == TASK_TRAIN ? 0 : 2};
    assert_int_equal(worker_weigh_task(&worker, &message), WORKER_TASK_NEW);
    worker_take_task(&worker, &message, statistics);
    worker.again.wait_ms = WORKER_AGAIN_MS; /* the first PULL is another test's */
}

/* The task in work comes once more, with a piece whose answer was lost. */
static enum worker_task task_again(uint32_t view, uint32_t older, uint32_t piece)
{
    struct message message = {.type = MESSAGE_TASK, .view = view, .generation = 1};
    message.body.task = worker.task;
    message.body.task.task -= older;
    message.body.task.again = &piece;
    message.body.task.again_count = 1;
    return worker_weigh_task(&worker, &message);
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
    struct worker_action action = worker_next(&worker, NOW, latest, has_statistics);
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
    expect(START, true, ACTION_PUSH_STATISTICS, 0);
    expect(START, true, ACTION_BACKWARD, 0);
    expect(START, true, ACTION_BACKWARD, 2);
    expect(START, true, ACTION_PUSH_GRADIENTS, 0);
    own(ME, ELSE, ME, ME);
    expect(START, true, ACTION_FORWARD, 3);
    expect(START, true, ACTION_PUSH_STATISTICS, 0); /* a server that took over may lack them */
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
        struct worker_action action = worker_next(&worker, NOW, START, false);
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
    assert_true(worker_take_view(&worker, &view, 1, ME));
    task(TASK_PREPARE, 0, false);
    expect(0, false, ACTION_PREPARE, 0);
    expect(0, false, ACTION_WAIT, 0);
}

static void lost_answers_are_given_again(void **state)
{
    (void)state;
    task(TASK_PREPARE, 0, false);
    expect(0, false, ACTION_PREPARE, 0);
    expect(0, false, ACTION_PREPARE, 2);
    expect(0, false, ACTION_WAIT, 0);
    assert_int_equal(task_again(1, 0, 2), WORKER_TASK_KNOWN);
    expect(0, false, ACTION_PREPARE, 2);
    expect(0, false, ACTION_WAIT, 0);
    task(TASK_PREDICT, 0, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(worker_next(&worker, NOW, START, false).kind, ACTION_PREDICT);
    assert_int_equal(task_again(1, 0, SHARDS + 2), WORKER_TASK_KNOWN);
    struct worker_action action = worker_next(&worker, NOW, START, false);
    assert_true(action.kind == ACTION_PREDICT && action.part == 1 && action.shard == 2);
    expect(START, false, ACTION_WAIT, 0);
    task(TASK_SHOW, 0, false);
    expect(START, false, ACTION_SHOW, 0);
    assert_int_equal(task_again(1, 0, 0), WORKER_TASK_KNOWN);
    expect(START, false, ACTION_SHOW, 0);
}

/* A task of a view that is not here would be answered to the wrong servers. */
static void late_tasks_and_views_change_nothing(void **state)
{
    uint32_t owners[SHARDS] = {ELSE, ELSE, ELSE, ELSE};
    const struct message_view view = {.shard_owners = owners, .shard_count = SHARDS};
    (void)state;
    task(TASK_PREPARE, 0, false);
    expect(0, false, ACTION_PREPARE, 0);
    assert_int_equal(task_again(1, 1, 0), WORKER_TASK_STRAY);
    assert_int_equal(task_again(2, 0, 0), WORKER_TASK_STRAY);
    assert_false(worker_take_view(&worker, &view, 0, ME));
    expect(0, false, ACTION_PREPARE, 2);
    expect(0, false, ACTION_WAIT, 0);
}

static struct worker_action at(int64_t now_ms)
{
    return worker_next(&worker, now_ms, START, false);
}

static void who_waits_asks_more_and_more_rarely(void **state)
{
    const int64_t waits[] = {1, 2, 4, 8, 16, 16};
    int64_t now_ms = NOW;
    (void)state;
    task(TASK_TRAIN, 1, false);
    own(ELSE, ELSE, ELSE, ELSE);
    worker.again.wait_ms = 0;
    assert_int_equal(at(now_ms).kind, ACTION_PULL); /* a new generation: at once */
    for (size_t i = 0; i < 6; i++) {
        now_ms += waits[i] * WORKER_AGAIN_MS;
        assert_int_equal(at(now_ms - 1).kind, ACTION_WAIT);
        assert_int_equal(at(now_ms).kind, ACTION_PULL);
    }
    worker_heard(&worker); /* something comes: the wait begins anew */
    assert_int_equal(at(now_ms + 20 * WORKER_AGAIN_MS).kind, ACTION_WAIT);
}

static void what_is_wanted_is_pushed_again_once(void **state)
{
    uint32_t wanted_shards[] = {1, 2};
    struct message_wanted wanted = {
        .version = START, .gradients = wanted_shards, .gradient_count = 2};
    (void)state;
    task(TASK_TRAIN, 1, false);
    for (int i = 0; i < 4; i++)
        assert_true(at(NOW).kind == (i < 2 ? ACTION_FORWARD : ACTION_BACKWARD));
    assert_int_equal(at(NOW).kind, ACTION_PUSH_GRADIENTS);
    worker_take_wanted(&worker, &wanted); /* it did not ask */
    assert_int_equal(at(NOW).kind, ACTION_WAIT);
    assert_int_equal(at(NOW + WORKER_AGAIN_MS).kind, ACTION_PULL);
    wanted.version++;
    worker_take_wanted(&worker, &wanted);
    assert_int_equal(at(NOW + WORKER_AGAIN_MS).kind, ACTION_WAIT);
    wanted.version--;
    worker_take_wanted(&worker, &wanted);
    assert_int_equal(at(NOW + WORKER_AGAIN_MS).kind, ACTION_PUSH_GRADIENTS);
    worker_take_wanted(&worker, &wanted);
    assert_int_equal(at(NOW + WORKER_AGAIN_MS).kind, ACTION_WAIT);
}

static void it_says_that_it_is_ready_until_there_is_a_view(void **state)
{
    (void)state;
    worker_init(&worker, SHARDS);
    assert_int_equal(at(NOW).kind, ACTION_READY);
    assert_int_equal(at(NOW + WORKER_AGAIN_MS - 1).kind, ACTION_WAIT);
    assert_int_equal(at(NOW + WORKER_AGAIN_MS).kind, ACTION_READY);
    own(ME, ME, ME, ME);
    assert_int_equal(at(NOW + 9 * WORKER_AGAIN_MS).kind, ACTION_WAIT);
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
        TEST(lost_answers_are_given_again),
        TEST(late_tasks_and_views_change_nothing),
        TEST(who_waits_asks_more_and_more_rarely),
        TEST(what_is_wanted_is_pushed_again_once),
        TEST(it_says_that_it_is_ready_until_there_is_a_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
