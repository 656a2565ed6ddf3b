/* What is read, written and read again is the same graph, also where the file's way of saying it
 * had to be found anew: targets that name the batch, parts of a Split, whole numbers, several
 * inputs. (That others read it too: tests/conformance.) */
#include "tests/unit/onnx_fixture.h"

#include <unistd.h>

#include "common/base/file.h"
#include "common/model/onnx/writer.h"

static struct graph *read_again(const struct graph *graph)
{
    char path[] = "/tmp/graft-write-XXXXXX";
    const struct onnx_reading all = {.cut = ""};
    struct graph *again = NULL;
    struct error err;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    if (onnx_writer_save(graph, NULL, NULL, path, &err) != OK ||
        onnx_reader_open(path, &all, &again, &err) != OK)
        fail_msg("%s", err.text);
    unlink(path);
    return again;
}

static void same_attributes(const struct node *a, const struct node *b)
{
    const struct attributes *x = &a->attributes, *y = &b->attributes;
    assert_int_equal(x->axes_count, y->axes_count);
    assert_memory_equal(x->axes, y->axes, x->axes_count * sizeof *x->axes);
    assert_int_equal(x->starts_count, y->starts_count);
    assert_memory_equal(x->starts, y->starts, x->starts_count * sizeof *x->starts);
    assert_memory_equal(x->ends, y->ends, x->starts_count * sizeof *x->ends);
    assert_memory_equal(x->steps, y->steps, x->starts_count * sizeof *x->steps);
    assert_memory_equal(x->kernel, y->kernel, sizeof x->kernel);
    assert_memory_equal(x->strides, y->strides, sizeof x->strides);
    assert_memory_equal(x->pads, y->pads, sizeof x->pads);
    assert_int_equal(x->axis, y->axis);
    assert_int_equal(x->to, y->to);
    assert_int_equal(x->pad_mode, y->pad_mode);
    assert_int_equal(x->resize_mode, y->resize_mode);
    assert_int_equal(x->resize_origin, y->resize_origin);
    assert_true(x->fill == y->fill && x->low == y->low && x->high == y->high);
    assert_int_equal(x->approximate, y->approximate);
    assert_int_equal(x->reduce_none, y->reduce_none);
}

static void comes_back(struct onnx_fixture *f)
{
    struct graph *graph = onnx_fixture_accept(f, ""), *again = read_again(graph);
    assert_int_equal(again->input_count, graph->input_count);
    for (size_t i = 0; i < graph->input_count; i++) {
        const struct value *a = &graph->values[graph->inputs[i]];
        const struct value *b = &again->values[again->inputs[i]];
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dtype, b->dtype);
        assert_true(shape_equal(&a->shape, &b->shape));
    }
    assert_int_equal(again->node_count, graph->node_count);
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct node *a = &graph->nodes[i], *b = &again->nodes[i];
        assert_int_equal(a->op, b->op);
        assert_true(shape_equal(&graph->values[a->output].shape, &again->values[b->output].shape));
        assert_int_equal(graph->values[a->output].dtype, again->values[b->output].dtype);
        same_attributes(a, b);
    }
    graph_destroy(&graph);
    graph_destroy(&again);
}

static void targets_that_name_the_batch(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t token[] = {1, 1, 4, 4};
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "token", 4, token));
    onnx_fixture_numbers(&f, "l0", 1, (const int64_t[]){0});
    onnx_fixture_numbers(&f, "l1", 1, (const int64_t[]){1});
    onnx_fixture_numbers(&f, "one", 3, (const int64_t[]){1, 4, 4});
    onnx_fixture_numbers(&f, "large", 3, (const int64_t[]){4, 9, 7});
    onnx_fixture_node(&f, "Shape", "x", "s");
    onnx_fixture_node(&f, "Slice", "s l0 l1", "n");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Concat", "n one", "t"), "axis", 0);
    onnx_fixture_node(&f, "Expand", "token t", "e");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Concat", "e x", "c"), "axis", 1);
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Concat", "n large", "u"), "axis", 0);
    Onnx__NodeProto *resize = onnx_fixture_node(&f, "Resize", "c - - u", "y");
    onnx_fixture_string(&f, resize, "mode", "linear");
    onnx_fixture_string(&f, resize, "coordinate_transformation_mode", "pytorch_half_pixel");
    comes_back(&f);
}

