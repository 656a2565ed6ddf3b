/* A whole step of the trainer for each task, with and without mixing, at the samples themselves and
 * behind a frozen trunk, against central differences of the step's loss in double from the raw rows;
 * tolerances as in trainer_test.c. What a mix is, is mix_test.c's; here it is where and to what. */
#include "tests/unit/net_fixture.h"

#include "common/base/log.h"
#include "common/data/shard.h"
#include "tests/unit/data_fixture.h"
#include "worker/data/mix.h"
#include "worker/trainer.h"

#define HEIGHT 2
#define WIDTH 3
#define INPUTS (HEIGHT * WIDTH)
#define OUTPUTS 3
#define SHARDS 2
#define MICRO_BATCH 4
#define ROWS 21
#define BATCH (SHARDS * MICRO_BATCH)
#define HEAD_LIVE (OUTPUTS * INPUTS + OUTPUTS)
#define LIVE_MOST (INPUTS + HEAD_LIVE)
#define STEP 1e-5
#define TOLERANCE 1e-4

enum { SOURCE, TARGET };

struct scene {
    const char *task;
    const char *stage; /* what else the stage says */
    bool frozen;       /* the gain: then tanh(gain·x) crosses the boundary */
};

static double rows[2][ROWS][INPUTS];
static double targets[ROWS][OUTPUTS]; /* of the source, as the loss sees them */
static struct target_scale scale[OUTPUTS];
static struct job *job;
static struct manifest *manifest;
static struct decoder *decoder;
static struct model *model;
static struct plan *plan;
static struct features *features;
static struct trainer *trainer;
static struct link_progress progress;

struct batch {
    size_t count;
    double boundary[BATCH][INPUTS], target[BATCH][OUTPUTS];
};
static struct batch batches[2];
static size_t boxes, blends; /* of the source's samples */

#define DO(call)                                                                                   \
    do {                                                                                           \
        struct error err;                                                                          \
        if ((call) != OK)                                                                          \
            fail_msg("%s", err.text);                                                              \
    } while (0)

static const struct stage_config *stage(void)
{
    return &job->stages[0];
}

/* ---- the world ---- */

static double target_of(enum data_task task, struct random_key key, uint32_t k)
{
    if (task == DATA_CLASSIFICATION)
        return random_bits(key, 90) % OUTPUTS == k;
    if (task == DATA_MULTILABEL)
        return (double)(random_bits(key, 90 + k) % 2);
    return (double)(random_bits(key, 90 + k) % 1000) - 300 * k;
}

static void write_domain(int domain, enum data_task task)
{
    char text[8192];
    size_t used = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        struct random_key key = {
            .seed = 21 + (uint64_t)domain, .purpose = RANDOM_SPLIT, .index = i};
        for (uint32_t k = 0; k < INPUTS; k++) {
            int pixel = 20 * domain + (int)(random_bits(key, k) % 200);
            rows[domain][i][k] = (float)((pixel - 100.0) / 50.0);
            used += (size_t)snprintf(text + used, sizeof text - used, "%d,", pixel);
        }
        for (uint32_t k = 0; k < OUTPUTS; k++) {
            double target = target_of(task, key, k);
            if (domain == SOURCE)
                targets[i][k] = target;
            if (task == DATA_CLASSIFICATION && target > 0)
                used += (size_t)snprintf(text + used, sizeof text - used, "%c\n", 'a' + (int)k);
            if (task != DATA_CLASSIFICATION)
                used += (size_t)snprintf(text + used, sizeof text - used, "%g%c", target,
                                         k + 1 < OUTPUTS ? ',' : '\n');
        }
    }
    fixture_text(domain == SOURCE ? "s" : "t", text);
}

static void scale_targets(void)
{
    for (size_t k = 0; k < OUTPUTS; k++) {
        double mean = 0, squares = 0;
        for (size_t i = 0; i < ROWS; i++)
            mean += targets[i][k] / ROWS;
        for (size_t i = 0; i < ROWS; i++)
            squares += pow(targets[i][k] - mean, 2) / ROWS;
        scale[k] = (struct target_scale){mean, sqrt(squares)};
        for (size_t i = 0; i < ROWS; i++)
            targets[i][k] = (targets[i][k] - mean) / sqrt(squares);
    }
}

