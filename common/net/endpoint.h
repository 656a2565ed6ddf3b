/* Where a listener is reached, as one text of at most WIRE_TEXT_BYTES:
 *
 *   tcp://HOST:PORT[,ipc://PATH][,NAME]
 *
 * PATH: a socket for members on the same host, in a directory that only this user may enter. NAME:
 * whose key the listener answers with over tcp (common/net/keys.h). A member takes the path when
 * somebody answers there: that is what being on one host means. Knows no ZeroMQ. */
#ifndef GRAFT_COMMON_NET_ENDPOINT_H
#define GRAFT_COMMON_NET_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/wire/message.h"

struct endpoint {
    char tcp[WIRE_TEXT_BYTES];  /* "tcp://HOST:PORT" */
    char path[WIRE_TEXT_BYTES]; /* "": none */
    char name[WIRE_TEXT_BYTES]; /* "": none */
};

/* Errors: ERR_INPUT. */
enum status endpoint_read(const char *text, struct endpoint *out, struct error *err) MUST_CHECK;

/* Leaves the path out when all together would be too long. */
void endpoint_write(const struct endpoint *endpoint, char out[WIRE_TEXT_BYTES]);

/* For members that shall use tcp even on one host. What is no endpoint stays as it is. */
void endpoint_forget_path(char text[WIRE_TEXT_BYTES]);

/* A new path for a socket, in /tmp/graft-UID (0700); removes the sockets of the dead there. False:
 * no such directory can be had (another's, or open to others), *why says so. */
bool endpoint_new_path(char out[WIRE_TEXT_BYTES], const char **why);

/* Does somebody listen at this path, on this host? Never waits. */
bool endpoint_answers(const char *path);

#endif
