/* Shape rules: for each operator what comes out, and what is refused. */
#include "tests/unit/net_fixture.h"

/* Output shape text of one node on batched or constant inputs, or the error. */
static enum status infer(enum op op, const struct attributes *attributes, char *text, size_t bytes,
                         size_t count, const struct shape *shapes)
{
    struct net net = {0};
    uint32_t inputs[GRAPH_PORTS_MAX], output = GRAPH_NONE;
    const struct attributes usual = net_attributes(op);
    NET_OK(&net, graph_create(&net.graph, &net.err));
    for (size_t k = 0; k < count; k++) {
        char name[32];
        snprintf(name, sizeof name, "x%zu", k);
        NET_OK(&net, graph_add_value(net.graph, name, DTYPE_F32, &shapes[k], NULL, false,
                                     &inputs[k], &net.err));
    }
    NET_OK(&net, graph_add_node(net.graph, op, "the_node", inputs, count, "y",
                                attributes == NULL ? &usual : attributes, &output, &net.err));
    enum status status = shape_infer(net.graph, &net.err);
    if (status == OK)
        shape_text(&net.graph->values[output].shape, text, bytes);
    else
        snprintf(text, bytes, "%s", net.err.text);
    graph_destroy(&net.graph);
    return status;
}

static void gives(const char *expected, enum op op, const struct attributes *attributes,
                  size_t count, const struct shape *shapes)
{
    char text[ERROR_TEXT_BYTES];
    enum status status = infer(op, attributes, text, sizeof text, count, shapes);
    if (status != OK || strcmp(text, expected) != 0)
        fail_msg("%s: got %s, expected %s", op_table_row(op)->type, text, expected);
}

static void fails(enum status expected, const char *word, enum op op,
                  const struct attributes *attributes, size_t count, const struct shape *shapes)
{
    char text[ERROR_TEXT_BYTES];
    enum status status = infer(op, attributes, text, sizeof text, count, shapes);
    if (status != expected || strstr(text, word) == NULL || strstr(text, "the_node") == NULL)
        fail_msg("%s: status %d, %s", op_table_row(op)->type, (int)status, text);
}

#define SHAPES(...)                                                                                \
    sizeof((struct shape[]){__VA_ARGS__}) / sizeof(struct shape), (struct shape[])                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define S net_shape

static void convolution_counts_windows(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_CONV);
    gives("[N, 8, 10, 12]", OP_CONV, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 8, 3, 3, 3)));
    a.strides[0] = 2;
    a.pads[0] = a.pads[2] = 1;
    gives("[N, 8, 6, 12]", OP_CONV, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 8, 3, 3, 3), S(1, 8)));
    a.dilations[1] = 3;
    gives("[N, 8, 6, 8]", OP_CONV, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 8, 3, 3, 3)));
    fails(ERR_INPUT, "fit", OP_CONV, &a, SHAPES(S(4, -1, 3, 12, 6), S(4, 8, 3, 3, 3)));
    fails(ERR_INPUT, "groups", OP_CONV, NULL, SHAPES(S(4, -1, 4, 12, 6), S(4, 8, 3, 3, 3)));
    fails(ERR_INPUT, "bias", OP_CONV, NULL, SHAPES(S(4, -1, 3, 12, 6), S(4, 8, 3, 3, 3), S(1, 7)));
    fails(ERR_SUPPORT, "two-dimensional", OP_CONV, NULL, SHAPES(S(3, -1, 3, 12), S(3, 8, 3, 3)));
    a.strides[0] = 0;
    fails(ERR_INPUT, "strides", OP_CONV, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 8, 3, 3, 3)));
    a.strides[0] = 1;
    a.pads[1] = INT64_MAX;
    fails(ERR_INPUT, "pads", OP_CONV, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 8, 3, 3, 3)));
}

static void automatic_pads_keep_the_size(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_CONV);
    a.strides[0] = a.strides[1] = 2;
    a.auto_pad = PAD_SAME_UPPER;
    gives("[N, 8, 7, 5]", OP_CONV, &a, SHAPES(S(4, -1, 3, 13, 10), S(4, 8, 3, 3, 3)));
    a.auto_pad = PAD_VALID;
    a.pads[0] = 5;
    gives("[N, 8, 6, 4]", OP_CONV, &a, SHAPES(S(4, -1, 3, 13, 10), S(4, 8, 3, 3, 3)));
}

