/* Arithmetic on shapes while a file is read: what becomes an attribute, what stays a node, and what
 * cannot be known. */
#include "tests/unit/onnx_fixture.h"

/* Input x [N, 3, 4, 4], output y; constants i0, i1, i2 (rank 0) and l0, l1, m1, l2, l23 ([1], [2]). */
static void open(struct onnx_fixture *f, int64_t opset)
{
    onnx_fixture_open(f, opset);
    onnx_fixture_ports(f);
    onnx_fixture_number(f, "i0", 0);
    onnx_fixture_number(f, "i1", 1);
    onnx_fixture_number(f, "i2", 2);
    onnx_fixture_numbers(f, "l0", 1, (const int64_t[]){0});
    onnx_fixture_numbers(f, "l1", 1, (const int64_t[]){1});
    onnx_fixture_numbers(f, "m1", 1, (const int64_t[]){-1});
    onnx_fixture_numbers(f, "l2", 1, (const int64_t[]){2});
    onnx_fixture_numbers(f, "l23", 2, (const int64_t[]){2, 3});
}

static void concat(struct onnx_fixture *f, const char *inputs, const char *output)
{
    onnx_fixture_int(f, onnx_fixture_node(f, "Concat", inputs, output), "axis", 0);
}

/* x.view(x.shape[0], x.shape[1] * x.shape[2], -1) */
static void a_view_becomes_one_reshape(void **state)
{
    (void)state;
    struct onnx_fixture f;
    open(&f, 13);
    onnx_fixture_node(&f, "Shape", "x", "s");
    onnx_fixture_node(&f, "Gather", "s i0", "n");
    onnx_fixture_node(&f, "Gather", "s i1", "c");
    onnx_fixture_node(&f, "Gather", "s i2", "h");
    onnx_fixture_node(&f, "Mul", "c h", "ch");
    onnx_fixture_node(&f, "Unsqueeze", "n l0", "n1");
    onnx_fixture_node(&f, "Unsqueeze", "ch l0", "ch1");
    concat(&f, "n1 ch1 m1", "t");
    onnx_fixture_node(&f, "Reshape", "x t", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->node_count, 1);
    const struct attributes *a = &graph->nodes[0].attributes;
    assert_int_equal(a->axes_count, 3);
    assert_int_equal(a->axes[0], 0);
    assert_int_equal(a->axes[1], 12);
    assert_int_equal(graph->values[graph->output].shape.dims[2], 4);
    graph_destroy(&graph);
}

/* Where(Equal(t, -1), 1, t), as Expand is exported: the batch is not -1, and goes on as it is. */
static void the_batch_can_be_moved_and_compared(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t token[] = {1, 1, 2};
    open(&f, 13);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "token", 3, token));
    onnx_fixture_node(&f, "Shape", "x", "s");
    onnx_fixture_node(&f, "Slice", "s l0 l1", "n");
    onnx_fixture_node(&f, "Mul", "n l1", "n1");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Cast", "n1", "n2"), "to",
                     ONNX__TENSOR_PROTO__DATA_TYPE__INT32);
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Cast", "n2", "n3"), "to",
                     ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    concat(&f, "n3 l2 m1", "t");
    onnx_fixture_node(&f, "Equal", "t m1", "e");
    onnx_fixture_node(&f, "Where", "e l1 t", "w");
    onnx_fixture_node(&f, "Expand", "token w", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->node_count, 1);
    assert_int_equal(graph->nodes[0].attributes.axes[0], -1);
    assert_int_equal(graph->nodes[0].attributes.axes[1], 2);
    const struct shape *shape = &graph->values[graph->output].shape;
    assert_int_equal(shape->dims[0], -1);
    assert_int_equal(shape->dims[2], 2);
    graph_destroy(&graph);
}

