/* Random chains of operators on [N, 3, 4, 5]: the compiled trunk, with all its fusions, and the head
 * give what the graph gives node by node. Tolerance 1e-4: folding scales into weights rounds
 * differently, through up to ten layers. */
#include "tests/unit/head_bench.h"

#include "worker/engine/trunk.h"

#define CHAINS 150
#define LENGTH 8
#define SAMPLES 5

static uint64_t draws;

static size_t below(size_t n)
{
    struct random_key key = {.seed = 4711, .purpose = RANDOM_INIT, .index = draws++};
    return (size_t)(random_bits(key, 0) % n);
}

static const char *name(const struct net *net)
{
    static char text[32];
    snprintf(text, sizeof text, "v%zu", net->graph->value_count);
    return text;
}

static uint32_t node(struct net *net, enum op op, const struct attributes *attributes, uint32_t a,
                     uint32_t b)
{
    return net_node(net, op, name(net), attributes, b == GRAPH_NONE ? 1 : 2, a, b);
}

/* One number, or one per channel, row, column, element. */
static uint32_t constant(struct net *net, double mean)
{
    const struct shape shapes[] = {
        net_shape(0),    net_shape(1, 1),          net_shape(3, 3, 1, 1),   net_shape(2, 4, 1),
        net_shape(1, 5), net_shape(4, 1, 3, 4, 5), net_shape(4, 1, 3, 1, 1)};
    return net_constant(net, name(net), shapes[below(7)], mean, 0.2);
}

static uint32_t arithmetic(struct net *net, uint32_t x)
{
    const enum op ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MAX, OP_MIN};
    enum op op = ops[below(6)];
    uint32_t c = constant(net, op == OP_DIV ? 2 : 0.5);
    return op != OP_DIV && below(2) == 0 ? node(net, op, NULL, c, x) : node(net, op, NULL, x, c);
}

static uint32_t activation(struct net *net, uint32_t x)
{
    const enum op ops[] = {OP_RELU,     OP_LEAKY_RELU,   OP_SIGMOID,    OP_TANH, OP_ABS,
                           OP_NEG,      OP_HARD_SIGMOID, OP_HARD_SWISH, OP_ERF,  OP_GELU,
                           OP_SOFTPLUS, OP_ELU,          OP_CLIP};
    struct attributes clip = net_attributes(OP_CLIP);
    enum op op = ops[below(13)];
    clip.low = -0.8f;
    clip.high = 0.9f;
    return node(net, op, op == OP_CLIP ? &clip : NULL, x, GRAPH_NONE);
}

static uint32_t weighted(struct net *net, uint32_t x)
{
    struct attributes a = net_attributes(OP_CONV);
    int size = below(2) == 0 ? 1 : 3;
    a.groups = below(3) == 0 ? 3 : 1;
    a.pads[0] = a.pads[1] = a.pads[2] = a.pads[3] = size / 2;
    struct shape shape = net_shape(4, 3, a.groups == 3 ? 1 : 3, size, size);
    uint32_t w = net_constant(net, name(net), shape, 0, 0.4);
    return node(net, OP_CONV, &a, x, w);
}

static uint32_t batch_norm(struct net *net, uint32_t x)
{
    uint32_t c[4];
    for (size_t i = 0; i < 4; i++)
        c[i] = net_constant(net, name(net), net_shape(1, 3), i == 1 || i == 2 ? 0 : 1.5, 0.2);
    return net_node(net, OP_BATCH_NORM, name(net), NULL, 5, x, c[0], c[1], c[2], c[3]);
}

static uint32_t layer_norm(struct net *net, uint32_t x)
{
    struct attributes a = net_attributes(OP_LAYER_NORM);
    a.axis = -1;
    return node(net, OP_LAYER_NORM, &a, x, net_constant(net, name(net), net_shape(1, 5), 1, 0.2));
}

static uint32_t softmax(struct net *net, uint32_t x)
{
    struct attributes a = net_attributes(OP_SOFTMAX);
    a.axis = 1 + (int64_t)below(3);
    return node(net, OP_SOFTMAX, &a, x, GRAPH_NONE);
}

