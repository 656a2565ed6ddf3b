/* Who owns what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "coordinator/cluster/placement.h"

#define SHARDS 10
#define MEMBERS_MOST 8

static uint32_t owners[PLACEMENT_SHARDS_MAX];

static int setup(void **state)
{
    (void)state;
    for (size_t s = 0; s < PLACEMENT_SHARDS_MAX; s++)
        owners[s] = PLACEMENT_NOBODY;
    return 0;
}

static size_t load_of(uint32_t member)
{
    size_t load = 0;
    for (size_t s = 0; s < SHARDS; s++)
        load += owners[s] == member;
    return load;
}

static void assert_balanced(const uint32_t *members, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t load = load_of(members[i]);
        assert_true(load == SHARDS / count || load == (SHARDS + count - 1) / count);
        total += load;
    }
    assert_int_equal(total, SHARDS);
}

static size_t place(const uint32_t *members, size_t count, size_t shards)
{
    return placement_shards(members, NULL, count, owners, shards);
}

static bool is_one_owners(size_t first, size_t width)
{
    for (size_t s = first; s < first + width; s++)
        if (owners[s] != owners[first])
            return false;
    return true;
}

/* Sums that the workers push together: the widest nodes of the tree that one of them owns. */
static size_t pushes(size_t shards)
{
    size_t count = 0, width;
    for (size_t s = 0; s < shards; s += width, count++)
        for (width = 1;
             s % (2 * width) == 0 && s + 2 * width <= shards && is_one_owners(s, 2 * width);)
            width *= 2;
    return count;
}

static void shards_are_spread_evenly(void **state)
{
    const uint32_t members[] = {3, 5, 9};
    (void)state;
    assert_int_equal(place(members, 3, SHARDS), SHARDS);
    assert_balanced(members, 3);
    assert_int_equal(place(members, 3, SHARDS), 0);
}

static void only_the_dead_ones_shards_move(void **state)
{
    const uint32_t before[] = {1, 2, 3}, after[] = {1, 3};
    uint32_t kept[SHARDS];
    (void)state;
    place(before, 3, SHARDS);
    size_t orphans = load_of(2);
    for (size_t s = 0; s < SHARDS; s++)
        kept[s] = owners[s];
    assert_int_equal(place(after, 2, SHARDS), orphans);
    for (size_t s = 0; s < SHARDS; s++)
        assert_true(kept[s] == 2 || kept[s] == owners[s]);
    assert_balanced(after, 2);
}

static void a_new_member_gets_no_more_than_its_share(void **state)
{
    const uint32_t before[] = {1, 2}, after[] = {1, 2, 7};
    (void)state;
    place(before, 2, SHARDS);
    assert_int_equal(place(after, 3, SHARDS), SHARDS / 3);
    assert_balanced(after, 3);
}

static void members_beyond_the_shards_own_nothing(void **state)
{
    uint32_t members[SHARDS + 3];
    (void)state;
    for (uint32_t i = 0; i < SHARDS + 3; i++)
        members[i] = i + 1;
    place(members, SHARDS + 3, SHARDS);
    for (uint32_t i = 0; i < SHARDS + 3; i++)
        assert_true(load_of(members[i]) == (i < SHARDS ? 1 : 0));
}

/* Members come and go: always even, and never more moves than the change asks for. */
static void any_history_ends_even(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t members[MEMBERS_MOST];
        size_t count = 0;
        struct random_key key = {.seed = 6, .index = round};
        for (uint32_t m = 0; m < MEMBERS_MOST; m++)
            if (random_bits(key, m) % 2 == 0)
                members[count++] = m;
        if (count == 0)
            continue;
        place(members, count, SHARDS);
        assert_balanced(members, count);
    }
}

static void a_fresh_deal_gives_aligned_ranges(void **state)
{
    const uint32_t members[] = {1, 2, 3, 4}, by_two[] = {1, 1, 1, 1, 2, 2, 2, 2};
    (void)state;
    place(members, 2, 8);
    assert_memory_equal(owners, by_two, sizeof by_two);
    assert_int_equal(pushes(8), 2);
    setup(NULL);
    place(members, 3, 8);
    assert_int_equal(pushes(8), 5); /* 3 + 3 + 2 shards: (2, 1), (2, 1), 2 */
    setup(NULL);
    place(members, 4, 256);
    assert_int_equal(pushes(256), 4);
}

