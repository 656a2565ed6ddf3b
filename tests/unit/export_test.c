/* What `graft export` writes: PyTorch's names, words of an opset, weights beside the file. */
#include "tests/unit/net_fixture.h"

#include "common/model/onnx/external.h"
#include "common/model/onnx/reader.h"
#include "common/model/onnx/writer.h"
#include "common/model/state_dict.h"
#include "common/tensor/safetensors.h"
#include "tests/unit/data_fixture.h"

static const float *data_of(const struct net *net, const char *name)
{
    return net->graph->values[graph_find(net->graph, name)].data;
}

static struct safetensors *write_names(struct net *net, size_t *nameless)
{
    char path[PATH_BYTES];
    struct safetensors *file = NULL;
    NET_OK(net, shape_infer(net->graph, &net->err));
    fixture_path(path, "s.safetensors");
    NET_OK(net, state_dict_write(net->graph, path, nameless, &net->err));
    NET_OK(net, safetensors_open(path, &file, &net->err));
    return file;
}

/* [rows, columns] in the graph, [columns, rows] in the file. */
static void is_turned(const struct safetensors *file, const char *name, const float *from,
                      int64_t rows, int64_t columns)
{
    const struct safetensor *tensor = safetensors_find(file, name);
    if (tensor == NULL)
        fail_msg("no %s", name);
    const float *data = tensor->data;
    assert_int_equal(tensor->shape.dims[0], columns);
    assert_int_equal(tensor->shape.dims[1], rows);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            assert_true(data[j * rows + i] == from[i * columns + j]);
}

static void a_folded_linear_layer_gets_its_name_and_form_back(void **state)
{
    (void)state;
    size_t nameless = 0;
    struct net net = net_create(net_shape(3, -1, 3, 6));
    uint32_t by_bias = net_constant(&net, "onnx::MatMul_1", net_shape(2, 6, 4), 0, 1);
    uint32_t bias = net_constant(&net, "enc.q.bias", net_shape(1, 4), 0, 1);
    uint32_t by_node = net_constant(&net, "val_7", net_shape(2, 4, 5), 0, 1);
    uint32_t lost = net_constant(&net, "onnx::MatMul_9", net_shape(2, 5, 2), 0, 1);
    uint32_t own = net_constant(&net, "proj", net_shape(2, 2, 2), 0, 1);
    uint32_t code = net_constant(&net, "/Constant_output_0", net_shape(1, 2), 0, 1);
    uint32_t y =
        net_node(&net, OP_MATMUL, "/blocks.0/k/MatMul", NULL, 2, net.graph->input, by_bias);
    y = net_node(&net, OP_ADD, "/blocks.0/k/Add", NULL, 2, bias, y);
    y = net_node(&net, OP_MATMUL, "/a/stem/stem.0/MatMul", NULL, 2, y, by_node);
    y = net_node(&net, OP_MATMUL, "node_linear", NULL, 2, y, lost);
    y = net_node(&net, OP_MATMUL, "/b/MatMul", NULL, 2, y, own);
    net_node(&net, OP_MUL, "y", NULL, 2, y, code);
    struct safetensors *file = write_names(&net, &nameless);
    is_turned(file, "enc.q.weight", data_of(&net, "onnx::MatMul_1"), 6, 4);
    is_turned(file, "a.stem.0.weight", data_of(&net, "val_7"), 4, 5);
    assert_int_equal(nameless, 1);
    assert_non_null(safetensors_find(file, "onnx::MatMul_9"));
    assert_memory_equal(safetensors_find(file, "proj")->data, data_of(&net, "proj"), 16);
    assert_int_equal(safetensors_count(file), 5); /* and the bias; not what the code holds */
    safetensors_close(&file);
    graph_destroy(&net.graph);
}

static void a_folded_convolution_and_merged_copies_get_their_names_back(void **state)
{
    (void)state;
    size_t nameless = 0;
    struct net net = net_create(net_shape(4, -1, 2, 4, 4));
    uint32_t weight = net_constant(&net, "onnx::Conv_89", net_shape(4, 3, 2, 1, 1), 0, 1);
    uint32_t bias = net_constant(&net, "onnx::Conv_90", net_shape(1, 3), 0, 1);
    uint32_t scale = net_constant(&net, "s.0.scale", net_shape(1, 4), 0, 1);
    uint32_t copy = net_node(&net, OP_IDENTITY, "s.1.scale", NULL, 1, scale);
    struct attributes conv = net_attributes(OP_CONV);
    conv.kernel[0] = conv.kernel[1] = 1;
    uint32_t y =
        net_node(&net, OP_CONV, "/stem/stem.0/Conv", &conv, 3, net.graph->input, weight, bias);
    y = net_node(&net, OP_MUL, "t", NULL, 2, y, scale);
    net_node(&net, OP_MUL, "y", NULL, 2, y, copy);
    struct safetensors *file = write_names(&net, &nameless);
    assert_memory_equal(safetensors_find(file, "stem.0.weight")->data,
                        data_of(&net, "onnx::Conv_89"), 24);
    assert_memory_equal(safetensors_find(file, "stem.0.bias")->data, data_of(&net, "onnx::Conv_90"),
                        12);
    assert_memory_equal(safetensors_find(file, "s.1.scale")->data, data_of(&net, "s.0.scale"), 16);
    assert_int_equal(safetensors_count(file), 4);
    assert_int_equal(nameless, 0);
    safetensors_close(&file);
    graph_destroy(&net.graph);
}