/* x → gain·x → tanh → flat → head. */
static struct model *make_model(void)
{
    struct net net = net_create(net_shape(4, -1, 1, HEIGHT, WIDTH));
    uint32_t gain = net_constant(&net, "gain", net_shape(3, 1, HEIGHT, WIDTH), 0.7, 0.2);
    uint32_t m = net_node(&net, OP_MUL, "m", NULL, 2, net.graph->input, gain);
    uint32_t t = net_node(&net, OP_TANH, "t", NULL, 1, m);
    return net_model(&net, net_node(&net, OP_FLATTEN, "flat", NULL, 1, t), OUTPUTS);
}

static void open_scene(const struct scene *scene)
{
    char text[2048];
    snprintf(
        text, sizeof text,
        "model = { file = \"made-in-memory.onnx\"; };\n"
        "data = { task = \"%s\"; classes = [\"a\", \"b\", \"c\"];\n"
        "  preprocess = { width = 3; height = 2; channels = 1; mean = [100.0]; std = [50.0]; };\n"
        "  domains = (\n"
        "    { name = \"s\"; divide = [1, 0, 0]; sources = ( { format = \"csv\";\n"
        "      path = \"cache:s\"; width = 3; height = 2; label_column = 6; } ); },\n"
        "    { name = \"t\"; labelled = false; divide = [1, 0, 0]; sources = ( {\n"
        "      format = \"csv\"; path = \"cache:t\"; width = 3; height = 2; "
        "label_column = 6; } ); }\n"
        "  ); };\n"
        "cluster = { shards = 2; };\n"
        "stages = ( { name = \"x\"; live = [%s]; micro_batch = 4; %s } );\n",
        scene->task, scene->frozen ? "" : "\"gain\"", scene->stage);
    DO(job_load(NULL, text, NULL, 0, &job, &err));
    write_domain(SOURCE, job->data.task);
    write_domain(TARGET, job->data.task);
    if (job->data.task == DATA_REGRESSION)
        scale_targets();
    manifest = fixture_manifest(job, MANIFEST_WORKER);
    model = make_model();
    DO(decoder_open(job, manifest, model, &decoder, &err));
    DO(plan_create(model, &stage()->live, &plan, &err));
    DO(features_create(job, manifest, plan, decoder, &progress, &features, &err));
    DO(trainer_create(job, manifest, plan, 0, features, SIZE_MAX, &trainer, &err));
    assert_int_equal(plan->live_elements, HEAD_LIVE + (scene->frozen ? 0 : INPUTS));
}

static void close_scene(void)
{
    trainer_destroy(&trainer);
    features_destroy(&features);
    plan_destroy(&plan);
    decoder_close(&decoder);
    model_destroy(&model);
    manifest_destroy(&manifest);
    job_destroy(&job);
}

/* ---- the loss of a step, in double ---- */

/* Offset in the live vector, or SIZE_MAX. */
static size_t offset_of(const char *name)
{
    for (size_t i = 0; i < plan->tensor_count; i++)
        if (strcmp(plan->tensors[i].name, name) == 0)
            return plan->tensors[i].offset;
    return SIZE_MAX;
}

static void hidden_of(const double *x, const double *gain, double *hidden)
{
    const float *frozen = model->graph->values[graph_find(model->graph, "gain")].data;
    for (size_t k = 0; k < INPUTS; k++)
        hidden[k] = tanh((gain != NULL ? gain[k] : (double)frozen[k]) * x[k]);
}

struct answers {
    double hidden[INPUTS], z[OUTPUTS];
};

static struct answers answer(const double *boundary, const double *live)
{
    const double *weight = live + offset_of("head.weight"), *bias = live + offset_of("head.bias");
    struct answers a;
    if (offset_of("gain") != SIZE_MAX)
        hidden_of(boundary, live + offset_of("gain"), a.hidden);
    else
        memcpy(a.hidden, boundary, sizeof a.hidden);
    for (size_t k = 0; k < OUTPUTS; k++) {
        a.z[k] = bias[k];
        for (size_t j = 0; j < INPUTS; j++)
            a.z[k] += weight[k * INPUTS + j] * a.hidden[j];
    }
    return a;
}

static double label_weight(size_t k)
{
    return stage()->losses.class_weight_count > 0 ? stage()->losses.class_weights[k] : 1;
}

