/* The cluster's promise: the result does not depend on who computed it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sim_world.h"

#define SEEDS 30 /* of each kind of fault */

static void the_job_runs_all_epochs_and_learns(void **state)
{
    (void)state;
    assert_int_equal(calm.epoch_count, 5);
    for (size_t i = 1; i < calm.epoch_count; i++)
        assert_memory_not_equal(&calm.epochs[i], &calm.epochs[i - 1], sizeof calm.epochs[i]);
}

/* ---- what the coordinator makes of the answers, computed independently in double ---- */

static const float *tensor_of(const struct values *values, const char *name)
{
    for (size_t i = 0; i < values->plan->tensor_count; i++)
        if (strcmp(values->plan->tensors[i].name, name) == 0)
            return values->live + values->plan->tensors[i].offset;
    return world.model->graph->values[graph_find(world.model->graph, name)].data;
}

static void layer(const double *x, size_t inputs, const float *weight, size_t outputs, double *y)
{
    for (size_t j = 0; j < outputs; j++) {
        y[j] = 0;
        for (size_t k = 0; k < inputs; k++)
            y[j] += x[k] * (double)weight[k * outputs + j];
        y[j] = y[j] > 0 ? y[j] : 0;
    }
}

/* Softmax of one sample, from its row in the file. */
static void answer(const struct values *values, size_t domain, uint32_t id, double *p)
{
    double x[INPUTS], wide[WIDE], hidden[HIDDEN], sum = 0;
    const float *weight = tensor_of(values, "head.weight");
    size_t row = id - (domain == 0 ? 0 : 60);
    for (size_t k = 0; k < INPUTS; k++)
        x[k] = (pixels[domain][row][k] - 100) / 50.0;
    layer(x, INPUTS, tensor_of(values, "fc1"), WIDE, wide);
    layer(wide, WIDE, tensor_of(values, "fc2"), HIDDEN, hidden);
    for (size_t c = 0; c < CLASSES; c++) {
        double logit = (double)tensor_of(values, "head.bias")[c];
        for (size_t k = 0; k < HIDDEN; k++)
            logit += hidden[k] * (double)weight[c * HIDDEN + k];
        sum += p[c] = exp(logit);
    }
    for (size_t c = 0; c < CLASSES; c++)
        p[c] /= sum;
}

static double validation_of(const struct values *values)
{
    size_t count = world.manifest->part_count[0][SPLIT_VALIDATION], right = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t id = world.manifest->part[0][SPLIT_VALIDATION][i];
        double p[CLASSES];
        answer(values, 0, id, p);
        int best = p[1] > p[0] ? 1 : 0;
        right += (p[2] > p[best] ? 2 : best) == classes[0][id];
    }
    return (double)right / (double)count;
}

/* Mean entropy on the target; mean[CLASSES]: mean answer. */
static double entropy_and_mean(const struct values *values, double *mean)
{
    size_t count = world.manifest->part_count[1][SPLIT_TRAIN];
    double entropy = 0;
    for (size_t i = 0; i < count; i++) {
        double p[CLASSES];
        answer(values, 1, world.manifest->part[1][SPLIT_TRAIN][i], p);
        for (size_t c = 0; c < CLASSES; c++) {
            entropy -= p[c] * log(p[c]) / (double)count;
            mean[c] += p[c] / (double)count;
        }
    }
    return entropy;
}

static double entropy_of(const struct values *values)
{
    double mean[CLASSES] = {0};
    return entropy_and_mean(values, mean);
}

static double information_of(const struct values *values)
{
    double mean[CLASSES] = {0}, information = entropy_and_mean(values, mean);
    for (size_t c = 0; c < CLASSES; c++)
        information += mean[c] * log(mean[c]);
    return information;
}

static double validations[SIM_EPOCHS];
static size_t looks;

static void look(const struct values *values, const struct epoch_report *report)
{
    validations[looks++] = report->source_validation;
    assert_true(fabs(report->source_validation - validation_of(values)) < 1e-9);
    if (values->stage == 0) {
        assert_true(report->score == -report->source_validation);
        return;
    }
    assert_true(fabs(report->information - information_of(values)) < 1e-4);
    assert_true(report->score == report->information);
}

static void scores_are_those_of_the_kept_weights(void **state)
{
    struct sim_plan plan = {.seed = 5, .workers = 2, .servers = 2, CALM};
    struct sim_world seen = world;
    (void)state;
    looks = 0;
    seen.look = look;
    sim_run(&seen, &plan);
    assert_int_equal(looks, calm.epoch_count);
    assert_true(validations[1] > 0.7); /* chance is 1/3 */
}

