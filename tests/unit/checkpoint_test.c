/* Checkpoints: what is written is read, and nothing else is. */
#include "tests/unit/net_fixture.h"

#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/data_fixture.h"
#include "tests/unit/run_fixture.h"

#include "common/config/optimizer_states.h"
#include "coordinator/job/checkpoint.h"

static struct job *job;
static struct model *model;
static struct plan *plans[2]; /* of the stages: with the convolution, and the head alone */

static struct plan *make_plan(const char *pattern)
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

static int open_all(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    struct net net = net_create(net_shape(4, -1, 3, 6, 6));
    uint32_t weight = net_constant(&net, "conv.w", net_shape(4, 4, 3, 3, 3), 0, 0.3);
    uint32_t at = net_node(&net, OP_CONV, "conv", NULL, 2, net.graph->input, weight);
    job = run_job();
    model = net_model(&net, at, 3);
    plans[0] = make_plan("conv.w");
    plans[1] = make_plan(NULL);
    return 0;
}

static int close_all(void **state)
{
    plan_destroy(&plans[0]);
    plan_destroy(&plans[1]);
    model_destroy(&model);
    job_destroy(&job);
    return fixture_teardown(state);
}

static struct values *make_values(uint32_t stage, uint32_t epoch)
{
    struct values *values = NULL;
    struct error err;
    size_t states = optimizer_states(&job->stages[stage].optimizer);
    assert_int_equal(
        values_create(plans[stage], stage, (struct values_sizes){states, 6, 5}, &values, &err), OK);
    for (size_t i = 0; i < plans[stage]->live_elements; i++) {
        values->live[i] = (float)epoch + net_random(i);
        for (size_t s = 0; s < states; s++)
            values->states[s][i] = net_random(1000 * (s + 1) + i);
    }
    for (size_t i = 0; i < 6; i++)
        values->metrics[i] = 1.0 / (double)(i + 3);
    for (size_t i = 0; i < 5; i++)
        values->labels[i] = (int32_t)i - 1;
    values->label_share = 0.8;
    values->epoch = epoch;
    values->epoch_step = 4;
    values->stage_step = 10 * (uint64_t)epoch;
    return values;
}

static void save(const struct values *values, uint64_t step)
{
    struct error err;
    if (checkpoint_write(fixture_folder, job, values, step, NULL, &err) != OK)
        fail_msg("%s", err.text);
}

static void save_epoch(uint32_t epoch, uint64_t step)
{
    struct values *values = make_values(0, epoch);
    save(values, step);
    values_destroy(&values);
}

static enum status load_with(uint64_t step, const struct job *with, const struct plan *plan,
                             struct error *err)
{
    char path[PATH_BYTES];
    struct values *values = NULL;
    assert_int_equal(checkpoint_path(path, fixture_folder, step, err), OK);
    enum status status = checkpoint_read(path, with, plan, &values, NULL, err);
    values_destroy(&values);
    return status;
}

static size_t listed(uint64_t *newest)
{
    uint64_t *steps = NULL;
    size_t count = 0;
    struct error err;
    assert_int_equal(checkpoint_list(fixture_folder, &steps, &count, &err), OK);
    *newest = count > 0 ? steps[0] : 0;
    memory_free(steps);
    return count;
}

static void damage(const char *name, long offset)
{
    char path[PATH_BYTES];
    fixture_path(path, name);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_END), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, offset, SEEK_END), 0);
    fputc(byte ^ 1, file);
    fclose(file);
}

static void what_was_written_is_read(void **state)
{
    char path[PATH_BYTES];
    struct error err;
    struct checkpoint_head head;
    struct values *got = NULL, *values = make_values(0, 3);
    (void)state;
    assert_int_equal(checkpoint_write(fixture_folder, job, values, 30, path, &err), OK);
    fixture_contains(path, "/checkpoints/step-30");
    assert_int_equal(checkpoint_read(path, job, plans[0], &got, &head, &err), OK);
    size_t bytes = plans[0]->live_elements * sizeof(float);
    assert_memory_equal(got->live, values->live, bytes);
    assert_int_equal(got->state_count, 2);
    assert_memory_equal(got->states[0], values->states[0], bytes);
    assert_memory_equal(got->states[1], values->states[1], bytes);
    assert_int_equal(got->stage, 0);
    assert_int_equal(got->epoch, 3);
    assert_int_equal(got->epoch_step, 4);
    assert_int_equal(got->stage_step, 30);
    assert_int_equal(got->metric_count, 6);
    assert_memory_equal(got->metrics, values->metrics, 6 * sizeof(double));
    assert_int_equal(got->label_count, 5);
    assert_memory_equal(got->labels, values->labels, 5 * sizeof(int32_t));
    assert_true(got->label_share >= 0.8 && got->label_share <= 0.8);
    assert_int_equal(head.step, 30);
    struct digest weights = checkpoint_weights_digest(plans[0], values->live);
    assert_memory_equal(&head.weights, &weights, sizeof weights);
    values_destroy(&got);
    values_destroy(&values);
}

