/* `graft run`: the coordinator itself, with its local members. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/cli.h"
#include "coordinator/driver.h"

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

int run_main(int argc, char **argv)
{
    struct error err = {0};
    struct cli_job_options job_options = {0};
    struct driver_options options = {0};
    struct job *job;
    for (int at = 1; at < argc;) {
        if (take_flag(argv[at], &options))
            at++;
        else if (cli_job_option(argc, argv, &at, &job_options, &err) != OK)
            return cli_misuse("run", &err);
    }
    enum status status = cli_job_load(&job_options, &job, &err);
    if (status != OK)
        return cli_fail("run", &err);
    status = driver_run(job, &options, &err);
    job_destroy(&job);
    return status == OK ? EXIT_SUCCESS : cli_fail("run", &err);
}
