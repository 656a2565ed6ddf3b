/* Who is answered over tcp when a process has keys: the holders of keys on its list, nobody else. ZeroMQ's own word for how
 * a handshake ended is awaited, so no test waits for nothing to happen. */
#define _DEFAULT_SOURCE /* mkdtemp */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <zmq.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/net/channel.h"
#include "common/net/endpoint.h"

#define DEADLINE_MS 5000
#define ANNA 0x1234567890abcdefu

static char directory[] = "/tmp/graft-test-keys-XXXXXX", other[] = "/tmp/graft-test-keys-XXXXXX";
static struct keys *server_keys, *worker_keys, *strange_keys;
static struct channel_context *context;
static struct channel *listener;
static char endpoint[WIRE_TEXT_BYTES]; /* without the path */
static void *plain;
static struct received *received;
static struct error err;

static void ok(enum status status)
{
    if (status != OK)
        fail_msg("%s", err.text);
}

static void make_keys(char *where)
{
    memcpy(where + strlen(where) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(where));
    ok(keys_make(where, "server", &err));
    ok(keys_make(where, "worker", &err));
}

static int setup(void **state)
{
    (void)state;
    make_keys(directory);
    make_keys(other);
    ok(keys_load(directory, "server", &server_keys, &err));
    ok(keys_load(directory, "worker", &worker_keys, &err));
    ok(keys_load(other, "worker", &strange_keys, &err));
    received = calloc(1, sizeof *received);
    plain = zmq_ctx_new();
    context = channel_context_create();
    ok(channel_context_secure(context, server_keys, &err));
    ok(channel_listen(context, "127.0.0.1", 0, &listener, &err));
    snprintf(endpoint, sizeof endpoint, "%s", channel_endpoint(listener));
    endpoint_forget_path(endpoint);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    channel_close(&listener);
    channel_context_destroy(context);
    zmq_ctx_term(plain);
    free(received);
    keys_destroy(&server_keys);
    keys_destroy(&worker_keys);
    keys_destroy(&strange_keys);
    return file_remove_tree(directory, NULL) != OK || file_remove_tree(other, NULL) != OK;
}

static void await(struct channel *channel)
{
    int64_t deadline = clock_ms() + DEADLINE_MS;
    while (!channel_receive(channel, received)) {
        assert_true(clock_ms() < deadline);
        channel_wait(&channel, 1, deadline - clock_ms());
    }
}

/* As the holder of `keys` sends; what it sent arrives, and an answer comes back. */
static void assert_served(const struct keys *keys, const char *where)
{
    struct channel_context *own = channel_context_create();
    struct channel *channel = NULL;
    struct message loaded = {.type = MESSAGE_LOADED}, take = {.type = MESSAGE_TAKE};
    if (keys != NULL)
        ok(channel_context_secure(own, keys, &err));
    ok(channel_connect(own, where, ANNA, &channel, &err));
    ok(channel_send(channel, 0, &loaded, NULL, 0, &err));
    await(listener);
    assert_true(received->peer == ANNA);
    ok(channel_send(listener, ANNA, &take, NULL, 0, &err));
    await(channel);
    assert_int_equal(received->message.type, MESSAGE_TAKE);
    channel_close(&channel);
    channel_context_destroy(own);
}

/* A peer of any kind, watched; it has sent something already. */
struct stranger {
    void *socket, *monitor;
};

