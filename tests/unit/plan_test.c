/* The freeze plan: which parameters are live, where the boundary lies, blocks, digest, starting
 * values. */
#include "tests/unit/net_fixture.h"

#include "common/model/plan.h"

/* x → conv1 → bn1 → relu1 → conv2 → mul2 (scalar) → relu2 → pool → flatten → head */
static struct model *chain_model(double weight_mean)
{
    struct net net = net_create(net_shape(4, -1, 3, 6, 6));
    struct attributes a = net_attributes(OP_CONV);
    uint32_t w1 = net_constant(&net, "conv1.w", net_shape(4, 4, 3, 3, 3), weight_mean, 0.3);
    uint32_t w2 = net_constant(&net, "conv2.w", net_shape(4, 5, 4, 3, 3), 0, 0.3);
    uint32_t b2 = net_constant(&net, "conv2.b", net_shape(1, 5), 0, 0.3);
    uint32_t g = net_constant(&net, "bn1.scale", net_shape(1, 4), 1, 0.1);
    uint32_t b = net_constant(&net, "bn1.bias", net_shape(1, 4), 0, 0.1);
    uint32_t m = net_constant(&net, "bn1.mean", net_shape(1, 4), 0, 0.1);
    uint32_t v = net_constant(&net, "bn1.var", net_shape(1, 4), 1, 0);
    uint32_t s = net_constant(&net, "scale2", net_shape(1, 1), 1, 0.1);
    uint32_t at = net_node(&net, OP_CONV, "conv1", &a, 2, net.graph->input, w1);
    at = net_node(&net, OP_BATCH_NORM, "bn1", NULL, 5, at, g, b, m, v);
    at = net_node(&net, OP_RELU, "relu1", NULL, 1, at);
    at = net_node(&net, OP_CONV, "conv2", &a, 3, at, w2, b2);
    at = net_node(&net, OP_MUL, "mul2", NULL, 2, s, at);
    at = net_node(&net, OP_RELU, "relu2", NULL, 1, at);
    return net_model(&net, at, 3);
}

static struct plan *make_plan(const struct model *model, const char *pattern, uint32_t last,
                              enum live_kind kind)
{
    struct plan *plan = NULL;
    struct error err;
    if (plan_create(model,
                    &(struct live_config){.patterns = &pattern,
                                          .pattern_count = pattern != NULL,
                                          .last_blocks = last,
                                          .kind = kind},
                    &plan, &err) != OK)
        fail_msg("%s", err.text);
    return plan;
}

