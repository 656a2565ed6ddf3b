/* The operator table beside shapes: element types and costs. */
#include "tests/unit/net_fixture.h"

#define SHAPES(...)                                                                                \
    sizeof((struct shape[]){__VA_ARGS__}) / sizeof(struct shape), (struct shape[])                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define S net_shape

/* Type of the result of one node on inputs of these types, or the error. */
static const char *typed(enum op op, enum dtype to, size_t count, const enum dtype *types)
{
    static char text[ERROR_TEXT_BYTES];
    struct net net = {0};
    struct attributes a = net_attributes(op);
    uint32_t inputs[GRAPH_PORTS_MAX], output = GRAPH_NONE;
    struct shape shape = S(2, -1, 4), one = S(0);
    a.to = to;
    NET_OK(&net, graph_create(&net.graph, &net.err));
    for (size_t k = 0; k < count; k++) {
        char name[32];
        bool table = k == 0 && op == OP_GATHER, scalar = op == OP_QUANTIZE || op == OP_DEQUANTIZE;
        a.axis = table ? 0 : a.axis;
        struct shape table_shape = S(1, 9);
        snprintf(name, sizeof name, "x%zu", k);
        NET_OK(&net, graph_add_value(net.graph, name, types[k],
                                     table             ? &table_shape
                                     : k > 0 && scalar ? &one
                                                       : &shape,
                                     NULL, false, &inputs[k], &net.err));
    }
    NET_OK(&net, graph_add_node(net.graph, op, "n", inputs, count, "y", &a, &output, &net.err));
    enum status status = shape_infer(net.graph, &net.err);
    snprintf(text, sizeof text, "%s",
             status == OK ? dtype_name(net.graph->values[output].dtype) : net.err.text);
    graph_destroy(&net.graph);
    return text;
}
#define TYPED(op, to, ...)                                                                         \
    typed(op, to, sizeof((enum dtype[]){__VA_ARGS__}) / sizeof(enum dtype),                        \
          (enum dtype[]){__VA_ARGS__})

static void types_follow_the_file(void **state)
{
    (void)state;
    assert_string_equal(TYPED(OP_ADD, 0, DTYPE_I64, DTYPE_I64), "int64");
    assert_string_equal(TYPED(OP_LESS, 0, DTYPE_F32, DTYPE_F32), "bool");
    assert_string_equal(TYPED(OP_EQUAL, 0, DTYPE_BOOL, DTYPE_BOOL), "bool");
    assert_string_equal(TYPED(OP_WHERE, 0, DTYPE_BOOL, DTYPE_I32, DTYPE_I32), "int32");
    assert_string_equal(TYPED(OP_CAST, DTYPE_F32, DTYPE_BOOL), "float32");
    assert_string_equal(TYPED(OP_GATHER, 0, DTYPE_F32, DTYPE_I64), "float32");
    assert_string_equal(TYPED(OP_QUANTIZE, DTYPE_U8, DTYPE_F32, DTYPE_F32, DTYPE_I8), "int8");
    assert_string_equal(TYPED(OP_QUANTIZE, DTYPE_U8, DTYPE_F32, DTYPE_F32), "uint8");
    assert_string_equal(TYPED(OP_DEQUANTIZE, 0, DTYPE_I32, DTYPE_F32), "float32");
    assert_non_null(strstr(TYPED(OP_ADD, 0, DTYPE_I64, DTYPE_F32), "input 1 is float32"));
    assert_non_null(strstr(TYPED(OP_ADD, 0, DTYPE_BOOL, DTYPE_BOOL), "bool"));
    assert_non_null(strstr(TYPED(OP_DIV, 0, DTYPE_I64, DTYPE_I64), "floating point"));
    assert_non_null(strstr(TYPED(OP_WHERE, 0, DTYPE_F32, DTYPE_F32, DTYPE_F32), "bool"));
    assert_non_null(strstr(TYPED(OP_GATHER, 0, DTYPE_F32, DTYPE_F32), "whole"));
    assert_non_null(strstr(TYPED(OP_DEQUANTIZE, 0, DTYPE_U8, DTYPE_F32, DTYPE_I8), "zero point"));
    assert_non_null(strstr(TYPED(OP_NOT, 0, DTYPE_F32), "bool"));
}