static struct stranger stranger_create(const uint8_t *server, const struct keys *keys)
{
    struct stranger stranger = {.socket = zmq_socket(plain, ZMQ_DEALER)};
    const uint8_t name[9] = {'g', 1};
    struct endpoint place;
    int linger = 0;
    ok(endpoint_read(endpoint, &place, &err));
    zmq_setsockopt(stranger.socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(stranger.socket, ZMQ_ROUTING_ID, name, sizeof name);
    if (server != NULL) {
        zmq_setsockopt(stranger.socket, ZMQ_CURVE_SERVERKEY, server, KEY_BYTES);
        zmq_setsockopt(stranger.socket, ZMQ_CURVE_PUBLICKEY, keys->own.public_key, KEY_BYTES);
        zmq_setsockopt(stranger.socket, ZMQ_CURVE_SECRETKEY, keys->secret, KEY_BYTES);
    }
    assert_int_equal(zmq_socket_monitor(stranger.socket, "inproc://watch", ZMQ_EVENT_ALL), 0);
    stranger.monitor = zmq_socket(plain, ZMQ_PAIR);
    zmq_setsockopt(stranger.monitor, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(stranger.monitor, "inproc://watch"), 0);
    assert_int_equal(zmq_connect(stranger.socket, place.tcp), 0);
    const uint8_t viewed[] = {0x99, WIRE_PROTOCOL, MESSAGE_VIEWED, 0, 0, 0, 0, 0, 0x90, 0x90};
    assert_true(zmq_send(stranger.socket, viewed, sizeof viewed, 0) >= 0);
    return stranger;
}

/* The first event of the handshake's end: it must be a failure. */
static void assert_shut_out(struct stranger *stranger)
{
    int wait = DEADLINE_MS;
    zmq_setsockopt(stranger->monitor, ZMQ_RCVTIMEO, &wait, sizeof wait);
    for (;;) {
        uint8_t event[6], place[256];
        uint16_t number;
        assert_int_equal(zmq_recv(stranger->monitor, event, sizeof event, 0), 6);
        assert_true(zmq_recv(stranger->monitor, place, sizeof place, 0) >= 0);
        memcpy(&number, event, sizeof number);
        assert_int_not_equal(number, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
        if (number == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL ||
            number == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
            number == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH || number == ZMQ_EVENT_DISCONNECTED)
            break;
    }
    zmq_close(stranger->socket);
    zmq_close(stranger->monitor);
    assert_false(channel_receive(listener, received));
    assert_int_equal(channel_dropped(listener), 0);
}

static void a_key_on_the_list_is_served(void **state)
{
    (void)state;
    assert_served(worker_keys, endpoint);
    assert_string_equal(strrchr(endpoint, ','), ",server");
}

/* Nobody but this user reaches the path. */
static void on_one_host_no_key_is_needed(void **state)
{
    (void)state;
    assert_served(NULL, channel_endpoint(listener));
}

static void a_key_that_is_not_on_the_list_is_shut_out(void **state)
{
    (void)state;
    struct stranger stranger = stranger_create(server_keys->own.public_key, strange_keys);
    assert_shut_out(&stranger);
    assert_served(worker_keys, endpoint); /* the others are still served */
}

static void no_key_is_shut_out(void **state)
{
    (void)state;
    struct stranger stranger = stranger_create(NULL, NULL);
    assert_shut_out(&stranger);
    assert_served(worker_keys, endpoint);
}

/* Whoever listens there without the server's key learns nothing and cannot answer. */
static void a_server_with_another_key_is_not_believed(void **state)
{
    (void)state;
    struct stranger stranger = stranger_create(strange_keys->own.public_key, worker_keys);
    assert_shut_out(&stranger);
}

static void a_member_without_keys_says_what_it_lacks(void **state)
{
    struct channel_context *own = channel_context_create();
    struct channel *channel = NULL;
    (void)state;
    assert_int_equal(channel_connect(own, endpoint, ANNA, &channel, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "keys only"));
    channel_context_destroy(own);
}

static void a_name_that_is_not_on_the_list_is_not_connected_to(void **state)
{
    struct channel_context *own = channel_context_create();
    struct channel *channel = NULL;
    (void)state;
    ok(channel_context_secure(own, worker_keys, &err));
    assert_int_equal(channel_connect(own, "tcp://127.0.0.1:1,mallory", ANNA, &channel, &err),
                     ERR_INPUT);
    assert_non_null(strstr(err.text, "'mallory'"));
    channel_context_destroy(own);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_on_the_list_is_served),
        TEST(on_one_host_no_key_is_needed),
        TEST(a_key_that_is_not_on_the_list_is_shut_out),
        TEST(no_key_is_shut_out),
        TEST(a_server_with_another_key_is_not_believed),
        TEST(a_member_without_keys_says_what_it_lacks),
        TEST(a_name_that_is_not_on_the_list_is_not_connected_to),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
