/* `graft drain` and `graft scale`: members leave and join a running job. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "coordinator/cli/ask.h"
#include "coordinator/cli/cli.h"

#define COUNT_MAX 1024

static int ask_for(const char *command, const char *run, const struct message_ask *ask,
                   const char *done)
{
    struct error err = {0};
    char *answer;
    if (ask_coordinator(run, ask, &answer, &err) != OK)
        return cli_fail(command, &err);
    puts(done);
    memory_free(answer);
    return EXIT_SUCCESS;
}

static bool read_count(const char *text, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || value < 1 || value > COUNT_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

int drain_main(int argc, char **argv)
{
    struct error err = {0};
    struct message_ask ask = {.what = ASK_DRAIN};
    if (argc != 3 || !read_count(argv[2], &ask.member)) {
        error_set(&err, ERR_INPUT, "expected a run directory and a member's number");
        return cli_misuse("drain", &err);
    }
    return ask_for("drain", argv[1], &ask, "leaving; it stops when others have what it holds");
}

int scale_main(int argc, char **argv)
{
    struct error err = {0};
    struct message_ask ask = {.what = ASK_SCALE};
    bool fits = argc >= 3;
    for (int i = 2; fits && i < argc; i++)
        fits = (strncmp(argv[i], "workers=", 8) == 0 && read_count(argv[i] + 8, &ask.workers)) ||
               (strncmp(argv[i], "servers=", 8) == 0 && read_count(argv[i] + 8, &ask.servers));
    if (!fits) {
        error_set(&err, ERR_INPUT, "expected a run directory, workers=N, servers=N (1 to %d)",
                  COUNT_MAX);
        return cli_misuse("scale", &err);
    }
    return ask_for("scale", argv[1], &ask, "scaling; graft status shows who has joined and left");
}
