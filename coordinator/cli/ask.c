#include "coordinator/cli/ask.h"

#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/net/channel.h"
#include "coordinator/cli/cli.h"
#include "coordinator/watch/status.h"

#define ANSWER_MS_MAX 5000
#define ANSWER_BYTES_MAX ((size_t)1 << 20)

static enum status await_answer(struct channel *channel, const char *run_directory, char **answer,
                                struct error *err)
{
    struct received *received = memory_alloc(1, sizeof *received);
    if (received == NULL)
        return error_set(err, ERR_MEMORY, "no memory for an answer");
    int64_t deadline = clock_ms() + ANSWER_MS_MAX;
    enum status status = error_set(
        err, ERR_PEER,
        "the coordinator of %s does not answer; if it is gone, `graft run CONFIG --resume` goes on",
        run_directory);
    while (status != OK && clock_ms() < deadline) {
        channel_wait(&channel, 1, deadline - clock_ms());
        if (!channel_receive(channel, received))
            continue;
        if (received->message.type == MESSAGE_DECLINE) {
            error_set(err, ERR_STATE, "%s", received->message.body.reason.text);
            break;
        }
        if (received->message.type != MESSAGE_TELL || received->frame_count != 1)
            continue;
        *answer =
            memory_dup_text(received->frames[0].data, received->frames[0].bytes < ANSWER_BYTES_MAX
                                                          ? received->frames[0].bytes
                                                          : ANSWER_BYTES_MAX);
        status = *answer != NULL ? OK : ERR_MEMORY;
    }
    memory_free(received);
    return status;
}

/* A person asks with the coordinator's own key. */
static enum status take_keys(const struct status_note *note, struct channel_context *context,
                             struct keys **keys, struct error *err)
{
    if (context == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a socket");
    if (note->keys[0] == '\0')
        return OK;
    enum status status = keys_load(note->keys, "coordinator", keys, err);
    return status == OK ? channel_context_secure(context, *keys, err) : status;
}

enum status ask_coordinator(const char *run_directory, const struct message_ask *ask, char **answer,
                            struct error *err)
{
    struct status_note note;
    struct message message = {.type = MESSAGE_ASK};
    struct channel *channel = NULL;
    struct keys *keys = NULL;
    uint64_t identity;
    enum status status = status_note_read(run_directory, &note, err);
    if (status != OK)
        return status;
    randombytes_buf(&identity, sizeof identity);
    message.run = note.run;
    message.body.ask = *ask;
    message.sender = identity | 1;
    struct channel_context *context = channel_context_create();
    status = take_keys(&note, context, &keys, err);
    if (status == OK)
        status = channel_connect(context, note.endpoint, message.sender, &channel, err);
    if (status == OK)
        status = channel_send(channel, 0, &message, NULL, 0, err);
    if (status == OK)
        status = await_answer(channel, run_directory, answer, err);
    channel_close(&channel);
    channel_context_destroy(context);
    keys_destroy(&keys);
    return status;
}

int ask_and_say(const char *command, const char *run_directory, const struct message_ask *ask,
                const char *done)
{
    struct error err = {0};
    char *answer;
    if (ask_coordinator(run_directory, ask, &answer, &err) != OK)
        return cli_fail(command, &err);
    puts(done);
    memory_free(answer);
    return EXIT_SUCCESS;
}
