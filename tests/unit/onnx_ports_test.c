/* What goes into a network and comes out of its nodes: inputs of several types, further outputs. */
#include "tests/unit/onnx_fixture.h"

static void inputs_keep_the_files_order_and_types(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t ids[] = {-1, 4}, table[] = {9, 5}, mask[] = {-1, 4, 1};
    onnx_fixture_open(&f, 13);
    onnx_fixture_port(&f, true, "ids", 2, ids)->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    onnx_fixture_port(&f, true, "unused", 2, ids);
    onnx_fixture_port(&f, true, "mask", 3, mask);
    onnx_fixture_port(&f, false, "y", 0, NULL);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "table", 2, table));
    onnx_fixture_node(&f, "Gather", "table ids", "g");
    onnx_fixture_node(&f, "Mul", "mask g", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->input_count, 2);
    assert_int_equal(graph->input, graph->inputs[0]);
    assert_string_equal(graph->values[graph->inputs[0]].name, "ids");
    assert_int_equal(graph->values[graph->inputs[0]].dtype, DTYPE_I64);
    assert_string_equal(graph->values[graph->inputs[1]].name, "mask");
    assert_int_equal(graph->values[graph->output].shape.dims[0], -1);
    assert_int_equal(graph->values[graph->output].shape.dims[2], 5);
    graph_destroy(&graph);
}

static void inputs_that_cannot_be_fed_are_named(void **state)
{
    (void)state;
    static const struct {
        int type;
        const char *word;
    } cases[] = {{ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, "float16"},
                 {ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, "float64"},
                 {ONNX__TENSOR_PROTO__DATA_TYPE__STRING, "string"},
                 {77, "unknown"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct onnx_fixture f;
        onnx_fixture_small(&f, 13);
        f.inputs[0]->type->tensor_type->elem_type = cases[i].type;
        onnx_fixture_refuse(&f, ERR_SUPPORT, "input x", cases[i].word);
    }
    struct onnx_fixture f;
    onnx_fixture_small(&f, 13);
    f.inputs[0]->type->tensor_type->shape->dim[2]->value_case =
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
    onnx_fixture_refuse(&f, ERR_INPUT, "input x", "every dimension but the batch");
}

static void a_batch_without_end_is_refused(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_small(&f, 13);
    Onnx__TensorShapeProto__Dimension *batch = f.inputs[0]->type->tensor_type->shape->dim[0];
    batch->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    batch->dim_value = INT64_MAX;
    onnx_fixture_refuse(&f, ERR_INPUT, "input x", "samples");
}

/* Of nothing there is nothing to take. */
static void constants_without_elements_are_no_trap(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t none[] = {2, 0};
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_initializer(
        &f,
        onnx_fixture_tensor(&f, "none", ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 2, none, NULL, 0));
    onnx_fixture_number(&f, "one", 1);
    onnx_fixture_node(&f, "Gather", "none one", "taken");
    onnx_fixture_node(&f, "Expand", "x taken", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->node_count, 1);
    graph_destroy(&graph);
}

static void too_many_inputs_are_refused(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t dims[] = {-1, 2};
    onnx_fixture_open(&f, 13);
    Onnx__NodeProto *sum = onnx_fixture_node(&f, "Sum", "", "y");
    onnx_fixture_port(&f, false, "y", 0, NULL);
    for (size_t i = 0; i <= GRAPH_INPUTS_MAX; i++) {
        char name[] = {(char)('a' + (int)i), '\0'};
        onnx_fixture_port(&f, true, name, 2, dims);
        sum->input[sum->n_input++] = onnx_fixture_text(&f, name);
    }
    onnx_fixture_refuse(&f, ERR_SUPPORT, "i is one input more", "8");
}

static void string_tensors_are_refused(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_small(&f, 13);
    f.initializers[0]->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
    onnx_fixture_refuse(&f, ERR_SUPPORT, "tensor w", "string");
}

static void further_outputs_are_refused_when_used(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t two[] = {2, 2};
    for (int used = 0; used < 2; used++) {
        onnx_fixture_open(&f, 13);
        onnx_fixture_ports(&f);
        Onnx__NodeProto *pool = onnx_fixture_node(&f, "MaxPool", "x", used ? "p" : "y");
        onnx_fixture_ints(&f, pool, "kernel_shape", 2, two);
        char *outputs[] = {pool->output[0], onnx_fixture_text(&f, "where")};
        pool->output = outputs;
        pool->n_output = 2;
        if (used) {
            onnx_fixture_node(&f, "Cast", "where", "y");
            onnx_fixture_refuse(&f, ERR_SUPPORT, "where", "further output");
        } else {
            struct graph *graph = onnx_fixture_accept(&f, "");
            assert_int_equal(graph->node_count, 1);
            graph_destroy(&graph);
        }
    }
}

static void split_gives_a_slice_for_each_used_output(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t parts[] = {1, 2};
    onnx_fixture_open(&f, 11);
    onnx_fixture_ports(&f);
    Onnx__NodeProto *split = onnx_fixture_node(&f, "Split", "x", "a");
    onnx_fixture_int(&f, split, "axis", 1);
    onnx_fixture_ints(&f, split, "split", 2, parts);
    char *outputs[] = {split->output[0], onnx_fixture_text(&f, "b")};
    split->output = outputs;
    split->n_output = 2;
    onnx_fixture_node(&f, "Relu", "b", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->node_count, 2);
    assert_int_equal(graph->nodes[0].op, OP_SLICE);
    assert_int_equal(graph->nodes[0].attributes.starts[1], 1);
    assert_int_equal(graph->nodes[0].attributes.ends[1], 3);
    graph_destroy(&graph);
}

static void training_is_refused(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const uint8_t yes = 1;
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_initializer(
        &f, onnx_fixture_tensor(&f, "mode", ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, 0, NULL, &yes, 1));
    onnx_fixture_node(&f, "Dropout", "x - mode", "y");
    onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "training mode");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_keep_the_files_order_and_types),
        cmocka_unit_test(inputs_that_cannot_be_fed_are_named),
        cmocka_unit_test(a_batch_without_end_is_refused),
        cmocka_unit_test(constants_without_elements_are_no_trap),
        cmocka_unit_test(too_many_inputs_are_refused),
        cmocka_unit_test(string_tensors_are_refused),
        cmocka_unit_test(further_outputs_are_refused_when_used),
        cmocka_unit_test(split_gives_a_slice_for_each_used_output),
        cmocka_unit_test(training_is_refused),
    };
    return cmocka_run_group_tests_name("onnx_ports", tests, NULL, NULL);
}
