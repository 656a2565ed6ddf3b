#include "common/net/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/shared.h"
#include "common/net/endpoint.h"
#include "common/net/zap.h"
#include "common/wire/codec.h"

#define SEND_TIMEOUT_MS 1000
#define LINGER_MS 1000
#define QUEUE_MESSAGES 10000
#define IDENTITY_BYTES 9 /* 'g' + 64 bits: libzmq reserves identities that begin with zero */
#define PARTS_MAX (WIRE_FRAMES_MAX + 1)
#define CHANNELS_MAX 1024
#define COORDINATOR_KEY "coordinator" /* where an endpoint names none */
/* Frames below the first size travel together, in parts of at most the second: libzmq writes a part
 * below 8 KiB through a buffer of that size, and each part costs it about a microsecond. */
#define SMALL_BYTES ((size_t)32 << 10)
#define PART_BYTES ((size_t)256 << 10)
#define FRAME_ALIGN ((size_t)8)

struct channel_context {
    void *zmq;
    const struct keys *keys; /* NULL: none */
    struct zap *zap;
};

struct channel {
    void *socket;
    bool listener;
    char endpoint[WIRE_TEXT_BYTES];
    char path[WIRE_TEXT_BYTES]; /* of a listener's socket on this host, "" = none */
    struct codec *codec;
    uint64_t sequence;
    uint64_t dropped;
    zmq_msg_t parts[PARTS_MAX]; /* of the message received last */
    size_t part_count;
    size_t announced[WIRE_FRAMES_MAX];
};

struct channel_context *channel_context_create(void)
{
    struct channel_context *context = memory_alloc(1, sizeof *context);
    if (context != NULL && (context->zmq = zmq_ctx_new()) == NULL) {
        memory_free(context);
        context = NULL;
    }
    return context;
}

enum status channel_context_secure(struct channel_context *context, const struct keys *keys,
                                   struct error *err)
{
    CHECK(context->zap == NULL);
    enum status status = zap_start(context->zmq, keys, &context->zap, err);
    if (status == OK)
        context->keys = keys;
    return status;
}

void channel_context_destroy(struct channel_context *context)
{
    if (context == NULL)
        return;
    zmq_ctx_term(context->zmq);
    zap_join(&context->zap);
    memory_free(context);
}

