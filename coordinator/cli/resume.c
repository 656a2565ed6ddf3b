/* `graft resume`: goes on with a run from what lies in its folder. */
#include <stdio.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/cli/cli.h"
#include "coordinator/journal/journal.h"

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
    enum status status = run_words(argc, argv, &job_options, &options, &err);
    if (status == OK && (job_options.config == NULL || options.restart))
        status = error_set(&err, ERR_INPUT, "name the folder of the run, such as runs/demo%s",
                           options.restart ? ", and not --restart" : "");
    if (status != OK)
        return cli_misuse("resume", &err);
    options.resume = true;
    status = load_again(&job_options, &job, &err);
    return run_job("resume", status, job, &options, &err);
}
