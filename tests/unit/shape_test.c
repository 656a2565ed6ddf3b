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
        NET_OK(&net, graph_add_value(net.graph, name, net_dtype(op, k), &shapes[k], NULL, false,
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
    fails(ERR_SUPPORT, "windows over", OP_CONV, NULL, SHAPES(S(4, -1, 3, 12, 6), S(3, 8, 3, 3)));
    fails(ERR_SUPPORT, "windows over", OP_CONV, NULL,
          SHAPES(S(5, -1, 3, 4, 4, 4), S(5, 8, 3, 3, 3, 3)));
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
    a.pads[0] = a.pads[2] = 1;
    a.dilations[0] = 2; /* taps before and after a picture of one row */
    fails(ERR_INPUT, "padding", OP_MAX_POOL, &a, SHAPES(S(4, -1, 3, 1, 5)));
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
    fails(ERR_INPUT, "third", OP_GEMM, &a, SHAPES(S(2, -1, 6), S(2, 5, 6), S(1, 4)));
    gives("[N, 5]", OP_GEMM, &a, SHAPES(S(2, -1, 6), S(2, 5, 6), S(2, -1, 1)));
    fails(ERR_INPUT, "third", OP_GEMM, &a, SHAPES(S(2, 3, 6), S(2, 5, 6), S(3, 2, 3, 5)));
    gives("[N, 4, 5]", OP_MATMUL, NULL, SHAPES(S(3, -1, 4, 6), S(2, 6, 5)));
    gives("[N, 7, 2]", OP_CONCAT, &join, SHAPES(S(3, -1, 3, 2), S(3, -1, 4, 2)));
    fails(ERR_INPUT, "axis 2", OP_CONCAT, &join, SHAPES(S(3, -1, 3, 2), S(3, -1, 4, 3)));
    join.axis = 0;
    fails(ERR_SUPPORT, "batch", OP_CONCAT, &join, SHAPES(S(2, 3, 2), S(2, -1, 2)));
    fails(ERR_SUPPORT, "batch", OP_CONCAT, &join, SHAPES(S(3, -1, 3, 2), S(3, -1, 3, 2)));
}

static void products_broadcast_what_lies_before_the_matrix(void **state)
{
    (void)state;
    gives("[N, 4, 5]", OP_MATMUL, NULL, SHAPES(S(3, -1, 4, 6), S(3, -1, 6, 5)));
    gives("[N, 3, 4, 5]", OP_MATMUL, NULL, SHAPES(S(4, -1, 1, 4, 6), S(3, 3, 6, 5)));
    gives("[N, 4, 5]", OP_MATMUL, NULL, SHAPES(S(2, 4, 6), S(3, -1, 6, 5)));
    gives("[N, 5]", OP_MATMUL, NULL, SHAPES(S(1, 6), S(3, -1, 6, 5)));
    gives("[N, 4]", OP_MATMUL, NULL, SHAPES(S(3, -1, 4, 6), S(1, 6)));
    gives("[N]", OP_MATMUL, NULL, SHAPES(S(2, -1, 6), S(1, 6)));
    gives("[]", OP_MATMUL, NULL, SHAPES(S(1, 6), S(1, 6)));
    fails(ERR_SUPPORT, "batch", OP_MATMUL, NULL, SHAPES(S(2, -1, 6), S(3, -1, 6, 5)));
    fails(ERR_INPUT, "inner", OP_MATMUL, NULL, SHAPES(S(2, 4, 6), S(2, -1, 5)));
    fails(ERR_INPUT, "inner", OP_MATMUL, NULL, SHAPES(S(3, -1, 4, 6), S(3, -1, 5, 6)));
    fails(ERR_INPUT, "broadcast", OP_MATMUL, NULL, SHAPES(S(4, -1, 2, 4, 6), S(3, 3, 6, 5)));
    fails(ERR_INPUT, "number", OP_MATMUL, NULL, SHAPES(S(2, -1, 6), S(0)));
}

static void transposed_convolution_spreads_windows(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_CONV_TRANSPOSE);
    gives("[N, 8, 14, 16]", OP_CONV_TRANSPOSE, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 3, 8, 3, 3)));
    a.strides[0] = a.strides[1] = 2;
    a.pads[0] = a.pads[3] = 1;
    a.output_pads[1] = 1;
    gives("[N, 8, 24, 29]", OP_CONV_TRANSPOSE, &a,
          SHAPES(S(4, -1, 3, 12, 14), S(4, 3, 8, 3, 3), S(1, 8)));
    a.auto_pad = PAD_SAME_UPPER;
    a.output_pads[1] = 0;
    gives("[N, 8, 24, 28]", OP_CONV_TRANSPOSE, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 3, 8, 3, 3)));
    a.axes_count = 2;
    a.axes[0] = 23;
    a.axes[1] = 29;
    gives("[N, 8, 23, 29]", OP_CONV_TRANSPOSE, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 3, 8, 3, 3)));
    a.axes[1] = 30; /* more than the windows reach: what is left stays empty */
    gives("[N, 8, 23, 30]", OP_CONV_TRANSPOSE, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 3, 8, 3, 3)));
    a.axes_count = 1;
    fails(ERR_INPUT, "axes", OP_CONV_TRANSPOSE, &a, SHAPES(S(4, -1, 3, 12, 14), S(4, 3, 8, 3, 3)));
    a = net_attributes(OP_CONV_TRANSPOSE);
    a.groups = 3;
    gives("[N, 6, 7]", OP_CONV_TRANSPOSE, &a, SHAPES(S(3, -1, 3, 5), S(3, 3, 2, 3)));
    fails(ERR_INPUT, "bias", OP_CONV_TRANSPOSE, &a, SHAPES(S(3, -1, 3, 5), S(3, 3, 2, 3), S(1, 2)));
    fails(ERR_INPUT, "groups", OP_CONV_TRANSPOSE, &a, SHAPES(S(3, -1, 4, 5), S(3, 4, 2, 3)));
    a.pads[1] = a.pads[3] = 4;
    fails(ERR_INPUT, "spread", OP_CONV_TRANSPOSE, &a, SHAPES(S(3, -1, 3, 5), S(3, 3, 2, 3)));
}

