/* The compiled trunk against the plain evaluation of the same graph. Tolerance 2e-5 relative to the
 * largest feature: folding batch norm and scalars into weights rounds differently, about 2⁻²⁴ a
 * layer. In bfloat16, which has 2⁻⁹ a value, 1e-2. */
#include "tests/unit/net_fixture.h"

#include "common/model/plan.h"
#include "worker/engine/arena.h"
#include "worker/engine/fuse.h"
#include "worker/engine/trunk.h"

#define TOLERANCE 2e-5
#define TOLERANCE_HALF 1e-2

static struct attributes conv_attributes(int kernel, int stride, int pad, int groups)
{
    struct attributes a = net_attributes(OP_CONV);
    a.groups = groups;
    for (size_t i = 0; i < 2; i++) {
        a.kernel[i] = kernel;
        a.strides[i] = stride;
        a.pads[i] = a.pads[i + 2] = pad;
    }
    return a;
}

static uint32_t conv(struct net *net, const char *name, uint32_t x, int in, int out, int kernel,
                     int stride, int groups)
{
    char weight[64], bias[64];
    struct attributes a = conv_attributes(kernel, stride, kernel / 2, groups);
    snprintf(weight, sizeof weight, "%s.w", name);
    snprintf(bias, sizeof bias, "%s.b", name);
    double spread = 1 / sqrt((double)(in / groups * kernel * kernel));
    uint32_t w =
        net_constant(net, weight, net_shape(4, out, in / groups, kernel, kernel), 0, spread);
    uint32_t b = net_constant(net, bias, net_shape(1, out), 0, 0.1);
    return net_node(net, OP_CONV, name, &a, 3, x, w, b);
}

static uint32_t norm(struct net *net, const char *name, uint32_t x, int channels)
{
    const double means[] = {1, 0, 0, 2}, spreads[] = {0.2, 0.3, 0.3, 0.1};
    uint32_t inputs[4];
    for (size_t i = 0; i < 4; i++) {
        char constant[64];
        snprintf(constant, sizeof constant, "%s.%zu", name, i);
        inputs[i] = net_constant(net, constant, net_shape(1, channels), means[i], spreads[i]);
    }
    return net_node(net, OP_BATCH_NORM, name, NULL, 5, x, inputs[0], inputs[1], inputs[2],
                    inputs[3]);
}

static struct plan *plan_of(const struct model *model, const char *pattern)
{
    struct plan *plan = NULL;
    struct error err;
    if (plan_create(model,
                    &(struct live_config){
                        .patterns = &pattern, .pattern_count = pattern != NULL, .last_blocks = 0},
                    &plan, &err) != OK)
        fail_msg("%s", err.text);
    return plan;
}

/* The features in plan order from the plain evaluation. */
static float *expected_features(const struct plan *plan, const float *inputs, size_t batch)
{
    struct net_values values = net_evaluate(plan->model->graph, inputs, batch, NULL);
    float *features = calloc(batch * plan->boundary_elements, sizeof *features);
    size_t column = 0;
    for (size_t i = 0; i < plan->split->boundary_count; i++) {
        uint32_t value = plan->split->boundary[i];
        size_t width = value_elements(&plan->model->graph->values[value]);
        for (size_t s = 0; s < batch; s++)
            memcpy(features + s * plan->boundary_elements + column, values.data[value] + s * width,
                   width * sizeof *features);
        column += width;
    }
    net_release(&values);
    return features;
}

/* Does the number have more bits than bfloat16? */
static bool is_fine(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0xffff) != 0;
}