static void look_for_entropy(const struct values *values, const struct epoch_report *report)
{
    if (values->stage == 0)
        return;
    looks++;
    assert_true(fabs(report->entropy - entropy_of(values)) < 1e-4);
    assert_true(report->score == report->entropy);
}

static void the_epoch_of_least_entropy_can_be_chosen(void **state)
{
    const char *override = "stages.[1].select=\"entropy\"";
    struct sim_plan plan = {.seed = 8, .workers = 2, .servers = 1, CALM};
    struct sim_world seen = world;
    struct job *job;
    struct error err;
    (void)state;
    looks = 0;
    assert_int_equal(job_load(NULL, job_text, &override, 1, &job, &err), OK);
    seen.job = job;
    seen.look = look_for_entropy;
    sim_run(&seen, &plan);
    assert_int_equal(looks, 3);
    job_destroy(&job);
}

/* ---- what ends a job ---- */

static void a_term_whose_gradient_is_zero_ends_the_job(void **state)
{
    struct sim_plan plan = {.seed = 6, .workers = 2, .servers = 1, CALM};
    struct sim_world dead = world;
    (void)state;
    plan.ends_with = "the gradient of the CORAL term was zero";
    dead.model = dead.worker_model = make_model(-9); /* no hidden unit ever fires */
    sim_run(&dead, &plan);
    model_destroy(&dead.model);
}

static void a_worker_with_other_data_or_another_model_is_not_taken(void **state)
{
    struct sim_plan plan = {.seed = 7, .workers = 1, .servers = 1, CALM};
    struct manifest manifest = *world.blind;
    struct model model = *world.model;
    struct sim_world other = world;
    (void)state;
    manifest.digest.bytes[DIGEST_BYTES - 1] ^= 1;
    other.blind = &manifest;
    plan.ends_with = "its data differ from the coordinator's";
    sim_run(&other, &plan);
    other = world;
    model.digest.bytes[0] ^= 1;
    other.worker_model = &model;
    plan.ends_with = "its model file differs from the coordinator's";
    sim_run(&other, &plan);
}

static void the_result_is_the_same_for_any_number_of_workers_and_servers(void **state)
{
    const uint32_t workers[] = {1, 2, 4};
    (void)state;
    for (size_t w = 0; w < 3; w++)
        for (uint32_t servers = 1; servers <= 3; servers++) {
            struct sim_plan plan = {
                .seed = 10 + 10 * w + servers, .workers = workers[w], .servers = servers, CALM};
            struct sim_result result = same_as_calm(&plan);
            assert_int_equal(result.views, 1);
            assert_int_equal(result.duplicates, 0);
            assert_int_equal(result.broken, 0);
        }
}

/* Number of events of an undisturbed run, from the first view to the end. */
static uint64_t length_of(uint32_t workers, uint32_t servers)
{
    struct sim_plan plan = {.seed = 2, .workers = workers, .servers = servers, CALM};
    return sim_run(&world, &plan).events;
}

/* The norm is over all blocks, whichever servers hold them. */
static void clipped_gradients_are_the_same_for_any_number_of_servers(void **state)
{
    (void)state;
    for (size_t i = 0; i < calm.epoch_count; i++) /* something was clipped */
        assert_memory_not_equal(&calms[SIM_CLIPS].epochs[i], &calm.epochs[i],
                                sizeof calm.epochs[i]);
    for (uint64_t seed = 1600; seed < 1600 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed,
                                .workers = 2,
                                .servers = 1 + (uint32_t)(seed % 3),
                                CALM,
                                .replicas = seed % 2,
                                .flavour = SIM_CLIPS,
                                .doubled = seed % 5 == 0};
        plan.kill_server_at = draw(seed, 0, length_of(2, 3));
        plan.join_server_at = seed % 4 == 0 ? draw(seed, 1, length_of(2, 3)) : SIM_NEVER;
        plan.lost_in_1000 = seed % 7 == 0 ? 30 : 0;
        same_as_calm(&plan);
    }
}

