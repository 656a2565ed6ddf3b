/* Decomposed operators are recognised: as many nodes as they should be remain, of the right kind, with
 * the values and gradients of the graph as it was; and near misses are left alone. */
#include "tests/unit/head_bench.h"

#define TOKENS 4
#define WIDTH 6

static uint32_t number(struct net *net, double value)
{
    char name[64];
    snprintf(name, sizeof name, "number%zu", net->graph->value_count);
    return net_constant(net, name, net_shape(0), value, 0);
}

/* A node named by its place. */
static uint32_t node(struct net *net, enum op op, const struct attributes *attributes, uint32_t a,
                     uint32_t b)
{
    char name[64];
    snprintf(name, sizeof name, "node%zu", net->graph->node_count);
    return net_node(net, op, name, attributes, b == GRAPH_NONE ? 1 : 2, a, b);
}

/* x·live, so that gradients pass through what follows. */
static struct net begin(uint32_t *x)
{
    struct net net = net_create(net_shape(3, -1, TOKENS, WIDTH));
    uint32_t live = net_constant(&net, "live", net_shape(1, WIDTH), 1, 0.3);
    *x = node(&net, OP_MUL, NULL, net.graph->input, live);
    return net;
}

/* Nodes of the head's program that are `op`; *all: how many there are. */
static size_t count_nodes(struct bench *b, enum op op, size_t *all)
{
    struct program *program = NULL;
    size_t found = 0;
    if (program_create(b->plan, PROGRAM_HEAD, &program, &b->err) != OK)
        fail_msg("%s", b->err.text);
    for (size_t i = 0; i < program->node_count; i++)
        found += program->nodes[i].op == op;
    *all = program->node_count;
    program_destroy(&program);
    return found;
}

/* begin's Mul, the folded node, the flattening and the head are left; values are those of the graph
 * as it was. */
static void expect_folded(struct model *model, enum op op)
{
    struct bench b = bench_on(model, "*", BATCH);
    size_t all = 0;
    struct net_values values = net_evaluate(b.model->graph, b.inputs, BATCH, NULL);
    assert_int_equal(count_nodes(&b, op, &all), 1);
    assert_int_equal(all, 4);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    assert_true(net_difference(tape_logits(b.tape), values.data[b.model->graph->output],
                               BATCH * CLASSES) < 1e-5);
    net_release(&values);
    bench_close(&b);
}

static void expect_untouched(struct model *model, enum op op)
{
    struct bench b = bench_on(model, "*", BATCH);
    size_t all = 0;
    assert_int_equal(count_nodes(&b, op, &all), 0);
    assert_int_equal(all, b.model->graph->node_count);
    bench_close(&b);
}

/* ---- Gelu ---- */

enum gelu_form { HALF_LAST, HALF_WITH_X, HALF_WITH_GATE, GELU_FORMS };

static uint32_t gelu_product(struct net *net, enum gelu_form form, uint32_t x, uint32_t gate)
{
    uint32_t half = number(net, 0.5);
    if (form == HALF_LAST)
        return node(net, OP_MUL, NULL, node(net, OP_MUL, NULL, x, gate), half);
    if (form == HALF_WITH_X)
        return node(net, OP_MUL, NULL, node(net, OP_MUL, NULL, half, x), gate);
    return node(net, OP_MUL, NULL, x, node(net, OP_MUL, NULL, gate, half));
}

static struct model *exact_gelu(enum gelu_form form, double root)
{
    uint32_t x;
    struct net net = begin(&x);
    uint32_t at = form == HALF_LAST ? node(&net, OP_DIV, NULL, x, number(&net, root))
                                    : node(&net, OP_MUL, NULL, x, number(&net, 1 / root));
    at = node(&net, OP_ADD, NULL, node(&net, OP_ERF, NULL, at, GRAPH_NONE), number(&net, 1));
    return net_model(&net, gelu_product(&net, form, x, at), CLASSES);
}

/* √(2/π)·(x + 0.044715·x³), the cube as Pow, or as products; or √(2/π)·x·(1 + 0.044715·x²). */
static uint32_t tanh_argument(struct net *net, enum gelu_form form, uint32_t x)
{
    uint32_t cubic = number(net, 0.044715), scale = number(net, 0.7978845608);
    if (form == HALF_WITH_GATE) {
        uint32_t square = node(net, OP_MUL, NULL, node(net, OP_MUL, NULL, cubic, x), x);
        return node(net, OP_MUL, NULL, node(net, OP_MUL, NULL, x, scale),
                    node(net, OP_ADD, NULL, square, number(net, 1)));
    }
    uint32_t cube = form == HALF_LAST ? node(net, OP_POW, NULL, x, number(net, 3))
                                      : node(net, OP_MUL, NULL, node(net, OP_MUL, NULL, x, x), x);
    return node(net, OP_MUL, NULL, scale,
                node(net, OP_ADD, NULL, x, node(net, OP_MUL, NULL, cubic, cube)));
}

static struct model *tanh_gelu(enum gelu_form form)
{
    uint32_t x;
    struct net net = begin(&x);
    uint32_t at = node(&net, OP_TANH, NULL, tanh_argument(&net, form, x), GRAPH_NONE);
    at = node(&net, OP_ADD, NULL, number(&net, 1), at);
    return net_model(&net, gelu_product(&net, form, x, at), CLASSES);
}

