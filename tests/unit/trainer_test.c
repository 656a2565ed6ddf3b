/* A whole step of the trainer, over all shards and both domains, against central differences of the
 * step's loss computed independently in double from the raw rows: every term with a weight of its
 * own, so that a dropped term, a wrong weight, sign, sample, label or divisor shows. Differences
 * with h = 1e-5 err below 1e-9; float32 through three layers: 1e-4 of a tensor's largest gradient.
 */
#include "tests/unit/net_fixture.h"

#include "common/base/log.h"
#include "common/data/shard.h"
#include "tests/unit/data_fixture.h"
#include "worker/data/augment.h"
#include "worker/trainer.h"

#define INPUTS 5
#define WIDE 8
#define HIDDEN 4
#define CLASSES 3
#define SHARDS 3
#define MICRO_BATCH 3
#define ROWS 40
#define STEP 1e-5
#define TOLERANCE 1e-4
#define LIVE (WIDE * HIDDEN + CLASSES * HIDDEN + CLASSES)

#define SMOOTHING 0.1
static const double class_weights[CLASSES] = {0.5, 2, 1}; /* of labels, not of pseudo labels */

static const char job_text[] =
    "model = { file = \"made-in-memory.onnx\"; };\n"
    "data = { classes = [\"a\", \"b\", \"c\"];\n"
    "  preprocess = { width = 5; height = 1; channels = 1; mean = [100.0]; std = [50.0]; };\n"
    "  augment = { variants = 3; jitter = 0.3; };\n"
    "  domains = (\n"
    "    { name = \"s\"; divide = [1, 0, 0]; sources = ( { format = \"csv\";\n"
    "      path = \"cache:s\"; width = 5; height = 1; label_column = 5; } ); },\n"
    "    { name = \"t\"; labelled = false; divide = [1, 0, 0]; sources = ( {\n"
    "      format = \"csv\"; path = \"cache:t\"; width = 5; height = 1; label_column = 5; } ); }\n"
    "  ); };\n"
    "cluster = { shards = 3; };\n"
    "stages = ( { name = \"adapt\"; domains = [\"s\", \"t\"]; live = [\"fc2\"]; micro_batch = 3;\n"
    "  losses = { class_weights = [0.5, 2, 1]; cross_entropy = 0.7; label_smoothing = 0.1; coral = "
    "100.0; information = 0.9;\n"
    "             self_training = 0.4; }; } );\n";

enum { SOURCE, TARGET };

/* As in the job; CORAL's is large because its loss is small. */
static double weights[TERM_COUNT] = {[TERM_LABELLED] = 0.7,
                                     [TERM_CORAL] = 100.0,
                                     [TERM_INFORMATION] = 0.9,
                                     [TERM_SELF_TRAINING] = 0.4};

static double rows[2][ROWS][INPUTS];
static int32_t labels[2][ROWS]; /* of the target: pseudo labels, LABEL_NONE among them */
static struct job *job;
static struct manifest *manifest;
static struct decoder *decoder;
static struct model *model;
static struct plan *plan;
static struct features *features;
static struct trainer *trainer;
static struct link_progress progress;

/* The samples of one domain in one step. */
struct batch {
    size_t count;
    size_t row[SHARDS * MICRO_BATCH];
    double x[SHARDS * MICRO_BATCH][INPUTS]; /* of the variant that the step takes */
};
static struct batch batches[2];
static unsigned variants_seen;

/* ---- the world ---- */