static void accumulated_gradients_are_the_same_on_any_cluster(void **state)
{
    (void)state;
    assert_memory_not_equal(&calms[SIM_ACCUMULATES].epochs, &calm.epochs, sizeof calm.epochs[0]);
    for (uint64_t seed = 1700; seed < 1710; seed++) {
        struct sim_plan plan = {.seed = seed,
                                .workers = 1 + (uint32_t)(seed % 4),
                                .servers = 1 + (uint32_t)(seed % 3),
                                CALM,
                                .flavour = SIM_ACCUMULATES};
        plan.kill_worker_at = draw(seed, 0, length_of(3, 2));
        same_as_calm(&plan);
    }
}

/* ---- ssp and asp ---- */

static void without_synchronisation_each_sample_counts_once(void **state)
{
    uint64_t events = length_of(3, 2), views = 0;
    (void)state;
    for (size_t i = 0; i < calm.epoch_count; i++)
        for (int flavour = SIM_SSP; flavour <= SIM_ASP; flavour++)
            assert_true(
                calms[flavour].samples[i][TERM_LABELLED] == calm.samples[i][TERM_LABELLED] &&
                calms[flavour].samples[i][TERM_INFORMATION] == calm.samples[i][TERM_INFORMATION]);
    for (uint64_t seed = 1800; seed < 1800 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 3, .servers = 2, CALM};
        plan.flavour = seed % 2 == 0 ? SIM_SSP : SIM_ASP;
        plan.kill_worker_at = draw(seed, 0, events);
        plan.freeze_worker_at = seed % 3 == 0 ? draw(seed, 1, events) : SIM_NEVER;
        plan.kill_server_at = seed % 5 == 0 ? draw(seed, 2, events) : SIM_NEVER;
        plan.join_worker_at = seed % 4 == 0 ? draw(seed, 3, events) : SIM_NEVER;
        plan.lost_in_1000 = seed % 6 == 0 ? 30 : 0;
        plan.doubled = seed % 7 == 0;
        views += same_as_calm(&plan).views;
    }
    assert_true(views > SEEDS * 3 / 2);
}

/* One worker lets nearly all of its chances pass. */
static void in_ssp_the_bound_is_reached_and_never_passed(void **state)
{
    (void)state;
    for (uint64_t seed = 1900; seed < 1905; seed++) {
        struct sim_plan plan = {
            .seed = seed, .workers = 3, .servers = 2, CALM, .flavour = SIM_SSP, .slow = 200};
        assert_int_equal(same_as_calm(&plan).ahead_max, SIM_STALENESS);
        plan.flavour = SIM_ASP;
        assert_true(same_as_calm(&plan).ahead_max > SIM_STALENESS);
    }
}

static void with_one_worker_the_bits_are_the_same_in_every_mode(void **state)
{
    (void)state;
    for (uint32_t servers = 1; servers <= 3; servers++)
        for (int flavour = SIM_SSP; flavour <= SIM_ASP; flavour++) {
            struct sim_plan plan = {.seed = 2000 + servers,
                                    .workers = 1,
                                    .servers = servers,
                                    CALM,
                                    .flavour = (enum sim_flavour)flavour};
            struct sim_result result = same_as_calm(&plan);
            assert_memory_equal(&result.outcome, &calms[flavour].outcome, sizeof result.outcome);
        }
}

static void the_order_of_delivery_does_not_matter(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 106; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 3, .servers = 2, CALM};
        same_as_calm(&plan);
    }
}

static void a_worker_may_die_at_any_moment(void **state)
{
    uint64_t events = length_of(3, 2), disturbed = 0;
    (void)state;
    for (uint64_t seed = 200; seed < 200 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 3, .servers = 2, CALM};
        plan.kill_worker_at = draw(seed, 0, events);
        disturbed += same_as_calm(&plan).views > 1;
    }
    assert_true(disturbed > SEEDS / 2);
}

static void a_server_may_die_at_any_moment(void **state)
{
    uint64_t events = length_of(2, 3), disturbed = 0;
    (void)state;
    for (uint64_t seed = 300; seed < 300 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 2, .servers = 3, CALM};
        plan.kill_server_at = draw(seed, 0, events);
        disturbed += same_as_calm(&plan).views > 1;
    }
    assert_true(disturbed > SEEDS / 2);
}

/* Few runs meet the short moment between LOAD and LOADED: this one goes through it event by event.
 */
static void members_may_die_or_join_while_the_servers_load(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < 60; at++) {
        struct sim_plan plan = {.seed = 700 + at, .workers = 2, .servers = 3, CALM};
        plan.kill_server_at = at;
        same_as_calm(&plan);
        plan = (struct sim_plan){.seed = 800 + at, .workers = 2, .servers = 2, CALM};
        plan.kill_worker_at = at;
        same_as_calm(&plan);
        plan = (struct sim_plan){.seed = 900 + at, .workers = 1, .servers = 2, CALM};
        plan.join_worker_at = at;
        same_as_calm(&plan);
    }
}

