/* `graft scale`: how many members a running job shall have. */
#include <stdbool.h>
#include <string.h>

#include "coordinator/cli/ask.h"
#include "coordinator/cli/cli.h"

int scale_main(int argc, char **argv)
{
    struct error err = {0};
    struct message_ask ask = {.what = ASK_SCALE};
    bool fits = argc >= 3;
    for (int i = 2; fits && i < argc; i++)
        fits = (strncmp(argv[i], "workers=", 8) == 0 && cli_count(argv[i] + 8, &ask.workers)) ||
               (strncmp(argv[i], "servers=", 8) == 0 && cli_count(argv[i] + 8, &ask.servers));
    if (!fits) {
        error_set(&err, ERR_INPUT, "expected a run directory, workers=N, servers=N (1 to %d)",
                  CLI_COUNT_MAX);
        return cli_misuse("scale", &err);
    }
    return ask_and_say("scale", argv[1], &ask,
                       "scaling; graft status shows who has joined and left");
}
