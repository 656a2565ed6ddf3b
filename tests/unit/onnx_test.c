/* The ONNX reader: what it accepts, and what it says about everything it does not. */
#include "tests/unit/onnx_fixture.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/model.h"
#include "common/model/onnx/reader.h"
#include "common/model/onnx/scan.h"
#include "common/model/onnx/writer.h"
#include "common/model/plan.h"
#include "common/model/shape_infer.h"

static const struct onnx_reading all = {.cut = ""};

static void a_small_model_is_read(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_small(&f, 13);
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->node_count, 2);
    assert_int_equal(graph->nodes[0].op, OP_CONV);
    assert_int_equal(graph->nodes[1].op, OP_RELU);
    assert_string_equal(graph->values[graph->output].name, "y");
    const struct value *w = &graph->values[graph_find(graph, "w")];
    assert_true(w->parameter);
    assert_int_equal(w->shape.dims[0], 2);
    assert_true(((const float *)w->data)[1] == 0.02f);
    graph_destroy(&graph);
}

static void constants_are_parameters_by_rank(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t one[] = {1};
    onnx_fixture_open(&f, 9);
    onnx_fixture_ports(&f);
    onnx_fixture_constant(&f, onnx_fixture_floats(&f, "weight", 1, one));
    onnx_fixture_constant(&f, onnx_fixture_floats(&f, "helper", 0, NULL));
    onnx_fixture_node(&f, "Mul", "weight x", "m");
    onnx_fixture_node(&f, "Add", "m helper", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_true(graph->values[graph_find(graph, "weight")].parameter);
    assert_false(graph->values[graph_find(graph, "helper")].parameter);
    graph_destroy(&graph);
}

static void only_what_the_cut_needs_is_read(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_small(&f, 13);
    onnx_fixture_node(&f, "LSTM", "y", "z");
    struct graph *graph = onnx_fixture_accept(&f, "c");
    assert_int_equal(graph->node_count, 1);
    assert_string_equal(graph->values[graph->output].name, "c");
    graph_destroy(&graph);
}

static void nodes_out_of_order_are_sorted(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_node(&f, "Relu", "b", "y");
    onnx_fixture_node(&f, "Tanh", "x", "b");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->nodes[0].op, OP_TANH);
    graph_destroy(&graph);
}

static void unknown_operators_are_named(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_open(&f, 15);
    onnx_fixture_ports(&f);
    onnx_fixture_node(&f, "LSTM", "x", "y");
    onnx_fixture_refuse(&f, ERR_SUPPORT, "LSTM", "node_y");
    onnx_fixture_open(&f, 15);
    onnx_fixture_ports(&f);
    onnx_fixture_node(&f, "Relu", "x", "y")->domain = onnx_fixture_text(&f, "com.example");
    onnx_fixture_refuse(&f, ERR_SUPPORT, "domain", "node_y");
}

static void unknown_attributes_are_named(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Relu", "x", "y"), "sideways", 1);
    onnx_fixture_refuse(&f, ERR_SUPPORT, "sideways", "node_y");
    onnx_fixture_small(&f, 13);
    const int64_t three[] = {1, 1, 1};
    onnx_fixture_ints(&f, f.nodes[0], "strides", 3, three);
    onnx_fixture_refuse(&f, ERR_SUPPORT, "strides", "node_c");
    onnx_fixture_small(&f, 13);
    onnx_fixture_float(&f, f.nodes[0], "group", 1);
    onnx_fixture_refuse(&f, ERR_INPUT, "group", "type");
}

static void cycles_are_found(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_node(&f, "Add", "x b", "y");
    onnx_fixture_node(&f, "Relu", "y", "b");
    onnx_fixture_refuse(&f, ERR_INPUT, "cycle", "node_y");
}

static void missing_and_doubled_tensors_are_named(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_small(&f, 13);
    f.graph.n_initializer = 0;
    onnx_fixture_refuse(&f, ERR_INPUT, "node_c", "tensor w");
    onnx_fixture_small(&f, 13);
    onnx_fixture_node(&f, "Tanh", "x", "c");
    onnx_fixture_refuse(&f, ERR_INPUT, "tensor c", "twice");
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_refuse(&f, ERR_INPUT, "y", "nothing");
}