/* In numbers of a type: how far off are the features, and how many of them are no bfloat16? */
static double check_type(struct model *model, const char *pattern, size_t batch,
                         enum trunk_dtype dtype, size_t *fine)
{
    model->trunk_dtype = dtype;
    struct plan *plan = plan_of(model, pattern);
    struct trunk *trunk = NULL;
    struct error err;
    float *inputs = net_inputs(batch * model->input_elements);
    float *expected = expected_features(plan, inputs, batch);
    float *got = calloc(2 * batch * plan->boundary_elements, sizeof *got);
    if (trunk_create(plan, batch, &trunk, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(trunk_run(trunk, inputs, got, NULL), OK);
    double difference = net_difference(got, expected, batch * plan->boundary_elements);
    if (!(difference < (dtype == TRUNK_BFLOAT16 ? TOLERANCE_HALF : TOLERANCE)))
        fail_msg("batch %zu: features off by %g", batch, difference);
    float *again = got + batch * plan->boundary_elements;
    assert_int_equal(trunk_run(trunk, inputs, again, NULL), OK);
    assert_memory_equal(got, again, batch * plan->boundary_elements * sizeof *got);
    *fine = 0;
    for (size_t i = 0; i < batch * plan->boundary_elements; i++)
        *fine += is_fine(got[i]);
    trunk_destroy(&trunk);
    plan_destroy(&plan);
    free(inputs);
    free(expected);
    free(got);
    return difference;
}

static bool has_bfloat16(void)
{
    struct error err;
    return trunk_supports(TRUNK_BFLOAT16, trunk_isa(), &err) == OK;
}

static void check_trunk(struct model *model, const char *pattern, size_t batch)
{
    size_t fine;
    check_type(model, pattern, batch, TRUNK_FLOAT32, &fine);
    if (has_bfloat16())
        check_type(model, pattern, batch, TRUNK_BFLOAT16, &fine);
}

static void finish(struct model *model)
{
    check_trunk(model, NULL, 4);
    model_destroy(&model);
}

static void norms_scalars_and_activations_fold(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(4, -1, 3, 9, 10));
    uint32_t at = conv(&net, "first", net.graph->input, 3, 20, 3, 2, 1);
    at = norm(&net, "norm", at, 20);
    at = net_node(&net, OP_RELU, "relu", NULL, 1, at);
    at = net_node(&net, OP_MUL, "mul", NULL, 2, net_constant(&net, "a", net_shape(1, 1), 0.7, 0),
                  at);
    at = net_node(&net, OP_ADD, "add", NULL, 2, at,
                  net_constant(&net, "b", net_shape(1, 1), 0.2, 0));
    at = conv(&net, "second", at, 20, 20, 5, 1, 20);
    at = net_node(&net, OP_SUB, "sub", NULL, 2, net_constant(&net, "c", net_shape(1, 1), 0.3, 0),
                  at);
    at = net_node(&net, OP_MUL, "channel", NULL, 2, at,
                  net_constant(&net, "d", net_shape(3, 20, 1, 1), 1, 0.2));
    at = net_hard_swish(&net, "hs", at);
    at = net_node(&net, OP_DIV, "div", NULL, 2, at, net_constant(&net, "e", net_shape(0), 1.5, 0));
    finish(net_model(&net, at, 4));
}

static void residuals_and_gates_keep_their_operands(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(4, -1, 3, 8, 8));
    uint32_t stem = conv(&net, "stem", net.graph->input, 3, 32, 3, 1, 1);
    stem = net_node(&net, OP_RELU, "stem.relu", NULL, 1, stem);
    uint32_t body = conv(&net, "body", stem, 32, 32, 3, 1, 1);
    uint32_t sum = net_node(&net, OP_ADD, "sum", NULL, 2, stem, body);
    uint32_t relu = net_node(&net, OP_RELU, "sum.relu", NULL, 1, sum);
    uint32_t pooled = net_node(&net, OP_GLOBAL_AVERAGE_POOL, "squeeze", NULL, 1, relu);
    uint32_t small =
        net_node(&net, OP_RELU, "e.relu", NULL, 1, conv(&net, "e", pooled, 32, 8, 1, 1, 1));
    uint32_t gate =
        net_node(&net, OP_HARD_SIGMOID, "gate", NULL, 1, conv(&net, "f", small, 8, 32, 1, 1, 1));
    uint32_t scaled = net_node(&net, OP_MUL, "scaled", NULL, 2, gate, relu);
    uint32_t twice = net_node(&net, OP_ADD, "twice", NULL, 2, scaled, scaled);
    struct model *model = net_model(&net, twice, 4);
    check_trunk(model, "f.w", 3);
    finish(model);
}