static double class_loss(const double *z, const double *target)
{
    double sum = 0, loss = 0, smoothing = stage()->losses.label_smoothing;
    for (size_t k = 0; k < OUTPUTS; k++)
        sum += exp(z[k]);
    for (size_t k = 0; k < OUTPUTS; k++) {
        double log_p = z[k] - log(sum), gamma = stage()->losses.focal_gamma;
        loss -= label_weight(k) * ((1 - smoothing) * target[k] + smoothing / OUTPUTS) * log_p *
                (gamma > 0 ? pow(1 - exp(log_p), gamma) : 1);
    }
    return loss;
}

static double sample_loss(const double *z, const double *target)
{
    double loss = 0;
    if (job->data.task == DATA_CLASSIFICATION)
        return class_loss(z, target);
    for (size_t k = 0; k < OUTPUTS; k++) {
        double p = 1 / (1 + exp(-z[k]));
        loss += label_weight(k) / OUTPUTS *
                (job->data.task == DATA_REGRESSION
                     ? pow(z[k] - target[k], 2)
                     : -target[k] * log(p) - (1 - target[k]) * log(1 - p));
    }
    return loss;
}

static double binary_entropy(double p)
{
    return -p * log(p) - (1 - p) * log(1 - p);
}

static double information_of(const struct answers *a, size_t count)
{
    double mean[OUTPUTS] = {0}, loss = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < OUTPUTS; k++) {
            double p = 1 / (1 + exp(-a[i].z[k]));
            mean[k] += p / (double)count;
            loss += binary_entropy(p) / (double)count / OUTPUTS;
        }
    for (size_t k = 0; k < OUTPUTS; k++)
        loss -= binary_entropy(mean[k]) / OUTPUTS;
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

static double coral_of(struct answers a[2][BATCH])
{
    double loss = 0;
    for (size_t j = 0; j < INPUTS; j++)
        for (size_t k = 0; k < INPUTS; k++)
            loss += pow(covariance(a[SOURCE], batches[SOURCE].count, j, k) -
                            covariance(a[TARGET], batches[TARGET].count, j, k),
                        2);
    return loss / (4.0 * INPUTS * INPUTS);
}

/* Each domain with weights of its own. */
static double loss_of(const double *source_live, const double *target_live)
{
    static struct answers a[2][BATCH];
    const struct loss_config *losses = &stage()->losses;
    double loss = 0;
    for (size_t domain = 0; domain < stage()->domain_count; domain++)
        for (size_t i = 0; i < batches[domain].count; i++)
            a[domain][i] =
                answer(batches[domain].boundary[i], domain == SOURCE ? source_live : target_live);
    for (size_t i = 0; i < batches[SOURCE].count; i++)
        loss += job_labelled_loss(&job->data, losses) *
                sample_loss(a[SOURCE][i].z, batches[SOURCE].target[i]) /
                (double)batches[SOURCE].count;
    if (losses->information > 0)
        loss += losses->information * information_of(a[TARGET], batches[TARGET].count);
    if (losses->coral > 0)
        loss += losses->coral * coral_of(a);
    return loss;
}

static double slope(size_t domain, const double *live, size_t at)
{
    double moved[LIVE_MOST], ends[2];
    for (int end = 0; end < 2; end++) {
        memcpy(moved, live, plan->live_elements * sizeof *moved);
        moved[at] += end == 0 ? -STEP : STEP;
        ends[end] = domain == SOURCE ? loss_of(moved, live) : loss_of(live, moved);
    }
    return (ends[1] - ends[0]) / (2 * STEP);
}

/* ---- the step ---- */

static void boundary_of(size_t domain, size_t row, double *out)
{
    memcpy(out, rows[domain][row], INPUTS * sizeof *out);
    if (offset_of("gain") == SIZE_MAX)
        hidden_of(rows[domain][row], NULL, out);
}

/* Sample `i` of a micro-batch (rows of the domain's file), mixed with its partner of the same. */
static void add_sample(size_t domain, uint32_t step, const size_t *of, size_t i, size_t count)
{
    struct batch *batch = &batches[domain];
    const struct mix_grid grid = {HEIGHT, WIDTH};
    double own[INPUTS], other[INPUTS];
    uint32_t id = manifest->part[domain][SPLIT_TRAIN][0] + (uint32_t)of[i];
    bool mixes = domain == SOURCE && (stage()->mixup > 0 || stage()->cutmix > 0);
    struct mix mix = {.partner = i, .share = 1};
    if (mixes)
        mix = mix_draw(stage(), &grid, mix_key(job->run.seed, step, id), i, count);
    boundary_of(domain, of[i], own);
    boundary_of(domain, of[mix.partner], other);
    bool box = mix.right > mix.left && mix.bottom > mix.top;
    for (size_t k = 0; k < INPUTS; k++) {
        size_t x = k % WIDTH, y = k / WIDTH;
        bool inside = box && x >= mix.left && x < mix.right && y >= mix.top && y < mix.bottom;
        double blend = mix.share * own[k] + (1 - mix.share) * other[k];
        batch->boundary[batch->count][k] = !box ? blend : inside ? other[k] : own[k];
    }
    for (size_t k = 0; k < OUTPUTS; k++)
        batch->target[batch->count][k] =
            mix.share * targets[of[i]][k] + (1 - mix.share) * targets[of[mix.partner]][k];
    batch->count++;
    boxes += box;
    blends += !box && mix.share < 1;
}