/* Live names in plan order, boundary names, separated. */
static void describes_kind(const char *expected, const char *pattern, uint32_t last,
                           enum live_kind kind)
{
    struct model *model = chain_model(0);
    struct plan *plan = make_plan(model, pattern, last, kind);
    char text[512] = "";
    for (size_t i = 0; i < plan->tensor_count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", plan->tensors[i].name);
    snprintf(text + strlen(text), sizeof text - strlen(text), "|");
    for (size_t i = 0; i < plan->split->boundary_count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s",
                 model->graph->values[plan->split->boundary[i]].name);
    assert_string_equal(text, expected);
    plan_destroy(&plan);
    model_destroy(&model);
}

static void describes(const char *expected, const char *pattern, uint32_t last)
{
    describes_kind(expected, pattern, last, LIVE_ALL);
}

static void without_patterns_only_the_new_head_is_live(void **state)
{
    (void)state;
    describes("head.weight head.bias | features", NULL, 0);
}

static void patterns_choose_parameters_by_name(void **state)
{
    (void)state;
    describes("conv2.w conv2.b head.weight head.bias | relu1", "conv2.*", 0);
    describes("scale2 head.weight head.bias | conv2", "scale2", 0);
    describes("bn1.bias head.weight head.bias | conv1", "bn1.b*", 0);
    describes("conv1.w head.weight head.bias | x", "conv1.w", 0);
}

static void last_blocks_count_weighted_layers_backwards(void **state)
{
    (void)state;
    describes("conv2.w conv2.b scale2 head.weight head.bias | relu1", NULL, 1);
    describes("conv1.w bn1.scale bn1.bias conv2.w conv2.b scale2 head.weight head.bias | x", NULL,
              2);
    describes("conv1.w bn1.scale bn1.bias conv2.w conv2.b scale2 head.weight head.bias | x", NULL,
              9);
}

static void kinds_choose_biases_and_norms(void **state)
{
    (void)state;
    describes_kind("bn1.bias conv2.b head.weight head.bias | conv1", "*", 0, LIVE_BIASES);
    describes_kind("bn1.scale bn1.bias head.weight head.bias | conv1", "*", 0, LIVE_NORMS);
    describes_kind("bn1.scale bn1.bias conv2.b head.weight head.bias | conv1", "*", 0,
                   LIVE_BIASES_AND_NORMS);
    describes_kind("conv2.b head.weight head.bias | relu1", NULL, 1, LIVE_BIASES);
    describes_kind("head.weight head.bias | features", NULL, 0, LIVE_NORMS);
    struct model *model = chain_model(0);
    struct plan *plan = NULL;
    struct error err;
    const char *pattern = "conv1.w";
    const struct live_config none = {.patterns = &pattern, .pattern_count = 1, .kind = LIVE_NORMS};
    assert_int_equal(plan_create(model, &none, &plan, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "live_kind"));
    model_destroy(&model);
}

static void a_stage_may_not_freeze_what_the_one_before_trained(void **state)
{
    (void)state;
    struct model *model = chain_model(0);
    struct plan *narrow = make_plan(model, "conv2.w", 0, LIVE_ALL);
    struct plan *wide = make_plan(model, "conv2.*", 0, LIVE_ALL);
    struct error err;
    assert_int_equal(plan_check_order(wide, narrow, &err), OK);
    assert_int_equal(plan_check_order(narrow, narrow, &err), OK);
    assert_int_equal(plan_check_order(narrow, wide, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "conv2.b"));
    plan_destroy(&narrow);
    plan_destroy(&wide);
    model_destroy(&model);
}

static void running_statistics_are_never_live(void **state)
{
    (void)state;
    struct model *model = chain_model(0);
    struct plan *plan = NULL;
    struct error err;
    const char *pattern = "bn1.mean";
    assert_int_equal(plan_create(model,
                                 &(struct live_config){
                                     .patterns = &pattern, .pattern_count = 1, .last_blocks = 0},
                                 &plan, &err),
                     ERR_INPUT);
    plan = make_plan(model, "bn1.*", 0, LIVE_ALL);
    assert_int_equal(plan->tensor_count, 4);
    plan_destroy(&plan);
    model_destroy(&model);
}

static void a_pattern_without_match_names_the_nearest(void **state)
{
    (void)state;
    struct model *model = chain_model(0);
    struct plan *plan = NULL;
    struct error err;
    const char *pattern = "conv2_w";
    assert_int_equal(plan_create(model,
                                 &(struct live_config){
                                     .patterns = &pattern, .pattern_count = 1, .last_blocks = 0},
                                 &plan, &err),
                     ERR_INPUT);
    assert_non_null(strstr(err.text, "conv2_w"));
    assert_non_null(strstr(err.text, "conv2.w"));
    assert_null(plan);
    model_destroy(&model);
}

static void blocks_tile_the_live_vector(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(2, -1, 700));
    uint32_t w = net_constant(&net, "w", net_shape(2, 700, 900), 0, 0.1);
    struct model *model =
        net_model(&net, net_node(&net, OP_MATMUL, "m", NULL, 2, net.graph->input, w), 3);
    struct plan *plan = make_plan(model, "w", 0, LIVE_ALL);
    size_t at = 0;
    assert_int_equal(plan->block_count, 3 + 1 + 1); /* 630000 elements in blocks of 262144 */
    for (size_t i = 0; i < plan->block_count; i++) {
        const struct plan_block *block = &plan->blocks[i];
        const struct live_tensor *tensor = &plan->tensors[block->tensor];
        assert_int_equal(block->offset, at);
        assert_true(block->elements > 0 && block->elements <= PLAN_BLOCK_ELEMENTS);
        assert_true(block->offset >= tensor->offset);
        assert_true(block->offset + block->elements <= tensor->offset + tensor->elements);
        at += block->elements;
    }
    assert_int_equal(at, plan->live_elements);
    plan_destroy(&plan);
    model_destroy(&model);
}

