/* `graft keys`: the reference of all configuration keys, in Markdown (docs/CONFIG.md is its
 * output). */
#include <stdlib.h>
#include <unistd.h>

#include "common/config/job.h"
#include "coordinator/cli/cli.h"

int keys_main(int argc, char **argv)
{
    struct error err = {0};
    (void)argv;
    if (argc != 1) {
        error_set(&err, ERR_INPUT, "takes no arguments");
        return cli_misuse("keys", &err);
    }
    return job_print_reference(STDOUT_FILENO, &err) == OK ? EXIT_SUCCESS : cli_fail("keys", &err);
}
