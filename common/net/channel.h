/* A ZeroMQ socket that carries graft's messages. One thread owns a channel.
 *
 * Three kinds: a listener (ROUTER) that knows its peers by their 64-bit identity, a connection
 * (DEALER), and one end of a mailbox between two threads (inproc PAIR). Every wait has a deadline,
 * nothing is dropped silently: what cannot be sent is an error, what arrives broken is dropped and
 * counted.
 */
#ifndef GRAFT_COMMON_NET_CHANNEL_H
#define GRAFT_COMMON_NET_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/net/keys.h"
#include "common/wire/message.h"

struct channel;
struct channel_context;

/* A received message; frames begin at multiples of 8; they and lists are borrowed until the next channel_receive on the same
 * channel. */
struct received {
    struct message message;
    uint64_t peer; /* listener: whose; else 0 */
    struct frame frames[WIRE_FRAMES_MAX];
    size_t frame_count;
};

/* What sockets and mailboxes of one process share. NULL: no memory. Destroying waits for closed
 * sockets to send. */
struct channel_context *channel_context_create(void);
void channel_context_destroy(struct channel_context *context);

/* From now on (before the first socket) listeners answer over tcp to nobody but the holders of keys
 * on the list, and connections over tcp are made as the own key, to the one that the endpoint names
 * ("coordinator" where it names none). `keys` are borrowed for the context's life. */
enum status channel_context_secure(struct channel_context *context, const struct keys *keys,
                                   struct error *err) MUST_CHECK;

/* Is this host name or address the machine itself only? Others need keys, or security = "none". */
bool channel_is_loopback(const char *host);

/* Binds tcp://host:port (port 0: a free one), and a socket for members on this host. Errors: ERR_IO
 * "port in use…" with what to do. */
enum status channel_listen(struct channel_context *context, const char *host, uint32_t port,
                           struct channel **out, struct error *err) MUST_CHECK;
/* Connects (in the background; libzmq reconnects by itself) under this identity, not 0: over the
 * endpoint's path if somebody answers there now, else over tcp. Errors: ERR_INPUT for a text that is
 * no endpoint, or when keys are missing. */
enum status channel_connect(struct channel_context *context, const char *endpoint,
                            uint64_t identity, struct channel **out, struct error *err) MUST_CHECK;
/* One end of a mailbox; the end with `first` binds and must be made first. */
enum status channel_mailbox(struct channel_context *context, const char *name, bool first,
                            struct channel **out, struct error *err) MUST_CHECK;
/* Waits at most one second for what is still to be sent. */
void channel_close(struct channel **channel);

/* Where a listener is reached: "tcp://127.0.0.1:40123,ipc:///tmp/…" (endpoint.h); of a connection,
 * which way it took. */
const char *channel_endpoint(const struct channel *channel);
/* Messages dropped because they were broken. */
uint64_t channel_dropped(const struct channel *channel);

/* Sends `message` (sequence is filled in) with its frames. Large frames of shared memory are kept,
 * not copied, until ZeroMQ has sent them: it must not be written while shared_alone() is false. All
 * others are copied. Errors: ERR_PEER when
 * the peer is gone or its queue has been full for a second; ERR_INPUT when the header is too large.
 */
enum status channel_send(struct channel *channel, uint64_t peer, struct message *message,
                         const struct frame *frames, size_t frame_count,
                         struct error *err) MUST_CHECK;

/* Takes the next message, if one is there (never waits). False: none. */
bool channel_receive(struct channel *channel, struct received *out);

/* Passes one whole message on from `from` to `to` without decoding it; false when there was none.
 * *type tells what it was (0 when broken: dropped and counted); messages of type `keep` are not
 * passed on. */
bool channel_pass(struct channel *from, struct channel *to, uint32_t keep, uint32_t *type);

/* Waits up to timeout_ms for something to receive on any of `channels`. Returns at once when a
 * signal arrives. */
void channel_wait(struct channel *const *channels, size_t count, int64_t timeout_ms);

#endif
