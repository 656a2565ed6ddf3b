/* The fixed tree: whoever adds whatever in whichever order, the bits are those of the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/base/shared.h"
#include "common/tensor/reduction.h"

#define ELEMENTS 5
#define SHARDS_MOST 256
#define WORKERS_MOST 5

static const uint32_t shard_numbers[] = {1, 2, 3, 5, 6, 7, 8, 12, 13, 255, 256};
#define SHARD_NUMBERS (sizeof shard_numbers / sizeof *shard_numbers)

static float leaves[SHARDS_MOST][ELEMENTS];

/* Values of very different sizes, so that another order of adding gives other bits. */
static int setup(void **state)
{
    (void)state;
    for (uint32_t s = 0; s < SHARDS_MOST; s++)
        for (uint32_t i = 0; i < ELEMENTS; i++) {
            struct random_key key = {.seed = 5, .purpose = RANDOM_INIT, .index = s};
            double size = (double)(1u << (random_bits(key, 100 + i) % 24));
            leaves[s][i] = (float)(size * random_normal(key, i));
        }
    return 0;
}

static uint32_t draw(uint64_t seed, uint32_t number, uint32_t below)
{
    struct random_key key = {.seed = seed, .purpose = RANDOM_SHUFFLE};
    return (uint32_t)(random_bits(key, number) % below);
}

static uint64_t count_of(uint32_t shard)
{
    return shard % 7;
}

/* The definition: left + right, absent when beyond the shards. */
static bool tree_sum(uint32_t shards, uint32_t first, uint32_t log2, float *out)
{
    float right[ELEMENTS];
    if (first >= shards)
        return false;
    if (log2 == 0) {
        memcpy(out, leaves[first], sizeof right);
        return true;
    }
    tree_sum(shards, first, log2 - 1, out);
    if (tree_sum(shards, first + (1u << (log2 - 1)), log2 - 1, right))
        for (size_t i = 0; i < ELEMENTS; i++)
            out[i] += right[i];
    return true;
}

static uint32_t log2_of(uint32_t shards)
{
    uint32_t log2 = 0;
    while ((1u << log2) < shards)
        log2++;
    return log2;
}

static struct reduction *make(uint32_t shards)
{
    struct reduction *reduction = NULL;
    assert_int_equal(reduction_create(REDUCTION_F32, shards, ELEMENTS, &reduction, NULL), OK);
    return reduction;
}

static void assert_root(const struct reduction *reduction, uint32_t shards)
{
    float expected[ELEMENTS];
    uint64_t count = 0;
    assert_true(reduction_complete(reduction));
    struct reduction_node root = reduction_root(reduction);
    tree_sum(shards, 0, log2_of(shards), expected);
    for (uint32_t s = 0; s < shards; s++)
        count += count_of(s);
    assert_memory_equal(root.sum, expected, sizeof expected);
    assert_int_equal(root.first, 0);
    assert_int_equal(root.count, count);
}

static void any_order_of_leaves_gives_the_trees_bits(void **state)
{
    uint32_t order[SHARDS_MOST];
    (void)state;
    for (size_t n = 0; n < SHARD_NUMBERS; n++) {
        struct reduction *reduction = make(shard_numbers[n]);
        for (uint32_t round = 0; round < 5; round++) {
            struct random_key key = {.seed = round, .purpose = RANDOM_SHUFFLE};
            random_permutation(key, shard_numbers[n], order);
            for (uint32_t i = 0; i < shard_numbers[n]; i++) {
                assert_false(reduction_complete(reduction));
                enum reduction_result result =
                    reduction_add(reduction, order[i], 0, count_of(order[i]), leaves[order[i]]);
                assert_int_equal(result,
                                 i + 1 == shard_numbers[n] ? REDUCTION_COMPLETE : REDUCTION_ADDED);
            }
            assert_root(reduction, shard_numbers[n]);
            reduction_reset(reduction);
        }
        reduction_destroy(&reduction);
    }
}

