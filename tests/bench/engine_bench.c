/* The engine's side of tests/bench/engine_bench.py, which drives it through stdin, one command a line:
 *     inputs FILE      batch × input float32
 *     labels FILE      batch class numbers as float32
 *     head FILE        the new head's weight and bias
 *     run N            the trunk, N times
 *     features FILE    writes the last features
 *     step N           N steps of SGD on the whole: trunk, head, cross entropy, gradients, update
 *     epoch N          N such steps on the last features, samples in another order
 *     logits FILE      writes the batch's logits under the present weights
 *     peak             GFLOP/s of a bare product by the better of OpenBLAS and oneDNN, of one of
 *                      bfloat16 (0: not here), GB/s read and written by a bare copy
 * What takes time prints the milliseconds of processor time of each: the machine may be shared.
 * engine_bench float32|bfloat16 MODEL CUT BATCH WIDTH HEIGHT CHANNELS [LIVE…]: the first is the trunk's */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/error.h"
#include "common/base/platform.h"
#include "common/model/plan.h"
#include "worker/engine/head.h"
#include "worker/engine/onednn.h"
#include "worker/engine/ops/product.h"
#include "worker/engine/trunk.h"

#define CLASSES ((size_t)10)
#define RATE 1e-5f
#define PEAK_ORDER ((size_t)1024)
#define PEAK_BYTES ((size_t)64 << 20)

struct bench {
    struct model *model;
    struct plan *plan;
    struct trunk *trunk;
    struct head *head;
    struct tape *tape;
    size_t batch;
    float *inputs, *features, *labels, *mixed, *mixed_labels;
    float *live, *gradient, *dlogits;
};

static struct error err;

static void must(enum status status)
{
    if (status != OK) {
        fprintf(stderr, "engine_bench: %s\n", err.text);
        exit(1);
    }
}

static float *floats(size_t count)
{
    float *memory = aligned_alloc(64, (count * sizeof *memory + 127) / 64 * 64);
    if (memory == NULL)
        exit(1);
    memset(memory, 0, count * sizeof *memory);
    return memory;
}

static void transfer(const char *path, const char *mode, float *data, size_t count)
{
    FILE *file = fopen(path, mode);
    size_t done = 0;
    if (file != NULL)
        done = mode[0] == 'r' ? fread(data, sizeof *data, count, file)
                              : fwrite(data, sizeof *data, count, file);
    if (file == NULL || fclose(file) != 0 || done != count) {
        fprintf(stderr, "engine_bench: %s: cannot transfer %zu floats\n", path, count);
        exit(1);
    }
}

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* ---- one step ---- */

/* Of the mean cross entropy: (softmax - one-hot) / batch. */
static void loss_gradient(const float *logits, const float *labels, size_t batch, float *dlogits)
{
    for (size_t i = 0; i < batch; i++) {
        const float *row = logits + i * CLASSES;
        float largest = row[0], sum = 0;
        for (size_t c = 1; c < CLASSES; c++)
            largest = fmaxf(largest, row[c]);
        for (size_t c = 0; c < CLASSES; c++)
            sum += expf(row[c] - largest);
        for (size_t c = 0; c < CLASSES; c++)
            dlogits[i * CLASSES + c] =
                (expf(row[c] - largest) / sum - (c == (size_t)labels[i])) / (float)batch;
    }
}

static void update(struct bench *b)
{
    for (size_t i = 0; i < b->plan->live_elements; i++)
        b->live[i] -= RATE * b->gradient[i];
    memset(b->gradient, 0, b->plan->live_elements * sizeof *b->gradient);
    head_set_weights(b->head, b->live);
}

static void learn(struct bench *b, const float *features, const float *labels)
{
    must(head_forward(b->head, b->tape, features, b->batch, &err));
    loss_gradient(tape_logits(b->tape), labels, b->batch, b->dlogits);
    head_backward(b->head, b->tape, NULL, b->dlogits, b->gradient);
    update(b);
}

static void step(struct bench *b)
{
    must(trunk_run(b->trunk, b->inputs, b->features, &err));
    learn(b, b->features, b->labels);
}

