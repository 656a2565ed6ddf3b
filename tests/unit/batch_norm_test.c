/* BatchNormalization whose statistics are live: the micro-batch's own in training, running ones in
 * prediction. The oracle follows PyTorch's torch.nn.BatchNorm2d: x̂ by the biased variance, the running
 * variance follows the unbiased one. */
#include "tests/unit/head_bench.h"

#define CHANNELS 4
#define PLANE 6
#define STATISTICS_TOLERANCE 1e-5

static uint32_t norm(struct net *net, const char *name, uint32_t x)
{
    static const char *const parts[] = {"scale", "bias", "mean", "variance"};
    const double means[] = {1, 0, 0.3, 2}, spreads[] = {0.2, 0.2, 0.2, 0.1};
    uint32_t at[4];
    for (int i = 0; i < 4; i++) {
        char part[64];
        snprintf(part, sizeof part, "%s.%s", name, parts[i]);
        at[i] = net_constant(net, part, net_shape(1, CHANNELS), means[i], spreads[i]);
    }
    return net_node(net, OP_BATCH_NORM, name, NULL, 5, x, at[0], at[1], at[2], at[3]);
}

static uint32_t pointwise(struct net *net, const char *name, uint32_t x)
{
    char weight[64];
    snprintf(weight, sizeof weight, "%s.w", name);
    return net_node(net, OP_CONV, name, NULL, 2, x,
                    net_constant(net, weight, net_shape(4, CHANNELS, CHANNELS, 1, 1), 0, 0.5));
}

/* Convolution, norm, activation, twice: the upper norm's gradient goes through the lower one. */
static struct model *make_model(void)
{
    struct net net = net_create(net_shape(4, -1, CHANNELS, 2, 3));
    uint32_t at = norm(&net, "lower", pointwise(&net, "first", net.graph->input));
    at = net_node(&net, OP_TANH, "tanh", NULL, 1, at);
    at = norm(&net, "upper", pointwise(&net, "second", at));
    return net_model(&net, net_node(&net, OP_SIGMOID, "sigmoid", NULL, 1, at), CLASSES);
}

static const char *const every[] = {"*"};

static struct bench open(struct model *model, enum batch_norm mode, size_t batch_max)
{
    const struct live_config live = {
        .patterns = (const char **)(uintptr_t)every, .pattern_count = 1, .batch_norm = mode};
    return bench_of(model, &live, batch_max);
}

static const struct live_tensor *find(const struct plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->tensor_count; i++)
        if (strcmp(plan->tensors[i].name, name) == 0)
            return &plan->tensors[i];
    return NULL;
}

