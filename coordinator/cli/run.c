/* `graft run`: the coordinator itself, with its local members. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/cli.h"

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

enum status run_words(int argc, char **argv, struct cli_job_options *job_options,
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

int run_job(const char *command, enum status status, struct job *job,
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
    if (run_words(argc, argv, &job_options, &options, &err) != OK)
        return cli_misuse("run", &err);
    enum status status = cli_job_load(&job_options, &job, &err);
    return run_job("run", status, job, &options, &err);
}
