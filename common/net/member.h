/* How a worker or server becomes a member: finds the coordinator by its address alone, says HELLO,
 * is welcomed with the job's text. Shared by the two roles' main files.
 *
 * When the coordinator is lost, or knows it no more (it was started again, or had declared it dead),
 * the process replaces itself by a new one that joins anew, and looks for a coordinator for
 * cluster.join_seconds. */
#ifndef GRAFT_COMMON_NET_MEMBER_H
#define GRAFT_COMMON_NET_MEMBER_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/net/link.h"

struct member_options {
    const char *coordinator; /* --coordinator tcp://HOST:PORT */
    const char *bind;        /* --bind HOST (server) */
    const char *log;         /* --log FILE; NULL: standard error */
    const char *keys;        /* --keys DIRECTORY; NULL: none */
};

struct member {
    struct channel_context *context;
    struct keys *keys; /* NULL: none */
    struct link *link;
    uint64_t incarnation; /* random, new at each start */
    uint64_t run;
    uint32_t number;
    struct job *job;
    uint32_t again_seconds; /* > 0: shall join anew, and look for a coordinator so long */
};

/* Reads the options; ERR_INPUT with a usage line. */
enum status member_options_read(int argc, char **argv, const char *program,
                                struct member_options *out, struct error *err) MUST_CHECK;

/* A new context, with the keys of its role if the options name a directory, and a random
 * incarnation; the link is not started yet. */
enum status member_open(struct member *member, const struct member_options *options,
                        enum member_role role, struct error *err) MUST_CHECK;

/* Starts the link, says HELLO and waits for WELCOME, at most 30 s or, after member_again, as long as
 * that said; loads the job. `endpoint` ""
 * for a worker. threads = 0: as the job says. ERR_STATE with the coordinator's reason when refused.
 */
enum status member_join(struct member *member, const char *coordinator, enum member_role role,
                        const char *endpoint, struct error *err) MUST_CHECK;

/* Sends `message` to the coordinator with run and sender filled in. */
enum status member_send(struct member *member, struct message *message, const struct frame *frames,
                        size_t frame_count, struct error *err) MUST_CHECK;

/* Notes a STOP in the log and in member->again_seconds. */
void member_take_stop(struct member *member, const struct message_stop *stop);

/* After member_close, with its again_seconds: replaces the process by a new one of the same words.
 * Returns only when that fails, after a line on standard error. */
void member_again(uint32_t seconds, char *const *argv);

/* Tells the coordinator why this member cannot go on. */
void member_fail(struct member *member, const struct error *why);

/* Stops the link (last words still leave) and frees all. */
void member_close(struct member *member);

#endif