static void what_depends_on_the_batch_is_refused_where_it_is_used(void **state)
{
    (void)state;
    struct onnx_fixture f;
    for (int used = 0; used < 2; used++) {
        open(&f, 13);
        onnx_fixture_node(&f, "Shape", "x", "s");
        onnx_fixture_node(&f, "Slice", "s l0 l1", "n");
        onnx_fixture_node(&f, "Div", "n l2", "half");
        onnx_fixture_node(&f, "Slice", used ? "x l0 half l2" : "x l0 l2 l2", "y");
        if (used) {
            onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "size of the batch");
        } else {
            struct graph *graph = onnx_fixture_accept(&f, "");
            graph_destroy(&graph);
        }
    }
    open(&f, 13);
    onnx_fixture_node(&f, "Shape", "x", "s");
    onnx_fixture_node(&f, "Gather", "s i0", "n");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Cast", "n", "r"), "to",
                     ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    onnx_fixture_node(&f, "Mul", "x r", "y");
    onnx_fixture_refuse(&f, ERR_SUPPORT, "tensor r", "size of the batch");
}

/* The batch is at least 1; whether it exceeds 2 nobody knows. */
static void comparisons_know_what_can_be_known(void **state)
{
    (void)state;
    static const struct {
        const char *op, *inputs;
        int64_t expected; /* -1: unknown */
    } cases[] = {{"Greater", "n l0", 1},        {"Less", "n l1", 0},
                 {"GreaterOrEqual", "n l1", 1}, {"LessOrEqual", "m1 n", 1},
                 {"Equal", "n l0", 0},          {"Equal", "n n", 1},
                 {"LessOrEqual", "n l0", 0},    {"Greater", "n l1", -1},
                 {"Equal", "n l2", -1},         {"GreaterOrEqual", "n l2", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct onnx_fixture f;
        open(&f, 13);
        onnx_fixture_node(&f, "Shape", "x", "s");
        onnx_fixture_node(&f, "Slice", "s l0 l1", "n");
        onnx_fixture_node(&f, cases[i].op, cases[i].inputs, "c");
        onnx_fixture_node(&f, "Where", "c l2 l1", "end");
        onnx_fixture_node(&f, "Slice", "x l0 end l2", "y");
        if (cases[i].expected < 0) {
            onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "size of the batch");
            continue;
        }
        struct graph *graph = onnx_fixture_accept(&f, "");
        assert_int_equal(graph->values[graph->output].shape.dims[2], cases[i].expected + 1);
        graph_destroy(&graph);
    }
}

/* An enlargement's sizes: floats of the file beside what comes from shapes. */
static void sizes_are_computed_in_their_types(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const float factors[] = {1.5f, 2.5f};
    const int64_t two = 2;
    open(&f, 13);
    onnx_fixture_initializer(&f, onnx_fixture_tensor(&f, "factors",
                                                     ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1, &two,
                                                     factors, sizeof factors));
    onnx_fixture_numbers(&f, "far", 1, (const int64_t[]){9});
    onnx_fixture_node(&f, "Shape", "x", "s");
    onnx_fixture_node(&f, "Slice", "s l0 l2", "nc");
    onnx_fixture_node(&f, "Slice", "s l2 far", "hw");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Cast", "hw", "r"), "to",
                     ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    onnx_fixture_node(&f, "Mul", "r factors", "m");
    onnx_fixture_node(&f, "Floor", "m", "fl");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Cast", "fl", "i"), "to",
                     ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    concat(&f, "nc i", "sizes");
    onnx_fixture_node(&f, "Resize", "x - - sizes", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->node_count, 1);
    const struct shape *shape = &graph->values[graph->output].shape;
    assert_int_equal(shape->dims[0], -1);
    assert_int_equal(shape->dims[2], 6);
    assert_int_equal(shape->dims[3], 10);
    graph_destroy(&graph);
}

static void parts_of_numbers_are_numbers(void **state)
{
    (void)state;
    struct onnx_fixture f;
    open(&f, 13);
    onnx_fixture_node(&f, "Shape", "x", "s");
    Onnx__NodeProto *split = onnx_fixture_node(&f, "Split", "s", "n");
    char *outputs[] = {split->output[0], onnx_fixture_text(&f, "c"), onnx_fixture_text(&f, "h"),
                       onnx_fixture_text(&f, "w")};
    split->output = outputs;
    split->n_output = 4;
    onnx_fixture_node(&f, "Mul", "c h", "ch");
    concat(&f, "n w ch", "t");
    onnx_fixture_node(&f, "Reshape", "x t", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->node_count, 1);
    assert_int_equal(graph->nodes[0].attributes.axes[1], 4);
    assert_int_equal(graph->nodes[0].attributes.axes[2], 12);
    graph_destroy(&graph);
}

