/* A member's link to the coordinator: a thread that owns the control socket, beats the heart while
 * the member computes, and passes all other messages to and from the member's own thread through a
 * mailbox. So a busy member is not a dead one. The member's thread sees an ordinary channel.
 */
#ifndef GRAFT_COMMON_NET_LINK_H
#define GRAFT_COMMON_NET_LINK_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/net/channel.h"

struct link;

/* Shared counters that the heartbeat carries; written by the member's thread. */
struct link_progress {
    _Atomic uint32_t view; /* known to it */
    _Atomic uint32_t task;
    _Atomic uint64_t samples;
    _Atomic uint64_t dropped;
    _Atomic uint64_t trained, busy_us;
};

/* Connects to the coordinator under `identity` and starts the thread. */
enum status link_start(struct channel_context *context, const char *coordinator, uint64_t identity,
                       struct link **out, struct error *err) MUST_CHECK;
void link_stop(struct link **link);

/* The member's end of the mailbox: HELLO goes out through it, WELCOME and all else come in. When
 * nothing was heard from the coordinator for the limit (set by link_limits), a STOP with the reason
 * arrives here as if it had sent it. */
struct channel *link_channel(struct link *link);
struct link_progress *link_counters(struct link *link);

/* From WELCOME. Before, the link beats every 500 ms and does not give up. */
void link_limits(struct link *link, uint64_t run, uint32_t heartbeat_ms, uint32_t lost_ms);

#endif
