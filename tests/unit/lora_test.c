/* Low-rank adapters: nothing changes at first, their gradients are right, and what is exported is
 * the network with the update inside its weights. */
#include "tests/unit/head_bench.h"

#include "common/model/lora.h"
#include "common/model/model.h"
#include "common/model/onnx/reader.h"
#include "tests/unit/data_fixture.h"

/* x → conv (2 groups) → relu → pool → flatten → matmul → tanh → head */
static struct model *plain_model(void)
{
    struct net net = net_create(net_shape(4, -1, 4, 5, 5));
    struct attributes a = net_attributes(OP_CONV);
    a.groups = 2;
    uint32_t conv = net_constant(&net, "conv.w", net_shape(4, 6, 2, 3, 3), 0, 0.3);
    uint32_t dense = net_constant(&net, "dense.w", net_shape(2, 6, 5), 0, 0.4);
    uint32_t at = net_node(&net, OP_CONV, "conv", &a, 2, net.graph->input, conv);
    at = net_node(&net, OP_RELU, "relu", NULL, 1, at);
    at = net_node(&net, OP_GLOBAL_AVERAGE_POOL, "pool", NULL, 1, at);
    at = net_node(&net, OP_FLATTEN, "flat", NULL, 1, at);
    at = net_node(&net, OP_MATMUL, "dense", NULL, 2, at, dense);
    return net_model(&net, net_node(&net, OP_TANH, "tanh", NULL, 1, at), CLASSES);
}

static const char *layers[] = {"conv.w", "dense.w"};
static const struct lora_config usual = {.rank = 2, .alpha = 3, .layers = layers, .layer_count = 2};

static struct model *adapted_model(void)
{
    struct model *model = plain_model();
    struct error err;
    if (lora_add(model, &usual, &err) != OK)
        fail_msg("%s", err.text);
    return model;
}

/* B too, so that A has a gradient. */
static struct model *moved_model(void)
{
    struct model *model = adapted_model();
    static const char *const names[] = {"conv.w.lora_B", "dense.w.lora_B"};
    for (size_t n = 0; n < 2; n++) {
        struct value *value = &model->graph->values[graph_find(model->graph, names[n])];
        float *data = (float *)(uintptr_t)value->data;
        for (size_t i = 0; i < value_elements(value); i++)
            data[i] = 0.3f * net_random(500 * n + i);
    }
    return model;
}

static void logits_of(const struct graph *graph, const float *inputs, float *out)
{
    struct net_values values = net_evaluate(graph, inputs, BATCH, NULL);
    memcpy(out, values.data[graph->output], BATCH * CLASSES * sizeof *out);
    net_release(&values);
}

static void an_untrained_adapter_changes_nothing(void **state)
{
    struct model *plain = plain_model(), *adapted = adapted_model();
    float *inputs = net_samples(plain->graph, BATCH), a[BATCH * CLASSES], b[BATCH * CLASSES];
    (void)state;
    logits_of(plain->graph, inputs, a);
    logits_of(adapted->graph, inputs, b);
    assert_memory_equal(a, b, sizeof a);
    free(inputs);
    model_destroy(&plain);
    model_destroy(&adapted);
}

static void factors_have_the_right_gradients(void **state)
{
    (void)state;
    check_gradients(moved_model(), "*.lora_[AB]");
    check_gradients(moved_model(), "*");
}

static void the_trunk_is_the_adapted_network(void **state)
{
    struct model *model = moved_model();
    struct plan *plan = NULL;
    struct error err;
    (void)state;
    assert_int_equal(plan_create(model, &(struct live_config){0}, &plan, &err), OK);
    assert_int_equal(plan->tensor_count, 2);
    for (size_t i = 0; i < model->adapter_nodes; i++)
        assert_true(plan->split->trunk[i]); /* folded into the weights when it is compiled */
    plan_destroy(&plan);
    model_destroy(&model);
}

static void what_is_exported_has_merged_weights_and_the_old_names(void **state)
{
    char path[PATH_BYTES];
    const struct onnx_reading all = {.cut = ""};
    struct bench b = bench_on(moved_model(), "*.lora_*", BATCH);
    struct graph *read = NULL;
    float before[BATCH * CLASSES], after[BATCH * CLASSES];
    (void)state;
    for (size_t i = 0; i < b.plan->live_elements; i++)
        b.live[i] += 0.1f * net_random(3000 + i); /* as if trained */
    head_set_weights(b.head, b.live);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    memcpy(before, tape_logits(b.tape), sizeof before);
    fixture_path(path, "m.onnx");
    if (model_export(b.model, b.plan, b.live, NULL, path, &b.err) != OK ||
        onnx_reader_open(path, &all, &read, &b.err) != OK)
        fail_msg("%s", b.err.text);
    logits_of(read, b.inputs, after);
    for (size_t i = 0; i < BATCH * CLASSES; i++)
        assert_true(fabs((double)(before[i] - after[i])) < 1e-5);
    assert_int_equal(read->node_count, b.model->graph->node_count - b.model->adapter_nodes);
    assert_int_not_equal(graph_find(read, "conv.w"), GRAPH_NONE);
    for (size_t i = 0; i < read->value_count; i++)
        assert_null(strstr(read->values[i].name, "lora"));
    graph_destroy(&read);
    bench_close(&b);
}

static void a_weight_that_two_layers_share_gets_one_adapter(void **state)
{
    struct net net = net_create(net_shape(2, -1, 4));
    uint32_t w = net_constant(&net, "w", net_shape(2, 4, 4), 0, 0.5);
    uint32_t at = net_node(&net, OP_MATMUL, "one", NULL, 2, net.graph->input, w);
    at = net_node(&net, OP_MATMUL, "two", NULL, 2, at, w);
    struct model *model = net_model(&net, at, CLASSES);
    const char *only[] = {"w"};
    struct error err;
    (void)state;
    assert_int_equal(
        lora_add(model,
                 &(struct lora_config){.rank = 1, .alpha = 1, .layers = only, .layer_count = 1},
                 &err),
        OK);
    assert_int_equal(model->adapter_nodes, 3); /* product, scale, sum */
    check_gradients(model, "w*");
}

static void patterns_without_a_layer_are_refused(void **state)
{
    struct model *model = plain_model();
    const char *none[] = {"nothing*"};
    struct error err;
    (void)state;
    assert_int_equal(
        lora_add(model,
                 &(struct lora_config){.rank = 1, .alpha = 1, .layers = none, .layer_count = 1},
                 &err),
        ERR_INPUT);
    fixture_contains(err.text, "model.lora.layers");
    model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_untrained_adapter_changes_nothing),
        cmocka_unit_test(factors_have_the_right_gradients),
        cmocka_unit_test(the_trunk_is_the_adapted_network),
        cmocka_unit_test_setup_teardown(what_is_exported_has_merged_weights_and_the_old_names,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test(a_weight_that_two_layers_share_gets_one_adapter),
        cmocka_unit_test(patterns_without_a_layer_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