static void pooling_rounds_as_told(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_MAX_POOL);
    a.kernel[0] = a.kernel[1] = a.strides[0] = a.strides[1] = 2;
    gives("[N, 3, 3, 2]", OP_MAX_POOL, &a, SHAPES(S(4, -1, 3, 7, 5)));
    a.ceil_mode = true;
    gives("[N, 3, 4, 3]", OP_MAX_POOL, &a, SHAPES(S(4, -1, 3, 7, 5)));
    a.pads[0] = 2;
    fails(ERR_INPUT, "padding", OP_MAX_POOL, &a, SHAPES(S(4, -1, 3, 7, 5)));
    gives("[N, 3, 1, 1]", OP_GLOBAL_AVERAGE_POOL, NULL, SHAPES(S(4, -1, 3, 7, 5)));
}

static void broadcasting_never_moves_the_batch(void **state)
{
    (void)state;
    gives("[N, 4, 3, 5]", OP_ADD, NULL, SHAPES(S(4, -1, 4, 3, 5), S(3, 4, 1, 1)));
    gives("[N, 4, 3, 5]", OP_MUL, NULL, SHAPES(S(0), S(4, -1, 4, 3, 5)));
    gives("[N, 4]", OP_SUB, NULL, SHAPES(S(2, -1, 4), S(2, 1, 4)));
    fails(ERR_INPUT, "broadcast", OP_ADD, NULL, SHAPES(S(4, -1, 4, 3, 5), S(2, -1, 5)));
    fails(ERR_INPUT, "broadcast", OP_ADD, NULL, SHAPES(S(2, -1, 4), S(2, 7, 4)));
    fails(ERR_INPUT, "broadcast", OP_ADD, NULL, SHAPES(S(2, -1, 4), S(1, 3)));
}

static void reshapes_keep_the_batch_first(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_RESHAPE);
    a.axes_count = 2;
    a.axes[1] = -1;
    gives("[N, 12]", OP_RESHAPE, &a, SHAPES(S(3, -1, 3, 4)));
    a.axes[0] = 1; /* an exporter's fixed batch */
    gives("[N, 12]", OP_RESHAPE, &a, SHAPES(S(3, -1, 3, 4)));
    a.axes[0] = -1;
    a.axes[1] = 12;
    gives("[N, 12]", OP_RESHAPE, &a, SHAPES(S(3, -1, 3, 4)));
    a.axes[1] = 6;
    fails(ERR_INPUT, "elements", OP_RESHAPE, &a, SHAPES(S(3, -1, 3, 4)));
    a.axes[0] = 12;
    fails(ERR_SUPPORT, "batch", OP_RESHAPE, &a, SHAPES(S(3, -1, 3, 4)));
    a.axes[0] = 2;
    a.axes[1] = -1;
    gives("[2, 6]", OP_RESHAPE, &a, SHAPES(S(2, 3, 4)));
    gives("[N, 12]", OP_FLATTEN, NULL, SHAPES(S(3, -1, 3, 4)));
    struct attributes flat = net_attributes(OP_FLATTEN);
    flat.axis = 2;
    fails(ERR_SUPPORT, "batch", OP_FLATTEN, &flat, SHAPES(S(3, -1, 3, 4)));
}

static void axes_are_checked(void **state)
{
    (void)state;
    struct attributes mean = net_attributes(OP_REDUCE_MEAN), turn = net_attributes(OP_TRANSPOSE);
    fails(ERR_SUPPORT, "batch", OP_REDUCE_MEAN, &mean, SHAPES(S(3, -1, 3, 4)));
    mean.axes_count = 1;
    mean.axes[0] = -1;
    gives("[N, 3, 1]", OP_REDUCE_MEAN, &mean, SHAPES(S(3, -1, 3, 4)));
    mean.keep_dims = false;
    gives("[N, 3]", OP_REDUCE_MEAN, &mean, SHAPES(S(3, -1, 3, 4)));
    mean.axes[0] = 3;
    fails(ERR_INPUT, "axis 3", OP_REDUCE_MEAN, &mean, SHAPES(S(3, -1, 3, 4)));
    fails(ERR_SUPPORT, "batch", OP_TRANSPOSE, &turn, SHAPES(S(3, -1, 3, 4)));
    turn.axes_count = 3;
    turn.axes[1] = 2;
    turn.axes[2] = 1;
    gives("[N, 4, 3]", OP_TRANSPOSE, &turn, SHAPES(S(3, -1, 3, 4)));
    turn.axes[2] = 2;
    fails(ERR_INPUT, "twice", OP_TRANSPOSE, &turn, SHAPES(S(3, -1, 3, 4)));
}

