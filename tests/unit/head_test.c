/* The head as a whole: convolutional and indirect networks, tapes, micro-batches. */
#include "tests/unit/head_bench.h"

static struct attributes conv_attributes(int kernel, int groups)
{
    struct attributes a = net_attributes(OP_CONV);
    a.groups = groups;
    for (size_t i = 0; i < 2; i++) {
        a.kernel[i] = kernel;
        a.pads[i] = a.pads[i + 2] = kernel / 2;
    }
    return a;
}

static uint32_t conv(struct net *net, const char *name, uint32_t x, int in, int out, int kernel,
                     int groups)
{
    char weight[64], bias[64];
    struct attributes a = conv_attributes(kernel, groups);
    snprintf(weight, sizeof weight, "%s.w", name);
    snprintf(bias, sizeof bias, "%s.b", name);
    uint32_t w = net_constant(net, weight, net_shape(4, out, in / groups, kernel, kernel), 0,
                              1 / sqrt((double)(in / groups * kernel * kernel)));
    return net_node(net, OP_CONV, name, &a, 3, x, w,
                    net_constant(net, bias, net_shape(1, out), 0, 0.1));
}

/* Depthwise and pointwise convolutions, scalar affines, hard swish, batch norm, a gate, a residual,
 * a pool. */
static struct model *mobile_model(void)
{
    struct net net = net_create(net_shape(4, -1, 4, 4, 6));
    struct attributes pool = conv_attributes(2, 1);
    pool.pads[0] = pool.pads[1] = pool.pads[2] = pool.pads[3] = 0;
    uint32_t at = conv(&net, "dw", net.graph->input, 4, 4, 3, 4);
    at = net_node(&net, OP_MUL, "mul", NULL, 2,
                  net_constant(&net, "mul.s", net_shape(1, 1), 0.7, 0), at);
    at = net_node(&net, OP_ADD, "add", NULL, 2, at,
                  net_constant(&net, "add.s", net_shape(1, 1), 0.2, 0));
    at = net_hard_swish(&net, "hs", at);
    uint32_t base = conv(&net, "pw", at, 4, 6, 1, 1);
    at = net_node(&net, OP_BATCH_NORM, "bn", NULL, 5, base,
                  net_constant(&net, "bn.g", net_shape(1, 6), 1, 0.2),
                  net_constant(&net, "bn.b", net_shape(1, 6), 0, 0.2),
                  net_constant(&net, "bn.m", net_shape(1, 6), 0, 0.2),
                  net_constant(&net, "bn.v", net_shape(1, 6), 2, 0.1));
    at = net_node(&net, OP_ADD, "residual", NULL, 2, at, base);
    uint32_t squeeze = net_node(&net, OP_GLOBAL_AVERAGE_POOL, "squeeze", NULL, 1, at);
    uint32_t gate =
        net_node(&net, OP_SIGMOID, "gate", NULL, 1, conv(&net, "excite", squeeze, 6, 6, 1, 1));
    at = net_node(&net, OP_MUL, "gated", NULL, 2, at, gate);
    at = net_node(&net, OP_AVERAGE_POOL, "pool", &pool, 1, at);
    return net_model(&net, at, CLASSES);
}

/* A weight that reaches its layer through Reshape and Transpose, and a scalar that two nodes share.
 */
static struct model *indirect_model(void)
{
    struct net net = net_create(net_shape(2, -1, 5));
    struct attributes shape = net_attributes(OP_RESHAPE), turn = net_attributes(OP_TRANSPOSE);
    shape.axes[0] = 4;
    shape.axes[1] = -1;
    shape.axes_count = 2;
    uint32_t s = net_constant(&net, "shared", net_shape(1, 1), 0.8, 0);
    uint32_t w = net_node(&net, OP_RESHAPE, "w", &shape, 1,
                          net_constant(&net, "flat", net_shape(1, 20), 0, 0.5));
    uint32_t at = net_node(&net, OP_MUL, "before", NULL, 2, net.graph->input, s);
    at = net_node(&net, OP_MATMUL, "matmul", NULL, 2, at,
                  net_node(&net, OP_TRANSPOSE, "wt", &turn, 1, w));
    at = net_node(&net, OP_SIGMOID, "sigmoid", NULL, 1, at);
    at = net_node(&net, OP_ADD, "after", NULL, 2, at, s);
    at = net_node(&net, OP_MUL, "square", NULL, 2, at, at);
    return net_model(&net, net_node(&net, OP_IDENTITY, "end", NULL, 1, at), CLASSES);
}

static struct bench bench_open(const char *pattern, size_t batch_max)
{
    return bench_on(mobile_model(), pattern, batch_max);
}

static void gradients_match_finite_differences_with_everything_live(void **state)
{
    (void)state;
    check_gradients(mobile_model(), "*");
}

static void gradients_match_finite_differences_with_part_live(void **state)
{
    (void)state;
    check_gradients(mobile_model(), "pw.*");
    check_gradients(mobile_model(), "excite.w");
    check_gradients(mobile_model(), "add.s");
    check_gradients(mobile_model(), NULL);
}

static void gradients_pass_through_arithmetic_on_weights(void **state)
{
    (void)state;
    check_gradients(indirect_model(), "*");
    check_gradients(indirect_model(), "flat");
    check_gradients(indirect_model(),
                    "shared"); /* the frozen weight's Reshape then runs in the head */
    check_gradients(indirect_model(), NULL);
}