static struct digest trunk_digest(double weight_mean, const char *pattern)
{
    struct model *model = chain_model(weight_mean);
    struct plan *plan = make_plan(model, pattern, 0, LIVE_ALL);
    struct digest digest = plan->trunk;
    plan_destroy(&plan);
    model_destroy(&model);
    return digest;
}

static void the_trunk_digest_knows_weights_and_boundary(void **state)
{
    (void)state;
    struct digest first = trunk_digest(0, NULL), same = trunk_digest(0, NULL);
    struct digest other_weights = trunk_digest(0.1, NULL),
                  other_boundary = trunk_digest(0, "conv2.w");
    assert_memory_equal(first.bytes, same.bytes, DIGEST_BYTES);
    assert_memory_not_equal(first.bytes, other_weights.bytes, DIGEST_BYTES);
    assert_memory_not_equal(first.bytes, other_boundary.bytes, DIGEST_BYTES);
    struct digest same_boundary = trunk_digest(0, "conv2.b");
    assert_memory_equal(other_boundary.bytes, same_boundary.bytes, DIGEST_BYTES);
}

static void starting_values_are_pretrained_or_drawn(void **state)
{
    (void)state;
    struct model *model = chain_model(0);
    struct plan *plan = make_plan(model, "conv2.*", 0, LIVE_ALL),
                *small = make_plan(model, NULL, 0, LIVE_ALL);
    float *live = calloc(plan->live_elements, sizeof *live),
          *other = calloc(small->live_elements, sizeof *other);
    plan_initial(plan, 5, live);
    plan_initial(small, 5, other);
    assert_memory_equal(live, model->graph->values[plan->split->live[0]].data,
                        plan->tensors[0].elements * sizeof *live);
    const struct live_tensor *weight = &plan->tensors[2];
    assert_false(weight->pretrained);
    assert_true(plan->tensors[0].pretrained);
    assert_memory_equal(live + weight->offset, other, small->live_elements * sizeof *other);
    double sum = 0;
    for (size_t i = 0; i < weight->elements; i++)
        sum += (double)live[weight->offset + i] * (double)live[weight->offset + i];
    assert_true(sum > 1 && sum < 9); /* K·d draws of variance 1/d: about K = 3 */
    for (size_t i = 0; i < 3; i++)
        assert_true(live[plan->tensors[3].offset + i] == 0);
    plan_initial(small, 6, live);
    assert_memory_not_equal(live, other, small->live_elements * sizeof *other);
    free(live);
    free(other);
    plan_destroy(&plan);
    plan_destroy(&small);
    model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_patterns_only_the_new_head_is_live),
        cmocka_unit_test(patterns_choose_parameters_by_name),
        cmocka_unit_test(last_blocks_count_weighted_layers_backwards),
        cmocka_unit_test(kinds_choose_biases_and_norms),
        cmocka_unit_test(a_stage_may_not_freeze_what_the_one_before_trained),
        cmocka_unit_test(running_statistics_are_never_live),
        cmocka_unit_test(a_pattern_without_match_names_the_nearest),
        cmocka_unit_test(blocks_tile_the_live_vector),
        cmocka_unit_test(the_trunk_digest_knows_weights_and_boundary),
        cmocka_unit_test(starting_values_are_pretrained_or_drawn),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
