/* `graft stop`: after the epoch in work has been kept, or at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "coordinator/cli/ask.h"
#include "coordinator/cli/cli.h"

int stop_main(int argc, char **argv)
{
    struct error err = {0};
    char *answer;
    bool now = argc == 3 && strcmp(argv[2], "--now") == 0;
    if (argc != 2 && !now) {
        error_set(&err, ERR_INPUT, "expected one run directory");
        return cli_misuse("stop", &err);
    }
    struct message_ask ask = {.what = now ? ASK_STOP_NOW : ASK_STOP};
    if (ask_coordinator(argv[1], &ask, &answer, &err) != OK)
        return cli_fail("stop", &err);
    puts(now ? "stopping at once" : "stopping after the epoch in work");
    memory_free(answer);
    return EXIT_SUCCESS;
}