static void an_optimiser_without_vectors_is_kept_too(void **state)
{
    struct values *values = make_values(1, 1), *got = NULL;
    struct checkpoint_head head;
    struct error err;
    (void)state;
    save(values, 50);
    const struct plan *both[] = {plans[0], plans[1]};
    assert_int_equal(checkpoint_latest(fixture_folder, job, both, NULL, NULL, &got, &head, &err),
                     OK);
    assert_non_null(got);
    assert_int_equal(got->stage, 1);
    assert_ptr_equal(got->plan, plans[1]);
    values_destroy(&got);
    values_destroy(&values);
}

static void equal_values_give_equal_files(void **state)
{
    struct digest first, second;
    char path[PATH_BYTES];
    (void)state;
    fixture_path(path, "checkpoints/step-1/model.safetensors");
    save_epoch(1, 1);
    assert_int_equal(digest_of_file(path, &first, NULL), OK);
    save_epoch(1, 1);
    assert_int_equal(digest_of_file(path, &second, NULL), OK);
    assert_memory_equal(&first, &second, sizeof first);
}

static void an_older_one_of_that_number_is_replaced(void **state)
{
    struct values *got = NULL;
    struct error err;
    uint64_t newest;
    (void)state;
    save_epoch(1, 7);
    save_epoch(2, 7);
    const struct plan *both[] = {plans[0], plans[1]};
    assert_int_equal(checkpoint_latest(fixture_folder, job, both, NULL, NULL, &got, NULL, &err),
                     OK);
    assert_int_equal(got->epoch, 2);
    assert_int_equal(listed(&newest), 1);
    values_destroy(&got);
}

static void the_weights_digest_knows_every_tensor_to_its_ends(void **state)
{
    struct values *values = make_values(0, 1);
    const struct plan *plan = plans[0];
    struct digest before = checkpoint_weights_digest(plan, values->live);
    (void)state;
    assert_int_equal(plan->tensor_count, 3);
    for (size_t i = 0; i < plan->tensor_count; i++)
        for (int end = 0; end < 2; end++) {
            float *one = values->live + plan->tensors[i].offset +
                         (end == 0 ? 0 : plan->tensors[i].elements - 1);
            float usual = *one;
            *one += 1;
            struct digest after = checkpoint_weights_digest(plan, values->live);
            assert_memory_not_equal(&before, &after, sizeof before);
            *one = usual;
        }
    struct digest again = checkpoint_weights_digest(plan, values->live);
    assert_memory_equal(&before, &again, sizeof before);
    values_destroy(&values);
}

/* The files are whole, the head is not theirs. */
static void a_head_of_other_weights_is_refused(void **state)
{
    char path[PATH_BYTES], text[4096] = "";
    struct error err;
    (void)state;
    save_epoch(1, 6);
    fixture_path(path, "checkpoints/step-6/run.json");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    char *digest = strstr(text, "\"weights_sha256\": \"");
    assert_non_null(digest);
    digest += strlen("\"weights_sha256\": \"");
    *digest = *digest == '0' ? '1' : '0';
    fixture_text("checkpoints/step-6/run.json", text);
    assert_int_equal(load_with(6, job, plans[0], &err), ERR_INPUT);
    fixture_contains(err.text, "not those that run.json names");
}

static void a_damaged_file_is_recognised(void **state)
{
    static const char *const files[] = {"checkpoints/step-4/model.safetensors",
                                        "checkpoints/step-4/optimizer.safetensors",
                                        "checkpoints/step-4/epoch.safetensors"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct error err;
        save_epoch(1, 4);
        damage(files[i], -3);
        assert_int_equal(load_with(4, job, plans[0], &err), ERR_INPUT);
        fixture_contains(err.text, "damaged");
        fixture_contains(err.text, files[i]);
    }
}

static void a_torn_one_is_passed_over(void **state)
{
    char path[PATH_BYTES];
    struct values *got = NULL;
    struct checkpoint_head head;
    struct error err;
    const struct plan *both[] = {plans[0], plans[1]};
    (void)state;
    save_epoch(1, 10);
    save_epoch(2, 20);
    save_epoch(3, 30);
    fixture_path(path, "checkpoints/step-30/model.safetensors");
    assert_int_equal(truncate(path, 100), 0);
    fixture_path(path, "checkpoints/step-20/run.json");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(checkpoint_latest(fixture_folder, job, both, NULL, NULL, &got, &head, &err),
                     OK);
    assert_non_null(got);
    assert_int_equal(head.step, 10);
    assert_int_equal(got->epoch, 1);
    values_destroy(&got);
}

static void none_yet_is_no_error(void **state)
{
    struct values *got = (struct values *)state;
    struct error err;
    uint64_t newest;
    const struct plan *both[] = {plans[0], plans[1]};
    assert_int_equal(listed(&newest), 0);
    assert_int_equal(checkpoint_latest(fixture_folder, job, both, NULL, NULL, &got, NULL, &err),
                     OK);
    assert_null(got);
    assert_int_equal(checkpoint_prune(fixture_folder, 1, NULL, 0, &err), OK);
}