static void write_domain(int domain)
{
    char text[8192];
    size_t used = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        struct random_key key = {
            .seed = 11 + (uint64_t)domain, .purpose = RANDOM_SPLIT, .index = i};
        for (uint32_t k = 0; k < INPUTS; k++) {
            int pixel = 20 * domain + (int)(random_bits(key, k) % 200);
            rows[domain][i][k] = (pixel - 100.0) / 50.0;
            used += (size_t)snprintf(text + used, sizeof text - used, "%d,", pixel);
        }
        int32_t label = (int32_t)(random_bits(key, INPUTS) % CLASSES);
        used += (size_t)snprintf(text + used, sizeof text - used, "%c\n", 'a' + (int)label);
        /* Of the target the file's label is another one than the pseudo label. */
        labels[domain][i] = domain == SOURCE ? label
                            : i % 4 == 3     ? LABEL_NONE
                                             : (int32_t)((label + 1 + (int32_t)(i % 2)) % CLASSES);
    }
    fixture_text(domain == SOURCE ? "s" : "t", text);
}

/* input → fc1 → ReLU → fc2 → tanh → head; fc2 and the head are live. */
static struct model *make_model(void)
{
    struct net net = net_create(net_shape(2, -1, INPUTS));
    uint32_t fc1 = net_constant(&net, "fc1", net_shape(2, INPUTS, WIDE), 0, 0.5);
    uint32_t fc2 = net_constant(&net, "fc2", net_shape(2, WIDE, HIDDEN), 0, 0.3);
    uint32_t h1 = net_node(&net, OP_MATMUL, "m1", NULL, 2, net.graph->input, fc1);
    uint32_t r1 = net_node(&net, OP_RELU, "r1", NULL, 1, h1);
    uint32_t h2 = net_node(&net, OP_MATMUL, "m2", NULL, 2, r1, fc2);
    return net_model(&net, net_node(&net, OP_TANH, "t2", NULL, 1, h2), CLASSES);
}

#define DO(call)                                                                                   \
    do {                                                                                           \
        struct error err;                                                                          \
        if ((call) != OK)                                                                          \
            fail_msg("%s", err.text);                                                              \
    } while (0)

static int setup(void **state)
{
    fixture_setup(state);
    write_domain(SOURCE);
    write_domain(TARGET);
    DO(log_open("/dev/null", "test", LOG_ERROR, &err));
    DO(job_load(NULL, job_text, NULL, 0, &job, &err));
    manifest = fixture_manifest(job, MANIFEST_WORKER);
    model = make_model();
    DO(decoder_open(job, manifest, NULL, &decoder, &err));
    DO(plan_create(model, &job->stages[0].live, &plan, &err));
    DO(features_create(job, manifest, plan, decoder, &progress, &features, &err));
    DO(trainer_create(job, manifest, plan, 0, features, SIZE_MAX, &trainer, &err));
    DO(trainer_pseudo_labels(trainer, labels[TARGET], sizeof labels[TARGET], &err));
    assert_int_equal(plan->live_elements, LIVE);
    return 0;
}

static int teardown(void **state)
{
    trainer_destroy(&trainer);
    features_destroy(&features);
    plan_destroy(&plan);
    decoder_close(&decoder);
    model_destroy(&model);
    manifest_destroy(&manifest);
    job_destroy(&job);
    log_close();
    return fixture_teardown(state);
}

/* ---- the loss of a step, in double ---- */

static const float *constant(const char *name)
{
    return model->graph->values[graph_find(model->graph, name)].data;
}

static size_t offset_of(const char *name)
{
    for (size_t i = 0; i < plan->tensor_count; i++)
        if (strcmp(plan->tensors[i].name, name) == 0)
            return plan->tensors[i].offset;
    fail_msg("%s is not live", name);
    return 0;
}

struct answers {
    double hidden[HIDDEN], log_p[CLASSES];
};

static void hidden_of(const double *row, const double *live, double *hidden)
{
    const double *fc2 = live + offset_of("fc2");
    double wide[WIDE] = {0};
    for (size_t j = 0; j < WIDE; j++) {
        for (size_t k = 0; k < INPUTS; k++)
            wide[j] += row[k] * (double)constant("fc1")[k * WIDE + j];
        wide[j] = wide[j] > 0 ? wide[j] : 0;
    }
    for (size_t j = 0; j < HIDDEN; j++) {
        hidden[j] = 0;
        for (size_t k = 0; k < WIDE; k++)
            hidden[j] += wide[k] * fc2[k * HIDDEN + j];
        hidden[j] = tanh(hidden[j]);
    }
}