/* Joining and dying again and again must not end in crumbs: after each death the orphans complete
 * what others have. */
static void a_death_after_a_join_leaves_wide_ranges(void **state)
{
    const uint32_t before[] = {1, 2}, joined[] = {1, 2, 3};
    (void)state;
    place(before, 2, 64);
    for (int round = 0; round < 5; round++) {
        place(joined, 3, 64);
        place(before, 2, 64);
    }
    assert_int_equal(pushes(64), 2);
}

static void faster_workers_own_more(void **state)
{
    const uint32_t members[] = {1, 2};
    const double speeds[] = {1, 3};
    (void)state;
    placement_shards(members, speeds, 2, owners, 8);
    assert_int_equal(load_of(1), 2);
    assert_int_equal(pushes(8), 3); /* 2; 4 and 2 */
}

/* From an even deal only what the slow one has too much moves. */
static void a_worker_that_slows_down_gives_up_what_it_cannot_do(void **state)
{
    const uint32_t members[] = {1, 2};
    const double slow[] = {1, 0.33}, crawling[] = {1, 0.01};
    (void)state;
    place(members, 2, 8);
    assert_int_equal(placement_shards(members, slow, 2, owners, 8), 2);
    assert_int_equal(pushes(8), 3);
    assert_int_equal(placement_shards(members, slow, 2, owners, 8), 0);
    placement_shards(members, crawling, 2, owners, 8);
    assert_int_equal(pushes(8), 1); /* the whole tree: it has nothing left */
}

static const uint32_t alone[] = {0, 1, 2, 3}; /* a partition on each server */

static void blocks_go_to_the_server_with_the_least_bytes(void **state)
{
    const size_t bytes[] = {100, 60, 30, 20, 5};
    const uint32_t expected[] = {0, 1, 1, 1, 0};
    uint32_t got[5];
    (void)state;
    placement_blocks(bytes, 5, 5, alone, 2, got);
    assert_memory_equal(got, expected, sizeof expected);
}

static void only_servers_with_parameters_get_the_other_blocks(void **state)
{
    const size_t bytes[] = {100, 60, 30, 20, 5, 5};
    uint32_t got[6];
    (void)state;
    placement_blocks(bytes, 2, 6, alone, 4, got);
    assert_true(got[0] == 0 && got[1] == 1);
    for (size_t i = 2; i < 6; i++)
        assert_true(got[i] < 2);
    placement_blocks(bytes, 1, 6, alone, 4, got);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(got[i], 0);
}

/* However the partitions came to lie: three on server 0, one on server 1. */
static void servers_get_alike_and_their_partitions_too(void **state)
{
    const size_t bytes[] = {10, 10, 10, 10, 10, 10, 8, 8};
    const uint32_t homes[] = {0, 0, 0, 1}, expected[] = {0, 3, 1, 3, 2, 3, 0, 3};
    uint32_t got[8];
    (void)state;
    placement_blocks(bytes, 6, 8, homes, 4, got);
    assert_memory_equal(got, expected, sizeof expected);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shards_are_spread_evenly),
        TEST(only_the_dead_ones_shards_move),
        TEST(a_new_member_gets_no_more_than_its_share),
        TEST(members_beyond_the_shards_own_nothing),
        TEST(any_history_ends_even),
        TEST(a_fresh_deal_gives_aligned_ranges),
        TEST(a_death_after_a_join_leaves_wide_ranges),
        TEST(faster_workers_own_more),
        TEST(a_worker_that_slows_down_gives_up_what_it_cannot_do),
        TEST(blocks_go_to_the_server_with_the_least_bytes),
        TEST(only_servers_with_parameters_get_the_other_blocks),
        TEST(servers_get_alike_and_their_partitions_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