static void odd_channels_and_rare_operators_work(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(4, -1, 3, 12, 12));
    struct attributes pool = conv_attributes(3, 2, 1, 1), join = net_attributes(OP_CONCAT);
    struct attributes mean = conv_attributes(2, 2, 0, 1), turn = net_attributes(OP_TRANSPOSE);
    const int64_t order[] = {0, 2, 3, 1}, back[] = {0, 3, 1, 2};
    uint32_t at = conv(&net, "first", net.graph->input, 3, 7, 3, 1, 1);
    at = net_node(&net, OP_LEAKY_RELU, "leaky", NULL, 1, at);
    uint32_t left = net_node(&net, OP_MAX_POOL, "max", &pool, 1, at);
    uint32_t right = net_node(&net, OP_AVERAGE_POOL, "average", &mean, 1, at);
    at = net_node(&net, OP_CONCAT, "join", &join, 2, left, right);
    memcpy(turn.axes, order, sizeof order);
    turn.axes_count = 4;
    at = net_node(&net, OP_TRANSPOSE, "turn", &turn, 1, at);
    at = net_node(&net, OP_MATMUL, "matmul", NULL, 2, at,
                  net_constant(&net, "m", net_shape(2, 14, 5), 0, 0.3));
    at = net_node(&net, OP_SOFTMAX, "softmax", NULL, 1, at);
    memcpy(turn.axes, back, sizeof back);
    at = net_node(&net, OP_TRANSPOSE, "back", &turn, 1, at);
    at = net_node(&net, OP_TANH, "tanh", NULL, 1, at);
    uint32_t gate = net_node(&net, OP_GLOBAL_AVERAGE_POOL, "gap", NULL, 1, at);
    at = net_node(&net, OP_MUL, "gated", NULL, 2, at, gate);
    finish(net_model(&net, at, 3));
}

static void the_input_itself_may_be_gated(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(4, -1, 5, 6, 6));
    uint32_t mean = net_node(&net, OP_GLOBAL_AVERAGE_POOL, "mean", NULL, 1, net.graph->input);
    uint32_t gate = net_node(&net, OP_SIGMOID, "gate", NULL, 1, mean);
    finish(net_model(&net, net_node(&net, OP_MUL, "gated", NULL, 2, net.graph->input, gate), 3));
}

static void dense_networks_work(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(2, -1, 30));
    struct attributes gemm = net_attributes(OP_GEMM);
    gemm.alpha = 0.5f;
    uint32_t w = net_constant(&net, "w", net_shape(2, 30, 21), 0, 0.3),
             b = net_constant(&net, "b", net_shape(1, 21), 0, 1);
    uint32_t at = net_node(&net, OP_GEMM, "gemm", &gemm, 3, net.graph->input, w, b);
    at = net_node(&net, OP_SIGMOID, "sigmoid", NULL, 1, at);
    at = net_node(&net, OP_MATMUL, "matmul", NULL, 2, at,
                  net_constant(&net, "m", net_shape(2, 21, 9), 0, 0.3));
    at =
        net_node(&net, OP_ADD, "bias", NULL, 2, at, net_constant(&net, "c", net_shape(1, 9), 0, 1));
    finish(net_model(&net, at, 3));
}