/* A batch of cached rows, gathered in another order each time. */
static void cached(struct bench *b)
{
    size_t row = b->plan->boundary_elements;
    for (size_t i = 0; i < b->batch; i++) {
        size_t from = (i * 7 + 3) % b->batch;
        memcpy(b->mixed + i * row, b->features + from * row, row * sizeof *b->mixed);
        b->mixed_labels[i] = b->labels[from];
    }
    learn(b, b->mixed, b->mixed_labels);
}

static void run(struct bench *b)
{
    must(trunk_run(b->trunk, b->inputs, b->features, &err));
}

/* ---- commands ---- */

static void time_each(struct bench *b, void (*work)(struct bench *), long count)
{
    for (long i = 0; i < count; i++) {
        double start = milliseconds();
        work(b);
        printf("%s%.4f", i > 0 ? " " : "", milliseconds() - start);
    }
    printf("\n");
}

/* Milliseconds of a bare product of bfloat16, or 0. */
static double peak_half(void *a, void *b, void *c)
{
    const struct shape square = {.rank = 2, .dims = {(int64_t)PEAK_ORDER, (int64_t)PEAK_ORDER}};
    struct onednn dnn;
    struct onednn_call call;
    dnnl_primitive_desc_t desc = NULL;
    double best = 1e9;
    if (trunk_supports(TRUNK_BFLOAT16, trunk_isa(), &err) != OK)
        return 0;
    must(onednn_init(&dnn, &err));
    const struct onednn_layout *plain = onednn_plain(&dnn, &square);
    const struct onednn_operation product = {
        .kind = dnnl_inner_product,
        .pass = dnnl_forward_inference,
        .x = onednn_cast(&dnn, plain, dnnl_bf16),
        .w = onednn_cast(&dnn, onednn_any(&dnn, &square), dnnl_bf16),
        .y = plain};
    must(onednn_describe(&dnn, &product, NULL, "a product", &desc, &err));
    must(onednn_call_init(&call, desc, &err));
    must(onednn_call_bind(&call, &dnn, DNNL_ARG_SRC, a, &err));
    must(onednn_call_bind(&call, &dnn, DNNL_ARG_WEIGHTS, b, &err));
    must(onednn_call_bind(&call, &dnn, DNNL_ARG_DST, c, &err));
    for (int i = 0; i < 5; i++) {
        double start = milliseconds();
        onednn_call_run(&call, &dnn);
        best = fmin(best, milliseconds() - start);
    }
    onednn_call_deinit(&call);
    onednn_deinit(&dnn);
    return best;
}

static void peak(void)
{
    const size_t n = PEAK_ORDER;
    const struct product square = {.rows = n, .inner = n, .columns = n, .alpha = 1};
    float *a = floats(PEAK_BYTES / sizeof *a), *c = floats(PEAK_BYTES / sizeof *a);
    double product = 1e9, copy = 1e9;
    for (size_t i = 0; i < n * n; i++)
        a[i] = (float)(i % 13) / 13;
    for (int i = 0; i < 5; i++) {
        double start = milliseconds();
        product_forward(&square, a, a + n * n, 0, c);
        double second = milliseconds();
        dnnl_sgemm('N', 'N', (dnnl_dim_t)n, (dnnl_dim_t)n, (dnnl_dim_t)n, 1, a, (dnnl_dim_t)n,
                   a + n * n, (dnnl_dim_t)n, 0, c, (dnnl_dim_t)n);
        double third = milliseconds();
        memcpy(c, a, PEAK_BYTES);
        double end = milliseconds();
        product = fmin(product, fmin(second - start, third - second));
        copy = fmin(copy, end - third);
    }
    memset(a, 0, PEAK_BYTES);
    double half = peak_half(a, a + n * n, c);
    printf("%.1f %.1f %.1f\n", 2e-6 * (double)(n * n * n) / product,
           half > 0 ? 2e-6 * (double)(n * n * n) / half : 0, 2e-6 * (double)PEAK_BYTES / copy);
    free(a);
    free(c);
}

