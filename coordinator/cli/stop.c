/* `graft stop`: after the epoch in work has been kept, or at once. */
#include <stdbool.h>
#include <string.h>

#include "coordinator/cli/ask.h"
#include "coordinator/cli/cli.h"

int stop_main(int argc, char **argv)
{
    struct error err = {0};
    bool now = argc == 3 && strcmp(argv[2], "--now") == 0;
    if (argc != 2 && !now) {
        error_set(&err, ERR_INPUT, "expected one run directory");
        return cli_misuse("stop", &err);
    }
    struct message_ask ask = {.what = now ? ASK_STOP_NOW : ASK_STOP};
    return ask_and_say("stop", argv[1], &ask,
                       now ? "stopping at once" : "stopping after the epoch in work");
}
