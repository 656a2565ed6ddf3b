/* Every block of every range of shards reaches its owner exactly once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/sync/push.h"

#define SHARDS 6u
#define DOMAINS 2
#define SLICES 5
#define SERVERS 3
#define SLICE_ELEMENTS 2

static struct reduction *sums[DOMAINS];
static struct push_slice slices[SLICES];
static const uint32_t owners[SLICES] = {0, 2, 0, 2, 2}; /* server 1 owns none */
static const uint64_t peers[SERVERS] = {100, 101, 102};
static const struct push_route route = {owners, peers, SERVERS};

static size_t seen[SERVERS][SLICES][DOMAINS][SHARDS]; /* shards covered by entries */
static size_t messages, entries_most;

static void take(void *driver, uint64_t peer, struct message *message, const struct frame *payloads,
                 size_t count)
{
    const struct message_push *push = &message->body.push;
    (void)driver;
    assert_int_equal(message->type, MESSAGE_PUSH);
    assert_int_equal(push->version, 9);
    assert_int_equal(push->entry_count, count);
    assert_true(count >= 1 && count <= WIRE_FRAMES_MAX);
    messages++;
    entries_most = count > entries_most ? count : entries_most;
    for (size_t i = 0; i < count && push->entries[i].block < SLICES; i++) {
        const struct push_entry *entry = &push->entries[i];
        const float *values = payloads[i].data;
        float expected = 0;
        uint64_t samples = 0;
        assert_int_equal(payloads[i].bytes, SLICE_ELEMENTS * sizeof(float));
        for (uint32_t s = push->range_first;
             s < push->range_first + (1u << push->range_log2) && s < SHARDS; s++) {
            seen[peer - 100][entry->block][entry->domain][s]++;
            expected += (float)(100 * s + 10 * entry->domain);
            samples += s;
        }
        assert_true(values[1] == expected + (float)entry->block * (float)samples);
        assert_int_equal(entry->count, samples);
    }
}

/* Element e of shard s and domain d: 100 s + 10 d + (e / 2) s. */
static void add(uint32_t shard)
{
    float values[SLICES * SLICE_ELEMENTS];
    for (uint32_t d = 0; d < DOMAINS; d++) {
        for (uint32_t e = 0; e < SLICES * SLICE_ELEMENTS; e++)
            values[e] = (float)(100 * shard + 10 * d + e / 2 * shard);
        reduction_add(sums[d], shard, 0, shard, values);
    }
}

static int setup(void **state)
{
    (void)state;
    memset(seen, 0, sizeof seen);
    messages = entries_most = 0;
    for (size_t d = 0; d < DOMAINS; d++)
        if (reduction_create(REDUCTION_F32, SHARDS, SLICES * SLICE_ELEMENTS, &sums[d], NULL) != OK)
            return -1;
    for (uint32_t i = 0; i < SLICES; i++)
        slices[i] = (struct push_slice){i, i * SLICE_ELEMENTS * sizeof(float),
                                        SLICE_ELEMENTS * sizeof(float)};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t d = 0; d < DOMAINS; d++)
        reduction_destroy(&sums[d]);
    return 0;
}

static void push_all(void)
{
    const struct reduction *const list[] = {sums[0], sums[1]};
    push_sums(list, DOMAINS, slices, SLICES, &route, 9, (struct outbox){NULL, take});
}

static void each_block_reaches_its_owner_exactly_once(void **state)
{
    const uint32_t added[] = {5, 0, 1, 3};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        add(added[i]);
    push_all();
    for (uint32_t server = 0; server < SERVERS; server++)
        for (uint32_t block = 0; block < SLICES; block++)
            for (uint32_t d = 0; d < DOMAINS; d++)
                for (uint32_t s = 0; s < SHARDS; s++)
                    assert_int_equal(seen[server][block][d][s],
                                     owners[block] == server && s != 2 && s != 4);
    assert_int_equal(messages, 3 * 2); /* ranges [0,2), [3], [5] to two servers */
}

static void a_complete_sum_is_one_range(void **state)
{
    (void)state;
    for (uint32_t s = 0; s < SHARDS; s++)
        add(s);
    push_all();
    assert_int_equal(messages, 2);
    assert_int_equal(entries_most, 3 * DOMAINS);
}

static void nothing_summed_is_nothing_sent(void **state)
{
    (void)state;
    push_all();
    assert_int_equal(messages, 0);
}

/* More slices than one message may carry frames. */
static void many_blocks_go_in_several_messages(void **state)
{
    const size_t count = WIRE_FRAMES_MAX + 10;
    const struct reduction *const list[] = {sums[0], sums[1]};
    struct push_slice *many = calloc(count, sizeof *many);
    uint32_t *all_zero = calloc(count + SLICES, sizeof *all_zero);
    (void)state;
    assert_true(many != NULL && all_zero != NULL);
    for (uint32_t s = 0; s < SHARDS; s++)
        add(s);
    for (uint32_t i = 0; i < count; i++)
        many[i] = (struct push_slice){SLICES + i, 0, SLICE_ELEMENTS * sizeof(float)};
    const struct push_route one = {all_zero, peers, 1};
    push_sums(list, DOMAINS, many, count, &one, 9, (struct outbox){NULL, take});
    assert_int_equal(messages, 3);
    assert_int_equal(entries_most, WIRE_FRAMES_MAX);
    free(many);
    free(all_zero);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void slices_are_ordered_by_partition_then_block(void **state)
{
    (void)state;
    const uint32_t partitions[] = {2, 0, 1, 0, 2};
    struct push_slice mixed[] = {
        {.block = 4}, {.block = 3}, {.block = 0}, {.block = 2}, {.block = 1}};
    push_order(mixed, 5, partitions);
    const uint32_t expected[] = {1, 3, 2, 0, 4};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(mixed[i].block, expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_block_reaches_its_owner_exactly_once),
        TEST(a_complete_sum_is_one_range),
        TEST(nothing_summed_is_nothing_sent),
        TEST(many_blocks_go_in_several_messages),
        cmocka_unit_test(slices_are_ordered_by_partition_then_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