static void windows_of_one_dimension(void **state)
{
    (void)state;
    struct attributes conv = net_attributes(OP_CONV), pool = net_attributes(OP_MAX_POOL);
    conv.strides[1] = 2;
    conv.pads[1] = 1;
    gives("[N, 8, 6]", OP_CONV, &conv, SHAPES(S(3, -1, 3, 12), S(3, 8, 3, 3)));
    pool.kernel[0] = 1;
    pool.kernel[1] = pool.strides[1] = 3;
    gives("[N, 3, 4]", OP_MAX_POOL, &pool, SHAPES(S(3, -1, 3, 12)));
    gives("[N, 3, 1]", OP_GLOBAL_MAX_POOL, NULL, SHAPES(S(3, -1, 3, 12)));
    gives("[N, 3, 1, 1, 1]", OP_GLOBAL_AVERAGE_POOL, NULL, SHAPES(S(5, -1, 3, 2, 4, 5)));
    fails(ERR_INPUT, "pool", OP_GLOBAL_MAX_POOL, NULL, SHAPES(S(2, -1, 3)));
    fails(ERR_SUPPORT, "windows over", OP_MAX_POOL, &pool, SHAPES(S(2, -1, 3)));
}

static struct attributes target(size_t count, const int64_t *axes)
{
    struct attributes a = net_attributes(OP_EXPAND);
    a.axes_count = count;
    memcpy(a.axes, axes, count * sizeof *axes);
    return a;
}
#define TARGET(...)                                                                                \
    target(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static void expanding_and_tiling(void **state)
{
    (void)state;
    struct attributes token = TARGET(-1, 1, 4), wide = TARGET(3, 1), zero = TARGET(0, 4);
    struct attributes twice = TARGET(1, 2, 3), batch = TARGET(2, 1, 1),
                      huge = TARGET(1, INT32_MAX, 9);
    gives("[N, 1, 4]", OP_EXPAND, &token, SHAPES(S(3, 1, 1, 4)));
    gives("[N, 5, 4]", OP_EXPAND, &token, SHAPES(S(2, 5, 1)));
    gives("[N, 5, 4]", OP_EXPAND, &token, SHAPES(S(3, -1, 5, 1)));
    fails(ERR_SUPPORT, "batch", OP_EXPAND, &token, SHAPES(S(2, -1, 4)));
    gives("[3, 4]", OP_EXPAND, &wide, SHAPES(S(1, 4)));
    fails(ERR_INPUT, "broadcast", OP_EXPAND, &wide, SHAPES(S(2, -1, 4)));
    fails(ERR_INPUT, "target", OP_EXPAND, &zero, SHAPES(S(2, 1, 4)));
    gives("[N, 8, 15]", OP_TILE, &twice, SHAPES(S(3, -1, 4, 5)));
    fails(ERR_SUPPORT, "batch", OP_TILE, &batch, SHAPES(S(3, -1, 4, 5)));
    gives("[8, 4, 5]", OP_TILE, &batch, SHAPES(S(3, 4, 4, 5)));
    fails(ERR_INPUT, "large", OP_TILE, &huge, SHAPES(S(3, -1, 4, 5)));
    fails(ERR_INPUT, "repeats", OP_TILE, &twice, SHAPES(S(2, -1, 4)));
    twice.axes[1] = 0;
    fails(ERR_INPUT, "repeated", OP_TILE, &twice, SHAPES(S(3, -1, 4, 5)));
}

static struct attributes range(int64_t axis, int64_t start, int64_t end, int64_t step)
{
    struct attributes a = net_attributes(OP_SLICE);
    a.axes_count = a.starts_count = 1;
    a.axes[0] = axis;
    a.starts[0] = start;
    a.ends[0] = end;
    a.steps[0] = step;
    return a;
}

static void slices_count_as_in_numpy(void **state)
{
    (void)state;
    static const struct {
        int64_t start, end, step;
        const char *expected;
    } cases[] = {
        {1, 5, 1, "[N, 4]"},          {1, 5, 3, "[N, 2]"},
        {-3, INT64_MAX, 1, "[N, 3]"}, {0, -2, 1, "[N, 5]"},
        {-100, 100, 2, "[N, 4]"},     {-1, INT64_MIN, -1, "[N, 7]"},
        {5, 1, -2, "[N, 2]"},         {100, -100, -3, "[N, 3]"},
        {6, -8, -1, "[N, 7]"},        {0, INT64_MAX, INT64_MAX, "[N, 1]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct attributes a = range(-1, cases[i].start, cases[i].end, cases[i].step);
        gives(cases[i].expected, OP_SLICE, &a, SHAPES(S(2, -1, 7)));
    }
    struct attributes empty = range(1, 4, 4, 1), stuck = range(1, 0, 4, 0),
                      batch = range(0, 0, 1, 1);
    struct attributes whole = range(0, 0, INT64_MAX, 1), twice = range(1, 0, 3, 1);
    fails(ERR_SUPPORT, "empty", OP_SLICE, &empty, SHAPES(S(2, -1, 7)));
    fails(ERR_INPUT, "step", OP_SLICE, &stuck, SHAPES(S(2, -1, 7)));
    fails(ERR_SUPPORT, "batch", OP_SLICE, &batch, SHAPES(S(2, -1, 7)));
    gives("[1, 7]", OP_SLICE, &batch, SHAPES(S(2, 5, 7)));
    gives("[N, 7]", OP_SLICE, &whole, SHAPES(S(2, -1, 7)));
    twice.axes_count = twice.starts_count = 2;
    twice.axes[1] = -1;
    fails(ERR_INPUT, "twice", OP_SLICE, &twice, SHAPES(S(2, -1, 7)));
    twice.axes_count = 1;
    fails(ERR_INPUT, "ranges", OP_SLICE, &twice, SHAPES(S(2, -1, 7)));
}

/* A model is inferred again when its head is appended: nothing may count twice. */
static void inferring_again_changes_nothing(void **state)
{
    (void)state;
    struct net net = net_create(S(3, -1, 7, 5));
    struct attributes back = range(1, -1, INT64_MIN, -2), pad = range(2, 2, 1, 1);
    struct attributes grow = TARGET(0, 8, 12), sum = net_attributes(OP_REDUCE_SUM);
    struct attributes spread = net_attributes(OP_CONV_TRANSPOSE);
    spread.strides[1] = 2;
    spread.auto_pad = PAD_SAME_LOWER;
    uint32_t at = net_node(&net, OP_SLICE, "slice", &back, 1, net.graph->input);
    at = net_node(&net, OP_PAD, "pad", &pad, 1, at);
    at = net_node(&net, OP_RESIZE, "resize", &grow, 1, at);
    at = net_node(&net, OP_CONV_TRANSPOSE, "spread", &spread, 2, at,
                  net_constant(&net, "w", S(3, 8, 1, 3), 0, 1));
    NET_OK(&net, shape_infer(net.graph, &net.err));
    uint32_t constant = net_node(&net, OP_REDUCE_SUM, "sum", &sum, 1, graph_find(net.graph, "w"));
    NET_OK(&net, shape_infer(net.graph, &net.err));
    struct node *kept = calloc(net.graph->node_count, sizeof *kept);
    memcpy(kept, net.graph->nodes, net.graph->node_count * sizeof *kept);
    NET_OK(&net, shape_infer(net.graph, &net.err));
    assert_memory_equal(kept, net.graph->nodes, net.graph->node_count * sizeof *kept);
    assert_true(shape_equal(&net.graph->values[at].shape, &(struct shape){3, {-1, 1, 24}}));
    assert_true(shape_equal(&net.graph->values[constant].shape, &(struct shape){3, {1, 1, 1}}));
    free(kept);
    graph_destroy(&net.graph);
}

static void padding_and_resizing(void **state)
{
    (void)state;
    struct attributes pad = range(-1, 2, 3, 1), batch = range(0, 0, 1, 1),
                      crop = range(1, -3, -4, 1);
    struct attributes far = range(1, INT64_MAX, 1, 1), size = TARGET(0, 6, 9), flat = TARGET(1, 6);
    struct attributes scale = net_attributes(OP_RESIZE);
    gives("[N, 12]", OP_PAD, &pad, SHAPES(S(2, -1, 7)));
    gives("[N, 7]", OP_IDENTITY, NULL, SHAPES(S(2, -1, 7)));
    fails(ERR_SUPPORT, "batch", OP_PAD, &batch, SHAPES(S(2, -1, 7)));
    fails(ERR_INPUT, "left", OP_PAD, &crop, SHAPES(S(2, -1, 7)));
    crop.ends[0] = -3;
    gives("[N, 1]", OP_PAD, &crop, SHAPES(S(2, -1, 7)));
    fails(ERR_INPUT, "large", OP_PAD, &far, SHAPES(S(2, -1, 7)));
    gives("[N, 6, 9]", OP_RESIZE, &size, SHAPES(S(3, -1, 7, 5)));
    fails(ERR_INPUT, "rank", OP_RESIZE, &flat, SHAPES(S(3, -1, 7, 5)));
    size.axes[0] = 2;
    fails(ERR_SUPPORT, "batch", OP_RESIZE, &size, SHAPES(S(3, -1, 7, 5)));
    scale.scales_count = 3;
    scale.scales[0] = 1;
    scale.scales[1] = 0.7f; /* in float32 0.7·10 is 7, as every runtime counts */
    scale.scales[2] = 2.5f;
    gives("[N, 7, 12]", OP_RESIZE, &scale, SHAPES(S(3, -1, 10, 5)));
    scale.scales[1] = 0.05f;
    fails(ERR_INPUT, "left", OP_RESIZE, &scale, SHAPES(S(3, -1, 10, 5)));
    scale.scales[1] = NAN;
    fails(ERR_INPUT, "scale", OP_RESIZE, &scale, SHAPES(S(3, -1, 10, 5)));
    scale.scales[1] = 1e30f;
    fails(ERR_INPUT, "large", OP_RESIZE, &scale, SHAPES(S(3, -1, 10, 5)));
    scale.scales[1] = 1;
    scale.scales[0] = 2;
    fails(ERR_SUPPORT, "batch", OP_RESIZE, &scale, SHAPES(S(3, -1, 10, 5)));
}

static void indices_take_the_place_of_an_axis(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_GATHER), most = net_attributes(OP_ARG_MAX);
    a.axis = 0;
    gives("[N, 6, 16]", OP_GATHER, &a, SHAPES(S(2, 100, 16), S(2, -1, 6)));
    fails(ERR_SUPPORT, "batch", OP_GATHER, &a, SHAPES(S(2, -1, 16), S(1, 6)));
    a.axis = -2;
    gives("[N, 16]", OP_GATHER, &a, SHAPES(S(3, -1, 8, 16), S(0)));
    gives("[N, 2, 3, 16]", OP_GATHER, &a, SHAPES(S(3, -1, 8, 16), S(2, 2, 3)));
    fails(ERR_SUPPORT, "batch", OP_GATHER, &a, SHAPES(S(3, -1, 8, 16), S(1, -1)));
    fails(ERR_SUPPORT, "rank", OP_GATHER, &a, SHAPES(S(5, 2, 2, 2, 2, 2), S(5, 2, 2, 2, 2, 2)));
    a.axis = 2;
    fails(ERR_INPUT, "axis 2", OP_GATHER, &a, SHAPES(S(2, 100, 16), S(2, -1, 6)));
    a.axis = 1;
    gives("[N, 9, 4]", OP_GATHER_ELEMENTS, &a, SHAPES(S(3, -1, 8, 5), S(3, -1, 9, 4)));
    fails(ERR_INPUT, "axis 2", OP_GATHER_ELEMENTS, &a, SHAPES(S(3, -1, 8, 5), S(3, -1, 9, 6)));
    fails(ERR_SUPPORT, "batch", OP_GATHER_ELEMENTS, &a, SHAPES(S(3, -1, 8, 5), S(3, 1, 9, 4)));
    fails(ERR_INPUT, "ranks", OP_GATHER_ELEMENTS, &a, SHAPES(S(3, -1, 8, 5), S(2, -1, 9)));
    most.axis = -1;
    gives("[N, 8, 1]", OP_ARG_MAX, &most, SHAPES(S(3, -1, 8, 5)));
    most.keep_dims = false;
    gives("[N, 8]", OP_ARG_MAX, &most, SHAPES(S(3, -1, 8, 5)));
    most.axis = 0;
    fails(ERR_SUPPORT, "batch", OP_ARG_MAX, &most, SHAPES(S(3, -1, 8, 5)));
}

static void norms_need_their_scale(void **state)
{
    (void)state;
    struct attributes layer = net_attributes(OP_LAYER_NORM), group = net_attributes(OP_GROUP_NORM);
    layer.axis = -2;
    gives("[N, 3, 8, 5]", OP_LAYER_NORM, &layer, SHAPES(S(4, -1, 3, 8, 5), S(2, 8, 5)));
    fails(ERR_INPUT, "normalised", OP_LAYER_NORM, &layer, SHAPES(S(4, -1, 3, 8, 5), S(1, 5)));
    fails(ERR_INPUT, "input 2", OP_LAYER_NORM, &layer,
          SHAPES(S(4, -1, 3, 8, 5), S(2, 8, 5), S(2, 5, 8)));
    layer.axis = 0;
    fails(ERR_SUPPORT, "batch", OP_LAYER_NORM, &layer, SHAPES(S(2, -1, 3), S(1, 3)));
    group.groups = 2;
    gives("[N, 6, 5]", OP_GROUP_NORM, &group, SHAPES(S(3, -1, 6, 5), S(1, 6), S(1, 6)));
    fails(ERR_INPUT, "groups", OP_GROUP_NORM, &group, SHAPES(S(3, -1, 5, 5), S(1, 5), S(1, 5)));
    fails(ERR_INPUT, "channel", OP_GROUP_NORM, &group, SHAPES(S(3, -1, 6, 5), S(1, 2), S(1, 6)));
    gives("[N, 5, 5]", OP_INSTANCE_NORM, NULL, SHAPES(S(3, -1, 5, 5), S(1, 5), S(1, 5)));
    fails(ERR_INPUT, "channels", OP_INSTANCE_NORM, NULL, SHAPES(S(2, -1, 5), S(1, 5), S(1, 5)));
    struct attributes q = net_attributes(OP_QUANTIZE);
    q.to = DTYPE_U8;
    gives("[N, 5, 4]", OP_QUANTIZE, &q, SHAPES(S(3, -1, 5, 4), S(0)));
    gives("[N, 5, 4]", OP_QUANTIZE, &q, SHAPES(S(3, -1, 5, 4), S(1, 5), S(1, 5)));
    fails(ERR_INPUT, "zero point", OP_QUANTIZE, &q, SHAPES(S(3, -1, 5, 4), S(1, 5), S(0)));
    fails(ERR_SUPPORT, "per index", OP_DEQUANTIZE, &q, SHAPES(S(3, -1, 5, 4), S(1, 4)));
    q.to = DTYPE_I32;
    fails(ERR_SUPPORT, "int32", OP_QUANTIZE, &q, SHAPES(S(3, -1, 5, 4), S(0)));
}

static void several_inputs_broadcast_together(void **state)
{
    (void)state;
    gives("[N, 4, 5]", OP_WHERE, NULL, SHAPES(S(3, -1, 1, 5), S(2, 4, 1), S(0)));
    gives("[N, 4, 5]", OP_MAX, NULL, SHAPES(S(0), S(2, 4, 1), S(3, -1, 1, 5), S(1, 5)));
    gives("[N, 4]", OP_MIN, NULL, SHAPES(S(2, -1, 4)));
    fails(ERR_INPUT, "broadcast", OP_MAX, NULL, SHAPES(S(0), S(2, 4, 1), S(2, -1, 5)));
    gives("[N, 4, 5]", OP_PRELU, NULL, SHAPES(S(3, -1, 4, 5), S(2, 4, 1)));
    fails(ERR_INPUT, "first", OP_PRELU, NULL, SHAPES(S(3, -1, 1, 5), S(2, 4, 1)));
    struct attributes sum = net_attributes(OP_REDUCE_SUM);
    sum.reduce_none = true;
    gives("[N, 4]", OP_REDUCE_SUM, &sum, SHAPES(S(2, -1, 4)));
    sum.reduce_none = false;
    fails(ERR_SUPPORT, "batch", OP_REDUCE_SUM, &sum, SHAPES(S(2, -1, 4)));
    sum.keep_dims = false;
    gives("[]", OP_REDUCE_SUM, &sum, SHAPES(S(2, 3, 4)));
    gives("[]", OP_REDUCE_SUM, &sum, SHAPES(S(0)));
}

static void input_counts_are_checked(void **state)
{
    (void)state;
    fails(ERR_INPUT, "inputs", OP_RELU, NULL, SHAPES(S(2, -1, 3), S(2, -1, 3)));
    fails(ERR_INPUT, "inputs", OP_CONV, NULL, SHAPES(S(4, -1, 3, 4, 4)));
    fails(ERR_INPUT, "per channel", OP_BATCH_NORM, NULL,
          SHAPES(S(2, -1, 3), S(1, 3), S(1, 3), S(1, 3), S(1, 4)));
}

static void nothing_is_computed_from_nothing(void **state)
{
    (void)state;
    struct net net = net_create(S(2, -1, 4));
    struct shape none = S(2, 3, 0), rest = S(2, 0, 4);
    uint32_t a, b;
    float data = 0;
    NET_OK(&net, graph_add_value(net.graph, "a", DTYPE_F32, &none, &data, false, &a, &net.err));
    NET_OK(&net, graph_add_value(net.graph, "b", DTYPE_F32, &rest, &data, false, &b, &net.err));
    NET_OK(&net, shape_infer(net.graph, &net.err)); /* nobody reads them */
    net_node(&net, OP_MATMUL, "product", NULL, 2, a, b);
    assert_int_equal(shape_infer(net.graph, &net.err), ERR_SUPPORT);
    assert_non_null(strstr(net.err.text, "node product (MatMul): input 0 is empty"));
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
        cmocka_unit_test(products_broadcast_what_lies_before_the_matrix),
        cmocka_unit_test(transposed_convolution_spreads_windows),
        cmocka_unit_test(windows_of_one_dimension),
        cmocka_unit_test(expanding_and_tiling),
        cmocka_unit_test(slices_count_as_in_numpy),
        cmocka_unit_test(padding_and_resizing),
        cmocka_unit_test(indices_take_the_place_of_an_axis),
        cmocka_unit_test(norms_need_their_scale),
        cmocka_unit_test(several_inputs_broadcast_together),
        cmocka_unit_test(inferring_again_changes_nothing),
        cmocka_unit_test(input_counts_are_checked),
        cmocka_unit_test(nothing_is_computed_from_nothing),
    };
    return cmocka_run_group_tests_name("shape", tests, NULL, NULL);
}