/* A gate from the mean or the largest of each plane. */
static uint32_t gated(struct net *net, uint32_t x)
{
    uint32_t g =
        node(net, below(2) == 0 ? OP_GLOBAL_AVERAGE_POOL : OP_GLOBAL_MAX_POOL, NULL, x, GRAPH_NONE);
    return node(net, OP_MUL, NULL, x, activation(net, g));
}

static uint32_t product(struct net *net, uint32_t x)
{
    return node(net, OP_MATMUL, NULL, x, net_constant(net, name(net), net_shape(2, 5, 5), 0, 0.4));
}

/* Chosen by a comparison with a constant. */
static uint32_t chosen(struct net *net, uint32_t x)
{
    uint32_t above = node(net, OP_GREATER, NULL, x, constant(net, 0));
    return net_node(net, OP_WHERE, name(net), NULL, 3, above, x, constant(net, 0.1));
}

/* Halves swapped. */
static uint32_t swapped(struct net *net, uint32_t x)
{
    struct attributes cut = net_attributes(OP_SLICE), join = net_attributes(OP_CONCAT);
    cut.axes_count = cut.starts_count = 1;
    cut.axes[0] = join.axis = 2;
    cut.steps[0] = 1;
    cut.ends[0] = 2;
    uint32_t first = node(net, OP_SLICE, &cut, x, GRAPH_NONE);
    cut.starts[0] = 2;
    cut.ends[0] = INT64_MAX;
    return node(net, OP_CONCAT, &join, node(net, OP_SLICE, &cut, x, GRAPH_NONE), first);
}

/* Nothing of an earlier value is lost: a residual. */
static uint32_t residual(struct net *net, uint32_t x, uint32_t earlier)
{
    return node(net, OP_ADD, NULL, x, earlier);
}

static struct model *chain(void)
{
    uint32_t (*const links[])(struct net *, uint32_t) = {
        arithmetic, activation, weighted, batch_norm, layer_norm, softmax, gated,
        product,    chosen,     swapped,  arithmetic, activation, weighted};
    struct net net = net_create(net_shape(4, -1, 3, 4, 5));
    uint32_t values[LENGTH + 1] = {net.graph->input};
    for (size_t i = 0; i < LENGTH; i++)
        values[i + 1] = i > 1 && below(5) == 0 ? residual(&net, values[i], values[below(i)])
                                               : links[below(13)](&net, values[i]);
    return net_model(&net, values[LENGTH], CLASSES);
}

static void the_trunk_gives_what_the_graph_gives(void **state)
{
    (void)state;
    draws = 0;
    for (size_t i = 0; i < CHAINS; i++) {
        struct bench b = bench_on(chain(), NULL, BATCH);
        struct trunk *trunk = NULL;
        size_t width = b.plan->boundary_elements;
        float *inputs = net_samples(b.model->graph, SAMPLES);
        float *expected = boundary_features(b.plan, inputs, SAMPLES);
        float *got = calloc(SAMPLES * width, sizeof *got);
        if (trunk_create(b.plan, SAMPLES, &trunk, &b.err) != OK)
            fail_msg("chain %zu: %s", i, b.err.text);
        assert_int_equal(trunk_run(trunk, inputs, got, &b.err), OK);
        double off = net_difference(got, expected, SAMPLES * width);
        if (!(off < 1e-4))
            fail_msg("chain %zu: off by %g", i, off);
        trunk_destroy(&trunk);
        free(inputs);
        free(expected);
        free(got);
        bench_close(&b);
    }
}

static void the_head_gives_what_the_graph_gives(void **state)
{
    (void)state;
    draws = 1000000;
    for (size_t i = 0; i < CHAINS; i++) {
        struct bench b = bench_on(chain(), "*", BATCH);
        struct net_values values = net_evaluate(b.model->graph, b.inputs, BATCH, NULL);
        assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, &b.err), OK);
        double off = net_difference(tape_logits(b.tape), values.data[b.model->graph->output],
                                    BATCH * CLASSES);
        if (!(off < 1e-4))
            fail_msg("chain %zu: off by %g", i, off);
        net_release(&values);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_trunk_gives_what_the_graph_gives),
        cmocka_unit_test(the_head_gives_what_the_graph_gives),
    };
    return cmocka_run_group_tests_name("chains", tests, NULL, NULL);
}
