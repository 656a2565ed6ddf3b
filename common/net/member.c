#include "common/net/member.h"

#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/platform.h"

#define JOIN_SECONDS 30
#define JOIN_SECONDS_NAME "GRAFT_JOIN_SECONDS" /* from a process to the one that replaces it */
#define HELLO_AGAIN_MS 1000

enum status member_options_read(int argc, char **argv, const char *program,
                                struct member_options *out, struct error *err)
{
    static const struct option options[] = {{"coordinator", required_argument, NULL, 'c'},
                                            {"bind", required_argument, NULL, 'b'},
                                            {"log", required_argument, NULL, 'l'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {NULL, 0, NULL, 0}};
    struct member_options got = {.bind = "127.0.0.1"};
    bool known = true;
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "c:b:l:k:", options, NULL)) != -1) {
        if (option == 'c')
            got.coordinator = optarg;
        else if (option == 'b')
            got.bind = optarg;
        else if (option == 'l')
            got.log = optarg;
        else if (option == 'k')
            got.keys = optarg;
        else
            known = false;
    }
    if (!known || got.coordinator == NULL || optind != argc)
        return error_set(err, ERR_INPUT,
                         "usage: %s --coordinator tcp://HOST:PORT [--bind HOST] [--keys DIRECTORY] "
                         "[--log FILE]",
                         program);
    *out = got;
    return OK;
}

static enum status take_keys(struct member *member, const char *directory, enum member_role role,
                             struct error *err)
{
    if (directory == NULL)
        return OK;
    enum status status =
        keys_load(directory, role == ROLE_SERVER ? "server" : "worker", &member->keys, err);
    return status == OK ? channel_context_secure(member->context, member->keys, err) : status;
}

enum status member_open(struct member *member, const struct member_options *options,
                        enum member_role role, struct error *err)
{
    if (sodium_init() < 0)
        return error_set(err, ERR_IO, "libsodium could not be started");
    memset(member, 0, sizeof *member);
    randombytes_buf(&member->incarnation, sizeof member->incarnation);
    member->incarnation |= 1; /* never 0, which stands for the coordinator */
    member->context = channel_context_create();
    if (member->context == NULL)
        return error_set(err, ERR_MEMORY, "no memory for ZeroMQ");
    return take_keys(member, options->keys, role, err);
}

enum status member_send(struct member *member, struct message *message, const struct frame *frames,
                        size_t frame_count, struct error *err)
{
    message->run = member->run;
    message->sender = member->incarnation;
    return channel_send(link_channel(member->link), 0, message, frames, frame_count, err);
}

static enum status say_hello(struct member *member, enum member_role role, const char *endpoint,
                             struct error *err)
{
    struct message message = {.type = MESSAGE_HELLO};
    struct message_hello *hello = &message.body.hello;
    hello->role = role;
    hello->pid = (uint64_t)getpid();
    gethostname(hello->host, sizeof hello->host - 1);
    snprintf(hello->endpoint, sizeof hello->endpoint, "%s", endpoint);
    platform_text(hello->platform, sizeof hello->platform);
    return member_send(member, &message, NULL, 0, err);
}

static enum status take_welcome(struct member *member, const struct received *received,
                                struct error *err)
{
    const struct message_welcome *welcome = &received->message.body.welcome;
    if (received->frame_count != 1 || received->frames[0].bytes > JOB_CONFIG_BYTES_MAX)
        return error_set(err, ERR_PEER, "a WELCOME without a job");
    char *text = memory_dup_text(received->frames[0].data, received->frames[0].bytes);
    if (text == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the job's text");
    enum status status = job_load(NULL, text, NULL, 0, &member->job, err);
    memory_free(text);
    if (status != OK)
        return status;
    member->run = received->message.run;
    member->number = welcome->member;
    link_limits(member->link, member->run, welcome->heartbeat_ms, welcome->lost_ms);
    return OK;
}

static enum status await_welcome(struct member *member, enum member_role role, const char *endpoint,
                                 struct received *received, struct error *err)
{
    struct channel *channel = link_channel(member->link);
    const char *given = getenv(JOIN_SECONDS_NAME);
    long seconds = given != NULL ? strtol(given, NULL, 10) : JOIN_SECONDS;
    int64_t deadline = clock_ms() + seconds * 1000, again = 0;
    while (clock_ms() < deadline) {
        if (clock_ms() >= again) {
            enum status status = say_hello(member, role, endpoint, err);
            if (status != OK)
                return status;
            again = clock_ms() + HELLO_AGAIN_MS;
        }
        channel_wait(&channel, 1, again - clock_ms());
        while (channel_receive(channel, received)) {
            if (received->message.type == MESSAGE_WELCOME)
                return take_welcome(member, received, err);
            if (received->message.type == MESSAGE_REFUSE)
                return error_set(err, ERR_STATE, "%s", received->message.body.reason.text);
            if (received->message.type == MESSAGE_STOP)
                return error_set(err, ERR_STATE, "%s", received->message.body.stop.text);
        }
    }
    return error_set(
        err, ERR_PEER, "no answer from a coordinator within %ld s; is it running there%s?", seconds,
        member->keys != NULL ? ", with keys, and this one's on its list" : ", without keys");
}

enum status member_join(struct member *member, const char *coordinator, enum member_role role,
                        const char *endpoint, struct error *err)
{
    enum status status =
        link_start(member->context, coordinator, member->incarnation, &member->link, err);
    if (status != OK)
        return status;
    struct received *received = memory_alloc(1, sizeof *received);
    if (received == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a message");
    status = await_welcome(member, role, endpoint, received, err);
    memory_free(received);
    return status;
}

void member_take_stop(struct member *member, const struct message_stop *stop)
{
    log_event(LOG_INFO, "stop", "why=\"%s\"", stop->text);
    member->again_seconds = stop->again != 0 ? member->job->cluster.join_seconds : 0;
}

void member_again(uint32_t seconds, char *const *argv)
{
    char text[16];
    snprintf(text, sizeof text, "%u", seconds);
    log_event(LOG_INFO, "again", "pid=%ld seconds=%s", (long)getpid(), text);
    if (setenv(JOIN_SECONDS_NAME, text, 1) == 0)
        execv("/proc/self/exe", argv);
    fprintf(stderr, "%s: cannot be started anew: %s\n", argv[0], strerror(errno));
}

void member_fail(struct member *member, const struct error *why)
{
    log_event(LOG_ERROR, "failed", "why=\"%s\"", why->text);
    if (member->link == NULL)
        return;
    struct message message = {.type = MESSAGE_FAILED};
    snprintf(message.body.reason.text, sizeof message.body.reason.text, "%.*s",
             (int)sizeof message.body.reason.text - 1, why->text);
    enum status ignored = member_send(member, &message, NULL, 0, NULL);
    (void)ignored;
}

void member_close(struct member *member)
{
    link_stop(&member->link);
    job_destroy(&member->job);
    channel_context_destroy(member->context);
    member->context = NULL;
    keys_destroy(&member->keys);
}