static void a_worker_may_join_at_any_moment(void **state)
{
    uint64_t events = length_of(1, 2);
    (void)state;
    for (uint64_t seed = 400; seed < 400 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 1, .servers = 2, CALM};
        plan.join_worker_at = draw(seed, 0, events * 9 / 10);
        same_as_calm(&plan);
    }
}

/* The newcomer takes over in the middle of a step, for which some servers have all and others not.
 */
static void a_worker_may_join_while_another_dies(void **state)
{
    uint64_t events = length_of(2, 2);
    (void)state;
    for (uint64_t seed = 1100; seed < 1100 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 2, .servers = 2, CALM};
        plan.join_worker_at = draw(seed, 0, events * 8 / 10);
        plan.kill_worker_at = plan.join_worker_at + draw(seed, 1, 40);
        same_as_calm(&plan);
    }
}

static void a_worker_that_was_declared_dead_and_goes_on_changes_nothing(void **state)
{
    uint64_t events = length_of(3, 2), fenced = 0;
    (void)state;
    for (uint64_t seed = 500; seed < 500 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 3, .servers = 2, CALM};
        plan.freeze_worker_at = draw(seed, 0, events);
        fenced += same_as_calm(&plan).fenced;
    }
    assert_true(fenced > 0);
}

static void deaths_of_workers_and_servers_together_change_nothing(void **state)
{
    uint64_t events = length_of(4, 3);
    (void)state;
    for (uint64_t seed = 600; seed < 600 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 4, .servers = 3, CALM, .doubled = true};
        plan.kill_worker_at = draw(seed, 0, events);
        plan.kill_server_at = plan.kill_worker_at + 1 + draw(seed, 1, 200);
        plan.join_worker_at = plan.kill_server_at + draw(seed, 2, 200);
        same_as_calm(&plan);
    }
}

/* With a backup nothing is loaded anew, whenever the server dies in training. */
static void a_backup_takes_over_without_a_rewind(void **state)
{
    uint32_t loads = 0, calm_loads = 0;
    (void)state;
    for (uint64_t seed = 1300; seed < 1300 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 2, .servers = 3, CALM, .replicas = 1};
        calm_loads += same_as_calm(&plan).generation;
        plan.kill_server_at = draw(seed, 0, length_of(2, 3));
        loads += same_as_calm(&plan).generation;
    }
    assert_true(loads < calm_loads + SEEDS / 2);
}

static void a_server_may_join_at_any_moment(void **state)
{
    (void)state;
    for (uint64_t seed = 1400; seed < 1400 + SEEDS; seed++) {
        struct sim_plan plan = {
            .seed = seed, .workers = 2, .servers = 1, CALM, .replicas = seed % 2};
        plan.join_server_at = draw(seed, 0, length_of(2, 1));
        same_as_calm(&plan);
    }
}

static void members_may_be_drained_at_any_moment(void **state)
{
    (void)state;
    for (uint64_t seed = 1500; seed < 1500 + SEEDS; seed++) {
        struct sim_plan plan = {
            .seed = seed, .workers = 3, .servers = 3, CALM, .replicas = seed % 2};
        plan.drain_worker_at = draw(seed, 0, length_of(3, 3));
        plan.drain_server_at = draw(seed, 1, length_of(3, 3));
        assert_int_equal(
            same_as_calm(&plan).generation,
            same_as_calm(&(struct sim_plan){.seed = seed, .workers = 3, .servers = 3, CALM})
                .generation);
    }
}

static void lost_letters_are_asked_for_again(void **state)
{
    uint64_t lost = 0;
    (void)state;
    for (uint64_t seed = 1200; seed < 1200 + SEEDS; seed++) {
        struct sim_plan plan = {.seed = seed, .workers = 2, .servers = 2, CALM};
        plan.lost_in_1000 = 1 + (uint32_t)draw(seed, 0, 100);
        lost += same_as_calm(&plan).lost;
    }
    assert_true(lost > 100);
}

/* On a cluster of another size. */
static void a_new_coordinator_goes_on_from_what_was_kept(void **state)
{
    (void)state;
    for (size_t epochs = 1; epochs <= calm.epoch_count; epochs++) {
        struct sim_plan plan = {.seed = 1000 + epochs, .workers = 3, .servers = 2, CALM};
        plan.restart_after = epochs;
        same_as_calm(&plan);
    }
}