static void choose_batches(uint32_t step)
{
    uint32_t scratch[ROWS], positions[MICRO_BATCH];
    for (size_t domain = 0; domain < stage()->domain_count; domain++) {
        batches[domain].count = 0;
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            size_t of[MICRO_BATCH];
            size_t count =
                shard_micro_batch(job, manifest, 0, domain, shard, step, scratch, positions);
            for (size_t i = 0; i < count; i++)
                of[i] = shard_sample(manifest, domain, SPLIT_TRAIN, SHARDS, shard, positions[i]) -
                        manifest->part[domain][SPLIT_TRAIN][0];
            for (size_t i = 0; i < count; i++)
                add_sample(domain, step, of, i, count);
        }
    }
}

static void take_statistics(const struct layout *layout, struct statistics *statistics,
                            uint64_t version)
{
    for (uint32_t domain = 0; layout->statistic_count > 0 && domain < stage()->domain_count;
         domain++) {
        struct reduction_node root = reduction_root(trainer_sums(trainer, SUM_STATISTICS, domain));
        for (size_t i = 0; i < layout->statistic_count; i++)
            assert_true(statistics_take(statistics, version,
                                        (uint32_t)(layout->parameter_count + i), domain, root.count,
                                        (const double *)root.sum + layout_statistic_offset(i),
                                        layout_statistic_size(layout, i) * sizeof(double)));
    }
}

static void run_step(uint32_t step, const float *live)
{
    const struct layout layout = layout_of(plan, stage());
    struct statistics *statistics = NULL;
    DO(statistics_create(&layout, stage()->domain_count, &statistics, &err));
    trainer_begin_step(trainer, live);
    for (uint32_t shard = SHARDS; shard-- > 0;) /* any order */
        DO(trainer_forward(trainer, shard, step, &err));
    take_statistics(&layout, statistics, step);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        DO(trainer_backward(trainer, shard, statistics, &err));
    statistics_destroy(&statistics);
}

static void check_gradients(size_t domain, const double *live)
{
    struct reduction_node root = reduction_root(trainer_sums(trainer, SUM_GRADIENTS, domain));
    const float *sums = root.sum;
    double expected[LIVE_MOST], largest = 0;
    assert_int_equal(root.count, batches[domain].count);
    for (size_t i = 0; i < plan->live_elements; i++) {
        expected[i] = slope(domain, live, i);
        largest = fmax(largest, fabs(expected[i]));
    }
    assert_true(largest > 1e-3);
    for (size_t i = 0; i < plan->live_elements; i++)
        if (!(fabs((double)sums[i] / (double)root.count - expected[i]) <= TOLERANCE * largest))
            fail_msg("domain %zu, %zu: %.9g, expected %.9g", domain, i,
                     (double)sums[i] / (double)root.count, expected[i]);
}

/* Of the labelled term alone. */
static void check_metric(const double *live)
{
    const double *metrics = reduction_root(trainer_sums(trainer, SUM_METRICS, SOURCE)).sum;
    double loss = 0;
    for (size_t i = 0; i < batches[SOURCE].count; i++)
        loss += sample_loss(answer(batches[SOURCE].boundary[i], live).z, batches[SOURCE].target[i]);
    assert_true(fabs(metrics[TERM_LABELLED * METRIC_COUNT + METRIC_LOSS] - loss) < 1e-4);
}