static struct answers answer(const double *row, const double *live)
{
    const double *weight = live + offset_of("head.weight"), *bias = live + offset_of("head.bias");
    struct answers a;
    double sum = 0;
    hidden_of(row, live, a.hidden);
    for (size_t k = 0; k < CLASSES; k++) {
        a.log_p[k] = bias[k];
        for (size_t j = 0; j < HIDDEN; j++)
            a.log_p[k] += weight[k * HIDDEN + j] * a.hidden[j];
        sum += exp(a.log_p[k]);
    }
    for (size_t k = 0; k < CLASSES; k++)
        a.log_p[k] -= log(sum);
    return a;
}

struct loss {
    double of[TERM_COUNT]; /* means over the step */
};

static double cross_entropy_of(int domain, const struct answers *a, int32_t label)
{
    double loss = 0;
    for (int32_t k = 0; k < CLASSES; k++)
        loss -= (domain == SOURCE ? class_weights[k] : 1) *
                ((k == label ? 1 - SMOOTHING : 0) + SMOOTHING / CLASSES) * a->log_p[k];
    return label == LABEL_NONE ? 0 : loss;
}

static double mean_cross_entropy(int domain, const struct answers *a)
{
    double loss = 0;
    for (size_t i = 0; i < batches[domain].count; i++)
        loss += cross_entropy_of(domain, &a[i], labels[domain][batches[domain].row[i]]);
    return loss / (double)batches[domain].count;
}

static double information_of(const struct answers *a, size_t count)
{
    double mean[CLASSES] = {0}, loss = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < CLASSES; k++) {
            mean[k] += exp(a[i].log_p[k]) / (double)count;
            loss -= exp(a[i].log_p[k]) * a[i].log_p[k] / (double)count;
        }
    for (size_t k = 0; k < CLASSES; k++)
        loss += mean[k] * log(mean[k]);
    return loss;
}

static double covariance(const struct answers *a, size_t count, size_t j, size_t k)
{
    double mean_j = 0, mean_k = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        mean_j += a[i].hidden[j] / (double)count;
        mean_k += a[i].hidden[k] / (double)count;
    }
    for (size_t i = 0; i < count; i++)
        sum += (a[i].hidden[j] - mean_j) * (a[i].hidden[k] - mean_k);
    return sum / (double)(count - 1);
}

static double coral_of(const struct answers *source, const struct answers *target)
{
    double loss = 0;
    for (size_t j = 0; j < HIDDEN; j++)
        for (size_t k = 0; k < HIDDEN; k++) {
            double delta = covariance(source, batches[SOURCE].count, j, k) -
                           covariance(target, batches[TARGET].count, j, k);
            loss += delta * delta;
        }
    return loss / (4.0 * HIDDEN * HIDDEN);
}

/* Each domain with weights of its own, so that their gradients can be told apart. */
static struct loss loss_of(const double *source_live, const double *target_live)
{
    static struct answers answers[2][SHARDS * MICRO_BATCH];
    for (int domain = 0; domain < 2; domain++)
        for (size_t i = 0; i < batches[domain].count; i++)
            answers[domain][i] =
                answer(batches[domain].x[i], domain == SOURCE ? source_live : target_live);
    return (struct loss){
        {[TERM_LABELLED] = mean_cross_entropy(SOURCE, answers[SOURCE]),
         [TERM_CORAL] = coral_of(answers[SOURCE], answers[TARGET]),
         [TERM_INFORMATION] = information_of(answers[TARGET], batches[TARGET].count),
         [TERM_SELF_TRAINING] = mean_cross_entropy(TARGET, answers[TARGET])}};
}

