/* Clipping by a norm to which other servers contribute: one server, spoken to message by message. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "paramserver/table/norms.h"
#include "tests/unit/server_fixture.h"

#define THERE 1u /* the block of the other server; the step here has the mean gradient (3, 6) */

static int setup_clipping(void **state)
{
    parameters = 2;
    setup(state);
    job->stages[0].clip_norm = 4.5;
    forget();
    return 0;
}

static void norm_from(uint64_t peer, uint64_t version, uint32_t block, double square, bool asks)
{
    struct message message = {.type = MESSAGE_NORMS, .sender = peer, .generation = GENERATION};
    const struct frame frame = {&square, sizeof square};
    message.body.norms = (struct message_norms){version, asks, &block, 1};
    hear(peer, &message, &frame, 1);
}

static const struct sent *first_of(enum message_type type)
{
    for (size_t i = 0; i < sent_count; i++)
        if (sent[i].type == type)
            return &sent[i];
    return NULL;
}

static double norm_sent(void)
{
    double square;
    const struct sent *norms = first_of(MESSAGE_NORMS);
    assert_non_null(norms);
    memcpy(&square, norms->first, sizeof square);
    return square;
}

static void a_step_waits_for_the_norms_of_all_blocks(void **state)
{
    (void)state;
    pull(WORKER_A);
    forget();
    one_step(0);
    assert_null(first_of(MESSAGE_WEIGHTS));
    assert_int_equal(first_of(MESSAGE_NORMS)->peer, OTHER);
    assert_int_equal(first_of(MESSAGE_NORMS)->version, FRESH);
    assert_true(norm_sent() == 45);
    norm_from(OTHER, FRESH, THERE, 36, false); /* in all: 9, twice what is allowed */
    assert_true(first_float(first_of(MESSAGE_WEIGHTS)) == 10 - 3 * 0.5f);
}

static void a_norm_that_came_before_counts(void **state)
{
    (void)state;
    pull(WORKER_A);
    norm_from(OTHER, FRESH, THERE, 36, false);
    one_step(0);
    assert_true(first_float(first_of(MESSAGE_WEIGHTS)) == 10); /* of the pull */
    forget();
    pull(WORKER_A);
    assert_true(first_float(&sent[2]) == 10 - 3 * 0.5f);
}

static void a_short_gradient_stays_as_it_is(void **state)
{
    (void)state;
    job->stages[0].clip_norm = 9.1;
    pull(WORKER_A);
    forget();
    one_step(0);
    norm_from(OTHER, FRESH, THERE, 36, false);
    assert_true(first_float(first_of(MESSAGE_WEIGHTS)) == 10 - 3);
}

static void who_waits_asks_and_who_went_on_answers(void **state)
{
    (void)state;
    one_step(0);
    forget();
    now_ms += PARTITION_AGAIN_MS - 1;
    server_tick(server, now_ms);
    assert_int_equal(sent_count, 0);
    now_ms++;
    server_tick(server, now_ms);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0].part, 1); /* asks */
    norm_from(OTHER, FRESH, THERE, 36, false);
    assert_int_equal(server_counters(server).version, FRESH + 1);
    forget();
    norm_from(OTHER, FRESH, THERE, 36, true);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0].part, 0);
    assert_int_equal(sent[0].version, FRESH);
    assert_true(norm_sent() == 45);
    forget();
    norm_from(OTHER, FRESH + 1, THERE, 36, true); /* not measured here yet */
    assert_int_equal(sent_count, 0);
}

static void norms_of_strangers_and_other_times_change_nothing(void **state)
{
    (void)state;
    one_step(0);
    norm_from(STRANGER, FRESH, THERE, 36, false);
    norm_from(WORKER_A, FRESH, THERE, 36, false);
    norm_from(OTHER, FRESH - 1, THERE, 36, false);
    assert_int_equal(server_counters(server).fenced, 2);
    norm_from(OTHER, FRESH, 2, 36, false);
    norm_from(OTHER, FRESH, THERE, -1, false);
    norm_from(OTHER, FRESH, THERE, NAN, false);
    assert_int_equal(server_counters(server).broken, 3);
    assert_int_equal(server_counters(server).version, FRESH);
}

/* In block order, whatever the order in which they come. */
static void the_sum_does_not_depend_on_the_order(void **state)
{
    struct norms norms = {0};
    const uint32_t orders[2][3] = {{0, 1, 2}, {2, 0, 1}};
    const double squares[] = {1e16, 1, 1};
    float scales[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(norms_reset(&norms, 3, &err), OK);
        for (int k = 0; k < 3; k++) {
            assert_false(norms_complete(&norms, 4));
            assert_true(norms_take(&norms, 4, orders[i][k], squares[orders[i][k]]));
        }
        assert_true(norms_complete(&norms, 4));
        assert_int_equal(norms_scale(&norms, 5e7, &scales[i], &err), OK);
    }
    assert_true(scales[0] == 0.5f && scales[1] == 0.5f);
    assert_true(norms_take(&norms, 5, 0, 1) && !norms_complete(&norms, 5));
    assert_true(norms_take(&norms, 4, 1, 1) && !norms_complete(&norms, 5));
    for (uint32_t k = 0; k < 3; k++)
        norms_take(&norms, 5, k, 1e308);
    assert_int_equal(norms_scale(&norms, 1, &scales[0], &err), ERR_INPUT);
    norms_deinit(&norms);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_clipping, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_step_waits_for_the_norms_of_all_blocks),
        TEST(a_norm_that_came_before_counts),
        TEST(a_short_gradient_stays_as_it_is),
        TEST(who_waits_asks_and_who_went_on_answers),
        TEST(norms_of_strangers_and_other_times_change_nothing),
        cmocka_unit_test(the_sum_does_not_depend_on_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