static void constants_fold_and_several_values_may_cross(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(4, -1, 3, 6, 6));
    struct attributes a = conv_attributes(1, 1, 0, 1), shape = net_attributes(OP_RESHAPE);
    const int64_t target[] = {4, 3, 1, 1};
    memcpy(shape.axes, target, sizeof target);
    shape.axes_count = 4;
    uint32_t flat = net_constant(&net, "flat", net_shape(1, 12), 0, 0.5);
    uint32_t w = net_node(&net, OP_RESHAPE, "reshaped", &shape, 1, flat);
    uint32_t x = net_node(&net, OP_CONV, "conv", &a, 2, net.graph->input, w);
    uint32_t live = net_node(&net, OP_MUL, "mul", NULL, 2, x,
                             net_constant(&net, "live", net_shape(3, 4, 1, 1), 1, 1));
    uint32_t relu = net_node(&net, OP_RELU, "relu", NULL, 1, net.graph->input);
    uint32_t mean = net_node(&net, OP_GLOBAL_AVERAGE_POOL, "mean", NULL, 1, relu);
    struct attributes join = net_attributes(OP_CONCAT);
    uint32_t pooled = net_node(&net, OP_GLOBAL_AVERAGE_POOL, "mean2", NULL, 1, live);
    struct model *model =
        net_model(&net, net_node(&net, OP_CONCAT, "join", &join, 2, pooled, mean), 3);
    check_trunk(model, "live", 3);
    finish(model);
}

static void batches_that_are_no_multiple_of_the_tile_work(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(4, -1, 3, 6, 6));
    uint32_t at = conv(&net, "first", net.graph->input, 3, 16, 3, 1, 1);
    struct model *model = net_model(&net, net_hard_swish(&net, "hs", at), 3);
    for (size_t batch = 1; batch < 20; batch += 6)
        check_trunk(model, NULL, batch);
    model_destroy(&model);
}

static void no_network_means_the_inputs_are_the_features(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(2, -1, 11));
    finish(net_model(&net, net.graph->input, 3));
}

/* How many steps fusion leaves is what speed rests on, so it is pinned. */
static void a_mobile_block_becomes_one_step_a_convolution(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(4, -1, 3, 8, 8));
    uint32_t at = conv(&net, "first", net.graph->input, 3, 16, 3, 1, 1);
    at = norm(&net, "norm", at, 16);
    at = net_node(&net, OP_MUL, "mul", NULL, 2, net_constant(&net, "a", net_shape(1, 1), 0.7, 0),
                  at);
    at = net_node(&net, OP_ADD, "add", NULL, 2, at,
                  net_constant(&net, "b", net_shape(1, 1), 0.2, 0));
    at = net_hard_swish(&net, "hs", at);
    at = net_node(&net, OP_MUL, "mul2", NULL, 2, net_constant(&net, "c", net_shape(1, 1), 0.7, 0),
                  at);
    at = net_node(&net, OP_ADD, "add2", NULL, 2, at,
                  net_constant(&net, "d", net_shape(1, 1), 0.2, 0));
    struct model *model = net_model(&net, at, 3);
    struct plan *plan = plan_of(model, NULL);
    struct program *program = NULL;
    struct constants constants;
    struct fusion fusion;
    struct onednn dnn;
    struct error err;
    assert_int_equal(onednn_init(&dnn, &err), OK);
    assert_int_equal(program_create(plan, PROGRAM_TRUNK, &program, &err), OK);
    assert_int_equal(constants_init(&constants, program, &dnn, &err), OK);
    assert_int_equal(fuse_init(&fusion, program, &constants, &err), OK);
    assert_int_equal(fusion.count, 3); /* convolution, pooling, flatten */
    assert_int_equal(fusion.at[0].kind, FUSED_CONV);
    assert_int_equal(fusion.at[0].post_count, 2);
    assert_int_equal(fusion.at[0].posts[0].kind, POST_HARD_SWISH);
    assert_int_equal(fusion.at[0].posts[1].kind, POST_LINEAR);
    fuse_deinit(&fusion);
    constants_deinit(&constants);
    program_destroy(&program);
    onednn_deinit(&dnn);
    plan_destroy(&plan);
    model_destroy(&model);
}