/* Two layers of one numbered weight, or a name that another tensor has: it is not given twice. */
static void a_name_is_given_once(void **state)
{
    (void)state;
    size_t nameless = 0;
    struct net net = net_create(net_shape(3, -1, 3, 4));
    uint32_t first = net_constant(&net, "val_1", net_shape(2, 4, 4), 0, 1);
    uint32_t second = net_constant(&net, "q.weight", net_shape(2, 4, 4), 0, 1);
    uint32_t y = net_node(&net, OP_MATMUL, "/q/MatMul", NULL, 2, net.graph->input, first);
    y = net_node(&net, OP_MATMUL, "/r/MatMul", NULL, 2, y, first);
    net_node(&net, OP_MATMUL, "/s/MatMul", NULL, 2, y, second);
    struct safetensors *file = write_names(&net, &nameless);
    assert_int_equal(nameless, 1);
    assert_int_equal(safetensors_count(file), 2);
    safetensors_close(&file);
    graph_destroy(&net.graph);
}

static enum status save_softmax(bool flat, int64_t axis, enum op op, struct error *err)
{
    char path[PATH_BYTES];
    struct net net = net_create(net_shape(3, -1, 3, 4));
    struct attributes a = net_attributes(op);
    const struct onnx_saving saving = {.opset = 17};
    a.softmax_flat = flat;
    a.axis = axis;
    net_node(&net, op, "soft", &a, 1, net.graph->input);
    NET_OK(&net, shape_infer(net.graph, &net.err));
    fixture_path(path, "m.onnx");
    enum status status = onnx_writer_save(net.graph, NULL, &saving, path, err);
    graph_destroy(&net.graph);
    return status;
}

static void what_the_opset_has_no_word_for_is_refused_by_name(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(save_softmax(true, 1, OP_SOFTMAX, &err), ERR_SUPPORT);
    fixture_contains(err.text, "node soft (Softmax): opset 17");
    assert_int_equal(save_softmax(true, 2, OP_SOFTMAX, &err), OK);
    assert_int_equal(save_softmax(false, 1, OP_LOG_SOFTMAX, &err), OK);
    assert_int_equal(save_softmax(false, 1, OP_GELU, &err), ERR_SUPPORT);
    fixture_contains(err.text, "Gelu");
}

static void large_weights_lie_beside_and_come_back(void **state)
{
    (void)state;
    char path[PATH_BYTES], beside[PATH_BYTES];
    struct file_map map;
    struct graph *again = NULL;
    struct net net = net_create(net_shape(2, -1, 40));
    const struct onnx_saving saving = {.external = true};
    const struct onnx_reading all = {.cut = ""};
    uint32_t first = net_constant(&net, "first", net_shape(2, 40, 30), 0, 1);
    uint32_t small = net_constant(&net, "small", net_shape(1, 30), 0, 1);
    uint32_t second = net_constant(&net, "second", net_shape(2, 30, 20), 0, 1);
    uint32_t third = net_constant(&net, "third", net_shape(2, 20, 20), 0, 1);
    uint32_t y = net_node(&net, OP_MATMUL, "a", NULL, 2, net.graph->input, first);
    y = net_node(&net, OP_ADD, "b", NULL, 2, y, small);
    y = net_node(&net, OP_MATMUL, "c", NULL, 2, y, second);
    net_node(&net, OP_MATMUL, "y", NULL, 2, y, third);
    NET_OK(&net, shape_infer(net.graph, &net.err));
    fixture_path(path, "m.onnx");
    fixture_path(beside, "m.onnx.data");
    NET_OK(&net, onnx_writer_save(net.graph, NULL, &saving, path, &net.err));
    NET_OK(&net, file_map(beside, 1 << 20, &map, &net.err));
    /* 4800 and 2400 bytes, each to the page, then 1600. */
    assert_int_equal(map.bytes, 3 * ONNX_EXTERNAL_ALIGN + 1600);
    assert_memory_equal(map.data + 2 * ONNX_EXTERNAL_ALIGN, data_of(&net, "second"), 2400);
    assert_memory_equal(map.data + 3 * ONNX_EXTERNAL_ALIGN, data_of(&net, "third"), 1600);
    file_unmap(&map);
    NET_OK(&net, onnx_reader_open(path, &all, &again, &net.err));
    assert_memory_equal(again->values[graph_find(again, "first")].data, data_of(&net, "first"),
                        4800);
    assert_memory_equal(again->values[graph_find(again, "third")].data, data_of(&net, "third"),
                        1600);
    assert_memory_equal(again->values[graph_find(again, "small")].data, data_of(&net, "small"),
                        120);
    graph_destroy(&again);
    assert_int_equal(file_remove_tree(beside, NULL), OK);
    assert_int_not_equal(onnx_reader_open(path, &all, &again, &net.err), OK);
    fixture_contains(net.err.text, "m.onnx.data");
    graph_destroy(&net.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folded_linear_layer_gets_its_name_and_form_back,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_folded_convolution_and_merged_copies_get_their_names_back,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_name_is_given_once, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_the_opset_has_no_word_for_is_refused_by_name,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(large_weights_lie_beside_and_come_back, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
