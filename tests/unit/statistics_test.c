/* The worker's copy of a step's finished statistics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>

#include <cmocka.h>

#include "worker/sync/statistics.h"

#define FIRST 3u /* statistic block; before it lie the parameters */
#define TAIL 2   /* elements of the second statistic block */

static const struct layout layout = {.parameter_count = FIRST,
                                     .statistic_count = 2,
                                     .statistic_elements = LAYOUT_STATISTIC_ELEMENTS + TAIL,
                                     .metric_block = FIRST + 2,
                                     .block_count = FIRST + 3};
static struct statistics *statistics;
static double *large;

static int setup(void **state)
{
    (void)state;
    large = calloc(LAYOUT_STATISTIC_ELEMENTS, sizeof *large);
    large[0] = 11;
    return large != NULL && statistics_create(&layout, 2, &statistics, NULL) == OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    statistics_destroy(&statistics);
    free(large);
    return 0;
}

static bool take(uint64_t version, uint32_t block, uint32_t domain)
{
    const double tail[TAIL] = {5 + domain, 6};
    size_t bytes = (block == FIRST ? LAYOUT_STATISTIC_ELEMENTS : TAIL) * sizeof(double);
    return statistics_take(statistics, version, block, domain, 40 + domain,
                           block == FIRST ? large : tail, bytes);
}

static void they_are_complete_when_all_blocks_of_all_domains_are_there(void **state)
{
    uint64_t count;
    (void)state;
    assert_false(statistics_complete(statistics, 0));
    assert_true(take(0, FIRST, 0) && take(0, FIRST + 1, 0) && take(0, FIRST, 1));
    assert_true(take(0, FIRST, 1)); /* twice is once */
    assert_false(statistics_complete(statistics, 0));
    assert_true(take(0, FIRST + 1, 1));
    assert_true(statistics_complete(statistics, 0));
    assert_false(statistics_complete(statistics, 1));
    const double *sums = statistics_sums(statistics, 1, &count);
    assert_int_equal(count, 41);
    assert_true(sums[0] == 11 && sums[LAYOUT_STATISTIC_ELEMENTS] == 6);
}

static void a_newer_version_begins_anew_and_older_ones_are_ignored(void **state)
{
    (void)state;
    take(4, FIRST, 0);
    take(4, FIRST + 1, 0);
    take(4, FIRST, 1);
    take(5, FIRST + 1, 1);
    assert_true(take(4, FIRST + 1, 1));
    assert_false(statistics_complete(statistics, 4));
    take(5, FIRST, 0);
    take(5, FIRST + 1, 0);
    take(5, FIRST, 1);
    assert_true(statistics_complete(statistics, 5));
}

static void what_is_no_statistic_block_is_refused(void **state)
{
    (void)state;
    assert_false(take(1, FIRST - 1, 0));
    assert_false(take(1, FIRST + 2, 0));
    assert_false(take(1, FIRST + 1, 2));
    assert_false(statistics_take(statistics, 1, FIRST + 1, 0, 1, large, TAIL * 8 - 1));
    assert_false(statistics_complete(statistics, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(they_are_complete_when_all_blocks_of_all_domains_are_there),
        TEST(a_newer_version_begins_anew_and_older_ones_are_ignored),
        TEST(what_is_no_statistic_block_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
