/* A transformer block as trunk and head: live embeddings, positions, class token, norms, attention. */
#include "tests/unit/head_bench.h"
#include "tests/unit/transformer_net.h"

#include "worker/engine/trunk.h"

static void every_parameter_gets_its_gradient(void **state)
{
    (void)state;
    check_gradients(transformer_model(CLASSES), "*");
}

/* Tables, positions and tokens do not have the batch: what reaches them is summed over samples. */
static void parameters_without_batch_get_their_gradient(void **state)
{
    (void)state;
    check_gradients(transformer_model(CLASSES), "table");
    check_gradients(transformer_model(CLASSES), "positions");
    check_gradients(transformer_model(CLASSES), "class");
    check_gradients(transformer_model(CLASSES), "norm2.*");
    check_gradients(transformer_model(CLASSES), "[qk].w");
}

static void values_match_the_plain_evaluation(void **state)
{
    (void)state;
    const char *const patterns[] = {"*", "class", "v.w", NULL};
    for (size_t i = 0; i < 4; i++) {
        struct bench b = bench_on(transformer_model(CLASSES), patterns[i], BATCH);
        struct net_values values = net_evaluate(b.model->graph, b.inputs, BATCH, NULL);
        assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
        assert_true(net_difference(tape_logits(b.tape), values.data[b.model->graph->output],
                                   BATCH * CLASSES) < 1e-5);
        net_release(&values);
        bench_close(&b);
    }
}

static void an_unknown_token_ends_the_run(void **state)
{
    (void)state;
    struct bench b = bench_on(transformer_model(CLASSES), "*", BATCH);
    b.features[1] = WORDS;
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, &b.err), ERR_INPUT);
    assert_non_null(strstr(b.err.text, "node embedded: index 5 lies outside 0 to 4"));
    b.features[1] = WORDS - 1;
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, &b.err), OK);
    bench_close(&b);
}

/* x > |threshold| ? x : 0: whatever the threshold is, its slope is zero. */
static struct model *gated_model(bool through_abs)
{
    struct net net = net_create(net_shape(2, -1, 4));
    uint32_t threshold = net_constant(&net, "threshold", net_shape(1, 4), 0, 0.1);
    if (through_abs)
        threshold = net_node(&net, OP_ABS, "abs", NULL, 1, threshold);
    uint32_t above = net_node(&net, OP_GREATER, "above", NULL, 2, net.graph->input, threshold);
    uint32_t zero = net_constant(&net, "zero", net_shape(0), 0, 0);
    uint32_t at = net_node(&net, OP_WHERE, "gated", NULL, 3, above, net.graph->input, zero);
    return net_model(&net, at, CLASSES);
}

/* Where the node itself passes no gradient it is no trainable parameter; else the head finds out. */
static void what_cannot_learn_is_refused(void **state)
{
    (void)state;
    const char *pattern = "threshold";
    const struct live_config live = {.patterns = &pattern, .pattern_count = 1};
    struct model *direct = gated_model(false), *through = gated_model(true);
    struct plan *plan = NULL;
    struct head *head = NULL;
    struct error err;
    assert_int_equal(plan_create(direct, &live, &plan, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "matches no parameter"));
    assert_int_equal(plan_create(through, &live, &plan, &err), OK);
    assert_int_equal(head_create(plan, BATCH, NULL, &head, &err), ERR_SUPPORT);
    assert_non_null(strstr(err.text, "threshold cannot learn"));
    plan_destroy(&plan);
    model_destroy(&direct);
    model_destroy(&through);
}

/* ---- as a trunk ---- */

/* Token ids and mask lie side by side in a sample. */
static void two_inputs_run_through_the_trunk(void **state)
{
    (void)state;
    const char *const patterns[] = {NULL, "class", "down.w", "q.w"};
    for (size_t i = 0; i < 4; i++) {
        const size_t batch = 19;
        struct bench b = bench_on(transformer_model(CLASSES), patterns[i], BATCH);
        struct trunk *trunk = NULL;
        float *inputs = net_samples(b.model->graph, batch);
        float *expected = boundary_features(b.plan, inputs, batch);
        float *got = calloc(batch * b.plan->boundary_elements, sizeof *got);
        if (trunk_create(b.plan, batch, &trunk, &b.err) != OK)
            fail_msg("%s", b.err.text);
        assert_int_equal(trunk_run(trunk, inputs, got, &b.err), OK);
        assert_true(net_difference(got, expected, batch * b.plan->boundary_elements) < 1e-5);
        inputs[(batch - 1) * b.model->input_elements] = -WORDS - 1;
        assert_int_equal(trunk_run(trunk, inputs, got, &b.err), ERR_INPUT);
        assert_non_null(strstr(b.err.text, "node embedded: index -6"));
        trunk_destroy(&trunk);
        free(inputs);
        free(expected);
        free(got);
        bench_close(&b);
    }
}

