#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/tensor/reduction.h"

#define ELEMENTS 5
#define SHARDS_MAX 13u

/* Numbers of very different size: any other order of addition shows in the last bits. */
static void leaf(uint32_t shard, float *out)
{
    struct random_key key = {7, RANDOM_INIT, 0, shard};
    for (uint32_t i = 0; i < ELEMENTS; i++)
        out[i] = (float)(random_normal(key, i) * (i % 2 ? 1e4 : 1e-3));
}

static struct reduction *make(uint32_t shards)
{
    struct reduction *reduction;
    assert_int_equal(reduction_create(REDUCTION_F32, shards, ELEMENTS, &reduction, NULL), OK);
    return reduction;
}

static enum reduction_result add_leaf(struct reduction *reduction, uint32_t shard)
{
    float values[ELEMENTS];
    leaf(shard, values);
    return reduction_add(reduction, shard, 0, shard + 1, values);
}

static void expected_sum(uint32_t shards, float *out, uint64_t *count)
{
    struct reduction *reduction = make(shards);
    for (uint32_t s = 0; s < shards; s++)
        add_leaf(reduction, s);
    assert_true(reduction_complete(reduction));
    struct reduction_node root = reduction_root(reduction);
    memcpy(out, root.sum, ELEMENTS * sizeof *out);
    *count = root.count;
    reduction_destroy(&reduction);
}

static void push_nodes(struct reduction *from, struct reduction *to)
{
    struct reduction_node node;
    for (uint32_t at = 0; reduction_next(from, &at, &node);)
        assert_int_not_equal(reduction_add(to, node.first, node.log2, node.count, node.sum),
                             REDUCTION_REFUSED);
}

/* Each shard to a random worker, workers push what they hold in random order, some of it twice. */
static void check_split(uint32_t shards, uint64_t seed)
{
    struct random_key key = {seed, RANDOM_SPLIT, 0, shards};
    struct reduction *workers[4], *server = make(shards);
    float expected[ELEMENTS];
    uint64_t count;
    uint32_t order[SHARDS_MAX];
    expected_sum(shards, expected, &count);
    random_permutation(key, shards, order);
    for (int w = 0; w < 4; w++)
        workers[w] = make(shards);
    for (uint32_t s = 0; s < shards; s++)
        add_leaf(workers[random_bits(key, 100 + s) % 4], order[s]);
    for (int w = 0; w < 4; w++)
        push_nodes(workers[(uint64_t)(w + 1) * seed % 4], server);
    for (int w = 0; w < 4; w++)
        push_nodes(workers[w], server);
    assert_true(reduction_complete(server));
    struct reduction_node root = reduction_root(server);
    assert_memory_equal(root.sum, expected, sizeof expected);
    assert_int_equal(root.count, count);
    for (int w = 0; w < 4; w++)
        reduction_destroy(&workers[w]);
    reduction_destroy(&server);
}

static void any_split_over_workers_gives_the_same_bits(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= SHARDS_MAX; shards++)
        for (uint64_t seed = 1; seed <= 50; seed++)
            check_split(shards, seed);
}

static void a_sum_seen_twice_counts_once(void **state)
{
    struct reduction *reduction = make(4);
    (void)state;
    assert_int_equal(add_leaf(reduction, 1), REDUCTION_ADDED);
    assert_int_equal(add_leaf(reduction, 1), REDUCTION_DUPLICATE);
    assert_int_equal(add_leaf(reduction, 0), REDUCTION_ADDED);
    assert_int_equal(add_leaf(reduction, 0), REDUCTION_DUPLICATE); /* now inside [0,2) */
    assert_true(reduction_covers(reduction, 1));
    assert_false(reduction_covers(reduction, 2));
    reduction_destroy(&reduction);
}

static void a_larger_range_replaces_its_parts(void **state)
{
    struct reduction *whole = make(8), *reduction = make(8);
    struct reduction_node node;
    uint32_t at = 0;
    (void)state;
    for (uint32_t s = 0; s < 4; s++)
        add_leaf(whole, s);
    assert_true(reduction_next(whole, &at, &node));
    assert_int_equal(node.log2, 2);
    add_leaf(reduction, 2);
    assert_int_equal(reduction_add(reduction, node.first, node.log2, node.count, node.sum),
                     REDUCTION_ADDED);
    for (uint32_t s = 4; s < 8; s++)
        add_leaf(reduction, s);
    assert_true(reduction_complete(reduction));
    assert_int_equal(reduction_root(reduction).count, 36);
    reduction_destroy(&whole);
    reduction_destroy(&reduction);
}

static void what_is_no_node_of_the_tree_is_refused(void **state)
{
    struct reduction *reduction = make(6);
    float values[ELEMENTS] = {0};
    (void)state;
    assert_int_equal(reduction_add(reduction, 6, 0, 1, values), REDUCTION_REFUSED);
    assert_int_equal(reduction_add(reduction, 1, 1, 1, values), REDUCTION_REFUSED);
    assert_int_equal(reduction_add(reduction, 0, 4, 1, values), REDUCTION_REFUSED);
    assert_int_equal(reduction_add(reduction, 0, 40, 1, values), REDUCTION_REFUSED);
    assert_false(reduction_complete(reduction));
    reduction_destroy(&reduction);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_over_workers_gives_the_same_bits),
        cmocka_unit_test(a_sum_seen_twice_counts_once),
        cmocka_unit_test(a_larger_range_replaces_its_parts),
        cmocka_unit_test(what_is_no_node_of_the_tree_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