static double weighted(struct loss loss)
{
    double sum = 0;
    for (int term = 0; term < TERM_COUNT; term++)
        sum += weights[term] * loss.of[term];
    return sum;
}

static double slope(int domain, const double *live, size_t at)
{
    double moved[LIVE], ends[2];
    for (int end = 0; end < 2; end++) {
        memcpy(moved, live, sizeof moved);
        moved[at] += end == 0 ? -STEP : STEP;
        ends[end] = weighted(domain == SOURCE ? loss_of(moved, live) : loss_of(live, moved));
    }
    return (ends[1] - ends[0]) / (2 * STEP);
}

/* ---- the step ---- */

/* Which of its three variants a sample shows in a step. */
static void choose_variant(struct batch *batch, uint32_t id, size_t domain, uint32_t shard,
                           uint32_t step, uint32_t position)
{
    const struct random_key key = {.seed = job->run.seed,
                                   .purpose = RANDOM_VARIANT,
                                   .epoch = step,
                                   .index = (uint64_t)domain << 32 | shard};
    uint32_t variant = (uint32_t)(random_bits(key, position) % 3);
    const struct data_config *data = &job->data;
    float x[INPUTS];
    for (size_t k = 0; k < INPUTS; k++)
        x[k] = (float)rows[domain][batch->row[batch->count]][k];
    if (variant > 0)
        augment_sample(&data->augment, &data->preprocess, augment_key(job->run.seed, variant, id),
                       x);
    for (size_t k = 0; k < INPUTS; k++)
        batch->x[batch->count][k] = (double)x[k];
    variants_seen |= 1u << variant;
}

/* Row of the domain's file: samples lie in its order. */
static void choose_batches(uint32_t step)
{
    uint32_t scratch[ROWS], positions[MICRO_BATCH];
    for (size_t domain = 0; domain < 2; domain++) {
        struct batch *batch = &batches[domain];
        batch->count = 0;
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            size_t count =
                shard_micro_batch(job, manifest, 0, domain, shard, step, scratch, positions);
            for (size_t i = 0; i < count; i++) {
                uint32_t id =
                    shard_sample(manifest, domain, SPLIT_TRAIN, SHARDS, shard, positions[i]);
                batch->row[batch->count] = id - manifest->part[domain][SPLIT_TRAIN][0];
                choose_variant(batch, id, domain, shard, step, positions[i]);
                batch->count++;
            }
        }
    }
}

static void finish_statistics(struct statistics *statistics, uint64_t version)
{
    const struct layout layout = layout_of(plan, &job->stages[0]);
    for (uint32_t domain = 0; domain < 2; domain++) {
        struct reduction_node root = reduction_root(trainer_sums(trainer, SUM_STATISTICS, domain));
        assert_int_equal(root.count, batches[domain].count);
        for (size_t i = 0; i < layout.statistic_count; i++)
            assert_true(statistics_take(statistics, version, (uint32_t)(layout.parameter_count + i),
                                        domain, root.count,
                                        (const double *)root.sum + layout_statistic_offset(i),
                                        layout_statistic_size(&layout, i) * sizeof(double)));
    }
    assert_true(statistics_complete(statistics, version));
}

static void take_step(uint32_t step, const float *live, struct statistics *statistics)
{
    trainer_begin_step(trainer, live);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        DO(trainer_forward(trainer, shard, step, &err));
    finish_statistics(statistics, step);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        DO(trainer_backward(trainer, shard, statistics, &err));
}

static void run_step(uint32_t step, const float *live)
{
    const struct layout layout = layout_of(plan, &job->stages[0]);
    struct statistics *statistics = NULL;
    DO(statistics_create(&layout, 2, &statistics, &err));
    take_step(step, live, statistics);
    statistics_destroy(&statistics);
}

