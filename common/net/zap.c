#include "common/net/zap.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "common/base/log.h"
#include "common/base/memory.h"

#define ENDPOINT "inproc://zeromq.zap.01"
#define FIELDS 7 /* version, request, domain, address, identity, mechanism, key */
#define FIELD_BYTES 256

struct zap {
    pthread_t thread;
    void *socket; /* the thread's, once it runs */
    const struct keys *keys;
    unsigned long long refused;
};

struct field {
    char text[FIELD_BYTES + 1];
    size_t bytes;
};

/* False: the context is shut down. *fields: how many came, also those beyond the array. */
static bool receive(void *socket, struct field fields[FIELDS], size_t *count)
{
    int more = 1;
    for (*count = 0; more; (*count)++) {
        struct field scratch = {.bytes = 0}, *field = *count < FIELDS ? &fields[*count] : &scratch;
        size_t size = sizeof more;
        int got;
        do
            got = zmq_recv(socket, field->text, FIELD_BYTES, 0);
        while (got < 0 && errno == EINTR);
        if (got < 0)
            return false;
        field->bytes = got < FIELD_BYTES ? (size_t)got : FIELD_BYTES;
        field->text[field->bytes] = '\0';
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size);
    }
    return true;
}

static const struct key_entry *judge(struct zap *zap, const struct field *fields, size_t count)
{
    bool curve = count == FIELDS && strcmp(fields[2].text, ZAP_DOMAIN) == 0 &&
                 strcmp(fields[5].text, "CURVE") == 0 && fields[6].bytes == KEY_BYTES;
    const struct key_entry *who =
        curve ? keys_holding(zap->keys, (const uint8_t *)fields[6].text) : NULL;
    /* A line for the 1st, 2nd, 4th, 8th …: whoever knocks must not fill the disk. */
    zap->refused += who == NULL;
    if (who == NULL && (zap->refused & (zap->refused - 1)) == 0)
        log_event(LOG_WARN, "refused",
                  "address=%.60s why=\"its key is not on the list\" times=%llu",
                  count > 3 ? fields[3].text : "", zap->refused);
    return who;
}

static void answer(void *socket, const struct field *request, const struct key_entry *who)
{
    const char *code = who != NULL ? "200" : "400", *name = who != NULL ? who->name : "";
    zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(socket, request->text, request->bytes, ZMQ_SNDMORE);
    zmq_send(socket, code, 3, ZMQ_SNDMORE);
    zmq_send(socket, "", 0, ZMQ_SNDMORE);
    zmq_send(socket, name, strlen(name), ZMQ_SNDMORE);
    zmq_send(socket, "", 0, 0);
}

static void *zap_thread(void *argument)
{
    struct zap *zap = argument;
    struct field fields[FIELDS] = {0};
    size_t count;
    while (receive(zap->socket, fields, &count))
        answer(zap->socket, &fields[1], judge(zap, fields, count));
    zmq_close(zap->socket);
    return NULL;
}

enum status zap_start(void *context, const struct keys *keys, struct zap **out, struct error *err)
{
    struct zap *zap = memory_alloc(1, sizeof *zap);
    if (zap == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the list of keys");
    zap->keys = keys;
    zap->socket = zmq_socket(context, ZMQ_REP);
    int linger = 0;
    if (zap->socket != NULL)
        zmq_setsockopt(zap->socket, ZMQ_LINGER, &linger, sizeof linger);
    if (zap->socket == NULL || zmq_bind(zap->socket, ENDPOINT) != 0 ||
        pthread_create(&zap->thread, NULL, zap_thread, zap) != 0) {
        if (zap->socket != NULL)
            zmq_close(zap->socket);
        memory_free(zap);
        return error_set(err, ERR_IO, "the list of keys cannot be watched: %s",
                         zmq_strerror(errno));
    }
    *out = zap;
    return OK;
}

void zap_join(struct zap **zap)
{
    if (*zap == NULL)
        return;
    pthread_join((*zap)->thread, NULL);
    memory_free(*zap);
    *zap = NULL;
}
