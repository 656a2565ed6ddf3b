/* Primaries and backups of partitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/cluster/partitions.h"
#include "coordinator/cluster/placement.h"

#define COUNT 8

static struct partitions partitions;
static uint32_t numbers[8];

static struct partition_servers servers(size_t alive, size_t wanted, bool replicas)
{
    return (struct partition_servers){numbers, alive, numbers, wanted, replicas, false};
}

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++)
        numbers[i] = 11 + i;
    partitions_init(&partitions, COUNT);
    return 0;
}

static size_t held(const uint32_t *owners, uint32_t server)
{
    size_t count = 0;
    for (size_t p = 0; p < COUNT; p++)
        count += owners[p] == server;
    return count;
}

static void sync_all(void)
{
    for (size_t p = 0; p < COUNT; p++)
        partitions.synced[p] = partitions.backup[p] != PLACEMENT_NOBODY;
}

static void place_anew(size_t count, bool replicas)
{
    struct partition_servers list = servers(count, count, replicas);
    partitions_place_anew(&partitions, &list);
}

static void primaries_and_backups_are_spread_and_apart(void **state)
{
    (void)state;
    place_anew(4, true);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(held(partitions.primary, numbers[i]), 2);
        assert_int_equal(held(partitions.backup, numbers[i]), 2);
    }
    for (size_t p = 0; p < COUNT; p++)
        assert_true(partitions.primary[p] != partitions.backup[p]);
    place_anew(1, true); /* nobody to be the backup */
    assert_int_equal(held(partitions.backup, PLACEMENT_NOBODY), COUNT);
}

/* Where values cannot follow, only what is empty goes to a newcomer. */
static void what_is_fixed_stays_while_its_server_lives(void **state)
{
    struct partition_servers more = servers(4, 4, false);
    (void)state;
    place_anew(2, false);
    memset(partitions.empty, false, sizeof partitions.empty);
    partitions.empty[COUNT - 1] = true;
    more.fixed = true;
    struct partitions before = partitions;
    partitions_place(&partitions, &more);
    for (size_t p = 0; p < COUNT; p++) {
        assert_int_equal(partitions.backup[p], PLACEMENT_NOBODY);
        if (!partitions.empty[p])
            assert_int_equal(partitions.primary[p], before.primary[p]);
    }
    more.fixed = false;
    partitions_place(&partitions, &more);
    assert_true(held(partitions.backup, PLACEMENT_NOBODY) < COUNT);
}

static void synced_backups_take_over_from_the_dead(void **state)
{
    struct partition_servers rest = servers(2, 2, true);
    uint32_t before[COUNT];
    (void)state;
    place_anew(3, true);
    sync_all();
    for (size_t p = 0; p < COUNT; p++)
        before[p] =
            partitions.primary[p] == numbers[2] ? partitions.backup[p] : partitions.primary[p];
    assert_true(partitions_bury(&partitions, &rest));
    for (size_t p = 0; p < COUNT; p++)
        assert_int_equal(partitions.primary[p], before[p]);
    partitions_place(&partitions, &rest);
    for (size_t p = 0; p < COUNT; p++)
        assert_true(partitions.backup[p] != PLACEMENT_NOBODY &&
                    partitions.backup[p] != partitions.primary[p]);
}

static void without_a_synced_backup_the_values_are_lost(void **state)
{
    struct partition_servers rest = servers(2, 2, true);
    (void)state;
    place_anew(3, true);
    assert_false(partitions_bury(&partitions, &rest));
    place_anew(3, false);
    assert_false(partitions_bury(&partitions, &rest));
    for (size_t p = 0; p < COUNT; p++)
        partitions.empty[p] = partitions.primary[p] == numbers[2];
    assert_true(partitions_bury(&partitions, &rest));
}

/* One more server: as few as needed go there, each by way of a backup. */
static void a_new_server_is_filled_before_it_serves(void **state)
{
    struct partition_servers more = servers(4, 4, false);
    (void)state;
    place_anew(3, false);
    partitions_place(&partitions, &more);
    assert_int_equal(held(partitions.primary, numbers[3]), 0);
    assert_int_equal(held(partitions.backup, numbers[3]), 2);
    assert_int_equal(held(partitions.backup, PLACEMENT_NOBODY), COUNT - 2);
    assert_false(partitions_can_move(&partitions, &more));
    sync_all();
    assert_true(partitions_can_move(&partitions, &more));
    partitions_place(&partitions, &more);
    assert_int_equal(held(partitions.primary, numbers[3]), 2);
    assert_int_equal(held(partitions.backup, PLACEMENT_NOBODY), COUNT);
    assert_false(partitions_can_move(&partitions, &more));
}

static void an_unwanted_server_gives_everything_away(void **state)
{
    struct partition_servers fewer = servers(3, 2, true);
    (void)state;
    place_anew(3, true);
    partitions_place(&partitions, &fewer); /* nothing is synced yet */
    assert_true(partitions_holds(&partitions, numbers[2]));
    for (int round = 0; round < 3 && partitions_holds(&partitions, numbers[2]); round++) {
        sync_all();
        partitions_place(&partitions, &fewer);
    }
    assert_false(partitions_holds(&partitions, numbers[2]));
}

static void what_is_empty_moves_at_once(void **state)
{
    struct partition_servers more = servers(4, 4, false);
    (void)state;
    place_anew(3, false);
    for (size_t p = 0; p < COUNT; p++)
        partitions.empty[p] = true;
    partitions_place(&partitions, &more);
    assert_int_equal(held(partitions.primary, numbers[3]), 2);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(primaries_and_backups_are_spread_and_apart),
        TEST(what_is_fixed_stays_while_its_server_lives),
        TEST(synced_backups_take_over_from_the_dead),
        TEST(without_a_synced_backup_the_values_are_lost),
        TEST(a_new_server_is_filled_before_it_serves),
        TEST(an_unwanted_server_gives_everything_away),
        TEST(what_is_empty_moves_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