static double metric(int domain, enum layout_term term, enum layout_metric which)
{
    const double *sums = reduction_root(trainer_sums(trainer, SUM_METRICS, (size_t)domain)).sum;
    return sums[(size_t)term * METRIC_COUNT + which];
}

static void assert_close(double got, double expected, double tolerance, const char *what)
{
    if (!(fabs(got - expected) <= tolerance))
        fail_msg("%s: %.9g, expected %.9g", what, got, expected);
}

/* As the server does it: the sum over shards, divided by the domain's samples. */
static void check_gradients(int domain, const double *live)
{
    struct reduction_node root =
        reduction_root(trainer_sums(trainer, SUM_GRADIENTS, (size_t)domain));
    const float *sums = root.sum;
    assert_int_equal(root.count, batches[domain].count);
    for (size_t t = 0; t < plan->tensor_count; t++) {
        double expected[LIVE], largest = 0;
        const struct live_tensor *tensor = &plan->tensors[t];
        for (size_t i = 0; i < tensor->elements; i++) {
            expected[i] = slope(domain, live, tensor->offset + i);
            largest = fmax(largest, fabs(expected[i]));
        }
        assert_true(largest > 1e-3);
        for (size_t i = 0; i < tensor->elements; i++)
            assert_close((double)sums[tensor->offset + i] / (double)root.count, expected[i],
                         TOLERANCE * largest, tensor->name);
    }
}

static void check_metrics(const double *live)
{
    struct loss loss = loss_of(live, live);
    double sources = (double)batches[SOURCE].count, targets = (double)batches[TARGET].count;
    assert_close(metric(SOURCE, TERM_LABELLED, METRIC_LOSS) / sources, loss.of[TERM_LABELLED], 1e-5,
                 "cross-entropy");
    assert_close(metric(TARGET, TERM_SELF_TRAINING, METRIC_LOSS) / targets,
                 loss.of[TERM_SELF_TRAINING], 1e-5, "self-training");
    assert_close(metric(TARGET, TERM_INFORMATION, METRIC_LOSS) / targets, loss.of[TERM_INFORMATION],
                 1e-5, "information");
    assert_close(metric(SOURCE, TERM_CORAL, METRIC_LOSS), loss.of[TERM_CORAL], 1e-6, "CORAL");
    for (int term = 0; term < TERM_COUNT; term++)
        assert_true(metric(SOURCE, (enum layout_term)term, METRIC_SAMPLES) ==
                    (term == TERM_LABELLED || term == TERM_CORAL ? sources : 0));
}

static void start(float *live, double *exact)
{
    plan_initial(plan, 3, live);
    for (size_t i = 0; i < LIVE; i++)
        exact[i] = live[i];
}

static void a_step_has_the_gradient_of_its_loss(void **state)
{
    float live[LIVE];
    double exact[LIVE];
    (void)state;
    start(live, exact);
    for (uint32_t step = 0; step < 3; step++) {
        choose_batches(step);
        run_step(step, live);
        check_gradients(SOURCE, exact);
        check_gradients(TARGET, exact);
        check_metrics(exact);
    }
    assert_int_equal(variants_seen, 7); /* all three */
}

static void copy_sums(double out[2][LIVE])
{
    for (size_t domain = 0; domain < 2; domain++) {
        const float *sums = reduction_root(trainer_sums(trainer, SUM_GRADIENTS, domain)).sum;
        for (size_t i = 0; i < LIVE; i++)
            out[domain][i] = (double)sums[i];
    }
}

/* Three micro-batches of one sample each, one after the other in the same memory, are a micro-batch
 * of three: all losses, the last step of an epoch, which is short, and the next epoch. */
