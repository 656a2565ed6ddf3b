/* The trunk's and head's side of tests/bench/trunk_bench.py, which drives it through stdin, one
 * command a line:
 *     inputs FILE    reads batch × input float32 from FILE
 *     run N          runs the trunk N times, prints milliseconds of each
 *     features FILE  writes the last features
 *     export FILE    writes the cut model with a fresh head as ONNX
 * trunk_bench MODEL CUT BATCH [SIZE]            the trunk up to the pooled features
 * trunk_bench MODEL CUT BATCH SIZE head LIVE…   times one micro-batch through the head instead and
 *                                               ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/model/plan.h"
#include "worker/engine/head.h"
#include "worker/engine/trunk.h"

#define CLASSES 10

static struct error err;

static void must(enum status status)
{
    if (status != OK) {
        fprintf(stderr, "trunk_bench: %s\n", err.text);
        exit(1);
    }
}

static void transfer(const char *path, const char *mode, float *data, size_t count)
{
    FILE *file = fopen(path, mode);
    size_t done = 0;
    if (file != NULL)
        done = mode[0] == 'r' ? fread(data, sizeof *data, count, file)
                              : fwrite(data, sizeof *data, count, file);
    if (file == NULL || fclose(file) != 0 || done != count) {
        fprintf(stderr, "trunk_bench: %s: cannot transfer %zu floats\n", path, count);
        exit(1);
    }
}

static void time_runs(struct trunk *trunk, const float *inputs, float *features, long runs)
{
    for (long i = 0; i < runs; i++) {
        double start = clock_seconds();
        if (trunk_run(trunk, inputs, features, NULL) != OK)
            return;
        printf("%s%.4f", i > 0 ? " " : "", 1e3 * (clock_seconds() - start));
    }
    printf("\n");
}

static void export_initial(const struct plan *plan, const char *path)
{
    float *live = calloc(plan->live_elements, sizeof *live);
    plan_initial(plan, 1, live);
    must(model_export(plan->model, plan, live, NULL, path, &err));
    free(live);
}

static void serve(const struct plan *plan, struct trunk *trunk, size_t batch)
{
    size_t input_count = batch * plan->model->input_elements,
           feature_count = batch * plan->boundary_elements;
    float *inputs = calloc(input_count, sizeof *inputs),
          *features = calloc(feature_count, sizeof *features);
    char line[4096];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "inputs ", 7) == 0)
            transfer(line + 7, "rb", inputs, input_count);
        else if (strncmp(line, "run ", 4) == 0)
            time_runs(trunk, inputs, features, strtol(line + 4, NULL, 10));
        else if (strncmp(line, "features ", 9) == 0)
            transfer(line + 9, "wb", features, feature_count);
        else if (strncmp(line, "export ", 7) == 0)
            export_initial(plan, line + 7);
        if (strncmp(line, "run ", 4) != 0)
            puts("ok");
        fflush(stdout);
    }
    free(inputs);
    free(features);
}

static void time_head(const struct plan *plan, size_t batch)
{
    struct head *head = NULL;
    struct tape *tape = NULL;
    must(head_create(plan, batch, NULL, &head, &err));
    must(tape_create(head, &tape, &err));
    float *live = calloc(plan->live_elements, sizeof *live),
          *gradient = calloc(plan->live_elements, sizeof *live);
    float *features = calloc(batch * plan->boundary_elements, sizeof *features);
    float *dlogits = calloc(batch * CLASSES, sizeof *dlogits);
    plan_initial(plan, 1, live);
    head_set_weights(head, live);
    for (size_t i = 0; i < batch * plan->boundary_elements; i++)
        features[i] = (float)(i % 17) / 17 - 0.5f;
    for (size_t i = 0; i < batch * CLASSES; i++)
        dlogits[i] = (float)(i % 7) / 7 - 0.5f;
    double best_forward = 1e9, best_backward = 1e9;
    for (int i = 0; i < 100; i++) {
        double start = clock_seconds();
        if (head_forward(head, tape, features, batch, NULL) != OK)
            return;
        double middle = clock_seconds();
        head_backward(head, tape, NULL, dlogits, gradient);
        double end = clock_seconds();
        best_forward = middle - start < best_forward ? middle - start : best_forward;
        best_backward = end - middle < best_backward ? end - middle : best_backward;
    }
    printf("live %zu forward_ms %.3f backward_ms %.3f step_ms %.3f\n", plan->live_elements,
           1e3 * best_forward, 1e3 * best_backward, 1e3 * (best_forward + best_backward));
    head_destroy(&head);
    tape_destroy(&tape);
    free(live);
    free(gradient);
    free(features);
    free(dlogits);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return fprintf(stderr, "usage: trunk_bench MODEL CUT BATCH [SIZE [head LIVE…]]\n"), 2;
    uint32_t size = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 48;
    size_t batch = strtoul(argv[3], NULL, 10);
    bool head = argc > 5;
    struct model_config config = {.file = argv[1], .cut = argv[2], .pool = POOL_MEAN};
    struct preprocess_config input = {.width = size, .height = size, .channels = 3};
    struct model *model = NULL;
    struct plan *plan = NULL;
    struct trunk *trunk = NULL;
    must(model_open(&config, &input, CLASSES, &model, &err));
    must(plan_create(model,
                     &(struct live_config){.patterns = (const char **)(void *)(argv + 6),
                                           .pattern_count = head ? (size_t)argc - 6 : 0},
                     &plan, &err));
    if (head) {
        time_head(plan, batch);
    } else {
        must(trunk_create(plan, batch, &trunk, &err));
        serve(plan, trunk, batch);
    }
    trunk_destroy(&trunk);
    plan_destroy(&plan);
    model_destroy(&model);
    return 0;
}