static void another_job_or_stage_is_refused(void **state)
{
    struct error err;
    struct job *other = run_other_job();
    struct values *got = NULL;
    const struct plan *both[] = {plans[0], plans[1]};
    (void)state;
    save_epoch(1, 5);
    assert_int_equal(load_with(5, other, plans[0], &err), ERR_STATE);
    fixture_contains(err.text, "another configuration");
    assert_int_equal(checkpoint_latest(fixture_folder, other, both, NULL, NULL, &got, NULL, &err),
                     ERR_STATE);
    assert_null(got);
    assert_int_equal(load_with(5, job, plans[1], &err), ERR_INPUT);
    job_destroy(&other);
}

static void a_hostile_head_is_refused(void **state)
{
    static const char *const heads[] = {
        "",
        "[]",
        "{}",
        "{\"format\": 2}",
        "{\"format\": -1}",
        "{\"format\": 2, \"format\": 1}",
        "{\"format\": 2, \"config_sha256\": \"zz\"}",
    };
    (void)state;
    save_epoch(1, 6);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct error err;
        fixture_text("checkpoints/step-6/run.json", heads[i]);
        assert_int_equal(load_with(6, job, plans[0], &err), ERR_INPUT);
    }
}

static void numbers_beyond_the_job_are_refused(void **state)
{
    char hex[DIGEST_HEX_BYTES], text[512];
    (void)state;
    save_epoch(1, 6);
    digest_hex(&job->digest, hex);
    for (int i = 0; i < 2; i++) {
        struct error err;
        snprintf(text, sizeof text,
                 "{\"format\": 2, \"config_sha256\": \"%s\", \"stage\": %d, \"epoch\": %d, "
                 "\"epoch_step\": 0, \"stage_step\": 1, \"step\": 6}",
                 hex, i == 0 ? 2 : 0, i == 0 ? 1 : 5);
        fixture_text("checkpoints/step-6/run.json", text);
        assert_int_equal(load_with(6, job, plans[0], &err), ERR_INPUT);
        fixture_contains(err.text, i == 0 ? "\"stage\"" : "\"epoch\"");
    }
}

static void pruning_keeps_the_newest_and_the_selected(void **state)
{
    const uint64_t selected[] = {2};
    struct error err;
    uint64_t newest;
    (void)state;
    for (uint32_t i = 1; i <= 5; i++)
        save_epoch(1, i);
    fixture_directory("checkpoints/step-9.tmp-123");
    fixture_directory("checkpoints/step-9.tmp-123.old");
    fixture_directory("checkpoints/notes");
    assert_int_equal(listed(&newest), 5);
    assert_int_equal(checkpoint_prune(fixture_folder, 2, selected, 1, &err), OK);
    assert_int_equal(listed(&newest), 3);
    assert_int_equal(newest, 5);
    assert_true(fixture_exists("checkpoints/step-2"));
    assert_true(fixture_exists("checkpoints/step-4"));
    assert_false(fixture_exists("checkpoints/step-9.tmp-123"));
    assert_false(fixture_exists("checkpoints/step-9.tmp-123.old"));
    assert_true(fixture_exists("checkpoints/notes")); /* not ours */
}

/* RLIMIT_FSIZE stands for a full disk: the same path through write(2). */
static void a_full_disk_leaves_the_older_one_and_nothing_else(void **state)
{
    struct rlimit usual, small;
    struct error err;
    struct values *values = make_values(0, 2);
    uint64_t newest;
    (void)state;
    save_epoch(1, 8);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    small = usual;
    small.rlim_cur = 300;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum status again = checkpoint_write(fixture_folder, job, values, 8, NULL, &err);
    enum status other = checkpoint_write(fixture_folder, job, values, 9, NULL, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
    assert_int_equal(again, ERR_IO);
    assert_int_equal(other, ERR_IO);
    fixture_contains(err.text, "checkpoint not written");
    fixture_contains(err.text, "step-9");
    assert_int_equal(listed(&newest), 1);
    assert_int_equal(load_with(8, job, plans[0], &err), OK);
    char path[PATH_BYTES];
    fixture_path(path, "checkpoints/step-9");
    snprintf(path + strlen(path), 32, ".tmp-%ld", (long)getpid());
    assert_int_not_equal(access(path, F_OK), 0);
    values_destroy(&values);
}

int main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        RULE(what_was_written_is_read),
        RULE(an_optimiser_without_vectors_is_kept_too),
        RULE(equal_values_give_equal_files),
        RULE(an_older_one_of_that_number_is_replaced),
        RULE(the_weights_digest_knows_every_tensor_to_its_ends),
        RULE(a_head_of_other_weights_is_refused),
        RULE(a_damaged_file_is_recognised),
        RULE(a_torn_one_is_passed_over),
        RULE(none_yet_is_no_error),
        RULE(another_job_or_stage_is_refused),
        RULE(a_hostile_head_is_refused),
        RULE(numbers_beyond_the_job_are_refused),
        RULE(pruning_keeps_the_newest_and_the_selected),
        RULE(a_full_disk_leaves_the_older_one_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
