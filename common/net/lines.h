/* A member's own connections to the servers of a view. One thread. */
#ifndef GRAFT_COMMON_NET_LINES_H
#define GRAFT_COMMON_NET_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/net/channel.h"

#define LINES_MAX 256

struct lines {
    void *context;     /* ZeroMQ */
    uint64_t identity; /* this member's incarnation */
    uint64_t incarnations[LINES_MAX];
    struct channel *channels[LINES_MAX]; /* NULL: this member itself */
    size_t count;
};

/* Connects to the servers of the view that are not connected yet, in the view's order, and closes
 * the lines to others. Errors: ERR_PEER for too many servers; ERR_IO. */
enum status lines_follow(struct lines *lines, const struct message_view *view,
                         struct error *err) MUST_CHECK;
void lines_close(struct lines *lines);

/* The line to a server; NULL when there is none. */
struct channel *lines_to(const struct lines *lines, uint64_t incarnation);

#endif