static void each_mode_makes_its_parameters_live(void **state)
{
    (void)state;
    const struct {
        enum batch_norm mode;
        bool scale, mean;
    } rows[] = {{BATCH_NORM_FROZEN, true, false},
                {BATCH_NORM_TRAIN, true, true},
                {BATCH_NORM_ADAPT, false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench b = open(make_model(), rows[i].mode, BATCH);
        const struct live_tensor *mean = find(b.plan, "lower.mean");
        assert_int_equal(find(b.plan, "lower.scale") != NULL, rows[i].scale);
        assert_int_equal(find(b.plan, "upper.bias") != NULL, rows[i].scale);
        assert_int_equal(mean != NULL, rows[i].mean);
        assert_int_equal(find(b.plan, "upper.variance") != NULL, rows[i].mean);
        assert_true(mean == NULL || mean->running);
        assert_false(find(b.plan, "first.w")->running);
        bench_close(&b);
    }
}

/* Folded into the convolution before it, it could not move. */
static void what_lies_after_a_live_norm_is_head(void **state)
{
    (void)state;
    const char *pattern = "upper.*";
    const struct live_config live = {
        .patterns = &pattern, .pattern_count = 1, .batch_norm = BATCH_NORM_ADAPT};
    struct bench b = bench_of(make_model(), &live, BATCH);
    const struct graph *graph = b.model->graph;
    assert_int_equal(b.plan->split->boundary_count, 1);
    assert_string_equal(graph->values[b.plan->split->boundary[0]].name, "second");
    bench_close(&b);
}

static void what_cannot_follow_is_refused(void **state)
{
    (void)state;
    const char *pattern = "first.w";
    struct model *model = make_model();
    struct plan *plan = NULL;
    struct error err;
    const struct live_config none = {
        .patterns = &pattern, .pattern_count = 1, .batch_norm = BATCH_NORM_TRAIN};
    assert_int_equal(plan_create(model, &none, &plan, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "no BatchNormalization"));
    model_destroy(&model);
    struct net net = net_create(net_shape(4, -1, CHANNELS, 2, 3));
    uint32_t once = norm(&net, "norm", net.graph->input);
    const struct node *node = &net.graph->nodes[0];
    uint32_t twice = net_node(&net, OP_BATCH_NORM, "twice", NULL, 5, once, node->inputs[1],
                              node->inputs[2], node->inputs[3], node->inputs[4]);
    model = net_model(&net, twice, CLASSES);
    const struct live_config all = {.patterns = (const char **)(uintptr_t)every,
                                    .pattern_count = 1,
                                    .batch_norm = BATCH_NORM_TRAIN};
    assert_int_equal(plan_create(model, &all, &plan, &err), ERR_SUPPORT);
    assert_non_null(strstr(err.text, "norm.mean"));
    model_destroy(&model);
}

/* Through both norms' statistics, against differences of the double oracle. */
static void gradients_go_through_the_statistics(void **state)
{
    (void)state;
    const struct live_config live = {.patterns = (const char **)(uintptr_t)every,
                                     .pattern_count = 1,
                                     .batch_norm = BATCH_NORM_TRAIN};
    check_gradients_of(make_model(), &live);
}

/* ---- statistics ---- */

/* Of a channel of the lower norm's input, over the first `count` samples. */
static void channel_statistics(const struct bench *b, size_t count, size_t c, double *mean,
                               double *unbiased)
{
    struct net_values values = net_evaluate(b->model->graph, b->inputs, BATCH, NULL);
    const float *x = values.data[b->model->graph->nodes[0].output];
    double sum = 0, squares = 0, n = (double)(count * PLANE);
    for (size_t i = 0; i < count * PLANE; i++)
        sum += (double)x[(i / PLANE * CHANNELS + c) * PLANE + i % PLANE];
    for (size_t i = 0; i < count * PLANE; i++)
        squares += pow((double)x[(i / PLANE * CHANNELS + c) * PLANE + i % PLANE] - sum / n, 2);
    *mean = sum / n;
    *unbiased = squares / (n - 1);
    net_release(&values);
}

static void check_statistics(enum batch_norm mode, size_t count)
{
    struct bench b = open(make_model(), mode, BATCH);
    const float *mean = b.gradient + find(b.plan, "lower.mean")->offset,
                *variance = b.gradient + find(b.plan, "lower.variance")->offset;
    assert_int_equal(head_forward(b.head, b.tape, b.features, count, &b.err), OK);
    head_backward(b.head, b.tape, NULL, dlogits, b.gradient);
    for (size_t c = 0; c < CHANNELS; c++) {
        double expected_mean, expected_variance;
        channel_statistics(&b, count, c, &expected_mean, &expected_variance);
        assert_true(fabs((double)mean[c] - (double)count * expected_mean) < STATISTICS_TOLERANCE);
        assert_true(fabs((double)variance[c] - (double)count * expected_variance) <
                    STATISTICS_TOLERANCE);
    }
    bench_close(&b);
}

static void backward_brings_the_micro_batch_s_sums(void **state)
{
    (void)state;
    check_statistics(BATCH_NORM_TRAIN, BATCH);
    check_statistics(BATCH_NORM_ADAPT, BATCH);
    check_statistics(BATCH_NORM_TRAIN, BATCH - 1);
}

/* Samples that only fill up the batch count nowhere. */
static void a_batch_that_is_not_full_is_its_samples_alone(void **state)
{
    (void)state;
    enum { COUNT = 2 };
    struct bench full = open(make_model(), BATCH_NORM_TRAIN, COUNT),
                 wide = open(make_model(), BATCH_NORM_TRAIN, BATCH);
    assert_int_equal(head_forward(full.head, full.tape, full.features, COUNT, &full.err), OK);
    assert_int_equal(head_forward(wide.head, wide.tape, wide.features, COUNT, &wide.err), OK);
    assert_true(net_difference(tape_logits(wide.tape), tape_logits(full.tape), COUNT * CLASSES) <
                1e-6);
    head_backward(full.head, full.tape, NULL, dlogits, full.gradient);
    head_backward(wide.head, wide.tape, NULL, dlogits, wide.gradient);
    assert_true(net_difference(wide.gradient, full.gradient, full.plan->live_elements) < 1e-5);
    bench_close(&full);
    bench_close(&wide);
}

static void prediction_is_by_running_statistics(void **state)
{
    (void)state;
    struct bench b = open(make_model(), BATCH_NORM_TRAIN, BATCH);
    struct net_values values = net_evaluate(b.model->graph, b.inputs, BATCH, NULL);
    const float *expected = values.data[b.model->graph->output];
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH, &b.err), OK);
    assert_true(net_difference(tape_logits(b.tape), expected, BATCH * CLASSES) > 1e-2);
    assert_int_equal(head_predict(b.head, b.tape, b.features, BATCH, &b.err), OK);
    assert_true(net_difference(tape_logits(b.tape), expected, BATCH * CLASSES) < TOLERANCE);
    float alone[CLASSES]; /* and its neighbours do not matter */
    memcpy(alone, tape_logits(b.tape), sizeof alone);
    assert_int_equal(head_predict(b.head, b.tape, b.features, 1, &b.err), OK);
    assert_memory_equal(alone, tape_logits(b.tape), sizeof alone);
    net_release(&values);
    bench_close(&b);
}

