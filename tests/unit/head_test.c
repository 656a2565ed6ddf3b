/* The head as a whole: values against the plain evaluation, gradients against central differences
 * of a double precision evaluation of the same graph (op_oracle.h). Tolerance 1e-4 relative to the
 * largest gradient of a tensor: float32 rounding of a chain of about ten layers; the differences
 * themselves err below 1e-8. */
#include "tests/unit/net_fixture.h"
#include "tests/unit/op_oracle.h"

#include "common/model/plan.h"
#include "worker/engine/head.h"
#include "worker/engine/program.h"

#define TOLERANCE 1e-4
#define STEP 1e-5
#define CLASSES 3
#define BATCH 3

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

struct bench {
    struct model *model;
    struct plan *plan;
    struct head *head;
    struct tape *tape;
    float *live, *gradient, *features, *inputs;
    struct error err;
};

static float *boundary_features(const struct plan *plan, const float *inputs, size_t batch)
{
    struct net_values values = net_evaluate(plan->model->graph, inputs, batch, NULL);
    float *features = calloc(batch * plan->boundary_elements, sizeof *features), *to = features;
    for (size_t s = 0; s < batch; s++)
        for (size_t i = 0; i < plan->split->boundary_count; i++) {
            uint32_t value = plan->split->boundary[i];
            size_t width = value_elements(&plan->model->graph->values[value]);
            memcpy(to, values.data[value] + s * width, width * sizeof *to);
            to += width;
        }
    net_release(&values);
    return features;
}

/* Takes the model. */
static struct bench bench_on(struct model *model, const char *pattern, size_t batch_max)
{
    struct bench b = {.model = model};
    if (plan_create(b.model, &pattern, pattern != NULL, 0, &b.plan, &b.err) != OK ||
        head_create(b.plan, batch_max, &b.head, &b.err) != OK ||
        tape_create(b.head, &b.tape, &b.err) != OK)
        fail_msg("%s", b.err.text);
    b.live = calloc(b.plan->live_elements, sizeof *b.live);
    b.gradient = calloc(b.plan->live_elements, sizeof *b.gradient);
    for (size_t i = 0; i < b.plan->tensor_count;
         i++) /* the graph's own head values, not the initial ones */
        memcpy(b.live + b.plan->tensors[i].offset,
               b.model->graph->values[b.plan->split->live[i]].data,
               b.plan->tensors[i].elements * sizeof *b.live);
    head_set_weights(b.head, b.live);
    b.inputs = net_inputs(BATCH * b.model->input_elements);
    b.features = boundary_features(b.plan, b.inputs, BATCH);
    return b;
}

static struct bench bench_open(const char *pattern, size_t batch_max)
{
    return bench_on(mobile_model(), pattern, batch_max);
}

static void bench_close(struct bench *b)
{
    tape_destroy(&b->tape);
    head_destroy(&b->head);
    plan_destroy(&b->plan);
    model_destroy(&b->model);
    free(b->live);
    free(b->gradient);
    free(b->features);
    free(b->inputs);
}

static const float dlogits[BATCH * CLASSES] = {0.3f,  -0.7f, 0.2f, 1.1f, 0.4f,
                                               -0.5f, -0.9f, 0.6f, 0.1f};

static float dhidden_at(size_t i)
{
    return net_random(9000 + i);
}

/* Σ dlogits·logits + Σ dhidden·hidden with parameters replaced by `wide`, everything in double. */
static double wide_loss(const struct bench *b, double *const *parameters)
{
    const struct graph *graph = b->model->graph;
    struct onednn dnn;
    struct sites sites;
    struct error err;
    double **data = calloc(graph->value_count, sizeof *data), sum = 0;
    assert_int_equal(onednn_init(&dnn, &err), OK);
    assert_int_equal(
        sites_init(&sites, graph->nodes, graph->node_count, graph, NULL, BATCH, &dnn, &err), OK);
    memcpy(data, parameters, graph->value_count * sizeof *data);
    for (size_t i = 0; i < graph->node_count; i++) {
        const double *x[GRAPH_PORTS_MAX];
        for (size_t k = 0; k < graph->nodes[i].input_count; k++)
            x[k] = data[graph->nodes[i].inputs[k]];
        data[graph->nodes[i].output] = calloc(op_elements(&sites.at[i].y_shape), sizeof **data);
        oracle_forward(&sites.at[i], x, data[graph->nodes[i].output]);
    }
    for (size_t i = 0; i < BATCH * CLASSES; i++)
        sum += (double)dlogits[i] * data[graph->output][i];
    for (size_t i = 0; i < BATCH * b->model->feature_count; i++)
        sum += (double)dhidden_at(i) * data[graph->features][i];
    for (size_t i = 0; i < graph->node_count; i++)
        free(data[graph->nodes[i].output]);
    sites_deinit(&sites);
    onednn_deinit(&dnn);
    free(data);
    return sum;
}

static double **wide_parameters(const struct bench *b)
{
    const struct graph *graph = b->model->graph;
    double **wide = calloc(graph->value_count, sizeof *wide);
    for (size_t v = 0; v < graph->value_count; v++) {
        const float *from = v == graph->input ? b->inputs : graph->values[v].data;
        size_t n = value_elements(&graph->values[v]) * (v == graph->input ? BATCH : 1);
        if (from == NULL)
            continue;
        wide[v] = calloc(n, sizeof **wide);
        for (size_t i = 0; i < n; i++)
            wide[v][i] = (double)from[i];
    }
    return wide;
}

static double quotient(const struct bench *b, double **wide, double *element)
{
    double kept = *element;
    *element = kept + STEP;
    double above = wide_loss(b, wide);
    *element = kept - STEP;
    double below = wide_loss(b, wide);
    *element = kept;
    return (above - below) / (2 * STEP);
}

static float *make_dhidden(const struct bench *b, size_t count)
{
    float *dhidden = calloc(count * b->model->feature_count, sizeof *dhidden);
    for (size_t i = 0; i < count * b->model->feature_count; i++)
        dhidden[i] = dhidden_at(i);
    return dhidden;
}

static void check_gradients(struct model *model, const char *pattern)
{
    struct bench b = bench_on(model, pattern, BATCH);
    double **wide = wide_parameters(&b);
    float *dhidden = make_dhidden(&b, BATCH);
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, NULL), OK);
    head_backward(b.head, b.tape, dhidden, dlogits, b.gradient);
    for (size_t t = 0; t < b.plan->tensor_count; t++) {
        const struct live_tensor *tensor = &b.plan->tensors[t];
        double most = 0, scale = 1e-12;
        for (size_t i = 0; i < tensor->elements; i++) {
            double expected = quotient(&b, wide, &wide[b.plan->split->live[t]][i]);
            most = fmax(most, fabs(expected - (double)b.gradient[tensor->offset + i]));
            scale = fmax(scale, fabs(expected));
        }
        if (!(most / scale < TOLERANCE))
            fail_msg("%s: gradient off by %g", tensor->name, most / scale);
    }
    for (size_t v = 0; v < b.model->graph->value_count; v++)
        free(wide[v]);
    free(wide);
    free(dhidden);
    bench_close(&b);
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