static void ranges_in_every_opset(void **state)
{
    (void)state;
    static const int64_t opsets[] = {9, 10, 13, 18, 21};
    for (size_t i = 0; i < sizeof opsets / sizeof *opsets; i++) {
        struct onnx_fixture f;
        const int64_t one[] = {1, 0}, three[] = {-1, 3}, axes[] = {2, 3};
        const int64_t pads[] = {0, 0, 1, 2, 0, 0, 0, 1};
        onnx_fixture_open(&f, opsets[i]);
        onnx_fixture_ports(&f);
        Onnx__NodeProto *slice =
            onnx_fixture_node(&f, "Slice", opsets[i] < 10 ? "x" : "x one three axes", "s");
        Onnx__NodeProto *pad =
            onnx_fixture_node(&f, "Pad", opsets[i] < 11 ? "s" : "s pads half", "y");
        if (opsets[i] < 10) {
            onnx_fixture_ints(&f, slice, "starts", 2, one);
            onnx_fixture_ints(&f, slice, "ends", 2, three);
            onnx_fixture_ints(&f, slice, "axes", 2, axes);
        }
        if (opsets[i] < 11) {
            onnx_fixture_ints(&f, pad, "pads", 8, pads);
            onnx_fixture_float(&f, pad, "value", 0.5f);
        }
        onnx_fixture_numbers(&f, "one", 2, one);
        onnx_fixture_numbers(&f, "three", 2, three);
        onnx_fixture_numbers(&f, "axes", 2, axes);
        onnx_fixture_numbers(&f, "pads", 8, pads);
        onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "half", 0, NULL));
        comes_back(&f);
    }
}

static void backward_slices(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_numbers(&f, "last", 1, (const int64_t[]){-1});
    onnx_fixture_numbers(&f, "before", 1, (const int64_t[]){INT64_MIN});
    onnx_fixture_numbers(&f, "width", 1, (const int64_t[]){3});
    onnx_fixture_node(&f, "Slice", "x last before width last", "y");
    comes_back(&f);
}

static void whole_numbers_and_several_inputs(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t ids[] = {-1, 4}, table[] = {9, 5};
    onnx_fixture_open(&f, 13);
    onnx_fixture_port(&f, true, "ids", 2, ids)->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    onnx_fixture_port(&f, true, "mask", 2, ids)->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    onnx_fixture_port(&f, false, "y", 0, NULL);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "table", 2, table));
    onnx_fixture_numbers(&f, "most", 1, (const int64_t[]){5});
    onnx_fixture_number(&f, "high", 7);
    onnx_fixture_numbers(&f, "l2", 1, (const int64_t[]){2});
    onnx_fixture_node(&f, "Min", "ids most", "i");
    onnx_fixture_node(&f, "Clip", "i - high", "j");
    onnx_fixture_node(&f, "Gather", "table j", "g");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Cast", "mask", "m"), "to",
                     ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    onnx_fixture_node(&f, "Unsqueeze", "m l2", "u");
    onnx_fixture_node(&f, "Mul", "g u", "y");
    comes_back(&f);
}

static void windows_of_one_dimension(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t x[] = {-1, 3, 12}, w[] = {2, 3, 3}, pads[] = {1, 2}, two[] = {2};
    onnx_fixture_open(&f, 13);
    onnx_fixture_port(&f, true, "x", 3, x);
    onnx_fixture_port(&f, false, "y", 0, NULL);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "w", 3, w));
    Onnx__NodeProto *conv = onnx_fixture_node(&f, "Conv", "x w", "c");
    onnx_fixture_ints(&f, conv, "pads", 2, pads);
    onnx_fixture_ints(&f, conv, "strides", 1, two);
    onnx_fixture_ints(&f, onnx_fixture_node(&f, "MaxPool", "c", "y"), "kernel_shape", 1, two);
    comes_back(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_that_name_the_batch),
        cmocka_unit_test(ranges_in_every_opset),
        cmocka_unit_test(backward_slices),
        cmocka_unit_test(whole_numbers_and_several_inputs),
        cmocka_unit_test(windows_of_one_dimension),
    };
    return cmocka_run_group_tests_name("onnx_write", tests, NULL, NULL);
}
