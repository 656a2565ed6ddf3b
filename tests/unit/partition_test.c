/* Backups: filled, waited for, taking over. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/server_fixture.h"

static struct sent *find(enum message_type type, uint64_t peer)
{
    for (size_t i = 0; i < sent_count; i++)
        if (sent[i].type == type && sent[i].peer == peer)
            return &sent[i];
    return NULL;
}

static void views(uint32_t number, uint32_t primary, uint32_t backup)
{
    const uint64_t workers[] = {WORKER_A, WORKER_B};
    primary_at = primary;
    backup_at = backup;
    view_of(number, workers, 2);
}

static void acknowledge(uint32_t fill, uint64_t version)
{
    struct message message = {.type = MESSAGE_ACK, .sender = OTHER, .generation = GENERATION};
    message.body.ack = (struct message_ack){0, fill, version};
    hear(OTHER, &message, NULL, 0);
}

/* Fills the backup and lets it catch up: two steps. */
static void sync(void)
{
    views(4, 0, 1);
    one_step(0);
    acknowledge(1, FRESH + 1);
    forget();
}

static void a_backup_is_filled_and_then_waited_for(void **state)
{
    (void)state;
    pull(WORKER_A);
    forget();
    views(4, 0, 1);
    assert_non_null(find(MESSAGE_LOAD, OTHER));
    assert_non_null(find(MESSAGE_VIEWED, PEER_COORDINATOR));
    forget();
    one_step(0); /* the primary goes on meanwhile */
    assert_non_null(find(MESSAGE_REPLICATE, OTHER));
    assert_non_null(find(MESSAGE_WEIGHTS, WORKER_A));
    assert_null(find(MESSAGE_SYNCED, PEER_COORDINATOR));
    forget();
    acknowledge(1, FRESH + 1);
    assert_non_null(find(MESSAGE_SYNCED, PEER_COORDINATOR));
    forget();
    one_step(1); /* from now on only together */
    assert_non_null(find(MESSAGE_REPLICATE, OTHER));
    assert_null(find(MESSAGE_WEIGHTS, WORKER_A));
    acknowledge(1, FRESH + 1);
    acknowledge(0, FRESH + 2); /* of another filling */
    acknowledge(1, FRESH + 3);
    assert_null(find(MESSAGE_WEIGHTS, WORKER_A));
    acknowledge(1, FRESH + 2);
    assert_int_equal(find(MESSAGE_WEIGHTS, WORKER_A)->version, FRESH + 2);
    acknowledge(1, FRESH + 2);
    assert_int_equal(server_counters(server).version, FRESH + 2);
}

static void a_backup_that_was_only_filled_cannot_take_over_yet(void **state)
{
    struct message filled = {.type = MESSAGE_LOADED, .sender = OTHER, .generation = GENERATION};
    (void)state;
    views(4, 0, 1);
    forget();
    filled.body.loaded = (struct message_loaded){0, 1, 1, 1};
    hear(OTHER, &filled, NULL, 0);
    acknowledge(1, FRESH);
    server_tick(server, now_ms + 5000); /* it has all there is: nothing to be sent again */
    assert_int_equal(sent_count, 0);
}

static void what_the_backup_does_not_answer_is_sent_again(void **state)
{
    (void)state;
    views(4, 0, 1);
    forget();
    server_tick(server, now_ms + PARTITION_AGAIN_MS - 1);
    assert_int_equal(sent_count, 0);
    server_tick(server, now_ms + PARTITION_AGAIN_MS);
    assert_non_null(find(MESSAGE_LOAD, OTHER));
    one_step(0);
    acknowledge(2, FRESH + 1); /* of the second filling */
    forget();
    one_step(1);
    forget();
    server_tick(server, now_ms + 3 * PARTITION_AGAIN_MS);
    assert_non_null(find(MESSAGE_REPLICATE, OTHER));
    assert_null(find(MESSAGE_LOAD, OTHER));
}

static void a_step_that_waits_for_a_lost_backup_is_finished_without_it(void **state)
{
    (void)state;
    pull(WORKER_A);
    sync();
    one_step(1);
    assert_null(find(MESSAGE_WEIGHTS, WORKER_A));
    views(5, 0, WIRE_NOBODY);
    assert_int_equal(find(MESSAGE_WEIGHTS, WORKER_A)->version, FRESH + 2);
}

#define ONE 0x3f800000u /* as float32 */

static void replicate(uint64_t peer, uint32_t fill, uint64_t version, double value)
{
    const float floats[] = {(float)value, (float)(2 * value)};
    const struct frame frames[] = {{floats, 8}, {&value, 8}, {&value, 8}};
    struct push_entry entries[] = {{PARAMETER, 0, 1}, {STATISTIC, 0, 1}, {METRIC, 0, 1}};
    struct message message = {.type = MESSAGE_REPLICATE, .sender = peer, .generation = GENERATION};
    message.body.replicate = (struct message_replicate){
        .fill = fill, .version = version, .scale_bits = ONE, .entries = entries, .entry_count = 3};
    hear(peer, &message, frames, 3);
}

static void a_backup_makes_the_same_steps_and_takes_over(void **state)
{
    (void)state;
    views(4, 1, 0); /* SELF is the backup, and keeps what it has until it is filled */
    forget();
    replicate(OTHER, 0, FRESH, 3);
    assert_true(find(MESSAGE_ACK, OTHER) != NULL && sent_count == 1);
    replicate(OTHER, 0, FRESH, 3); /* its answer was lost */
    assert_int_equal(sent_count, 2);
    replicate(OTHER, 0, FRESH + 2, 3); /* the one before was lost */
    replicate(OTHER, 1, FRESH + 1, 3); /* of another filling */
    replicate(STRANGER, 0, FRESH + 1, 3);
    push(PUSH(WORKER_A, .version_off = 1, .range = WHOLE, .value = 9)); /* not to a backup */
    pull(WORKER_A);
    assert_int_equal(sent_count, 2);
    views(5, 0, WIRE_NOBODY);
    replicate(OTHER, 0, FRESH + 1, 3); /* the former primary does not know yet */
    forget();
    pull(WORKER_A);
    assert_int_equal(find(MESSAGE_WEIGHTS, WORKER_A)->version, FRESH); /* and FRESH + 1 */
    assert_true(first_float(&sent[2]) == 10 - 3);
    assert_int_equal(server_counters(server).version, FRESH + 1);
}

static void what_is_placed_elsewhere_is_dropped(void **state)
{
    (void)state;
    views(4, 1, WIRE_NOBODY);
    forget();
    pull(WORKER_A);
    assert_int_equal(sent_count, 0);
    views(5, 0, WIRE_NOBODY);
    forget();
    pull(WORKER_A);
    assert_int_equal(sent_count, 0); /* nothing is left of it */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_backup_is_filled_and_then_waited_for),
        TEST(a_backup_that_was_only_filled_cannot_take_over_yet),
        TEST(what_the_backup_does_not_answer_is_sent_again),
        TEST(a_step_that_waits_for_a_lost_backup_is_finished_without_it),
        TEST(a_backup_makes_the_same_steps_and_takes_over),
        TEST(what_is_placed_elsewhere_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