static void decomposed_gelu_becomes_one_node(void **state)
{
    (void)state;
    for (int form = 0; form < GELU_FORMS; form++) {
        expect_folded(exact_gelu((enum gelu_form)form, sqrt(2)), OP_GELU);
        expect_folded(tanh_gelu((enum gelu_form)form), OP_GELU);
        check_gradients(exact_gelu((enum gelu_form)form, sqrt(2)), "*");
        check_gradients(tanh_gelu((enum gelu_form)form), "*");
    }
}

static void what_is_only_like_gelu_stays(void **state)
{
    (void)state;
    uint32_t x;
    expect_untouched(exact_gelu(HALF_LAST, 1.5), OP_GELU);
    struct net net = begin(&x);
    uint32_t other = node(&net, OP_NEG, NULL, x, GRAPH_NONE);
    uint32_t at = node(&net, OP_DIV, NULL, other, number(&net, sqrt(2)));
    at = node(&net, OP_ADD, NULL, node(&net, OP_ERF, NULL, at, GRAPH_NONE), number(&net, 1));
    expect_untouched(net_model(&net, gelu_product(&net, HALF_LAST, x, at), CLASSES), OP_GELU);
}

/* ---- layer normalisation ---- */

struct norm_form {
    bool twice;      /* x - mean is computed twice */
    bool product;    /* the square is a product */
    bool swapped;    /* constants first */
    bool both;       /* over both axes of a sample */
    bool dropped;    /* the mean loses its axes */
    bool other_axis; /* the variance is taken over another axis */
    double power;
};

static uint32_t mean_of(struct net *net, const struct norm_form *form, uint32_t x, int64_t axis)
{
    struct attributes a = net_attributes(OP_REDUCE_MEAN);
    a.axes[0] = axis;
    a.axes_count = 1;
    if (form->both) {
        a.axes[a.axes_count++] = 1;
        a.axes[0] = 2;
    }
    a.keep_dims = !form->dropped;
    return node(net, OP_REDUCE_MEAN, &a, x, GRAPH_NONE);
}

static uint32_t either(struct net *net, enum op op, bool swapped, uint32_t a, uint32_t b)
{
    return swapped ? node(net, op, NULL, b, a) : node(net, op, NULL, a, b);
}

static struct model *norm(struct norm_form form)
{
    uint32_t x;
    struct net net = begin(&x);
    struct shape wide = form.both ? net_shape(2, TOKENS, WIDTH) : net_shape(1, WIDTH);
    uint32_t mean = mean_of(&net, &form, x, -1);
    if (form.dropped) {
        struct attributes back = net_attributes(OP_UNSQUEEZE);
        back.axes_count = 1;
        back.axes[0] = 2;
        mean = node(&net, OP_UNSQUEEZE, &back, mean, GRAPH_NONE);
        form.dropped = false;
    }
    uint32_t d = node(&net, OP_SUB, NULL, x, mean);
    uint32_t again = form.twice ? node(&net, OP_SUB, NULL, x, mean) : d;
    uint32_t square = form.product ? node(&net, OP_MUL, NULL, again, again)
                                   : node(&net, OP_POW, NULL, again, number(&net, form.power));
    uint32_t at = mean_of(&net, &form, square, form.other_axis ? 1 : -1);
    at = either(&net, OP_ADD, form.swapped, at, number(&net, 1e-3));
    at = node(&net, OP_DIV, NULL, d, node(&net, OP_SQRT, NULL, at, GRAPH_NONE));
    at = either(&net, OP_MUL, form.swapped, at, net_constant(&net, "scale", wide, 1, 0.2));
    at = either(&net, OP_ADD, form.swapped, at, net_constant(&net, "bias", wide, 0, 0.2));
    return net_model(&net, at, CLASSES);
}

static void decomposed_layer_norm_becomes_one_node(void **state)
{
    (void)state;
    const struct norm_form forms[] = {{.power = 2},
                                      {.power = 2, .twice = true},
                                      {.product = true},
                                      {.power = 2, .swapped = true},
                                      {.power = 2, .both = true}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        expect_folded(norm(forms[i]), OP_LAYER_NORM);
        check_gradients(norm(forms[i]), "*");
    }
}

static void what_is_only_like_layer_norm_stays(void **state)
{
    (void)state;
    const struct norm_form forms[] = {
        {.power = 3}, {.power = 2, .dropped = true}, {.power = 2, .other_axis = true}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        expect_untouched(norm(forms[i]), OP_LAYER_NORM);
}

/* ---- what does nothing ---- */

static void casts_to_floating_point_vanish(void **state)
{
    (void)state;
    uint32_t x;
    struct net net = begin(&x);
    struct attributes to = net_attributes(OP_CAST);
    to.to = DTYPE_F32;
    uint32_t at = node(&net, OP_GREATER, NULL, x, number(&net, 0));
    at = node(&net, OP_CAST, &to, at, GRAPH_NONE);
    at = node(&net, OP_MUL, NULL, x, node(&net, OP_IDENTITY, NULL, at, GRAPH_NONE));
    struct bench b = bench_on(net_model(&net, at, CLASSES), "*", BATCH);
    size_t all = 0;
    assert_int_equal(count_nodes(&b, OP_CAST, &all), 0);
    assert_int_equal(all, b.model->graph->node_count - 2);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decomposed_gelu_becomes_one_node),
        cmocka_unit_test(what_is_only_like_gelu_stays),
        cmocka_unit_test(decomposed_layer_norm_becomes_one_node),
        cmocka_unit_test(what_is_only_like_layer_norm_stays),
        cmocka_unit_test(casts_to_floating_point_vanish),
    };
    return cmocka_run_group_tests_name("folds", tests, NULL, NULL);
}
