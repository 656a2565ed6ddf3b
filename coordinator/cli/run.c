/* `graft run`: the coordinator itself, with its local members; `graft resume`: the same for a run that was begun. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/cli/cli.h"
#include "coordinator/driver.h"
#include "coordinator/journal/journal.h"

static bool take_flag(const char *argument, struct driver_options *options)
{
    if (strcmp(argument, "--resume") == 0)
        return options->resume = true;
    if (strcmp(argument, "--restart") == 0)
        return options->restart = true;
    if (strcmp(argument, "--quiet") == 0)
        return options->quiet = true;
    if (strcmp(argument, "--no-members") == 0)
        return options->no_members = true;
    return false;
}

static enum status take_words(int argc, char **argv, struct cli_job_options *job_options,
                              struct driver_options *options, struct error *err)
{
    enum status status = OK;
    for (int at = 1; at < argc && status == OK;) {
        if (take_flag(argv[at], options))
            at++;
        else
            status = cli_job_option(argc, argv, &at, job_options, err);
    }
    return status;
}

static int run(const char *command, enum status status, struct job *job,
               const struct driver_options *options, struct error *err)
{
    if (status == OK)
        status = driver_run(job, options, err);
    job_destroy(&job);
    return status == OK ? EXIT_SUCCESS : cli_fail(command, err);
}

int run_main(int argc, char **argv)
{
    struct error err = {0};
    struct cli_job_options job_options = {0};
    struct driver_options options = {0};
    struct job *job = NULL;
    if (take_words(argc, argv, &job_options, &options, &err) != OK)
        return cli_misuse("run", &err);
    enum status status = cli_job_load(&job_options, &job, &err);
    return run("run", status, job, &options, &err);
}

/* The job as the run directory has it, with overrides. */
static enum status load_again(struct cli_job_options *options, struct job **out, struct error *err)
{
    char directory[PATH_BYTES + sizeof "run.directory=\"\""], *text = NULL;
    enum status status = journal_config(options->config, &text, err);
    if (status != OK)
        return status;
    snprintf(directory, sizeof directory, "run.directory=\"%s\"", options->config);
    if (options->override_count == CLI_OVERRIDES_MAX)
        status = error_set(err, ERR_INPUT, "more than %d overrides", CLI_OVERRIDES_MAX - 1);
    else
        options->overrides[options->override_count++] = directory;
    if (status == OK)
        status = job_load(NULL, text, options->overrides, options->override_count, out, err);
    memory_free(text);
    return status;
}

int resume_main(int argc, char **argv)
{
    struct error err = {0};
    struct cli_job_options job_options = {0};
    struct driver_options options = {0};
    struct job *job = NULL;
    enum status status = take_words(argc, argv, &job_options, &options, &err);
    if (status == OK && (job_options.config == NULL || options.restart))
        status = error_set(&err, ERR_INPUT, "name the folder of the run, such as runs/demo%s",
                           options.restart ? ", and not --restart" : "");
    if (status != OK)
        return cli_misuse("resume", &err);
    options.resume = true;
    status = load_again(&job_options, &job, &err);
    return run("resume", status, job, &options, &err);
}
