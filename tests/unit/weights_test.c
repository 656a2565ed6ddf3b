/* The worker's two versions of the live weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/sync/weights.h"

static struct plan_block blocks[] = {{0, 0, 2}, {0, 2, 1}};
static const struct plan plan = {.live_elements = 3, .blocks = blocks, .block_count = 2};
static const float pair[] = {1, 2}, single[] = {3}, other[] = {7, 8};
static struct weights *weights;

static int setup(void **state)
{
    (void)state;
    return weights_create(&plan, &weights, NULL) == OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    weights_destroy(&weights);
    return 0;
}

static void a_version_is_there_when_all_its_blocks_are(void **state)
{
    (void)state;
    assert_int_equal(weights_latest(weights), 0);
    assert_true(weights_take(weights, 4, 0, pair, sizeof pair));
    assert_int_equal(weights_latest(weights), 0);
    assert_true(weights_take(weights, 4, 0, pair, sizeof pair)); /* twice is once */
    assert_int_equal(weights_latest(weights), 0);
    assert_true(weights_take(weights, 4, 1, single, sizeof single));
    assert_int_equal(weights_latest(weights), 4);
    const float *live = weights_live(weights, 4);
    assert_true(live[0] == 1 && live[1] == 2 && live[2] == 3);
}

/* One server is ahead: the version in work must stay whole. */
static void a_half_newer_version_leaves_the_older_one(void **state)
{
    (void)state;
    weights_take(weights, 4, 0, pair, sizeof pair);
    weights_take(weights, 5, 0, other, sizeof other);
    assert_int_equal(weights_latest(weights), 0);
    weights_take(weights, 4, 1, single, sizeof single);
    assert_int_equal(weights_latest(weights), 4);
    assert_true(weights_live(weights, 4)[0] == 1);
    weights_take(weights, 5, 1, single, sizeof single);
    assert_int_equal(weights_latest(weights), 5);
    assert_true(weights_live(weights, 5)[0] == 7);
    assert_true(weights_live(weights, 4)[0] == 1);
}

static void older_blocks_are_ignored(void **state)
{
    (void)state;
    weights_take(weights, 6, 0, other, sizeof other);
    assert_true(weights_take(weights, 4, 0, pair, sizeof pair));
    weights_take(weights, 6, 1, single, sizeof single);
    assert_true(weights_live(weights, 6)[0] == 7);
    assert_int_equal(weights_latest(weights), 6);
}

static void versions_may_be_skipped(void **state)
{
    (void)state;
    weights_take(weights, 4, 0, pair, sizeof pair);
    weights_take(weights, 4, 1, single, sizeof single);
    weights_take(weights, 9, 0, other, sizeof other);
    weights_take(weights, 9, 1, single, sizeof single);
    assert_int_equal(weights_latest(weights), 9);
}

static void what_is_no_block_is_refused(void **state)
{
    (void)state;
    assert_false(weights_take(weights, 4, 2, pair, sizeof pair));
    assert_false(weights_take(weights, 4, 0, pair, sizeof pair - 1));
    assert_false(weights_take(weights, 4, 1, pair, sizeof pair));
    assert_false(weights_take(weights, 4, UINT32_MAX, pair, sizeof pair));
    assert_int_equal(weights_latest(weights), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_version_is_there_when_all_its_blocks_are),
        TEST(a_half_newer_version_leaves_the_older_one),
        TEST(older_blocks_are_ignored),
        TEST(versions_may_be_skipped),
        TEST(what_is_no_block_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