bool channel_is_loopback(const char *host)
{
    /* Parsed, because a name may begin with "127." as well. */
    struct in_addr address;
    if (inet_pton(AF_INET, host, &address) == 1)
        return ntohl(address.s_addr) >> 24 == 127;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

static enum status open_channel(struct channel_context *context, int type, struct channel **out,
                                struct error *err)
{
    struct channel *channel = memory_alloc(1, sizeof *channel);
    if (channel == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a socket");
    enum status status = codec_create(&channel->codec, err);
    if (status == OK && (channel->socket = zmq_socket(context->zmq, type)) == NULL)
        status = error_set(err, ERR_IO, "socket: %s", zmq_strerror(errno));
    if (status != OK) {
        channel_close(&channel);
        return status;
    }
    int linger = LINGER_MS, timeout = SEND_TIMEOUT_MS, queue = QUEUE_MESSAGES, one = 1;
    int64_t bytes_max = (int64_t)WIRE_FRAME_BYTES_MAX;
    zmq_setsockopt(channel->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(channel->socket, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(channel->socket, ZMQ_SNDHWM, &queue, sizeof queue);
    zmq_setsockopt(channel->socket, ZMQ_RCVHWM, &queue, sizeof queue);
    zmq_setsockopt(channel->socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max);
    if (type == ZMQ_ROUTER) {
        zmq_setsockopt(channel->socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
        zmq_setsockopt(channel->socket, ZMQ_ROUTER_HANDOVER, &one, sizeof one);
        channel->listener = true;
    }
    *out = channel;
    return OK;
}

/* What guards a socket must not fail unnoticed. */
static enum status set_guard(struct channel *channel, int option, const void *value, size_t bytes,
                             struct error *err)
{
    if (zmq_setsockopt(channel->socket, option, value, bytes) == 0)
        return OK;
    return error_set(err, ERR_IO, "this ZeroMQ cannot use keys: %s", zmq_strerror(errno));
}

/* For the binds to come: CURVE, and the list of keys is asked. (No way back: libzmq does not let go
 * of a ZAP domain.) */
static enum status guard(struct channel *channel, const struct keys *keys, struct error *err)
{
    const int one = 1;
    if (keys == NULL)
        return OK;
    enum status status = set_guard(channel, ZMQ_CURVE_SERVER, &one, sizeof one, err);
    if (status == OK)
        status = set_guard(channel, ZMQ_CURVE_SECRETKEY, keys->secret, KEY_BYTES, err);
    if (status == OK)
        status = set_guard(channel, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN), err);
    return status;
}

static enum status bind_tcp(struct channel *channel, const char *host, uint32_t port,
                            struct endpoint *endpoint, struct error *err)
{
    char address[WIRE_TEXT_BYTES];
    size_t bytes = sizeof endpoint->tcp;
    if (port == 0)
        snprintf(address, sizeof address, "tcp://%.80s:*", host);
    else
        snprintf(address, sizeof address, "tcp://%.80s:%u", host, port);
    if (zmq_bind(channel->socket, address) != 0)
        return error_set(
            err, ERR_IO,
            "cannot listen on %s: %s; choose another cluster.port, or 0 for a free one", address,
            zmq_strerror(errno));
    zmq_getsockopt(channel->socket, ZMQ_LAST_ENDPOINT, endpoint->tcp, &bytes);
    return OK;
}

/* Without it the members of this host use tcp, as all others do. */
static void bind_path(struct channel *channel, struct endpoint *endpoint)
{
    const char *why;
    char address[WIRE_TEXT_BYTES + 8];
    bool bound = endpoint_new_path(endpoint->path, &why);
    if (bound) {
        snprintf(address, sizeof address, "ipc://%s", endpoint->path);
        bound = zmq_bind(channel->socket, address) == 0;
        why = zmq_strerror(errno);
    }
    if (!bound) {
        log_event(LOG_WARN, "no_ipc", "why=\"%s\"", why);
        endpoint->path[0] = '\0';
    }
    snprintf(channel->path, sizeof channel->path, "%s", endpoint->path);
}

enum status channel_listen(struct channel_context *context, const char *host, uint32_t port,
                           struct channel **out, struct error *err)
{
    struct channel *channel;
    struct endpoint endpoint = {0};
    enum status status = open_channel(context, ZMQ_ROUTER, &channel, err);
    if (status != OK)
        return status;
    bind_path(channel, &endpoint); /* its directory guards it: no keys there */
    status = guard(channel, context->keys, err);
    if (status == OK)
        status = bind_tcp(channel, host, port, &endpoint, err);
    if (status != OK) {
        channel_close(&channel);
        return status;
    }
    if (context->keys != NULL)
        snprintf(endpoint.name, sizeof endpoint.name, "%s", context->keys->own.name);
    endpoint_write(&endpoint, channel->endpoint);
    *out = channel;
    return OK;
}

/* Over tcp, with keys: as oneself, to the one whose key the list says it is. */
static enum status present(struct channel *channel, const struct keys *keys,
                           const struct endpoint *endpoint, struct error *err)
{
    if (keys == NULL)
        return endpoint->name[0] == '\0'
                   ? OK
                   : error_set(
                         err, ERR_INPUT,
                         "%s answers to keys only; make one for this machine (docs/SECURITY.md)",
                         endpoint->tcp);
    const char *name = endpoint->name[0] != '\0' ? endpoint->name : COORDINATOR_KEY;
    const struct key_entry *peer = keys_named(keys, name);
    if (peer == NULL)
        return error_set(err, ERR_INPUT, "%s answers as '%.40s', whose key is not on the list",
                         endpoint->tcp, name);
    enum status status = set_guard(channel, ZMQ_CURVE_SERVERKEY, peer->public_key, KEY_BYTES, err);
    if (status == OK)
        status = set_guard(channel, ZMQ_CURVE_PUBLICKEY, keys->own.public_key, KEY_BYTES, err);
    if (status == OK)
        status = set_guard(channel, ZMQ_CURVE_SECRETKEY, keys->secret, KEY_BYTES, err);
    return status;
}

static enum status connect_to(struct channel *channel, const struct keys *keys, const char *text,
                              struct error *err)
{
    struct endpoint endpoint;
    enum status status = endpoint_read(text, &endpoint, err);
    if (status != OK)
        return status;
    bool near = endpoint.path[0] != '\0' && endpoint_answers(endpoint.path);
    if (near)
        snprintf(channel->endpoint, sizeof channel->endpoint, "ipc://%.107s", endpoint.path);
    else
        snprintf(channel->endpoint, sizeof channel->endpoint, "%s", endpoint.tcp);
    if (!near)
        status = present(channel, keys, &endpoint, err);
    if (status == OK && zmq_connect(channel->socket, channel->endpoint) != 0)
        status = error_set(err, ERR_IO, "cannot connect to '%s': %s; expected tcp://HOST:PORT",
                           channel->endpoint, zmq_strerror(errno));
    return status;
}

enum status channel_connect(struct channel_context *context, const char *endpoint,
                            uint64_t identity, struct channel **out, struct error *err)
{
    struct channel *channel;
    CHECK(identity != 0);
    enum status status = open_channel(context, ZMQ_DEALER, &channel, err);
    if (status != OK)
        return status;
    uint8_t name[IDENTITY_BYTES] = {'g'};
    memcpy(name + 1, &identity, sizeof identity);
    zmq_setsockopt(channel->socket, ZMQ_ROUTING_ID, name, sizeof name);
    status = connect_to(channel, context->keys, endpoint, err);
    if (status != OK) {
        channel_close(&channel);
        return status;
    }
    *out = channel;
    return OK;
}

enum status channel_mailbox(struct channel_context *context, const char *name, bool first,
                            struct channel **out, struct error *err)
{
    struct channel *channel;
    enum status status = open_channel(context, ZMQ_PAIR, &channel, err);
    if (status != OK)
        return status;
    snprintf(channel->endpoint, sizeof channel->endpoint, "inproc://%s", name);
    int failed = first ? zmq_bind(channel->socket, channel->endpoint)
                       : zmq_connect(channel->socket, channel->endpoint);
    if (failed) {
        status = error_set(err, ERR_IO, "mailbox %s: %s", name, zmq_strerror(errno));
        channel_close(&channel);
        return status;
    }
    *out = channel;
    return OK;
}

static void release_parts(struct channel *channel)
{
    for (size_t i = 0; i < channel->part_count; i++)
        zmq_msg_close(&channel->parts[i]);
    channel->part_count = 0;
}

void channel_close(struct channel **channel)
{
    if (*channel == NULL)
        return;
    release_parts(*channel);
    if ((*channel)->socket != NULL)
        zmq_close((*channel)->socket);
    if ((*channel)->path[0] != '\0')
        unlink((*channel)->path);
    codec_destroy(&(*channel)->codec);
    memory_free(*channel);
    *channel = NULL;
}

const char *channel_endpoint(const struct channel *channel)
{
    return channel->endpoint;
}

uint64_t channel_dropped(const struct channel *channel)
{
    return channel->dropped;
}

/* ---- send ---- */

static size_t frame_offset(size_t end_of_last)
{
    return (end_of_last + FRAME_ALIGN - 1) & ~(FRAME_ALIGN - 1);
}

static enum status send_failed(const struct channel *channel, const struct message *message,
                               struct error *err)
{
    const char *why = errno == EHOSTUNREACH ? "the peer is gone"
                      : errno == EAGAIN     ? "the peer takes nothing any more"
                                            : zmq_strerror(errno);
    return error_set(err, ERR_PEER, "%s could not be sent by %s: %s", message_name(message->type),
                     channel->endpoint, why);
}

/* How frames travel, for both sides: returns how many from the first one on share a part, and its
 * bytes. Each begins at a multiple of FRAME_ALIGN. */
static size_t frames_of_part(const size_t *sizes, size_t count, size_t *bytes)
{
    size_t taken = 1;
    *bytes = sizes[0];
    if (sizes[0] >= SMALL_BYTES)
        return 1;
    for (; taken < count && sizes[taken] < SMALL_BYTES; taken++) {
        size_t with = frame_offset(*bytes) + sizes[taken];
        if (with > PART_BYTES)
            break;
        *bytes = with;
    }
    return taken;
}

static void drop_shared(void *data, void *shared)
{
    (void)data;
    shared_drop(shared);
}

/* The frames of one part, which is theirs (shared memory) or a copy. */
static bool make_part(zmq_msg_t *part, const struct frame *frames, size_t count, size_t bytes)
{
    if (frames[0].shared != NULL && bytes >= SMALL_BYTES && count == 1) {
        shared_keep(frames[0].shared);
        if (zmq_msg_init_data(part, (void *)(uintptr_t)frames[0].data, bytes, drop_shared,
                              frames[0].shared) == 0)
            return true;
        shared_drop(frames[0].shared);
        return false;
    }
    if (zmq_msg_init_size(part, bytes) != 0)
        return false;
    uint8_t *to = zmq_msg_data(part);
    size_t end = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = frame_offset(end);
        memset(to + end, 0, at - end);
        if (frames[i].bytes > 0)
            memcpy(to + at, frames[i].data, frames[i].bytes);
        end = at + frames[i].bytes;
    }
    return true;
}

static bool send_part(struct channel *channel, const struct frame *frames, size_t count,
                      size_t bytes, int flags)
{
    zmq_msg_t part;
    if (!make_part(&part, frames, count, bytes))
        return false;
    if (zmq_msg_send(&part, channel->socket, flags) >= 0)
        return true;
    int reason = errno;
    zmq_msg_close(&part);
    errno = reason;
    return false;
}

enum status channel_send(struct channel *channel, uint64_t peer, struct message *message,
                         const struct frame *frames, size_t frame_count, struct error *err)
{
    size_t sizes[WIRE_FRAMES_MAX];
    CHECK(frame_count <= WIRE_FRAMES_MAX);
    for (size_t i = 0; i < frame_count; i++)
        sizes[i] = frames[i].bytes;
    const uint8_t *header;
    size_t header_bytes;
    message->sequence = ++channel->sequence;
    enum status status =
        codec_encode(channel->codec, message, sizes, frame_count, &header, &header_bytes, err);
    if (status != OK)
        return status;
    uint8_t name[IDENTITY_BYTES] = {'g'};
    memcpy(name + 1, &peer, sizeof peer);
    if (channel->listener && zmq_send(channel->socket, name, sizeof name, ZMQ_SNDMORE) < 0)
        return send_failed(channel, message, err);
    if (zmq_send(channel->socket, header, header_bytes, frame_count > 0 ? ZMQ_SNDMORE : 0) < 0)
        return send_failed(channel, message, err);
    for (size_t i = 0; i < frame_count;) {
        size_t bytes, count = frames_of_part(sizes + i, frame_count - i, &bytes);
        int more = i + count < frame_count ? ZMQ_SNDMORE : 0;
        if (!send_part(channel, frames + i, count, bytes, more))
            return send_failed(channel, message, err);
        i += count;
    }
    return OK;
}

/* ---- receive ---- */

/* All parts of one message into channel->parts; false when there is none. Too many parts: drained,
 * *broken. */
static bool take_parts(struct channel *channel, bool *broken)
{
    release_parts(channel);
    *broken = false;
    int more = 1;
    while (more) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, channel->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            return false; /* only before the first part: ZeroMQ delivers messages whole */
        }
        more = zmq_msg_more(&part);
        if (channel->part_count == PARTS_MAX) {
            zmq_msg_close(&part);
            *broken = true;
            continue;
        }
        zmq_msg_init(&channel->parts[channel->part_count]);
        zmq_msg_move(&channel->parts[channel->part_count++], &part);
        zmq_msg_close(&part);
    }
    return true;
}

static bool peer_of(zmq_msg_t *part, uint64_t *peer)
{
    const uint8_t *name = zmq_msg_data(part);
    if (zmq_msg_size(part) != IDENTITY_BYTES || name[0] != 'g')
        return false;
    memcpy(peer, name + 1, sizeof *peer);
    return *peer != 0;
}

/* libzmq lays small parts where they arrived; values are read as they lie here. */
static bool align_part(zmq_msg_t *part)
{
    size_t bytes = zmq_msg_size(part);
    zmq_msg_t copy;
    if ((uintptr_t)zmq_msg_data(part) % FRAME_ALIGN == 0)
        return true;
    if (zmq_msg_init_size(&copy, bytes) != 0)
        return false;
    memcpy(zmq_msg_data(&copy), zmq_msg_data(part), bytes);
    zmq_msg_move(part, &copy);
    zmq_msg_close(&copy);
    return true;
}

/* The payload parts hold the announced frames, and nothing else. */
static bool find_frames(struct channel *channel, size_t first, struct received *out)
{
    size_t at = first, found = 0;
    while (found < out->frame_count) {
        size_t bytes, end = 0;
        size_t count = frames_of_part(channel->announced + found, out->frame_count - found, &bytes);
        zmq_msg_t *part = &channel->parts[at];
        if (at++ == channel->part_count || zmq_msg_size(part) != bytes || !align_part(part))
            return false;
        for (; count > 0; count--, found++) {
            size_t offset = frame_offset(end);
            end = offset + channel->announced[found];
            out->frames[found] = (struct frame){.data = (uint8_t *)zmq_msg_data(part) + offset,
                                                .bytes = channel->announced[found]};
        }
    }
    return at == channel->part_count;
}

static bool decode_parts(struct channel *channel, struct received *out)
{
    size_t first = channel->listener ? 1 : 0;
    out->peer = 0;
    if (channel->part_count <= first)
        return false;
    if (channel->listener && !peer_of(&channel->parts[0], &out->peer))
        return false;
    zmq_msg_t *header = &channel->parts[first];
    if (codec_decode(channel->codec, zmq_msg_data(header), zmq_msg_size(header), &out->message,
                     channel->announced, &out->frame_count, NULL) != OK)
        return false;
    return find_frames(channel, first + 1, out);
}

bool channel_receive(struct channel *channel, struct received *out)
{
    bool broken;
    while (take_parts(channel, &broken)) {
        if (!broken && decode_parts(channel, out))
            return true;
        channel->dropped++;
    }
    return false;
}

bool channel_pass(struct channel *from, struct channel *to, uint32_t keep, uint32_t *type)
{
    bool broken;
    struct message message;
    size_t frame_count;
    *type = 0;
    CHECK(!from->listener && !to->listener);
    if (!take_parts(from, &broken))
        return false;
    if (broken ||
        codec_decode(from->codec, zmq_msg_data(&from->parts[0]), zmq_msg_size(&from->parts[0]),
                     &message, from->announced, &frame_count, NULL) != OK) {
        from->dropped++;
        return true;
    }
    *type = message.type;
    for (size_t i = 0; message.type != keep && i < from->part_count; i++)
        if (zmq_msg_send(&from->parts[i], to->socket, i + 1 < from->part_count ? ZMQ_SNDMORE : 0) <
            0)
            break;
    return true;
}

void channel_wait(struct channel *const *channels, size_t count, int64_t timeout_ms)
{
    zmq_pollitem_t items[CHANNELS_MAX];
    CHECK(count <= CHANNELS_MAX);
    for (size_t i = 0; i < count; i++)
        items[i] = (zmq_pollitem_t){.socket = channels[i]->socket, .events = ZMQ_POLLIN};
    zmq_poll(items, (int)count, timeout_ms < 0 ? 0 : (long)timeout_ms);
}
