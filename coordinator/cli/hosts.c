/* `graft hosts`: what scripts/launch-ssh needs to know, in fields that end with a unit separator (0x1f): a line
 * of run.directory, cluster.bind, security and keys, then a line a host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cli/cli.h"

#define END "\x1f"

static void print_host(const struct host_config *host)
{
    const char *at = strrchr(host->login, '@');
    const char *address = host->address[0] != '\0' ? host->address
                          : at != NULL             ? at + 1
                                                   : host->login;
    printf("%s" END "%s" END "%u" END "%u" END "%s" END "%s" END "\n", host->login, address,
           host->servers, host->workers, host->directory, host->programs);
}

int hosts_main(int argc, char **argv)
{
    struct cli_job_options options = {0};
    struct error err = {0};
    struct job *job;
    for (int at = 1; at < argc;)
        if (cli_job_option(argc, argv, &at, &options, &err) != OK)
            return cli_misuse(argv[0], &err);
    if (cli_job_load(&options, &job, &err) != OK)
        return cli_fail(argv[0], &err);
    const struct cluster_config *cluster = &job->cluster;
    printf("%s" END "%s" END "%s" END "%s" END "\n", job->run.directory, cluster->bind,
           cluster->security_none ? "none" : "curve", cluster->keys);
    for (size_t i = 0; i < cluster->host_count; i++)
        print_host(&cluster->hosts[i]);
    job_destroy(&job);
    return EXIT_SUCCESS;
}
