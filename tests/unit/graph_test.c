/* The graph: names, limits, order. */
#include "tests/unit/net_fixture.h"

static void names_are_found_among_thousands(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(2, -1, 4));
    struct shape shape = net_shape(1, 1);
    for (uint32_t i = 0; i < 5000; i++) {
        char name[32];
        uint32_t value;
        snprintf(name, sizeof name, "value %u", i);
        NET_OK(&net,
               graph_add_value(net.graph, name, DTYPE_F32, &shape, NULL, false, &value, &net.err));
        assert_int_equal(value, i + 1);
    }
    assert_int_equal(graph_find(net.graph, "value 4321"), 4322);
    assert_int_equal(graph_find(net.graph, "value 5000"), GRAPH_NONE);
    assert_string_equal(net.graph->values[1].name, "value 0");
    graph_destroy(&net.graph);
    assert_null(net.graph);
}

static void a_name_belongs_to_one_tensor(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(2, -1, 4));
    struct attributes a = net_attributes(OP_RELU);
    uint32_t value = 77, input = net.graph->input;
    assert_int_equal(graph_add_node(net.graph, OP_RELU, "r", &input, 1, "x", &a, &value, &net.err),
                     ERR_INPUT);
    assert_non_null(strstr(net.err.text, "x"));
    assert_int_equal(value, 77);
    assert_int_equal(net.graph->node_count, 0);
    graph_destroy(&net.graph);
}

static void limits_are_errors(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(2, -1, 4));
    struct attributes a = net_attributes(OP_CONCAT);
    char name[GRAPH_NAME_BYTES_MAX + 1];
    uint32_t inputs[GRAPH_PORTS_MAX + 1] = {0}, value;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct shape shape = net_shape(1, 1);
    assert_int_equal(
        graph_add_value(net.graph, name, DTYPE_F32, &shape, NULL, false, &value, &net.err),
        ERR_INPUT);
    assert_int_equal(graph_add_node(net.graph, OP_CONCAT, "c", inputs, GRAPH_PORTS_MAX + 1, "y", &a,
                                    &value, &net.err),
                     ERR_INPUT);
    graph_destroy(&net.graph);
}

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(2, -1, 4));
    for (size_t bytes = 1; bytes < 200000; bytes = 3 * bytes + 1) {
        const unsigned char *memory = graph_alloc(net.graph, bytes, 1);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % MEMORY_ALIGN, 0);
        for (size_t i = 0; i < bytes; i += 97)
            assert_int_equal(memory[i], 0);
    }
    assert_null(graph_alloc(net.graph, SIZE_MAX / 2, 3));
    graph_destroy(&net.graph);
}

static void producers_and_batches_are_known(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(2, -1, 4));
    uint32_t r = net_node(&net, OP_RELU, "r", NULL, 1, net.graph->input);
    NET_OK(&net, shape_infer(net.graph, &net.err));
    assert_int_equal(net.graph->values[r].producer, 0);
    assert_int_equal(net.graph->values[net.graph->input].producer, GRAPH_NONE);
    assert_true(value_batched(&net.graph->values[r]));
    assert_int_equal(value_elements(&net.graph->values[r]), 4);
    graph_destroy(&net.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_among_thousands),
        cmocka_unit_test(a_name_belongs_to_one_tensor),
        cmocka_unit_test(limits_are_errors),
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(producers_and_batches_are_known),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