static void parameters_stay_values(void **state)
{
    (void)state;
    static const char *const ops[] = {"Transpose", "Identity", "Neg", "Squeeze"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        struct onnx_fixture f;
        const int64_t dims[] = {4, 4};
        open(&f, 13);
        onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "w", 2, dims));
        onnx_fixture_node(&f, ops[i], "w", "v");
        onnx_fixture_node(&f, "MatMul", "x v", "y");
        struct graph *graph = onnx_fixture_accept(&f, "");
        assert_int_equal(graph->node_count, 2);
        assert_true(graph->values[graph_find(graph, "w")].parameter);
        graph_destroy(&graph);
    }
}

/* One row for all samples, kept once and given to each. */
static void what_is_alike_for_each_sample_is_kept_once(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t table[] = {5, 2};
    open(&f, 13);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "table", 2, table));
    onnx_fixture_node(&f, "Shape", "x", "s");
    onnx_fixture_node(&f, "Slice", "s l0 l2", "nc");
    onnx_fixture_node(&f, "ConstantOfShape", "nc", "zeros");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Cast", "zeros", "ids"), "to",
                     ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    onnx_fixture_node(&f, "Gather", "table ids", "y");
    struct graph *graph = onnx_fixture_accept(&f, "y");
    assert_int_equal(graph->nodes[0].op, OP_EXPAND);
    const struct shape *shape = &graph->values[graph->output].shape;
    assert_int_equal(shape->dims[0], -1);
    assert_int_equal(shape->dims[1], 3);
    graph_destroy(&graph);
}

static void bad_arithmetic_names_its_node(void **state)
{
    (void)state;
    static const struct {
        const char *op, *inputs, *word;
    } cases[] = {{"Div", "l1 l0", "zero"},           {"Mod", "l1 l0", "zero"},
                 {"Gather", "l23 i2", "index"},      {"Mul", "big big", "fit"},
                 {"Add", "big big", "fit"},          {"Add", "l23 l123", "broadcast"},
                 {"Add", "l1 r", "float32"},         {"ConstantOfShape", "big", "elements"},
                 {"Range", "i0 huge i1", "numbers"}, {"Range", "i0 i1 i0", "numbers"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct onnx_fixture f;
        open(&f, 13);
        onnx_fixture_numbers(&f, "big", 1, (const int64_t[]){INT64_MAX});
        onnx_fixture_number(&f, "huge", (int64_t)1 << 40);
        onnx_fixture_numbers(&f, "l123", 3, (const int64_t[]){1, 2, 3});
        onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "r", 0, NULL));
        onnx_fixture_node(&f, cases[i].op, cases[i].inputs, "bad");
        onnx_fixture_node(&f, "Reshape", "x bad", "y");
        onnx_fixture_refuse(&f, ERR_INPUT, "node_bad", cases[i].word);
    }
}

static void no_file_makes_numbers_without_end(void **state)
{
    (void)state;
    struct onnx_fixture f;
    open(&f, 13);
    onnx_fixture_numbers(&f, "million", 1, (const int64_t[]){1 << 20});
    onnx_fixture_node(&f, "ConstantOfShape", "million", "a");
    onnx_fixture_node(&f, "Neg", "a", "b");
    onnx_fixture_node(&f, "Neg", "b", "c");
    onnx_fixture_node(&f, "Neg", "c", "d");
    onnx_fixture_node(&f, "Neg", "d", "e");
    onnx_fixture_node(&f, "Mul", "x e", "y");
    onnx_fixture_refuse(&f, ERR_INPUT, "node_d", "numbers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_becomes_one_reshape),
        cmocka_unit_test(the_batch_can_be_moved_and_compared),
        cmocka_unit_test(what_depends_on_the_batch_is_refused_where_it_is_used),
        cmocka_unit_test(comparisons_know_what_can_be_known),
        cmocka_unit_test(sizes_are_computed_in_their_types),
        cmocka_unit_test(parts_of_numbers_are_numbers),
        cmocka_unit_test(parameters_stay_values),
        cmocka_unit_test(what_is_alike_for_each_sample_is_kept_once),
        cmocka_unit_test(bad_arithmetic_names_its_node),
        cmocka_unit_test(no_file_makes_numbers_without_end),
    };
    return cmocka_run_group_tests_name("onnx_fold", tests, NULL, NULL);
}
