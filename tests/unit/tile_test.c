/* What the trunk's tiles do with memory: values that are views of others, sums written over their
 * operand, rows of any rank. Against the plain evaluation of the same graph; tolerance as in
 * trunk_test.c. */
#include "tests/unit/net_fixture.h"

#include "common/model/plan.h"
#include "worker/engine/trunk.h"

#define TOLERANCE 2e-5
#define TOLERANCE_HALF 2e-2
#define LENGTH 5
#define WIDTH 8
#define HEADS 2

static float *features_of(struct model *model, const float *inputs, size_t batch, size_t *width)
{
    struct plan *plan = NULL;
    struct trunk *trunk = NULL;
    struct error err;
    if (plan_create(model, &(struct live_config){0}, &plan, &err) != OK ||
        trunk_create(plan, batch, &trunk, &err) != OK)
        fail_msg("%s", err.text);
    *width = plan->boundary_elements;
    float *features = calloc(batch * *width, sizeof *features);
    assert_int_equal(trunk_run(trunk, inputs, features, &err), OK);
    trunk_destroy(&trunk);
    plan_destroy(&plan);
    return features;
}

/* The features are the graph's, and a sample's bits the same wherever in the batch it stands. */
static void check_type(struct model *model, size_t batch, enum trunk_dtype dtype)
{
    model->trunk_dtype = dtype;
    size_t width, row = model->input_elements;
    float *inputs = net_inputs(2 * batch * row);
    memcpy(inputs + batch * row, inputs, batch * row * sizeof *inputs);
    struct net_values values = net_evaluate(model->graph, inputs, batch, NULL);
    float *got = features_of(model, inputs, batch, &width);
    double difference = net_difference(got, values.data[model->graph->features], batch * width);
    if (!(difference < (dtype == TRUNK_BFLOAT16 ? TOLERANCE_HALF : TOLERANCE)))
        fail_msg("features off by %g", difference);
    for (size_t turn = 1; turn < batch; turn += 3) {
        float *turned = features_of(model, inputs + turn * row, batch, &width);
        for (size_t i = 0; i < batch; i++)
            assert_memory_equal(turned + i * width, got + (i + turn) % batch * width,
                                width * sizeof *got);
        free(turned);
    }
    net_release(&values);
    free(got);
    free(inputs);
}

static void check(struct model *model, size_t batch)
{
    struct error err;
    check_type(model, batch, TRUNK_FLOAT32);
    if (trunk_supports(TRUNK_BFLOAT16, trunk_isa(), &err) == OK)
        check_type(model, batch, TRUNK_BFLOAT16);
}

static void finish(struct net *net, uint32_t at)
{
    struct model *model = net_model(net, at, 3);
    check(model, 4);
    check(model, 11);
    model_destroy(&model);
}

static uint32_t rows(struct net *net, const char *name, uint32_t x, int from, int to)
{
    char weight[64], bias[64], product[64];
    snprintf(product, sizeof product, "%s.product", name);
    snprintf(weight, sizeof weight, "%s.w", name);
    snprintf(bias, sizeof bias, "%s.b", name);
    uint32_t at = net_node(net, OP_MATMUL, product, NULL, 2, x,
                           net_constant(net, weight, net_shape(2, from, to), 0, 0.4));
    return net_node(net, OP_ADD, name, NULL, 2, at,
                    net_constant(net, bias, net_shape(1, to), 0, 0.5));
}

static uint32_t reshape(struct net *net, const char *name, uint32_t x, size_t rank,
                        const int64_t *target)
{
    struct attributes a = net_attributes(OP_RESHAPE);
    memcpy(a.axes, target, rank * sizeof *target);
    a.axes_count = rank;
    return net_node(net, OP_RESHAPE, name, &a, 1, x);
}

static uint32_t transpose(struct net *net, const char *name, uint32_t x, size_t rank,
                          const int64_t *order)
{
    struct attributes a = net_attributes(OP_TRANSPOSE);
    memcpy(a.axes, order, rank * sizeof *order);
    a.axes_count = rank;
    return net_node(net, OP_TRANSPOSE, name, &a, 1, x);
}

static uint32_t add(struct net *net, const char *name, uint32_t a, uint32_t b)
{
    return net_node(net, OP_ADD, name, NULL, 2, a, b);
}

static struct net sequence(void)
{
    return net_create(net_shape(3, -1, LENGTH, WIDTH));
}

static void rows_of_any_rank_take_bias_activation_and_sum(void **state)
{
    (void)state;
    struct net net = sequence();
    struct attributes tanh_form = net_attributes(OP_GELU);
    tanh_form.approximate = true;
    uint32_t x = rows(&net, "in", net.graph->input, WIDTH, WIDTH);
    uint32_t at = rows(&net, "rise", x, WIDTH, 3 * WIDTH);
    at = net_node(&net, OP_GELU, "gelu", NULL, 1, at);
    at = add(&net, "sum", x, rows(&net, "fall", at, 3 * WIDTH, WIDTH));
    at = net_node(&net, OP_GELU, "gelu2", &tanh_form, 1, rows(&net, "last", at, WIDTH, 7));
    finish(&net, at);
}