static void pushes_that_come_twice_count_once(void **state)
{
    struct sim_plan plan = {.seed = 3, .workers = 2, .servers = 2, CALM, .doubled = true};
    (void)state;
    assert_true(same_as_calm(&plan).duplicates > 100);
}

static void strangers_are_fenced_off(void **state)
{
    struct sim_plan plan = {.seed = 4, .workers = 2, .servers = 2, CALM, .strangers = true};
    (void)state;
    assert_true(same_as_calm(&plan).fenced > 10);
}

/* What coding leaves out of a gradient is known to one worker alone. */
static void coded_gradients_end_in_the_same_bits_whoever_dies(void **state)
{
    const char *overrides[] = {"stages.[0].compression.kind=\"int8\"",
                               "stages.[1].compression.kind=\"top_k\"",
                               "stages.[1].compression.share=0.3"};
    const struct sim_plan alone = {.seed = 1, .workers = 1, .servers = 1, CALM};
    struct sim_world plain = world;
    struct sim_result plain_calm = calm;
    struct job *job;
    struct error err;
    uint32_t loads = 0;
    (void)state;
    assert_int_equal(job_load(NULL, job_text, overrides, 3, &job, &err), OK);
    world.job = job;
    calm = sim_run(&world, &alone);
    assert_memory_not_equal(&calm.outcome, &plain_calm.outcome, sizeof calm.outcome);
    uint64_t events = length_of(3, 2);
    for (uint64_t seed = 1600; seed < 1600 + SEEDS; seed++) {
        struct sim_plan plan = {
            .seed = seed, .workers = 3, .servers = 2, CALM, .replicas = seed % 2};
        same_as_calm(&plan);
        plan.kill_worker_at = draw(seed, 0, events);
        loads += same_as_calm(&plan).generation;
        plan.join_worker_at = draw(seed, 1, events);
        plan.kill_server_at = draw(seed, 2, events);
        plan.lost_in_1000 = (uint32_t)draw(seed, 3, 30);
        same_as_calm(&plan);
    }
    assert_true(loads > 3 * SEEDS); /* a load for each stage and for the test, and after deaths */
    world = plain;
    calm = plain_calm;
    job_destroy(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_job_runs_all_epochs_and_learns),
        cmocka_unit_test(scores_are_those_of_the_kept_weights),
        cmocka_unit_test(the_epoch_of_least_entropy_can_be_chosen),
        cmocka_unit_test(a_term_whose_gradient_is_zero_ends_the_job),
        cmocka_unit_test(a_worker_with_other_data_or_another_model_is_not_taken),
        cmocka_unit_test(the_result_is_the_same_for_any_number_of_workers_and_servers),
        cmocka_unit_test(clipped_gradients_are_the_same_for_any_number_of_servers),
        cmocka_unit_test(accumulated_gradients_are_the_same_on_any_cluster),
        cmocka_unit_test(without_synchronisation_each_sample_counts_once),
        cmocka_unit_test(in_ssp_the_bound_is_reached_and_never_passed),
        cmocka_unit_test(with_one_worker_the_bits_are_the_same_in_every_mode),
        cmocka_unit_test(the_order_of_delivery_does_not_matter),
        cmocka_unit_test(a_new_coordinator_goes_on_from_what_was_kept),
        cmocka_unit_test(lost_letters_are_asked_for_again),
        cmocka_unit_test(members_may_be_drained_at_any_moment),
        cmocka_unit_test(a_backup_takes_over_without_a_rewind),
        cmocka_unit_test(a_server_may_join_at_any_moment),
        cmocka_unit_test(coded_gradients_end_in_the_same_bits_whoever_dies),
        cmocka_unit_test(pushes_that_come_twice_count_once),
        cmocka_unit_test(strangers_are_fenced_off),
        cmocka_unit_test(a_worker_may_die_at_any_moment),
        cmocka_unit_test(a_server_may_die_at_any_moment),
        cmocka_unit_test(members_may_die_or_join_while_the_servers_load),
        cmocka_unit_test(a_worker_may_join_at_any_moment),
        cmocka_unit_test(a_worker_may_join_while_another_dies),
        cmocka_unit_test(a_worker_that_was_declared_dead_and_goes_on_changes_nothing),
        cmocka_unit_test(deaths_of_workers_and_servers_together_change_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