/* Every worker adds what it owns; the server adds their nodes in any order, some of them twice. */
static void add_in_two_levels(uint32_t shards, uint64_t seed)
{
    struct reduction *workers[WORKERS_MOST], *server = make(shards);
    struct reduction_node nodes[SHARDS_MOST];
    uint32_t order[SHARDS_MOST], count = 0, at;
    for (uint32_t w = 0; w < WORKERS_MOST; w++)
        workers[w] = make(shards);
    for (uint32_t s = 0; s < shards; s++)
        reduction_add(workers[draw(seed, s, WORKERS_MOST)], s, 0, count_of(s), leaves[s]);
    for (uint32_t w = 0; w < WORKERS_MOST; w++)
        for (at = 0; reduction_next(workers[w], &at, &nodes[count]);)
            count++;
    random_permutation((struct random_key){.seed = seed, .purpose = RANDOM_INIT}, count, order);
    for (uint32_t i = 0; i < count; i++) {
        const struct reduction_node *node = &nodes[order[i]];
        assert_int_equal(node->first % (1u << node->log2), 0);
        reduction_add(server, node->first, node->log2, node->count, node->sum);
        assert_int_equal(reduction_add(server, node->first, node->log2, node->count + 1, leaves[0]),
                         REDUCTION_DUPLICATE);
    }
    assert_root(server, shards);
    for (uint32_t w = 0; w < WORKERS_MOST; w++)
        reduction_destroy(&workers[w]);
    reduction_destroy(&server);
}

/* As a message does that a slow peer has not got yet. */
static void a_node_that_somebody_keeps_does_not_change(void **state)
{
    struct reduction *reduction = make(4);
    struct reduction_node left;
    float expected[ELEMENTS];
    uint32_t at = 0;
    (void)state;
    reduction_add(reduction, 0, 0, 1, leaves[0]);
    reduction_add(reduction, 1, 0, 1, leaves[1]);
    assert_true(reduction_next(reduction, &at, &left));
    tree_sum(4, 0, 1, expected);
    shared_keep(left.sum);
    reduction_add(reduction, 2, 0, 1, leaves[2]); /* adds up to the root, in the left one's place */
    reduction_add(reduction, 3, 0, 1, leaves[3]);
    assert_true(reduction_complete(reduction));
    reduction_reset(reduction);
    for (uint32_t s = 0; s < 4; s++)
        reduction_add(reduction, 3 - s, 0, count_of(3 - s), leaves[3 - s]);
    assert_memory_equal(left.sum, expected, sizeof expected);
    assert_root(reduction, 4);
    reduction_destroy(&reduction);
    assert_memory_equal(left.sum, expected, sizeof expected);
    shared_drop(left.sum);
}

/* Spares that are still being sent are left to their messages: there are never more than nodes. */
static void a_reset_tree_does_not_use_what_somebody_keeps(void **state)
{
    struct reduction *reduction = make(1);
    float *kept[3];
    (void)state;
    for (uint32_t step = 0; step < 3; step++) {
        reduction_add(reduction, 0, 0, 1, leaves[step]);
        kept[step] = reduction_root(reduction).sum;
        shared_keep(kept[step]);
        reduction_reset(reduction);
    }
    reduction_add(reduction, 0, 0, 1, leaves[3]);
    for (uint32_t step = 0; step < 3; step++) {
        assert_memory_equal(kept[step], leaves[step], sizeof leaves[step]);
        shared_drop(kept[step]);
    }
    reduction_destroy(&reduction);
}

static void any_split_into_workers_gives_the_trees_bits(void **state)
{
    (void)state;
    for (size_t n = 0; n < SHARD_NUMBERS; n++)
        for (uint64_t seed = 0; seed < 10; seed++)
            add_in_two_levels(shard_numbers[n], seed);
}

static void a_part_of_what_is_covered_changes_nothing(void **state)
{
    struct reduction *reduction = make(6);
    float pair[ELEMENTS];
    (void)state;
    tree_sum(6, 2, 1, pair);
    assert_int_equal(reduction_add(reduction, 2, 1, count_of(2) + count_of(3), pair),
                     REDUCTION_ADDED);
    assert_int_equal(reduction_add(reduction, 3, 0, 99, leaves[0]), REDUCTION_DUPLICATE);
    for (uint32_t s = 0; s < 6; s++) {
        assert_int_equal(reduction_covers(reduction, s), s == 2 || s == 3);
        assert_true(s == 2 || s == 3 ||
                    reduction_add(reduction, s, 0, count_of(s), leaves[s]) != REDUCTION_DUPLICATE);
        if (s != 2 && s != 3)
            continue;
    }
    assert_root(reduction, 6);
    reduction_destroy(&reduction);
}

