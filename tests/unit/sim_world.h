/* The job that simulated clusters run, small enough for thousands of runs: two domains of CSV rows, a
 * frozen and a live layer, two stages with every loss. For cluster_sim_test and simulate. */
#ifndef GRAFT_TESTS_UNIT_SIM_WORLD_H
#define GRAFT_TESTS_UNIT_SIM_WORLD_H

#include "common/base/log.h"
#include "tests/unit/net_fixture.h"
#include "tests/unit/sim_fixture.h"

#define INPUTS 5
#define CLASSES 3
#define ROWS 60 /* of a domain, at most */
#define WIDE 8
#define HIDDEN 7
#define CALM                                                                                       \
    .kill_worker_at = SIM_NEVER, .kill_server_at = SIM_NEVER, .freeze_worker_at = SIM_NEVER,       \
    .join_worker_at = SIM_NEVER, .join_server_at = SIM_NEVER, .drain_worker_at = SIM_NEVER,        \
    .drain_server_at = SIM_NEVER, .cut_at = SIM_NEVER

static const char job_text[] =
    "model = { file = \"made-in-memory.onnx\"; };\n"
    "data = { classes = [\"a\", \"b\", \"c\"];\n"
    "  preprocess = { width = 5; height = 1; channels = 1; mean = [100.0]; std = [50.0]; };\n"
    "  augment = { variants = 3; jitter = 0.1; erase = 0.2; };\n"
    "  domains = (\n"
    "    { name = \"s\"; divide = [0.7, 0.2, 0.1]; sources = ( { format = \"csv\";\n"
    "      path = \"cache:s\"; width = 5; height = 1; label_column = 5; } ); },\n"
    "    { name = \"t\"; labelled = false; divide = [0.7, 0.0, 0.3]; sources = ( {\n"
    "      format = \"csv\"; path = \"cache:t\"; width = 5; height = 1; label_column = 5; } ); }\n"
    "  ); };\n"
    "cluster = { shards = 6; death_ms = 10000; join_seconds = 1000; };\n"
    "stages = (\n"
    "  { name = \"source\"; domains = [\"s\"]; epochs = 2; micro_batch = 4;\n"
    "    optimizer = { kind = \"sgd\"; rate = 0.1; }; select = \"source_validation\"; },\n"
    "  { name = \"adapt\"; domains = [\"s\", \"t\"]; live = [\"fc2\"]; epochs = 3;\n"
    "    micro_batch = 3; merge = \"pcgrad\"; optimizer = { kind = \"adam\"; rate = 0.01; };\n"
    "    losses = { coral = 1.0; information = 0.1; self_training = 0.5; fraction_first = 0.5;\n"
    "               confidence_min = 0.3; }; select = \"information\"; }\n"
    ");\n";

static struct sim_world world;
static struct sim_result calms[SIM_FLAVOURS]; /* one worker, one server, nothing happens */
#define calm calms[SIM_PLAIN]

static int pixels[2][ROWS][INPUTS], classes[2][ROWS]; /* of s and t, as written */

/* Rows of class k lie around another corner; the target's are shifted. */
static void write_rows(const char *name, size_t domain, int count, int shift)
{
    char text[16384];
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        struct random_key key = {.seed = domain + 1, .purpose = RANDOM_SPLIT, .index = (uint64_t)i};
        classes[domain][i] = (int)(random_bits(key, INPUTS) % CLASSES);
        for (int k = 0; k < INPUTS; k++) {
            pixels[domain][i][k] = (k == classes[domain][i] ? 150 : 60) + shift +
                                   (int)(60 * random_uniform(key, (uint32_t)k));
            used += (size_t)snprintf(text + used, sizeof text - used, "%d,", pixels[domain][i][k]);
        }
        used += (size_t)snprintf(text + used, sizeof text - used, "%c\n", 'a' + classes[domain][i]);
    }
    fixture_text(name, text);
}