static void data_must_fit_its_shape(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_small(&f, 13);
    f.initializers[0]->raw_data.len -= 4;
    onnx_fixture_refuse(&f, ERR_INPUT, "tensor w", "shape");
    onnx_fixture_small(&f, 13);
    f.initializers[0]->dims[0] = INT64_MAX;
    onnx_fixture_refuse(&f, ERR_INPUT, "tensor w", "size");
    onnx_fixture_small(&f, 13);
    f.initializers[0]->dims[0] = -2;
    onnx_fixture_refuse(&f, ERR_INPUT, "tensor w", "negative");
    onnx_fixture_small(&f, 13);
    f.initializers[0]->has_raw_data = 0;
    onnx_fixture_refuse(&f, ERR_INPUT, "tensor w", "54 elements");
    onnx_fixture_small(&f, 13);
    f.initializers[0]->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
    onnx_fixture_refuse(&f, ERR_SUPPORT, "tensor w", "type 10");
}

static void typed_lists_are_read(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t dims[] = {2};
    float data[] = {1.5f, -2};
    onnx_fixture_open(&f, 13);
    const int64_t x[] = {-1, 2};
    onnx_fixture_port(&f, true, "x", 2, x);
    onnx_fixture_port(&f, false, "y", 0, NULL);
    Onnx__TensorProto *tensor = onnx_fixture_floats(&f, "w", 1, dims);
    tensor->has_raw_data = 0;
    tensor->n_float_data = 2;
    tensor->float_data = data;
    onnx_fixture_initializer(&f, tensor);
    onnx_fixture_node(&f, "Mul", "x w", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_memory_equal(graph->values[graph_find(graph, "w")].data, data, sizeof data);
    graph_destroy(&graph);
}

static void constant_inputs_become_attributes(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t two[] = {2}, target[] = {0, -1};
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "high", 0, NULL));
    onnx_fixture_initializer(&f,
                             onnx_fixture_tensor(&f, "target", ONNX__TENSOR_PROTO__DATA_TYPE__INT64,
                                                 1, two, target, sizeof target));
    onnx_fixture_node(&f, "Clip", "x - high", "c");
    onnx_fixture_node(&f, "Reshape", "c target", "y");
    struct graph *graph = onnx_fixture_accept(&f, "");
    assert_int_equal(graph->nodes[0].input_count, 1);
    assert_true(isinf(graph->nodes[0].attributes.low) && graph->nodes[0].attributes.high == 0.01f);
    assert_int_equal(graph->nodes[1].attributes.axes_count, 2);
    assert_int_equal(graph->nodes[1].attributes.axes[1], -1);
    graph_destroy(&graph);
}

static void computed_targets_are_refused(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_open(&f, 13);
    onnx_fixture_ports(&f);
    onnx_fixture_node(&f, "Reshape", "x x", "y");
    onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "constant");
}

static void opsets_outside_the_range_are_refused(void **state)
{
    (void)state;
    struct onnx_fixture f;
    onnx_fixture_small(&f, 6);
    onnx_fixture_refuse(&f, ERR_SUPPORT, "opset 6", "7 to 21");
    onnx_fixture_small(&f, 22);
    onnx_fixture_refuse(&f, ERR_SUPPORT, "opset 22", "7 to 21");
}

static void every_truncation_is_an_error(void **state)
{
    (void)state;
    struct onnx_fixture f;
    size_t bytes;
    onnx_fixture_small(&f, 13);
    const uint8_t *packed = onnx_fixture_pack(&f, &bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        struct graph *graph = NULL;
        struct error err;
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, packed, cut);
        assert_true(onnx_reader_parse(exact, cut, NULL, &all, &graph, &err) != OK);
        free(exact);
    }
    onnx_fixture_close(&f);
}