static void write_logits(struct bench *b, const char *path)
{
    run(b);
    must(head_forward(b->head, b->tape, b->features, b->batch, &err));
    float *logits = floats(b->batch * CLASSES);
    memcpy(logits, tape_logits(b->tape), b->batch * CLASSES * sizeof *logits);
    transfer(path, "wb", logits, b->batch * CLASSES);
    free(logits);
}

/* The head's tensors are the last of the plan. */
static void read_head(struct bench *b, const char *path)
{
    size_t count = CLASSES * (b->model->feature_count + 1);
    transfer(path, "rb", b->live + b->plan->live_elements - count, count);
    head_set_weights(b->head, b->live);
}

static void serve(struct bench *b, const char *command, const char *argument)
{
    long count = strtol(argument, NULL, 10);
    if (strcmp(command, "run") == 0)
        time_each(b, run, count);
    else if (strcmp(command, "step") == 0)
        time_each(b, step, count);
    else if (strcmp(command, "epoch") == 0)
        time_each(b, cached, count);
    else if (strcmp(command, "peak") == 0)
        peak();
    else if (strcmp(command, "inputs") == 0)
        transfer(argument, "rb", b->inputs, b->batch * b->model->input_elements);
    else if (strcmp(command, "labels") == 0)
        transfer(argument, "rb", b->labels, b->batch);
    else if (strcmp(command, "features") == 0)
        transfer(argument, "wb", b->features, b->batch * b->plan->boundary_elements);
    else if (strcmp(command, "head") == 0)
        read_head(b, argument);
    else if (strcmp(command, "logits") == 0)
        write_logits(b, argument);
    puts("ok");
    fflush(stdout);
}

static void create(struct bench *b, char **argv, int live_count)
{
    struct model_config config = {.file = argv[2],
                                  .cut = argv[3],
                                  .pool = POOL_MEAN,
                                  .trunk_dtype = strcmp(argv[1], "bfloat16") == 0 ? TRUNK_BFLOAT16
                                                                                  : TRUNK_FLOAT32};
    struct preprocess_config sample = {.width = (uint32_t)strtoul(argv[5], NULL, 10),
                                       .height = (uint32_t)strtoul(argv[6], NULL, 10),
                                       .channels = (uint32_t)strtoul(argv[7], NULL, 10)};
    struct live_config live = {.patterns = (const char **)(void *)(argv + 8),
                               .pattern_count = (size_t)live_count};
    b->batch = strtoul(argv[4], NULL, 10);
    must(model_open(&config, &sample, CLASSES, &b->model, &err));
    must(plan_create(b->model, &live, &b->plan, &err));
    must(trunk_create(b->plan, b->batch, &b->trunk, &err));
    must(head_create(b->plan, b->batch, NULL, &b->head, &err));
    must(tape_create(b->head, &b->tape, &err));
    size_t features = b->batch * b->plan->boundary_elements;
    b->inputs = floats(b->batch * b->model->input_elements);
    b->features = floats(features);
    b->mixed = floats(features);
    b->labels = floats(b->batch);
    b->mixed_labels = floats(b->batch);
    b->live = floats(b->plan->live_elements);
    b->gradient = floats(b->plan->live_elements);
    b->dlogits = floats(b->batch * CLASSES);
    plan_initial(b->plan, 1, b->live);
    head_set_weights(b->head, b->live);
}

static void destroy(struct bench *b)
{
    float *owned[] = {b->inputs,       b->features, b->mixed,    b->labels,
                      b->mixed_labels, b->live,     b->gradient, b->dlogits};
    tape_destroy(&b->tape);
    head_destroy(&b->head);
    trunk_destroy(&b->trunk);
    plan_destroy(&b->plan);
    model_destroy(&b->model);
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

int main(int argc, char **argv)
{
    char line[4096];
    if (argc < 8)
        return fprintf(stderr, "usage: engine_bench float32|bfloat16 MODEL CUT BATCH WIDTH HEIGHT "
                               "CHANNELS [LIVE…]\n"),
               2;
    platform_prepare(argv);
    struct bench bench = {0};
    create(&bench, argv, argc - 8);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *argument = line + strcspn(line, " ");
        if (*argument != '\0')
            *argument++ = '\0';
        serve(&bench, line, argument);
    }
    destroy(&bench);
    return 0;
}