static void squeezing_and_unsqueezing(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_SQUEEZE), u = net_attributes(OP_UNSQUEEZE);
    gives("[N, 3]", OP_SQUEEZE, &a, SHAPES(S(4, -1, 3, 1, 1)));
    a.axes_count = 1;
    a.axes[0] = 2;
    gives("[N, 3, 1]", OP_SQUEEZE, &a, SHAPES(S(4, -1, 3, 1, 1)));
    a.axes[0] = 0;
    fails(ERR_SUPPORT, "batch", OP_SQUEEZE, &a, SHAPES(S(4, -1, 3, 1, 1)));
    u.axes_count = 2;
    u.axes[0] = 1;
    u.axes[1] = -1;
    gives("[N, 1, 3, 1]", OP_UNSQUEEZE, &u, SHAPES(S(2, -1, 3)));
    u.axes[0] = 0;
    fails(ERR_SUPPORT, "batch", OP_UNSQUEEZE, &u, SHAPES(S(2, -1, 3)));
}

static void products_need_equal_inner_sizes(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_GEMM), join = net_attributes(OP_CONCAT);
    gives("[N, 5]", OP_GEMM, &a, SHAPES(S(2, -1, 6), S(2, 6, 5), S(1, 5)));
    fails(ERR_INPUT, "inner", OP_GEMM, &a, SHAPES(S(2, -1, 6), S(2, 5, 6)));
    a.trans_b = true;
    gives("[N, 5]", OP_GEMM, &a, SHAPES(S(2, -1, 6), S(2, 5, 6)));
    fails(ERR_SUPPORT, "third", OP_GEMM, &a, SHAPES(S(2, -1, 6), S(2, 5, 6), S(1, 4)));
    gives("[N, 4, 5]", OP_MATMUL, NULL, SHAPES(S(3, -1, 4, 6), S(2, 6, 5)));
    fails(ERR_SUPPORT, "matrix", OP_MATMUL, NULL, SHAPES(S(3, -1, 4, 6), S(3, -1, 6, 5)));
    gives("[N, 7, 2]", OP_CONCAT, &join, SHAPES(S(3, -1, 3, 2), S(3, -1, 4, 2)));
    fails(ERR_INPUT, "axis 2", OP_CONCAT, &join, SHAPES(S(3, -1, 3, 2), S(3, -1, 4, 3)));
    join.axis = 0;
    fails(ERR_SUPPORT, "batch", OP_CONCAT, &join, SHAPES(S(3, -1, 3, 2), S(3, -1, 3, 2)));
}

static void input_counts_are_checked(void **state)
{
    (void)state;
    fails(ERR_INPUT, "inputs", OP_RELU, NULL, SHAPES(S(2, -1, 3), S(2, -1, 3)));
    fails(ERR_INPUT, "inputs", OP_CONV, NULL, SHAPES(S(4, -1, 3, 4, 4)));
    fails(ERR_INPUT, "per channel", OP_BATCH_NORM, NULL,
          SHAPES(S(2, -1, 3), S(1, 3), S(1, 3), S(1, 3), S(1, 4)));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution_counts_windows),
        cmocka_unit_test(automatic_pads_keep_the_size),
        cmocka_unit_test(pooling_rounds_as_told),
        cmocka_unit_test(broadcasting_never_moves_the_batch),
        cmocka_unit_test(reshapes_keep_the_batch_first),
        cmocka_unit_test(axes_are_checked),
        cmocka_unit_test(squeezing_and_unsqueezing),
        cmocka_unit_test(products_need_equal_inner_sizes),
        cmocka_unit_test(input_counts_are_checked),
        cmocka_unit_test(costs_follow_the_definition),
    };
    return cmocka_run_group_tests_name("shape", tests, NULL, NULL);
}