static void buffers_alive_together_never_overlap(void **state)
{
    (void)state;
    struct arena_buffer buffers[60];
    struct error err;
    size_t total = 0, sum = 0;
    for (size_t i = 0; i < 60; i++) {
        size_t first = (size_t)(random_bits((struct random_key){.seed = 3, .index = i}, 0) % 40);
        size_t bytes = (size_t)(random_bits((struct random_key){.seed = 3, .index = i}, 1) % 5000);
        buffers[i] = (struct arena_buffer){.bytes = bytes, .first = first, .last = first + i % 7};
        sum += bytes;
    }
    assert_int_equal(arena_plan(buffers, 60, &total, &err), OK);
    assert_true(total < sum / 2);
    for (size_t i = 0; i < 60; i++)
        for (size_t k = 0; k < i; k++) {
            bool together =
                buffers[i].first <= buffers[k].last && buffers[k].first <= buffers[i].last;
            bool overlap = buffers[i].offset < buffers[k].offset + buffers[k].bytes &&
                           buffers[k].offset < buffers[i].offset + buffers[i].bytes;
            assert_false(together && overlap);
        }
}

static void bfloat16_rounds_inside_and_hands_over_float32(void **state)
{
    (void)state;
    if (!has_bfloat16()) {
        print_message("this processor does not multiply bfloat16\n");
        skip();
    }
    struct net net = net_create(net_shape(4, -1, 16, 8, 8));
    uint32_t at = conv(&net, "first", net.graph->input, 16, 32, 3, 1, 1);
    struct model *model = net_model(&net, conv(&net, "second", at, 32, 32, 1, 1, 1), 3);
    const char *const patterns[] = {"second.w", NULL}; /* the last step: a convolution, a pool */
    for (size_t i = 0; i < 2; i++) {
        size_t fine, count = i == 0 ? 4 * 32 * 8 * 8 : 4 * 32;
        assert_true(check_type(model, patterns[i], 4, TRUNK_BFLOAT16, &fine) > 1e-4);
        assert_true(fine > count / 2);
    }
    model_destroy(&model);
}

/* dnnl_cpu_isa_t has one bit for each extension. */
static void without_the_instructions_bfloat16_is_refused_by_name(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(trunk_supports(TRUNK_BFLOAT16, dnnl_cpu_isa_avx512_core_vnni, &err),
                     ERR_SUPPORT);
    assert_non_null(strstr(err.text, "model.trunk_dtype"));
    assert_non_null(strstr(err.text, "AVX512-BF16"));
    assert_int_equal(trunk_supports(TRUNK_BFLOAT16, dnnl_cpu_isa_avx512_core_bf16, &err), OK);
    assert_int_equal(trunk_supports(TRUNK_BFLOAT16, dnnl_cpu_isa_avx512_core_amx, &err), OK);
    assert_int_equal(trunk_supports(TRUNK_FLOAT32, dnnl_cpu_isa_avx2, &err), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_scalars_and_activations_fold),
        cmocka_unit_test(residuals_and_gates_keep_their_operands),
        cmocka_unit_test(odd_channels_and_rare_operators_work),
        cmocka_unit_test(the_input_itself_may_be_gated),
        cmocka_unit_test(dense_networks_work),
        cmocka_unit_test(constants_fold_and_several_values_may_cross),
        cmocka_unit_test(batches_that_are_no_multiple_of_the_tile_work),
        cmocka_unit_test(no_network_means_the_inputs_are_the_features),
        cmocka_unit_test(a_mobile_block_becomes_one_step_a_convolution),
        cmocka_unit_test(bfloat16_rounds_inside_and_hands_over_float32),
        cmocka_unit_test(without_the_instructions_bfloat16_is_refused_by_name),
        cmocka_unit_test(buffers_alive_together_never_overlap),
    };
    return cmocka_run_group_tests_name("trunk", tests, NULL, NULL);
}