static void a_superset_replaces_its_parts(void **state)
{
    struct reduction *reduction = make(7);
    float four[ELEMENTS], three[ELEMENTS];
    (void)state;
    tree_sum(7, 0, 2, four);
    tree_sum(7, 4, 2, three);
    reduction_add(reduction, 1, 0, 50, leaves[1]); /* a count that must not be added twice */
    reduction_add(reduction, 2, 0, 50, leaves[2]);
    uint64_t count = count_of(0) + count_of(1) + count_of(2) + count_of(3);
    assert_int_equal(reduction_add(reduction, 0, 2, count, four), REDUCTION_ADDED);
    struct reduction_node node;
    uint32_t at = 0;
    assert_true(reduction_next(reduction, &at, &node) && node.log2 == 2 && node.count == count);
    assert_false(reduction_next(reduction, &at, &node));
    count = count_of(4) + count_of(5) + count_of(6);
    assert_int_equal(reduction_add(reduction, 4, 2, count, three), REDUCTION_COMPLETE);
    assert_root(reduction, 7);
    reduction_destroy(&reduction);
}

static void what_is_no_node_of_the_tree_is_refused(void **state)
{
    struct reduction *reduction = make(6);
    (void)state;
    assert_int_equal(reduction_add(reduction, 6, 0, 1, leaves[0]), REDUCTION_REFUSED);
    assert_int_equal(reduction_add(reduction, 1, 1, 1, leaves[0]), REDUCTION_REFUSED);
    assert_int_equal(reduction_add(reduction, 0, 4, 1, leaves[0]), REDUCTION_REFUSED);
    assert_int_equal(reduction_add(reduction, 0, 31, 1, leaves[0]), REDUCTION_REFUSED);
    assert_int_equal(reduction_add(reduction, 0, UINT32_MAX, 1, leaves[0]), REDUCTION_REFUSED);
    assert_int_equal(reduction_add(reduction, UINT32_MAX, 0, 1, leaves[0]), REDUCTION_REFUSED);
    uint32_t at = 0;
    struct reduction_node node;
    assert_false(reduction_next(reduction, &at, &node));
    reduction_destroy(&reduction);
}

static void the_walk_is_ascending_and_covers_what_was_added(void **state)
{
    struct reduction *reduction = make(13);
    const uint32_t added[] = {12, 3, 2, 9, 7};
    const uint32_t firsts[] = {2, 7, 9, 12}, log2s[] = {1, 0, 0, 2}; /* 13, 14, 15 are absent */
    struct reduction_node node;
    (void)state;
    for (size_t i = 0; i < 5; i++)
        reduction_add(reduction, added[i], 0, 1, leaves[added[i]]);
    uint32_t at = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_true(reduction_next(reduction, &at, &node));
        assert_int_equal(node.first, firsts[i]);
        assert_int_equal(node.log2, log2s[i]);
    }
    assert_false(reduction_next(reduction, &at, &node));
    reduction_destroy(&reduction);
}

static void doubles_are_added_as_doubles(void **state)
{
    struct reduction *reduction = NULL;
    const double a = 1, b = 1e-12;
    (void)state;
    assert_int_equal(reduction_create(REDUCTION_F64, 2, 1, &reduction, NULL), OK);
    reduction_add(reduction, 1, 0, 1, &b);
    reduction_add(reduction, 0, 0, 1, &a);
    const double *sum = reduction_root(reduction).sum;
    assert_true(*sum == a + b && *sum != a);
    reduction_destroy(&reduction);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_leaves_gives_the_trees_bits),
        cmocka_unit_test(any_split_into_workers_gives_the_trees_bits),
        cmocka_unit_test(a_node_that_somebody_keeps_does_not_change),
        cmocka_unit_test(a_reset_tree_does_not_use_what_somebody_keeps),
        cmocka_unit_test(a_part_of_what_is_covered_changes_nothing),
        cmocka_unit_test(a_superset_replaces_its_parts),
        cmocka_unit_test(what_is_no_node_of_the_tree_is_refused),
        cmocka_unit_test(the_walk_is_ascending_and_covers_what_was_added),
        cmocka_unit_test(doubles_are_added_as_doubles),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