static void check_scene(const struct scene *scene)
{
    float live[LIVE_MOST];
    double exact[LIVE_MOST];
    open_scene(scene);
    boxes = blends = 0;
    plan_initial(plan, 3, live);
    for (size_t i = 0; i < plan->live_elements; i++)
        exact[i] = live[i];
    for (uint32_t step = 0; step < 4; step++) {
        choose_batches(step);
        run_step(step, live);
        check_gradients(SOURCE, exact);
        if (stage()->domain_count > 1)
            check_gradients(TARGET, exact);
        check_metric(exact);
    }
    assert_true(stage()->mixup > 0 ? blends > 3 : blends == 0 || stage()->cutmix > 0);
    assert_true(stage()->cutmix > 0 ? boxes > 3 : boxes == 0);
    close_scene();
}

#define ALONE "domains = [\"s\"]; "
#define BOTH "domains = [\"s\", \"t\"]; "

static void labels_have_the_gradient_of_their_loss(void **state)
{
    (void)state;
    check_scene(&(struct scene){"multilabel", ALONE, false});
    check_scene(&(struct scene){
        "multilabel", ALONE "losses = { class_weights = [0.5, 2, 1]; cross_entropy = 0.7; };",
        true});
    check_scene(&(struct scene){"multilabel", BOTH "losses = { information = 0.8; };", false});
    check_scene(
        &(struct scene){"multilabel", BOTH "losses = { information = 0.8; coral = 9.0; };", false});
}

static void values_have_the_gradient_of_their_loss(void **state)
{
    (void)state;
    check_scene(&(struct scene){"regression", ALONE, true});
    check_scene(&(struct scene){
        "regression",
        BOTH "losses = { squared_error = 0.6; class_weights = [1, 3, 0.5]; coral = 20.0; };",
        false});
}

static void mixed_samples_have_the_gradient_of_their_loss(void **state)
{
    (void)state;
    check_scene(&(struct scene){"classification",
                                ALONE "mixup = 0.8; losses = { label_smoothing = 0.1; };", true});
    check_scene(&(struct scene){"classification", ALONE "mixup = 0.8;", false});
    check_scene(&(struct scene){
        "classification",
        ALONE "mixup = 0.8; cutmix = 1.0; losses = { class_weights = [1, 2, 3]; };", false});
    check_scene(&(struct scene){"classification",
                                ALONE "cutmix = 1.0; losses = { focal_gamma = 2.0; };", false});
    check_scene(&(struct scene){"multilabel", BOTH "cutmix = 1.0; losses = { information = 0.5; };",
                                false});
    check_scene(&(struct scene){"regression", ALONE "mixup = 2.0;", true});
}

static void values_leave_in_their_own_units(void **state)
{
    const struct scene scene = {"regression", ALONE, true};
    float live[LIVE_MOST], out[ROWS * OUTPUTS];
    double exact[LIVE_MOST], boundary[INPUTS];
    uint8_t readable[ROWS];
    (void)state;
    open_scene(&scene);
    plan_initial(plan, 3, live);
    for (size_t i = 0; i < plan->live_elements; i++)
        exact[i] = live[i];
    trainer_begin_step(trainer, live);
    DO(trainer_predict(trainer, SOURCE, SPLIT_TRAIN, 1, out, readable, &err));
    for (size_t n = 0; n < ROWS / SHARDS; n++) {
        boundary_of(SOURCE, n * SHARDS + 1, boundary);
        struct answers a = answer(boundary, exact);
        for (size_t k = 0; k < OUTPUTS; k++)
            assert_true(fabs((double)out[n * OUTPUTS + k] - scale[k].mean -
                             scale[k].deviation * a.z[k]) < 1e-3);
    }
    close_scene();
}

static void boxes_need_a_height_and_a_width_to_be_cut_from(void **state)
{
    const struct scene scene = {"classification", ALONE, true};
    struct stage_config cut;
    struct mix_grid grid;
    struct error err;
    (void)state;
    open_scene(&scene);
    cut = *stage();
    cut.cutmix = 1;
    assert_int_equal(mix_grid_of(plan, &cut, &grid, &err), ERR_INPUT);
    fixture_contains(err.text, "'flat', without height and width");
    close_scene();
}

static int setup(void **state)
{
    fixture_setup(state);
    return log_open("/dev/null", "test", LOG_ERROR, NULL) == OK ? 0 : -1;
}

static int teardown(void **state)
{
    log_close();
    return fixture_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(labels_have_the_gradient_of_their_loss),
        TEST(values_have_the_gradient_of_their_loss),
        TEST(mixed_samples_have_the_gradient_of_their_loss),
        TEST(values_leave_in_their_own_units),
        TEST(boxes_need_a_height_and_a_width_to_be_cut_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