static void flipped_bytes_never_crash(void **state)
{
    (void)state;
    struct onnx_fixture f;
    size_t bytes;
    onnx_fixture_small(&f, 13);
    uint8_t *packed = onnx_fixture_pack(&f, &bytes);
    for (size_t i = 0; i < bytes * 8; i++) {
        struct graph *graph = NULL;
        struct error err;
        packed[i / 8] ^= (uint8_t)(1u << i % 8);
        if (onnx_reader_parse(packed, bytes, NULL, &all, &graph, &err) == OK &&
            shape_infer(graph, &err) != OK)
            assert_true(err.text[0] != '\0');
        graph_destroy(&graph);
        packed[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    onnx_fixture_close(&f);
}

/* attribute.g → graph.node → node.attribute → attribute.g …: protobuf-c would recurse for each. */
static void deep_nesting_is_refused_before_parsing(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    size_t count = 0;
    struct error err;
    for (size_t depth = 0; depth < 40;
         depth++) { /* from the inside out: each wraps all that was there */
        const uint8_t fields[] = {0x0a, 0x32, 0x2a}; /* graph.node, attribute.g, node.attribute */
        uint8_t header[3] = {fields[depth % 3], (uint8_t)(count & 0x7f), 0};
        size_t length = 2;
        if (count >= 128) {
            header[1] |= 0x80;
            header[2] = (uint8_t)(count >> 7);
            length = 3;
        }
        memmove(bytes + length, bytes, count);
        memcpy(bytes, header, length);
        count += length;
    }
    memmove(bytes + 3, bytes, count);
    bytes[0] = 0x3a; /* model.graph */
    bytes[1] = (uint8_t)(0x80 | (count & 0x7f));
    bytes[2] = (uint8_t)(count >> 7);
    enum status status = onnx_scan(bytes, count + 3, &err);
    assert_int_equal(status, ERR_INPUT);
    assert_non_null(strstr(err.text, "nested"));
}

/* ---- files ---- */

struct folder {
    char path[64];
};

static struct folder make_folder(void)
{
    struct folder folder = {"/tmp/graft-onnx-XXXXXX"};
    assert_non_null(mkdtemp(folder.path));
    return folder;
}

static void write_fixture(struct onnx_fixture *f, const char *path)
{
    size_t bytes;
    struct error err;
    const uint8_t *packed = onnx_fixture_pack(f, &bytes);
    assert_int_equal(file_write(path, packed, bytes, &err), OK);
}

static void make_external(struct onnx_fixture *f, const char *location, const char *offset)
{
    Onnx__TensorProto *w = f->initializers[0];
    const char *pairs[][2] = {{"location", location}, {"offset", offset}, {"length", "216"}};
    w->has_raw_data = 0;
    w->has_data_location = 1;
    w->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    w->external_data = onnx_fixture_take(f, 3 * sizeof *w->external_data);
    for (size_t i = 0; i < 3; i++) {
        Onnx__StringStringEntryProto *entry = onnx_fixture_take(f, sizeof *entry);
        onnx__string_string_entry_proto__init(entry);
        entry->key = onnx_fixture_text(f, pairs[i][0]);
        entry->value = onnx_fixture_text(f, pairs[i][1]);
        w->external_data[w->n_external_data++] = entry;
    }
}

static enum status read_external(const char *location, const char *offset, struct error *err)
{
    struct folder folder = make_folder();
    char path[PATH_BYTES], data[PATH_BYTES], outside[PATH_BYTES], link[PATH_BYTES];
    float values[60] = {0};
    struct graph *graph = NULL;
    struct onnx_fixture f;
    values[1] = 42;
    onnx_fixture_small(&f, 13);
    make_external(&f, location, offset);
    snprintf(path, sizeof path, "%s/inside", folder.path);
    assert_int_equal(file_make_directory(path, err), OK);
    snprintf(path, sizeof path, "%s/inside/m.onnx", folder.path);
    snprintf(data, sizeof data, "%s/inside/w.bin", folder.path);
    snprintf(outside, sizeof outside, "%s/w.bin", folder.path);
    snprintf(link, sizeof link, "%s/inside/link.bin", folder.path);
    assert_int_equal(file_write(data, values, sizeof values, err), OK);
    assert_int_equal(file_write(outside, values, sizeof values, err), OK);
    assert_int_equal(symlink("../w.bin", link), 0);
    write_fixture(&f, path);
    enum status status = onnx_reader_open(path, &all, &graph, err);
    if (status == OK)
        assert_true(((const float *)graph->values[graph_find(graph, "w")].data)[0] == 42);
    graph_destroy(&graph);
    onnx_fixture_close(&f);
    struct error removed;
    assert_int_equal(file_remove_tree(folder.path, &removed), OK);
    return status;
}

static void external_data_lies_beside_the_model(void **state)
{
    (void)state;
    struct error err;
    if (read_external("w.bin", "4", &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(read_external("w.bin", "100", &err), ERR_INPUT);
    assert_int_equal(read_external("w.bin", "-4", &err), ERR_INPUT);
    assert_int_equal(read_external("absent.bin", "4", &err), ERR_IO);
}

static void external_data_must_not_leave_the_folder(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(read_external("../w.bin", "4", &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "outside"));
    assert_int_equal(read_external("link.bin", "4", &err), ERR_INPUT);
    assert_int_equal(read_external("/etc/hostname", "0", &err) == OK, 0);
}

/* read → infer → write → read gives the same graph, for each way of stating attributes. */
static void written_models_read_back_the_same(void **state)
{
    (void)state;
    const int64_t opsets[] = {9, 11, 13, 18, 21};
    const int64_t pads[] = {1, 0, 1, 2}, strides[] = {2, 1}, axes[] = {2, 3};
    for (size_t i = 0; i < sizeof opsets / sizeof *opsets; i++) {
        struct folder folder = make_folder();
        struct onnx_fixture f;
        struct graph *graph, *again = NULL;
        struct error err;
        char path[PATH_BYTES];
        onnx_fixture_small(&f, opsets[i]);
        onnx_fixture_ints(&f, f.nodes[0], "pads", 4, pads);
        onnx_fixture_ints(&f, f.nodes[0], "strides", 2, strides);
        Onnx__NodeProto *mean = onnx_fixture_node(&f, "ReduceMean", "y", "z");
        if (opsets[i] < 18) {
            onnx_fixture_ints(&f, mean, "axes", 2, axes);
        } else {
            const int64_t two[] = {2};
            onnx_fixture_initializer(&f, onnx_fixture_tensor(&f, "axes",
                                                             ONNX__TENSOR_PROTO__DATA_TYPE__INT64,
                                                             1, two, axes, sizeof axes));
            mean->input[mean->n_input++] = onnx_fixture_text(&f, "axes");
        }
        onnx_fixture_int(&f, mean, "keepdims", 0);
        graph = onnx_fixture_accept(&f, "z");
        snprintf(path, sizeof path, "%s/m.onnx", folder.path);
        assert_int_equal(shape_infer(graph, &err), OK);
        if (onnx_writer_save(graph, NULL, NULL, path, &err) != OK ||
            onnx_reader_open(path, &all, &again, &err) != OK || shape_infer(again, &err) != OK)
            fail_msg("opset %d: %s", (int)opsets[i], err.text);
        assert_int_equal(again->node_count, graph->node_count);
        assert_true(
            shape_equal(&again->values[again->output].shape, &graph->values[graph->output].shape));
        assert_memory_equal(again->nodes[0].attributes.pads, pads, sizeof pads);
        assert_memory_equal(again->nodes[0].attributes.strides, strides, sizeof strides);
        assert_memory_equal(again->nodes[2].attributes.axes, axes, sizeof axes);
        graph_destroy(&graph);
        graph_destroy(&again);
        assert_int_equal(file_remove_tree(folder.path, &err), OK);
    }
}

static void models_bind_the_picture_size_and_get_a_head(void **state)
{
    (void)state;
    struct folder folder = make_folder();
    struct onnx_fixture f;
    struct model *model = NULL;
    struct error err;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/m.onnx", folder.path);
    onnx_fixture_small(&f, 13);
    write_fixture(&f, path);
    onnx_fixture_close(&f);
    struct model_config config = {.file = path, .cut = "", .pool = POOL_MEAN};
    struct preprocess_config input = {.width = 4, .height = 4, .channels = 3};
    if (model_open(&config, &input, 5, &model, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(model->feature_count, 2);
    assert_int_equal(model->graph->values[model->graph->output].shape.dims[1], 5);
    model_destroy(&model);
    config.pool = POOL_NONE;
    assert_int_equal(model_open(&config, &input, 5, &model, &err), OK);
    assert_int_equal(model->feature_count, 8);
    model_destroy(&model);
    input.width = 8;
    assert_int_equal(model_open(&config, &input, 5, &model, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "[N, 3, 4, 8]"));
    assert_int_equal(file_remove_tree(folder.path, &err), OK);
}

/* Ids, mask and types of the same tokens: each of the open inputs gets its share of a sample. */
static void several_inputs_share_a_sample(void **state)
{
    (void)state;
    struct folder folder = make_folder();
    struct onnx_fixture f;
    struct model *model = NULL;
    struct error err;
    char path[PATH_BYTES];
    const int64_t tokens[] = {-1, -1}, known[] = {-1, 3};
    snprintf(path, sizeof path, "%s/m.onnx", folder.path);
    onnx_fixture_open(&f, 13);
    onnx_fixture_port(&f, true, "a", 2, tokens);
    onnx_fixture_port(&f, true, "b", 2, tokens);
    onnx_fixture_port(&f, true, "c", 2, known);
    onnx_fixture_port(&f, false, "y", 0, NULL);
    onnx_fixture_node(&f, "Add", "a b", "s");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Concat", "s c", "y"), "axis", 1);
    write_fixture(&f, path);
    onnx_fixture_close(&f);
    struct model_config config = {.file = path, .cut = "", .pool = POOL_MEAN};
    struct preprocess_config input = {.width = 13, .height = 1, .channels = 1};
    if (model_open(&config, &input, 2, &model, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(model->input_elements, 13);
    assert_int_equal(model->graph->values[model->graph->inputs[1]].shape.dims[1], 5);
    assert_int_equal(model->feature_count, 8);
    model_destroy(&model);
    input.width = 12;
    assert_int_equal(model_open(&config, &input, 2, &model, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "do not fill"));
    assert_int_equal(file_remove_tree(folder.path, &err), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_model_is_read),
        cmocka_unit_test(constants_are_parameters_by_rank),
        cmocka_unit_test(only_what_the_cut_needs_is_read),
        cmocka_unit_test(nodes_out_of_order_are_sorted),
        cmocka_unit_test(unknown_operators_are_named),
        cmocka_unit_test(unknown_attributes_are_named),
        cmocka_unit_test(cycles_are_found),
        cmocka_unit_test(missing_and_doubled_tensors_are_named),
        cmocka_unit_test(data_must_fit_its_shape),
        cmocka_unit_test(typed_lists_are_read),
        cmocka_unit_test(constant_inputs_become_attributes),
        cmocka_unit_test(computed_targets_are_refused),
        cmocka_unit_test(opsets_outside_the_range_are_refused),
        cmocka_unit_test(every_truncation_is_an_error),
        cmocka_unit_test(flipped_bytes_never_crash),
        cmocka_unit_test(deep_nesting_is_refused_before_parsing),
        cmocka_unit_test(external_data_lies_beside_the_model),
        cmocka_unit_test(external_data_must_not_leave_the_folder),
        cmocka_unit_test(written_models_read_back_the_same),
        cmocka_unit_test(models_bind_the_picture_size_and_get_a_head),
        cmocka_unit_test(several_inputs_share_a_sample),
    };
    return cmocka_run_group_tests_name("onnx", tests, NULL, NULL);
}
