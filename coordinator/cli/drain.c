/* `graft drain`: a member leaves a running job. */
#include "coordinator/cli/ask.h"
#include "coordinator/cli/cli.h"

int drain_main(int argc, char **argv)
{
    struct error err = {0};
    struct message_ask ask = {.what = ASK_DRAIN};
    if (argc != 3 || !cli_count(argv[2], &ask.member)) {
        error_set(&err, ERR_INPUT, "expected a run directory and a member's number");
        return cli_misuse("drain", &err);
    }
    return ask_and_say("drain", argv[1], &ask, "leaving; it stops when others have what it holds");
}
