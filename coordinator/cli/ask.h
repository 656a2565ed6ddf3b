/* Asks a running coordinator. */
#ifndef GRAFT_COORDINATOR_CLI_ASK_H
#define GRAFT_COORDINATOR_CLI_ASK_H

#include "common/base/error.h"
#include "common/wire/message.h"

/* Sends ASK to the coordinator of a run directory and waits up to 5 s; *answer is JSON, owned by
 * the caller (memory_free). Errors: ERR_STATE when no job runs there or it declines, ERR_PEER when
 * it does not answer. */
enum status ask_coordinator(const char *run_directory, const struct message_ask *ask, char **answer,
                            struct error *err) MUST_CHECK;

/* The whole of a command that only asks: prints `done`, or why not; returns the exit status. */
int ask_and_say(const char *command, const char *run_directory, const struct message_ask *ask,
                const char *done);

#endif
