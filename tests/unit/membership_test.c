/* Who is in the cluster, and until when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/cluster/membership.h"

#define DEATH_MS 1000

static struct membership members;

static int setup(void **state)
{
    (void)state;
    membership_init(&members, DEATH_MS);
    return 0;
}

static struct cluster_member *join(uint64_t incarnation, enum member_role role, int64_t now_ms)
{
    struct message_hello hello = {.role = role, .pid = incarnation + 5000};
    snprintf(hello.host, sizeof hello.host, "host");
    return membership_join(&members, incarnation, &hello, now_ms);
}

static void members_are_numbered_as_they_come_and_never_again(void **state)
{
    (void)state;
    struct cluster_member *first = join(71, ROLE_WORKER, 0);
    assert_int_equal(first->number, 1);
    assert_int_equal(first->state, MEMBER_JOINED);
    assert_string_equal(first->host, "host");
    assert_false(membership_is_gone(&members, 71));
    first->state = MEMBER_DEAD;
    assert_true(membership_is_gone(&members, 71) && !membership_is_gone(&members, 72));
    assert_int_equal(join(72, ROLE_WORKER, 0)->number, 2);
    assert_int_equal(join(71, ROLE_WORKER, 0)->number, 3); /* another life */
}

static void hello_again_gives_the_same_member(void **state)
{
    (void)state;
    struct cluster_member *member = join(71, ROLE_WORKER, 0);
    assert_ptr_equal(join(71, ROLE_SERVER, 10), member);
    assert_int_equal(member->role, ROLE_WORKER);
    assert_int_equal(members.count, 1);
}

static void strangers_and_the_dead_are_not_found(void **state)
{
    (void)state;
    struct cluster_member *member = join(71, ROLE_WORKER, 0);
    assert_ptr_equal(membership_find(&members, 71), member);
    assert_ptr_equal(membership_by_pid(&members, 5071, "host"), member);
    assert_null(membership_by_pid(&members, 5071, "elsewhere"));
    assert_null(membership_find(&members, 72));
    member->state = MEMBER_DEAD;
    assert_null(membership_find(&members, 71));
    assert_null(membership_by_pid(&members, 5071, "host"));
}

static void only_too_long_a_silence_is_death(void **state)
{
    (void)state;
    struct cluster_member *a = join(71, ROLE_WORKER, 100), *b = join(72, ROLE_SERVER, 100);
    assert_null(membership_silent(&members, 100 + DEATH_MS));
    membership_heard(a, 500);
    assert_ptr_equal(membership_silent(&members, 101 + DEATH_MS), b);
    b->state = MEMBER_DEAD;
    assert_null(membership_silent(&members, 101 + DEATH_MS)); /* it dies once */
    assert_ptr_equal(membership_silent(&members, 501 + DEATH_MS), a);
}

static void lists_are_by_role_and_state_in_order(void **state)
{
    struct cluster_member *list[MEMBERSHIP_MAX];
    (void)state;
    join(71, ROLE_WORKER, 0)->state = MEMBER_READY;
    join(72, ROLE_SERVER, 0)->state = MEMBER_READY;
    join(73, ROLE_WORKER, 0);
    join(70, ROLE_WORKER, 0)->state = MEMBER_READY;
    assert_int_equal(membership_list(&members, ROLE_WORKER, MEMBER_READY, list), 2);
    assert_int_equal(list[0]->incarnation, 71);
    assert_int_equal(list[1]->incarnation, 70);
    assert_int_equal(membership_list(&members, ROLE_WORKER, MEMBER_JOINED, list), 1);
    assert_int_equal(membership_list(&members, ROLE_SERVER, MEMBER_DEAD, list), 0);
}

static void a_full_cluster_takes_nobody(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < MEMBERSHIP_MAX; i++)
        assert_non_null(join(1 + i, ROLE_WORKER, 0));
    assert_null(join(1 + MEMBERSHIP_MAX, ROLE_WORKER, 0));
    assert_non_null(join(1, ROLE_WORKER, 0)); /* who is in it stays */
}

static void members_in_one_slot_are_told_apart(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(join(MEMBERSHIP_SLOTS * (i + 1) - 1, ROLE_WORKER, 0)->number, i + 1);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(membership_find(&members, MEMBERSHIP_SLOTS * (i + 1) - 1)->number, i + 1);
    assert_null(membership_find(&members, MEMBERSHIP_SLOTS * 6 - 1));
    members.members[1].state = MEMBER_DEAD;
    assert_null(membership_find(&members, members.members[1].incarnation));
    assert_true(membership_is_gone(&members, members.members[1].incarnation));
    assert_false(membership_is_gone(&members, members.members[2].incarnation));
    assert_int_equal(join(members.members[1].incarnation, ROLE_WORKER, 0)->number, 6);
    assert_int_equal(membership_find(&members, members.members[1].incarnation)->number, 6);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(members_are_numbered_as_they_come_and_never_again),
        TEST(hello_again_gives_the_same_member),
        TEST(strangers_and_the_dead_are_not_found),
        TEST(members_in_one_slot_are_told_apart),
        TEST(only_too_long_a_silence_is_death),
        TEST(lists_are_by_role_and_state_in_order),
        TEST(a_full_cluster_takes_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
