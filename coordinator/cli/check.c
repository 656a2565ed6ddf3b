/* `graft check`: everything that can be wrong before the first process starts, and what the job
 * would cost. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/data/manifest.h"
#include "common/data/shard.h"
#include "common/model/mix_grid.h"
#include "common/model/plan.h"
#include "coordinator/cli/cli.h"

#define MIB (1024.0 * 1024.0)

struct check {
    struct job *job;
    struct manifest *manifest;
    struct model *model;
    struct plan *plans[JOB_STAGES_MAX];
};

static enum status open_all(struct check *check, const struct cli_job_options *options,
                            struct error *err)
{
    enum status status = cli_job_load(options, &check->job, err);
    if (status != OK)
        return status;
    const struct job *job = check->job;
    status = manifest_build(job, MANIFEST_COORDINATOR, &check->manifest, err);
    if (status == OK)
        status = model_open(&job->model, &job->data.preprocess, job->data.class_count,
                            &check->model, err);
    for (size_t i = 0; i < job->stage_count && status == OK; i++) {
        const struct stage_config *stage = &job->stages[i];
        status = plan_create(check->model, &stage->live, &check->plans[i], err);
        if (status == OK && i > 0)
            status = plan_check_order(check->plans[i], check->plans[i - 1], err);
        if (status == OK)
            status = mix_grid_of(check->plans[i], stage, &(struct mix_grid){0}, err);
        if (status != OK)
            error_prefix(err, "stage %s", stage->name);
    }
    return status;
}

static void close_all(struct check *check)
{
    for (size_t i = 0; i < JOB_STAGES_MAX; i++)
        plan_destroy(&check->plans[i]);
    model_destroy(&check->model);
    manifest_destroy(&check->manifest);
    job_destroy(&check->job);
}

static void print_data(const struct check *check)
{
    const struct data_config *data = &check->job->data;
    static const char *const outputs[] = {"classes", "labels", "values"};
    printf("data     %zu %s, %zu samples\n", data->class_count, outputs[data->task],
           check->manifest->sample_count);
    for (size_t d = 0; d < data->domain_count; d++) {
        const size_t *parts = check->manifest->part_count[d];
        printf("         %s (%s): %zu train, %zu validation, %zu test\n", data->domains[d].name,
               data->domains[d].labelled ? "labelled" : "labels unused", parts[SPLIT_TRAIN],
               parts[SPLIT_VALIDATION], parts[SPLIT_TEST]);
    }
}

static void print_model(const struct check *check)
{
    char shape[96];
    const struct model_config *config = &check->job->model;
    shape_text(&check->model->input, shape, sizeof shape);
    printf("model    %s, a sample is %s, %zu features before the new head\n",
           config->file[0] != '\0' ? config->file : "none (samples are feature vectors)", shape,
           check->model->feature_count);
}

static bool uses_domain(const struct job *job, size_t stage, size_t domain)
{
    for (size_t i = 0; i < job->stages[stage].domain_count; i++)
        if (job_domain_index(job, job->stages[stage].domains[i]) == (int)domain)
            return true;
    return false;
}

/* Features of an earlier stage with the same trunk serve again. */
static bool cached_before(const struct check *check, size_t stage, size_t domain)
{
    for (size_t i = 0; i < stage; i++)
        if (uses_domain(check->job, i, domain) &&
            memcmp(&check->plans[i]->trunk, &check->plans[stage]->trunk, sizeof(struct digest)) ==
                0)
            return true;
    return false;
}

/* Samples of a domain whose features the stage may ask for: all of its own domains, and the test
 * split of the others where the stage is evaluated. */
static size_t cached_samples(const struct check *check, size_t stage, size_t domain)
{
    const size_t *parts = check->manifest->part_count[domain];
    bool evaluated = stage == 0 || stage + 1 == check->job->stage_count;
    if (uses_domain(check->job, stage, domain))
        return parts[SPLIT_TRAIN] + parts[SPLIT_VALIDATION] + parts[SPLIT_TEST];
    return evaluated ? parts[SPLIT_TEST] : 0;
}

