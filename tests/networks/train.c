/* Training of a whole network with everything live, for tests/networks/train.py.
 *     train MODEL BATCH CHANNELS HEIGHT WIDTH CLASSES INPUTS LABELS STEPS RATE FOLDER LIVE...
 * INPUTS: float32 samples, LABELS: int32. Plain SGD on the mean cross-entropy over the batch, the
 * new head behind the flattened output. FOLDER takes `initial`, `gradient` (of the first step) and
 * `final`, float32; prints "NAME ELEMENTS" of each live tensor in their order, then "loss L" a step.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/model/graph.h"
#include "common/model/model.h"
#include "common/model/plan.h"
#include "tests/networks/program.h"
#include "worker/adapt/cross_entropy.h"
#include "worker/engine/head.h"
#include "worker/engine/trunk.h"

static void save(const char *folder, const char *name, const struct plan *plan, float *vector)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    transfer(path, "wb", vector, plan->live_elements * sizeof *vector);
}

static size_t whole(const char *text)
{
    return strtoul(text, NULL, 10);
}

static void *room(size_t count, size_t bytes)
{
    void *memory = calloc(count + 1, bytes);
    if (memory == NULL)
        exit(1);
    return memory;
}

struct training {
    struct plan *plan;
    struct head *head;
    struct tape *tape;
    size_t batch, classes;
    float *features, *live, *gradient, *dlogits, *targets; /* targets [batch, classes] */
};

/* What the trunk computes (nothing but what no parameter feeds: masks) never changes. */
static void open_training(struct training *t, struct model *model, const char *inputs,
                          const struct live_config *everything)
{
    float *samples = room(t->batch * model->input_elements, sizeof *samples);
    struct trunk *trunk = NULL;
    must(plan_create(model, everything, &t->plan, &err));
    must(head_create(t->plan, t->batch, NULL, &t->head, &err));
    must(tape_create(t->head, &t->tape, &err));
    must(trunk_create(t->plan, t->batch, &trunk, &err));
    transfer(inputs, "rb", samples, t->batch * model->input_elements * sizeof *samples);
    t->features = room(t->batch * t->plan->boundary_elements, sizeof *t->features);
    must(trunk_run(trunk, samples, t->features, &err));
    t->live = room(t->plan->live_elements, sizeof *t->live);
    t->gradient = room(t->plan->live_elements, sizeof *t->gradient);
    t->dlogits = room(t->batch * t->classes, sizeof *t->dlogits);
    t->targets = room(t->batch * t->classes, sizeof *t->targets);
    plan_initial(t->plan, 1, t->live);
    trunk_destroy(&trunk);
    free(samples);
}

static void read_labels(struct training *t, const char *path)
{
    int32_t *labels = room(t->batch, sizeof *labels);
    transfer(path, "rb", labels, t->batch * sizeof *labels);
    for (size_t i = 0; i < t->batch; i++)
        t->targets[i * t->classes + (size_t)labels[i]] = 1;
    free(labels);
}

/* Leaves the gradient of the mean; returns the mean loss. */
static double step(struct training *t)
{
    head_set_weights(t->head, t->live);
    must(head_forward(t->head, t->tape, t->features, t->batch, &err));
    memset(t->dlogits, 0, t->batch * t->classes * sizeof *t->dlogits);
    memset(t->gradient, 0, t->plan->live_elements * sizeof *t->gradient);
    struct loss_sum sum = cross_entropy(tape_logits(t->tape), t->targets, t->batch, t->classes, 0,
                                        NULL, 1.0 / (double)t->batch, t->dlogits);
    head_backward(t->head, t->tape, NULL, t->dlogits, t->gradient);
    return sum.loss / (double)t->batch;
}

int main(int argc, char **argv)
{
    if (argc < 13)
        return 2;
    const struct live_config everything = {.patterns = (const char **)(void *)(argv + 12),
                                           .pattern_count = (size_t)argc - 12};
    const struct model_config config = {.file = argv[1], .cut = "", .pool = POOL_NONE};
    struct preprocess_config sample = {.channels = (uint32_t)whole(argv[3]),
                                       .height = (uint32_t)whole(argv[4]),
                                       .width = (uint32_t)whole(argv[5])};
    struct training t = {.batch = whole(argv[2]), .classes = whole(argv[6])};
    struct model *model = NULL;
    double rate = strtod(argv[10], NULL);
    must(model_open(&config, &sample, t.classes, &model, &err));
    open_training(&t, model, argv[7], &everything);
    read_labels(&t, argv[8]);
    save(argv[11], "initial", t.plan, t.live);
    for (size_t i = 0; i < t.plan->tensor_count; i++)
        printf("%s %zu\n", t.plan->tensors[i].name, t.plan->tensors[i].elements);
    for (size_t n = 0; n < whole(argv[9]); n++) {
        printf("loss %.9g\n", step(&t));
        if (n == 0)
            save(argv[11], "gradient", t.plan, t.gradient);
        for (size_t i = 0; i < t.plan->live_elements; i++)
            t.live[i] -= (float)(rate * (double)t.gradient[i]);
    }
    save(argv[11], "final", t.plan, t.live);
    tape_destroy(&t.tape);
    head_destroy(&t.head);
    plan_destroy(&t.plan);
    model_destroy(&model);
    free(t.features);
    free(t.live);
    free(t.gradient);
    free(t.dlogits);
    free(t.targets);
    return 0;
}