static void accumulated_micro_batches_are_a_larger_one(void **state)
{
    const char *overrides[] = {"stages.[0].micro_batch=1", "stages.[0].accumulate=3"};
    struct trainer *whole = trainer;
    struct job *parted = NULL;
    float live[LIVE];
    double exact[LIVE], expected[2][LIVE], got[2][LIVE];
    (void)state;
    start(live, exact);
    DO(job_load(NULL, job_text, overrides, 2, &parted, &err));
    const struct layout layout = layout_of(plan, &parted->stages[0]);
    assert_int_equal(trainer_head_room(parted, &layout, 0, SIZE_MAX).tapes, 1);
    assert_int_equal(shard_steps_per_epoch(parted, manifest, 0),
                     shard_steps_per_epoch(job, manifest, 0));
    for (uint32_t step = 0; step < 7; step++) {
        choose_batches(step);
        run_step(step, live);
        copy_sums(expected);
        trainer = NULL;
        DO(trainer_create(parted, manifest, plan, 0, features, SIZE_MAX, &trainer, &err));
        DO(trainer_pseudo_labels(trainer, labels[TARGET], sizeof labels[TARGET], &err));
        run_step(step, live);
        check_metrics(exact);
        copy_sums(got);
        for (size_t i = 0; i < 2 * LIVE; i++)
            assert_close(got[i / LIVE][i % LIVE], expected[i / LIVE][i % LIVE], 1e-5, "gradient");
        trainer_destroy(&trainer);
        trainer = whole;
    }
    job_destroy(&parted);
}

/* Would the test above notice if a term were missing? */
static void no_term_is_too_small_to_be_seen(void **state)
{
    static const int domains[] = {[TERM_LABELLED] = SOURCE,
                                  [TERM_CORAL] = SOURCE,
                                  [TERM_INFORMATION] = TARGET,
                                  [TERM_SELF_TRAINING] = TARGET};
    float live[LIVE];
    double exact[LIVE];
    (void)state;
    start(live, exact);
    choose_batches(0);
    for (int term = 0; term < TERM_COUNT; term++) {
        double weight = weights[term], largest = 0, missing = 0;
        for (size_t i = 0; i < WIDE * HIDDEN; i++) {
            size_t at = offset_of("fc2") + i;
            double whole = slope(domains[term], exact, at);
            weights[term] = 0;
            missing = fmax(missing, fabs(whole - slope(domains[term], exact, at)));
            weights[term] = weight;
            largest = fmax(largest, fabs(whole));
        }
        assert_true(missing > 100 * TOLERANCE * largest);
    }
}

static void pseudo_labels_that_do_not_fit_are_refused(void **state)
{
    struct error err;
    int32_t bad[ROWS];
    (void)state;
    memcpy(bad, labels[TARGET], sizeof bad);
    assert_int_equal(trainer_pseudo_labels(trainer, bad, sizeof bad - 4, &err), ERR_PEER);
    bad[7] = CLASSES;
    assert_int_equal(trainer_pseudo_labels(trainer, bad, sizeof bad, &err), ERR_PEER);
    bad[7] = LABEL_NONE - 1;
    assert_int_equal(trainer_pseudo_labels(trainer, bad, sizeof bad, &err), ERR_PEER);
}

static void a_steady_step_makes_no_heap_call(void **state)
{
    const struct layout layout = layout_of(plan, &job->stages[0]);
    struct statistics *statistics = NULL;
    float live[LIVE];
    double exact[LIVE];
    (void)state;
    start(live, exact);
    DO(statistics_create(&layout, 2, &statistics, &err));
    for (uint32_t step = 0; step < 4; step++) {
        choose_batches(step);
        size_t before = memory_calls();
        take_step(step, live, statistics);
        assert_true(step == 0 || memory_calls() == before); /* the first one takes what stays */
    }
    statistics_destroy(&statistics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_step_makes_no_heap_call),
        cmocka_unit_test(a_step_has_the_gradient_of_its_loss),
        cmocka_unit_test(accumulated_micro_batches_are_a_larger_one),
        cmocka_unit_test(no_term_is_too_small_to_be_seen),
        cmocka_unit_test(pseudo_labels_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