static void a_sum_spares_an_operand_that_is_read_again(void **state)
{
    (void)state;
    struct net net = sequence();
    uint32_t x = rows(&net, "in", net.graph->input, WIDTH, WIDTH);
    uint32_t once = add(&net, "once", x, rows(&net, "a", x, WIDTH, WIDTH));
    uint32_t twice = add(&net, "twice", x, rows(&net, "b", once, WIDTH, WIDTH));
    finish(&net, add(&net, "all", once, twice));
}

static void a_sum_spares_an_operand_that_a_view_shows(void **state)
{
    (void)state;
    struct net net = sequence();
    uint32_t x = rows(&net, "in", net.graph->input, WIDTH, WIDTH);
    uint32_t flat = reshape(&net, "flat", x, 2, (const int64_t[]){-1, LENGTH * WIDTH});
    uint32_t sum = add(&net, "sum", x, rows(&net, "a", net.graph->input, WIDTH, WIDTH));
    uint32_t flat_sum = reshape(&net, "flat2", sum, 2, (const int64_t[]){-1, LENGTH * WIDTH});
    finish(&net, net_node(&net, OP_MUL, "both", NULL, 2, flat, flat_sum));
}

static void a_sum_with_the_layers_own_input_spares_it(void **state)
{
    (void)state;
    struct net net = sequence();
    uint32_t x = rows(&net, "in", net.graph->input, WIDTH, WIDTH);
    finish(&net, add(&net, "sum", x, rows(&net, "a", x, WIDTH, WIDTH)));
}

static void views_of_the_input_and_of_views_work(void **state)
{
    (void)state;
    struct net net = sequence();
    const int64_t split[] = {-1, LENGTH, HEADS, WIDTH / HEADS}, order[] = {0, 3, 1, 2},
                  flat[] = {-1, WIDTH / HEADS, LENGTH * HEADS};
    uint32_t at = reshape(&net, "split", net.graph->input, 4, split);
    at = transpose(&net, "turn", at, 4, order);
    uint32_t pooled = net_node(&net, OP_GLOBAL_AVERAGE_POOL, "pool", NULL, 1, at);
    at = net_node(&net, OP_MUL, "gated", NULL, 2, at, pooled);
    at = transpose(&net, "again", net_node(&net, OP_TANH, "tanh", NULL, 1, at), 4, order);
    at = transpose(&net, "third", at, 4, order);
    finish(&net, reshape(&net, "joined", at, 3, flat));
}

static uint32_t heads(struct net *net, const char *name, uint32_t x, const int64_t *order)
{
    char part[64], turned[64], scaled[64], factor[64];
    snprintf(scaled, sizeof scaled, "%s.scaled", name);
    snprintf(factor, sizeof factor, "%s.factor", name);
    const int64_t split[] = {-1, LENGTH, HEADS, WIDTH / HEADS};
    snprintf(part, sizeof part, "%s.split", name);
    snprintf(turned, sizeof turned, "%s.turned", name);
    uint32_t at = reshape(net, part, rows(net, name, x, WIDTH, WIDTH), 4, split);
    at = transpose(net, turned, at, 4, order);
    return net_node(net, OP_MUL, scaled, NULL, 2, at,
                    net_constant(net, factor, net_shape(0), 0.7, 0));
}

static void attention_multiplies_views(void **state)
{
    (void)state;
    struct net net = sequence();
    const int64_t order[] = {0, 2, 1, 3}, keys[] = {0, 2, 3, 1}, joined[] = {-1, LENGTH, WIDTH};
    uint32_t x = net.graph->input;
    struct attributes last = net_attributes(OP_SOFTMAX);
    last.axis = -1;
    uint32_t at = net_node(&net, OP_MATMUL, "scores", NULL, 2, heads(&net, "q", x, order),
                           heads(&net, "k", x, keys));
    at = net_node(&net, OP_DIV, "scaled", NULL, 2, at,
                  net_constant(&net, "root", net_shape(0), 2, 0));
    at = net_node(&net, OP_SOFTMAX, "softmax", &last, 1, at);
    at = net_node(&net, OP_MATMUL, "mixed", NULL, 2, at, heads(&net, "v", x, order));
    at = reshape(&net, "joined", transpose(&net, "back", at, 4, order), 3, joined);
    finish(&net, add(&net, "sum", x, rows(&net, "out", at, WIDTH, WIDTH)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_any_rank_take_bias_activation_and_sum),
        cmocka_unit_test(a_sum_spares_an_operand_that_is_read_again),
        cmocka_unit_test(a_sum_spares_an_operand_that_a_view_shows),
        cmocka_unit_test(a_sum_with_the_layers_own_input_spares_it),
        cmocka_unit_test(views_of_the_input_and_of_views_work),
        cmocka_unit_test(attention_multiplies_views),
    };
    return cmocka_run_group_tests_name("tile", tests, NULL, NULL);
}
