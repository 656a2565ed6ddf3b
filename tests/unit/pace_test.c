/* Whose turn it is when each shard has a clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/wire/message.h"
#include "worker/pace.h"

#define SHARDS 3u
#define BEGIN 4u
#define END 8u

static struct pace *pace;
static const bool mine[SHARDS] = {true, true, false};
static const uint32_t partitions[] = {2, 5, 2}; /* of three blocks */

static void begin(uint32_t staleness)
{
    struct error err;
    pace_destroy(&pace);
    assert_int_equal(pace_create(SHARDS, staleness, BEGIN, END, partitions, 3, &pace, &err), OK);
}

static int teardown(void **state)
{
    (void)state;
    pace_destroy(&pace);
    return 0;
}

static void tell(uint32_t partition, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t clocks[] = {a, b, c};
    pace_take(pace, partition, clocks, SHARDS);
}

static void tell_both(uint32_t a, uint32_t b, uint32_t c)
{
    tell(2, a, b, c);
    tell(5, a, b, c);
}

static void expect(enum pace_turn turn, uint32_t shard, uint32_t clock)
{
    assert_int_equal(pace_next(pace, mine), turn);
    if (turn == PACE_WAIT)
        return;
    assert_int_equal(pace->shard, shard);
    assert_int_equal(pace->clock, clock);
}

static void a_step_is_computed_and_pushed_and_counted_by_all(void **state)
{
    (void)state;
    begin(PACE_UNBOUNDED);
    expect(PACE_COMPUTE, 0, BEGIN);
    expect(PACE_PUSH, 0, BEGIN);
    expect(PACE_WAIT, 0, 0);
    tell(2, BEGIN + 1, BEGIN, BEGIN);
    expect(PACE_WAIT, 0, 0); /* the other partition has not taken it */
    tell(5, BEGIN + 1, BEGIN, BEGIN);
    expect(PACE_COMPUTE, 1, BEGIN); /* the one that is furthest behind */
}

static void without_a_bound_a_worker_goes_to_the_end(void **state)
{
    (void)state;
    begin(PACE_UNBOUNDED);
    for (uint32_t clock = BEGIN; clock < END; clock++) {
        expect(PACE_COMPUTE, 0, clock);
        expect(PACE_PUSH, 0, clock);
        tell_both(clock + 1, clock, BEGIN);
        expect(PACE_COMPUTE, 1, clock);
        expect(PACE_PUSH, 1, clock);
        tell_both(clock + 1, clock + 1, BEGIN);
    }
    expect(PACE_WAIT, 0, 0);
}

static void in_ssp_it_waits_for_the_slowest(void **state)
{
    (void)state;
    begin(1);
    tell_both(BEGIN + 1, BEGIN + 1, BEGIN);
    expect(PACE_COMPUTE, 0, BEGIN + 1); /* one ahead */
    expect(PACE_PUSH, 0, BEGIN + 1);
    tell_both(BEGIN + 2, BEGIN + 2, BEGIN);
    expect(PACE_WAIT, 0, 0);
    tell(2, BEGIN + 2, BEGIN + 2, BEGIN + 1);
    expect(PACE_WAIT, 0, 0);
    tell(5, BEGIN + 2, BEGIN + 2, BEGIN + 1);
    expect(PACE_COMPUTE, 0, BEGIN + 2);
}

static void what_was_lost_is_pushed_again_when_an_answer_says_so(void **state)
{
    (void)state;
    begin(PACE_UNBOUNDED);
    expect(PACE_COMPUTE, 0, BEGIN);
    expect(PACE_PUSH, 0, BEGIN);
    tell_both(BEGIN, BEGIN + 1, BEGIN); /* not asked for: it may be under way */
    expect(PACE_WAIT, 0, 0);
    pace->asked = true;
    tell(2, BEGIN + 1, BEGIN + 1, BEGIN);
    expect(PACE_WAIT, 0, 0);
    tell(5, BEGIN, BEGIN + 1, BEGIN);
    expect(PACE_PUSH, 0, BEGIN);
    tell(5, BEGIN, BEGIN + 1, BEGIN); /* one answer, one push */
    expect(PACE_WAIT, 0, 0);
}

static void old_and_strange_clocks_change_nothing(void **state)
{
    const uint32_t few[] = {END, END};
    (void)state;
    begin(PACE_UNBOUNDED);
    tell_both(BEGIN + 3, BEGIN + 3, BEGIN);
    tell_both(BEGIN + 1, BEGIN, BEGIN);
    tell(1, END, END, END); /* a partition without blocks */
    pace_take(pace, WIRE_PARTITIONS_MAX, few, SHARDS);
    pace_take(pace, 2, few, 2);
    expect(PACE_COMPUTE, 0, BEGIN + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_computed_and_pushed_and_counted_by_all),
        cmocka_unit_test(without_a_bound_a_worker_goes_to_the_end),
        cmocka_unit_test(in_ssp_it_waits_for_the_slowest),
        cmocka_unit_test(what_was_lost_is_pushed_again_when_an_answer_says_so),
        cmocka_unit_test(old_and_strange_clocks_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