static void neighbours_do_not_matter(void **state)
{
    (void)state;
    enum { COUNT = 11, PLACE = 4 };
    struct bench b = bench_on(transformer_model(CLASSES), NULL, BATCH);
    struct trunk *trunk = NULL;
    size_t width = b.plan->boundary_elements, row = b.model->input_elements;
    float *inputs = net_samples(b.model->graph, COUNT);
    float *first = calloc(COUNT * width, sizeof *first),
          *again = calloc(COUNT * width, sizeof *again);
    assert_int_equal(trunk_create(b.plan, COUNT, &trunk, &b.err), OK);
    assert_int_equal(trunk_run(trunk, inputs, first, &b.err), OK);
    for (size_t i = 0; i < COUNT; i++)
        if (i != PLACE)
            memcpy(inputs + i * row, inputs + (i + 1) % COUNT * row, row * sizeof *inputs);
    assert_int_equal(trunk_run(trunk, inputs, again, &b.err), OK);
    assert_memory_equal(first + PLACE * width, again + PLACE * width, width * sizeof *first);
    assert_memory_not_equal(first, again, COUNT * width * sizeof *first);
    trunk_destroy(&trunk);
    free(inputs);
    free(first);
    free(again);
    bench_close(&b);
}

/* ---- constants of other types ---- */

static struct model *shifted_model(enum dtype dtype, const void *data)
{
    struct net net = net_create(net_shape(2, -1, 2));
    struct attributes to = net_attributes(OP_CAST);
    struct shape pair = net_shape(1, 2);
    uint32_t constant = GRAPH_NONE;
    to.to = DTYPE_F32;
    NET_OK(&net,
           graph_add_value(net.graph, "constant", dtype, &pair, data, false, &constant, &net.err));
    uint32_t cast = net_node(&net, OP_CAST, "cast", &to, 1, constant);
    uint32_t scale = net_constant(&net, "scale", net_shape(1, 1), 1, 0);
    uint32_t at = net_node(&net, OP_MUL, "scaled", NULL, 2, net.graph->input, scale);
    return net_model(&net, net_node(&net, OP_ADD, "sum", NULL, 2, at, cast), CLASSES);
}

static void expect_shift(enum dtype dtype, const void *data, float first, float second)
{
    struct bench b = bench_on(shifted_model(dtype, data), "scale", BATCH);
    memset(b.features, 0, BATCH * 2 * sizeof *b.features);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    assert_true(tape_hidden(b.tape)[0] == first && tape_hidden(b.tape)[1] == second);
    bench_close(&b);
}

static void constants_of_every_type_become_float32(void **state)
{
    (void)state;
    expect_shift(DTYPE_I64, (const int64_t[]){-3, (int64_t)1 << 40}, -3, 0x1p40f);
    expect_shift(DTYPE_I32, (const int32_t[]){INT32_MIN, 16777216}, -0x1p31f, 16777216);
    expect_shift(DTYPE_I8, (const int8_t[]){-128, 127}, -128, 127);
    expect_shift(DTYPE_U8, (const uint8_t[]){0, 255}, 0, 255);
    expect_shift(DTYPE_BOOL, (const uint8_t[]){0, 2}, 0, 1);
    expect_shift(DTYPE_F64, (const double[]){0.1, -1e300}, 0.1f, -3.40282347e38f);
}

static void whole_numbers_that_float32_cannot_hold_are_refused(void **state)
{
    (void)state;
    const int64_t bad[] = {16777217, INT64_MAX, -16777219};
    for (size_t i = 0; i < 3; i++) {
        struct model *model = shifted_model(DTYPE_I64, (const int64_t[]){1, bad[i]});
        const char *pattern = "scale";
        struct plan *plan = NULL;
        struct head *head = NULL;
        struct error err;
        assert_int_equal(
            plan_create(
                model,
                &(struct live_config){.patterns = &pattern, .pattern_count = 1, .last_blocks = 0},
                &plan, &err),
            OK);
        assert_int_equal(head_create(plan, BATCH, NULL, &head, &err), ERR_INPUT);
        assert_non_null(strstr(err.text, "constant constant holds"));
        plan_destroy(&plan);
        model_destroy(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter_gets_its_gradient),
        cmocka_unit_test(parameters_without_batch_get_their_gradient),
        cmocka_unit_test(values_match_the_plain_evaluation),
        cmocka_unit_test(an_unknown_token_ends_the_run),
        cmocka_unit_test(what_cannot_learn_is_refused),
        cmocka_unit_test(two_inputs_run_through_the_trunk),
        cmocka_unit_test(neighbours_do_not_matter),
        cmocka_unit_test(constants_of_every_type_become_float32),
        cmocka_unit_test(whole_numbers_that_float32_cannot_hold_are_refused),
    };
    return cmocka_run_group_tests_name("transformer", tests, NULL, NULL);
}