/* input → fc1 → ReLU → fc2 → ReLU → head. */
static struct model *make_model(double fc2_mean)
{
    struct net net = net_create(net_shape(2, -1, INPUTS));
    uint32_t fc1 = net_constant(&net, "fc1", net_shape(2, INPUTS, WIDE), 0, 0.5);
    uint32_t fc2 = net_constant(&net, "fc2", net_shape(2, WIDE, HIDDEN), fc2_mean, 0.5);
    uint32_t h1 = net_node(&net, OP_MATMUL, "m1", NULL, 2, net.graph->input, fc1);
    uint32_t r1 = net_node(&net, OP_RELU, "r1", NULL, 1, h1);
    uint32_t h2 = net_node(&net, OP_MATMUL, "m2", NULL, 2, r1, fc2);
    uint32_t r2 = net_node(&net, OP_RELU, "r2", NULL, 1, h2);
    return net_model(&net, r2, CLASSES);
}

static int setup(void **state)
{
    struct error err;
    fixture_setup(state);
    write_rows("s", 0, 60, 0);
    write_rows("t", 1, 50, 25);
    assert_int_equal(log_open("/dev/null", "test", LOG_ERROR, &err), OK);
    if (job_load(NULL, job_text, NULL, 0, &world.job, &err) != OK)
        fail_msg("%s", err.text);
    world.manifest = fixture_manifest(world.job, MANIFEST_COORDINATOR);
    world.blind = fixture_manifest(world.job, MANIFEST_WORKER);
    world.model = world.worker_model = make_model(0);
    if (decoder_open(world.job, world.blind, NULL, &world.decoder, &err) != OK)
        fail_msg("%s", err.text);
    for (int flavour = 0; flavour < SIM_FLAVOURS; flavour++) {
        struct sim_plan plan = {
            .seed = 1, .workers = 1, .servers = 1, CALM, .flavour = (enum sim_flavour)flavour};
        calms[flavour] = sim_run(&world, &plan);
    }
    return 0;
}

static int teardown(void **state)
{
    decoder_close(&world.decoder);
    model_destroy(&world.model);
    manifest_destroy(&world.manifest);
    manifest_destroy(&world.blind);
    job_destroy(&world.job);
    log_close();
    return fixture_teardown(state);
}

static uint64_t draw(uint64_t seed, uint32_t number, uint64_t below)
{
    struct random_key key = {.seed = seed, .purpose = RANDOM_AUGMENT};
    return random_bits(key, number) % below;
}

/* Where the bits depend on who was faster: each sample counts once, no step is too far ahead. */
static bool counts_as_calm(const struct sim_result *result, enum sim_flavour flavour)
{
    const struct sim_result *like = &calms[flavour];
    bool same = result->epoch_count == like->epoch_count && result->beyond == 0 &&
                (flavour != SIM_SSP || result->ahead_max <= SIM_STALENESS);
    for (size_t i = 0; same && i < like->epoch_count; i++)
        for (size_t term = 0; term < TERM_SELF_TRAINING; term++) /* whose samples are guessed */
            same &= result->samples[i][term] == like->samples[i][term];
    return same;
}

static struct sim_result same_as_calm(const struct sim_plan *plan)
{
    struct sim_result result = sim_run(&world, plan);
    bool clocks = plan->flavour == SIM_SSP || plan->flavour == SIM_ASP;
    const struct sim_result *like = &calms[plan->flavour];
    bool same = result.epoch_count == like->epoch_count &&
                memcmp(&result.outcome, &like->outcome, sizeof like->outcome) == 0;
    /* A newcomer that is not ready yet cannot save a job whose last worker dies, and who is cut off
     * for long counts as dead. */
    if (result.refused &&
        (plan->cut_at != SIM_NEVER || plan->join_worker_at != SIM_NEVER ||
         plan->join_server_at != SIM_NEVER || plan->drain_worker_at != SIM_NEVER ||
         plan->drain_server_at != SIM_NEVER))
        return result;
    if (clocks)
        same = counts_as_calm(&result, plan->flavour);
    same &= !result.refused;
    for (size_t i = 0; same && !clocks && i < like->epoch_count; i++)
        same = memcmp(&result.epochs[i], &like->epochs[i], sizeof like->epochs[i]) == 0;
    if (!same) {
        struct sim failed = {.plan = *plan, .result = result};
        sim_fail(&failed, "another result");
    }
    return result;
}

#endif