/* The most that a stage's features can take beside those of the stages before. */
static double cache_bytes(const struct check *check, size_t stage)
{
    size_t samples = 0;
    for (size_t d = 0; d < check->job->data.domain_count; d++)
        if (!cached_before(check, stage, d))
            samples += cached_samples(check, stage, d);
    return (double)samples * (double)check->plans[stage]->boundary_elements * sizeof(float);
}

static void print_live(const struct plan *plan)
{
    char shape[96];
    for (size_t i = 0; i < plan->tensor_count; i++) {
        const struct live_tensor *tensor = &plan->tensors[i];
        shape_text(&tensor->shape, shape, sizeof shape);
        printf("         %-40.60s %-20s %s\n", tensor->name, shape,
               tensor->pretrained ? "pretrained" : "new");
    }
}

static void print_stage(const struct check *check, size_t i)
{
    const struct plan *plan = check->plans[i];
    const struct stage_config *stage = &check->job->stages[i];
    uint32_t steps = shard_steps_per_epoch(check->job, check->manifest, i);
    printf("stage    %s: %u epochs of %u steps; %zu live values in %zu tensors, %zu blocks\n",
           stage->name, stage->epochs, steps, plan->live_elements, plan->tensor_count,
           plan->block_count);
    print_live(plan);
    printf("         %zu floats a sample cross the boundary, up to %.1f MiB more in the cache\n",
           plan->boundary_elements, cache_bytes(check, i) / MIB);
}

static void print_all(const struct check *check)
{
    char hex[DIGEST_HEX_BYTES];
    double bytes = 0, limit = (double)check->job->cache.bytes_max;
    digest_hex(&check->job->digest, hex);
    printf("job      %s, seed %" PRIu64 ", digest %.12s\n", check->job->run.name,
           check->job->run.seed, hex);
    print_data(check);
    print_model(check);
    for (size_t i = 0; i < check->job->stage_count; i++) {
        print_stage(check, i);
        bytes += cache_bytes(check, i);
    }
    printf("cache    up to %.1f of %.1f MiB\n", bytes / MIB, limit / MIB);
    if (bytes > limit)
        printf("warning  the features do not fit: they will be computed anew in each epoch; raise "
               "cache.bytes_max\n");
}

/* What READY tells the coordinator of this machine's files (worker/main.c). */
static int print_member(const struct cli_job_options *options)
{
    struct error err = {0};
    struct check check = {0};
    char manifest[DIGEST_HEX_BYTES], model[DIGEST_HEX_BYTES];
    enum status status = cli_job_load(options, &check.job, &err);
    if (status == OK)
        status = manifest_build(check.job, MANIFEST_WORKER, &check.manifest, &err);
    if (status == OK)
        status = model_open(&check.job->model, &check.job->data.preprocess,
                            check.job->data.class_count, &check.model, &err);
    if (status == OK) {
        digest_hex(&check.manifest->digest, manifest);
        digest_hex(&check.model->digest, model);
        printf("data %s model %s\n", manifest, model);
    }
    close_all(&check);
    return status == OK ? EXIT_SUCCESS : cli_fail("check", &err);
}

int check_main(int argc, char **argv)
{
    struct cli_job_options options = {0};
    struct error err = {0};
    struct check check = {0};
    bool member = false;
    for (int at = 1; at < argc;)
        if (strcmp(argv[at], "--member") == 0)
            member = true, at++;
        else if (cli_job_option(argc, argv, &at, &options, &err) != OK)
            return cli_misuse(argv[0], &err);
    if (member)
        return print_member(&options);
    enum status status = open_all(&check, &options, &err);
    bool limited = false, fits = true;
    if (status == OK) {
        print_all(&check);
        limited = check.job->cluster.memory_limit > 0;
    }
    close_all(&check);
    fflush(stdout);
    if (limited)
        fits = cli_memory("graft-worker", &options) == 0;
    if (status == OK && fits)
        printf("sound\n");
    return status != OK ? cli_fail(argv[0], &err) : fits ? EXIT_SUCCESS : CLI_FAILED;
}