static void costs_follow_the_definition(void **state)
{
    (void)state;
    struct net net = net_create(S(4, -1, 3, 8, 8));
    struct attributes a = net_attributes(OP_CONV);
    uint32_t w = net_constant(&net, "w", S(4, 4, 3, 3, 3), 0, 1);
    net_node(&net, OP_RELU, "r", NULL, 1, net_node(&net, OP_CONV, "c", &a, 2, net.graph->input, w));
    NET_OK(&net, shape_infer(net.graph, &net.err));
    assert_true(shape_infer_flops(net.graph, &net.graph->nodes[0]) == 2 * 27 * 4 * 36);
    assert_true(shape_infer_flops(net.graph, &net.graph->nodes[1]) == 4 * 36);
    graph_destroy(&net.graph);
}

/* Of one node on inputs of these shapes, the first with a batch. */
static double cost(enum op op, const struct attributes *attributes, size_t count,
                   const struct shape *shapes)
{
    struct net net = net_create(shapes[0]);
    const struct attributes usual = net_attributes(op);
    uint32_t inputs[GRAPH_PORTS_MAX] = {net.graph->input}, output;
    for (size_t k = 1; k < count; k++) {
        char name[32];
        snprintf(name, sizeof name, "x%zu", k);
        NET_OK(&net, graph_add_value(net.graph, name, net_dtype(op, k), &shapes[k], NULL, false,
                                     &inputs[k], &net.err));
    }
    NET_OK(&net, graph_add_node(net.graph, op, "n", inputs, count, "y",
                                attributes == NULL ? &usual : attributes, &output, &net.err));
    NET_OK(&net, shape_infer(net.graph, &net.err));
    double flops = shape_infer_flops(net.graph, &net.graph->nodes[0]);
    graph_destroy(&net.graph);
    return flops;
}

static void costs_of_every_kind(void **state)
{
    (void)state;
    struct attributes twice = net_attributes(OP_RESIZE), layer = net_attributes(OP_LAYER_NORM);
    twice.scales_count = 4;
    for (size_t i = 0; i < 4; i++)
        twice.scales[i] = i < 2 ? 1 : 2;
    twice.resize_mode = RESIZE_LINEAR;
    layer.axis = -1;
    assert_true(cost(OP_MATMUL, NULL, SHAPES(S(3, -1, 4, 6), S(3, -1, 6, 5))) == 2 * 6 * 4 * 5);
    assert_true(cost(OP_MATMUL, NULL, SHAPES(S(3, -1, 4, 6), S(1, 6))) == 2 * 6 * 4);
    assert_true(cost(OP_GEMM, NULL, SHAPES(S(2, -1, 6), S(2, 6, 5), S(1, 5))) == (2 * 6 + 1) * 5);
    assert_true(cost(OP_CONV, NULL, SHAPES(S(3, -1, 3, 9), S(3, 4, 3, 2), S(1, 4))) ==
                (2 * 6 + 1) * 4 * 8);
    assert_true(cost(OP_CONV_TRANSPOSE, NULL, SHAPES(S(3, -1, 3, 9), S(3, 3, 4, 2))) ==
                2 * (4 * 2) * (3 * 9));
    assert_true(cost(OP_LAYER_NORM, &layer, SHAPES(S(3, -1, 4, 6), S(1, 6))) == 6 * 24);
    assert_true(cost(OP_RESIZE, &twice, SHAPES(S(4, -1, 2, 3, 4))) == (3 + 3) * 2 * 6 * 8);
    assert_true(cost(OP_TRANSPOSE, NULL, SHAPES(S(1, 4))) == 0);
    assert_true(cost(OP_MAX, NULL, SHAPES(S(3, -1, 4, 6), S(0))) == 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_follow_the_file),
        cmocka_unit_test(costs_follow_the_definition),
        cmocka_unit_test(costs_of_every_kind),
    };
    return cmocka_run_group_tests_name("operator table", tests, NULL, NULL);
}
