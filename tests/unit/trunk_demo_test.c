/* The demo model as a whole. Skipped, visibly, where its file is not in the cache
 * (scripts/fetch-demo gets it). */
#include "tests/unit/net_fixture.h"

#include <unistd.h>

#include "common/base/file.h"
#include "common/model/plan.h"
#include "worker/engine/head.h"
#include "worker/engine/trunk.h"

#define MODEL_FILE "cache:demo/ch_PP-OCRv4_rec_infer.onnx"
#define CUT "p2o.AveragePool.1"
#define CLASSES 10
#define BATCH 8
/* Thirty convolutions deep with folded scalars; features are of the order of 1. */
#define TOLERANCE 1e-4

static struct model *open_demo(void)
{
    char path[PATH_BYTES];
    struct error err;
    struct model *model = NULL;
    struct model_config config = {.file = MODEL_FILE, .cut = CUT, .pool = POOL_MEAN};
    struct preprocess_config input = {.width = 48, .height = 48, .channels = 3};
    if (job_path(MODEL_FILE, path, &err) != OK || access(path, R_OK) != 0) {
        print_message("the demo model is not in the cache\n");
        skip();
    }
    if (model_open(&config, &input, CLASSES, &model, &err) != OK)
        fail_msg("%s", err.text);
    return model;
}

static struct plan *make_plan(const struct model *model, const char *pattern)
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

static float *run_trunk(const struct plan *plan, const float *inputs, size_t batch)
{
    struct trunk *trunk = NULL;
    struct error err;
    float *features = calloc(batch * plan->boundary_elements, sizeof *features);
    if (trunk_create(plan, batch, &trunk, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(trunk_run(trunk, inputs, features, NULL), OK);
    trunk_destroy(&trunk);
    return features;
}

static void the_demo_model_has_480_features(void **state)
{
    (void)state;
    struct model *model = open_demo();
    struct plan *plan = make_plan(model, "conv2d_184*");
    assert_int_equal(model->feature_count, 480);
    assert_int_equal(plan->boundary_elements, 480 * 3 * 12);
    assert_int_equal(plan->live_elements, 480 * 480 + 480 + CLASSES * 480 + CLASSES);
    plan_destroy(&plan);
    model_destroy(&model);
}

static void trunk_and_head_together_equal_the_plain_graph(void **state)
{
    (void)state;
    const char *const patterns[] = {NULL, "conv2d_184*", "conv2d_18[34]*"};
    struct model *model = open_demo();
    float *inputs = net_inputs(2 * model->input_elements);
    struct net_values values = net_evaluate(model->graph, inputs, 2, NULL);
    for (size_t i = 0; i < 3; i++) {
        struct plan *plan = make_plan(model, patterns[i]);
        struct head *head = NULL;
        struct tape *tape = NULL;
        struct error err;
        float *features = run_trunk(plan, inputs, 2),
              *live = calloc(plan->live_elements, sizeof *live);
        assert_int_equal(head_create(plan, 2, NULL, &head, &err), OK);
        assert_int_equal(tape_create(head, &tape, &err), OK);
        plan_initial(plan, 1, live);
        head_set_weights(head, live);
        assert_int_equal(head_forward(head, tape, features, 2, NULL), OK);
        double difference =
            net_difference(tape_hidden(tape), values.data[model->graph->features], 2 * 480);
        if (!(difference < TOLERANCE))
            fail_msg("features off by %g", difference);
        tape_destroy(&tape);
        head_destroy(&head);
        plan_destroy(&plan);
        free(features);
        free(live);
    }
    net_release(&values);
    free(inputs);
    model_destroy(&model);
}

/* Caching rests on it: a sample's features do not depend on its neighbours or its place in the
 * batch. */
static void features_do_not_depend_on_the_place_in_the_batch(void **state)
{
    (void)state;
    struct model *model = open_demo();
    struct plan *plan = make_plan(model, "conv2d_184*");
    size_t n = model->input_elements, d = plan->boundary_elements;
    float *inputs = net_inputs(BATCH * n), *turned = net_inputs(BATCH * n);
    for (size_t i = 0; i < BATCH; i++)
        memcpy(turned + i * n, inputs + (BATCH - 1 - i) * n, n * sizeof *inputs);
    float *features = run_trunk(plan, inputs, BATCH), *reversed = run_trunk(plan, turned, BATCH);
    for (size_t i = 0; i < BATCH; i++)
        assert_memory_equal(features + i * d, reversed + (BATCH - 1 - i) * d, d * sizeof *features);
    float *wide = run_trunk(plan, inputs, BATCH);
    assert_memory_equal(wide, features, BATCH * d * sizeof *features);
    free(inputs);
    free(turned);
    free(features);
    free(reversed);
    free(wide);
    plan_destroy(&plan);
    model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_demo_model_has_480_features),
        cmocka_unit_test(trunk_and_head_together_equal_the_plain_graph),
        cmocka_unit_test(features_do_not_depend_on_the_place_in_the_batch),
    };
    return cmocka_run_group_tests_name("trunk on the demo model", tests, NULL, NULL);
}