static void values_match_the_plain_evaluation(void **state)
{
    (void)state;
    const char *const patterns[] = {"*", "pw.*", "bn.g", NULL};
    for (size_t i = 0; i < 4; i++) {
        struct bench b = bench_open(patterns[i], BATCH);
        struct net_values values = net_evaluate(b.model->graph, b.inputs, BATCH, NULL);
        assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
        const float *hidden = values.data[b.model->graph->features],
                    *logits = values.data[b.model->graph->output];
        assert_true(net_difference(tape_hidden(b.tape), hidden, BATCH * b.model->feature_count) <
                    1e-5);
        assert_true(net_difference(tape_logits(b.tape), logits, BATCH * CLASSES) < 1e-5);
        net_release(&values);
        bench_close(&b);
    }
}

static void backward_accumulates_and_repeats_bit_for_bit(void **state)
{
    (void)state;
    struct bench b = bench_open("*", BATCH);
    float *once = calloc(b.plan->live_elements, sizeof *once);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    head_backward(b.head, b.tape, NULL, dlogits, once);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    head_backward(b.head, b.tape, NULL, dlogits, b.gradient);
    assert_memory_equal(once, b.gradient, b.plan->live_elements * sizeof *once);
    head_backward(b.head, b.tape, NULL, dlogits, b.gradient);
    for (size_t i = 0; i < b.plan->live_elements; i++)
        assert_true(b.gradient[i] == 2 * once[i]);
    free(once);
    bench_close(&b);
}

/* A smaller micro-batch in a larger head: the missing samples change nothing. */
static void missing_samples_count_as_nothing(void **state)
{
    (void)state;
    struct bench full = bench_open("*", 2), wide = bench_open("*", 2 * BATCH);
    assert_int_equal(head_forward(full.head, full.tape, full.features, 2, NULL), OK);
    head_backward(full.head, full.tape, NULL, dlogits, full.gradient);
    float *ones = calloc(2 * BATCH * CLASSES, sizeof *ones),
          *thrown = calloc(wide.plan->live_elements, sizeof *thrown);
    assert_int_equal(head_forward(wide.head, wide.tape, wide.features, BATCH, NULL), OK);
    head_backward(wide.head, wide.tape, NULL, ones, thrown);
    assert_int_equal(head_forward(wide.head, wide.tape, wide.features, 2, NULL), OK);
    head_backward(wide.head, wide.tape, NULL, dlogits, wide.gradient);
    assert_true(net_difference(tape_logits(wide.tape), tape_logits(full.tape), 2 * CLASSES) < 1e-6);
    assert_true(net_difference(wide.gradient, full.gradient, full.plan->live_elements) < 1e-5);
    free(ones);
    free(thrown);
    bench_close(&full);
    bench_close(&wide);
}

static void two_tapes_may_be_open_at_once(void **state)
{
    (void)state;
    struct bench b = bench_open("*", BATCH);
    struct tape *second = NULL;
    float *alone = calloc(b.plan->live_elements, sizeof *alone);
    assert_int_equal(tape_create(b.head, &second, &b.err), OK);
    assert_int_equal(head_forward(b.head, b.tape, b.features, 1, NULL), OK);
    head_backward(b.head, b.tape, NULL, dlogits, alone);
    assert_int_equal(head_forward(b.head, b.tape, b.features, 1, NULL), OK);
    assert_int_equal(head_forward(b.head, second, b.features + b.plan->boundary_elements, 2, NULL),
                     OK);
    head_backward(b.head, b.tape, NULL, dlogits, b.gradient);
    assert_memory_equal(alone, b.gradient, b.plan->live_elements * sizeof *alone);
    tape_destroy(&second);
    free(alone);
    bench_close(&b);
}

static void no_gradient_in_means_none_out(void **state)
{
    (void)state;
    struct bench b = bench_open("pw.*", BATCH);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    head_backward(b.head, b.tape, NULL, NULL, b.gradient);
    for (size_t i = 0; i < b.plan->live_elements; i++)
        assert_true(b.gradient[i] == 0);
    bench_close(&b);
}

static void new_weights_are_used(void **state)
{
    (void)state;
    struct bench b = bench_open(NULL, BATCH);
    memset(b.live, 0, b.plan->live_elements * sizeof *b.live);
    for (size_t k = 0; k < CLASSES; k++)
        b.live[b.plan->live_elements - CLASSES + k] = (float)k;
    head_set_weights(b.head, b.live);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    for (size_t i = 0; i < BATCH * CLASSES; i++)
        assert_true(tape_logits(b.tape)[i] == (float)(i % CLASSES));
    bench_close(&b);
}

static void decomposed_hard_swish_becomes_one_node(void **state)
{
    (void)state;
    struct bench b = bench_open("*", BATCH);
    struct program *program = NULL;
    size_t found = 0;
    assert_int_equal(program_create(b.plan, PROGRAM_HEAD, &program, &b.err), OK);
    for (size_t i = 0; i < program->node_count; i++) {
        found += program->nodes[i].op == OP_HARD_SWISH;
        assert_true(program->nodes[i].op != OP_CLIP && program->nodes[i].op != OP_DIV);
    }
    assert_int_equal(found, 1);
    program_destroy(&program);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_finite_differences_with_everything_live),
        cmocka_unit_test(gradients_match_finite_differences_with_part_live),
        cmocka_unit_test(gradients_pass_through_arithmetic_on_weights),
        cmocka_unit_test(values_match_the_plain_evaluation),
        cmocka_unit_test(backward_accumulates_and_repeats_bit_for_bit),
        cmocka_unit_test(missing_samples_count_as_nothing),
        cmocka_unit_test(two_tapes_may_be_open_at_once),
        cmocka_unit_test(no_gradient_in_means_none_out),
        cmocka_unit_test(new_weights_are_used),
        cmocka_unit_test(decomposed_hard_swish_becomes_one_node),
    };
    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