/* Without a picture around it one value has no variance: the running statistics stand in and stay. */
static void one_value_a_channel_leaves_the_statistics(void **state)
{
    (void)state;
    struct net net = net_create(net_shape(2, -1, CHANNELS));
    struct model *model = net_model(&net, norm(&net, "norm", net.graph->input), CLASSES);
    struct bench b = open(model, BATCH_NORM_TRAIN, BATCH);
    const struct live_tensor *mean = find(b.plan, "norm.mean"),
                             *variance = find(b.plan, "norm.variance");
    assert_int_equal(head_forward(b.head, b.tape, b.features, 1, &b.err), OK);
    float logits[CLASSES];
    memcpy(logits, tape_logits(b.tape), sizeof logits);
    head_backward(b.head, b.tape, NULL, dlogits, b.gradient);
    assert_memory_equal(b.gradient + mean->offset, b.live + mean->offset,
                        CHANNELS * sizeof *b.live);
    assert_memory_equal(b.gradient + variance->offset, b.live + variance->offset,
                        CHANNELS * sizeof *b.live);
    assert_int_equal(head_predict(b.head, b.tape, b.features, 1, &b.err), OK);
    assert_true(net_difference(tape_logits(b.tape), logits, CLASSES) < 1e-5);
    bench_close(&b);
}

/* With less memory values are computed again in backward: with the same statistics. */
static void computing_again_gives_the_same_bits(void **state)
{
    (void)state;
    const struct head_room small = {.overlap = true, .tapes = 1, .bytes_max = 1};
    struct bench b = open(make_model(), BATCH_NORM_TRAIN, BATCH);
    struct head *head = NULL;
    struct tape *tape = NULL;
    float *again = calloc(b.plan->live_elements, sizeof *again);
    assert_int_equal(head_create(b.plan, BATCH, &small, &head, &b.err), OK);
    assert_true(head_bytes(head).forwards > head_bytes(b.head).forwards);
    assert_int_equal(tape_create(head, &tape, &b.err), OK);
    head_set_weights(head, b.live);
    for (size_t i = 0; i < 2; i++) { /* a prediction in between leaves nothing behind */
        assert_int_equal(head_predict(head, tape, b.features, 1, &b.err), OK);
        memset(again, 0, b.plan->live_elements * sizeof *again);
        assert_int_equal(head_forward(head, tape, b.features, BATCH - 1, &b.err), OK);
        head_backward(head, tape, NULL, dlogits, again);
    }
    assert_int_equal(head_forward(b.head, b.tape, b.features, BATCH - 1, &b.err), OK);
    head_backward(b.head, b.tape, NULL, dlogits, b.gradient);
    assert_memory_equal(again, b.gradient, b.plan->live_elements * sizeof *again);
    tape_destroy(&tape);
    head_destroy(&head);
    free(again);
    bench_close(&b);
}

/* Of micro-batches that are under way together each keeps to its own samples. */
static void micro_batches_in_flight_do_not_mix(void **state)
{
    (void)state;
    struct bench b = open(make_model(), BATCH_NORM_TRAIN, BATCH);
    struct tape *tapes[2] = {b.tape, NULL};
    const size_t counts[2] = {BATCH, 1};
    float *apart = calloc(b.plan->live_elements, sizeof *apart);
    assert_int_equal(tape_create(b.head, &tapes[1], &b.err), OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(head_forward(b.head, tapes[i], b.features, counts[i], &b.err), OK);
        head_backward(b.head, tapes[i], NULL, dlogits, apart);
    }
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(head_forward(b.head, tapes[i], b.features, counts[i], &b.err), OK);
    for (size_t i = 0; i < 2; i++)
        head_backward(b.head, tapes[i], NULL, dlogits, b.gradient);
    assert_memory_equal(apart, b.gradient, b.plan->live_elements * sizeof *apart);
    tape_destroy(&tapes[1]);
    free(apart);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mode_makes_its_parameters_live),
        cmocka_unit_test(what_lies_after_a_live_norm_is_head),
        cmocka_unit_test(what_cannot_follow_is_refused),
        cmocka_unit_test(gradients_go_through_the_statistics),
        cmocka_unit_test(backward_brings_the_micro_batch_s_sums),
        cmocka_unit_test(a_batch_that_is_not_full_is_its_samples_alone),
        cmocka_unit_test(prediction_is_by_running_statistics),
        cmocka_unit_test(one_value_a_channel_leaves_the_statistics),
        cmocka_unit_test(micro_batches_in_flight_do_not_mix),
        cmocka_unit_test(computing_again_gives_the_same_bits),
    };
    return cmocka_run_group_tests_name("batch norm", tests, NULL, NULL);
}
