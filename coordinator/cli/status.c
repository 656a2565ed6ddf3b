/* `graft status`: what a running job is doing, as JSON. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "coordinator/cli/ask.h"
#include "coordinator/cli/cli.h"

int status_main(int argc, char **argv)
{
    struct error err = {0};
    char *answer;
    if (argc != 2) {
        error_set(&err, ERR_INPUT, "expected one run directory");
        return cli_misuse("status", &err);
    }
    struct message_ask ask = {.what = ASK_STATUS};
    if (ask_coordinator(argv[1], &ask, &answer, &err) != OK)
        return cli_fail("status", &err);
    puts(answer);
    memory_free(answer);
    return EXIT_SUCCESS;
}
