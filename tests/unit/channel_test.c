/* Messages over real sockets (loopback, port 0) and mailboxes; every wait has a deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <sodium.h>
#include <zmq.h>

#include "common/base/clock.h"
#include "common/base/shared.h"
#include "common/net/channel.h"
#include "common/net/endpoint.h"

#define DEADLINE_MS 5000
#define ANNA 0x1234567890abcdefu
#define BERT 77u

static struct channel_context *context;
static void *plain; /* of peers that are not graft's */
static struct channel *listener;
static struct received *received;
static struct error err;

static int setup(void **state)
{
    (void)state;
    context = channel_context_create();
    plain = zmq_ctx_new();
    received = calloc(1, sizeof *received);
    assert_true(context != NULL && received != NULL);
    if (channel_listen(context, "127.0.0.1", 0, &listener, &err) != OK)
        fail_msg("%s", err.text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    channel_close(&listener);
    channel_context_destroy(context);
    zmq_ctx_term(plain);
    free(received);
    return 0;
}

static struct channel *connect_as(uint64_t identity)
{
    struct channel *channel = NULL;
    if (channel_connect(context, channel_endpoint(listener), identity, &channel, &err) != OK)
        fail_msg("%s", err.text);
    return channel;
}

static void send_ok(struct channel *channel, uint64_t peer, struct message *message,
                    const struct frame *frames, size_t count)
{
    if (channel_send(channel, peer, message, frames, count, &err) != OK)
        fail_msg("%s", err.text);
}

static void await(struct channel *channel)
{
    int64_t deadline = clock_ms() + DEADLINE_MS;
    while (!channel_receive(channel, received)) {
        assert_true(clock_ms() < deadline);
        channel_wait(&channel, 1, deadline - clock_ms());
    }
}

static void await_dropped(struct channel *channel, uint64_t count)
{
    int64_t deadline = clock_ms() + DEADLINE_MS;
    while (channel_dropped(channel) < count) {
        assert_true(clock_ms() < deadline);
        channel_wait(&channel, 1, deadline - clock_ms());
        assert_false(channel_receive(channel, received));
    }
    assert_int_equal(channel_dropped(channel), count);
}

static struct endpoint place_of_listener(void)
{
    struct endpoint place;
    assert_int_equal(endpoint_read(channel_endpoint(listener), &place, &err), OK);
    return place;
}

static uint16_t port_of_listener(void)
{
    return (uint16_t)strtoul(strrchr(place_of_listener().tcp, ':') + 1, NULL, 10);
}

static void messages_go_both_ways_with_their_frames(void **state)
{
    static const float large[50000] = {1, 2, 3};
    const struct frame frames[] = {{large, sizeof large}, {NULL, 0}, {"x", 1}};
    struct message take = {.type = MESSAGE_TAKE, .run = 5, .sender = ANNA, .generation = 9};
    struct channel *anna = connect_as(ANNA), *bert = connect_as(BERT);
    (void)state;
    take.body.take.version = 42;
    send_ok(anna, 0, &take, frames, 3);
    await(listener);
    assert_true(received->peer == ANNA && received->message.sender == ANNA);
    assert_int_equal(received->message.type, MESSAGE_TAKE);
    assert_int_equal(received->message.body.take.version, 42);
    assert_int_equal(received->message.generation, 9);
    assert_int_equal(received->frame_count, 3);
    assert_int_equal(received->frames[0].bytes, sizeof large);
    assert_memory_equal(received->frames[0].data, large, sizeof large);
    assert_int_equal(received->frames[1].bytes, 0);
    send_ok(bert, 0, &take, NULL, 0);
    await(listener);
    assert_int_equal(received->peer, BERT);
    struct message stop = {.type = MESSAGE_STOP};
    snprintf(stop.body.stop.text, sizeof stop.body.stop.text, "enough");
    send_ok(listener, BERT, &stop, frames + 2, 1);
    await(bert);
    assert_int_equal(received->message.type, MESSAGE_STOP);
    assert_string_equal(received->message.body.stop.text, "enough");
    assert_false(channel_receive(anna, received));
    channel_close(&anna);
    channel_close(&bert);
}

/* Small, large, empty and odd ones in any order arrive as they were, each at a multiple of 8. */
static void frames_of_all_sizes_arrive_as_they_were(void **state)
{
    static const size_t sizes[] = {0,     1,     7,      8,     32767, 32768, 32769, 3,
                                   70000, 20000, 20000,  20000, 20000, 20000, 20000, 20000,
                                   20000, 20000, 20000,  20000, 20000, 20000, 20000, 20000,
                                   20000, 0,     262144, 0,     0,     5,     40000, 9};
    static uint8_t bytes[300000];
    enum { COUNT = sizeof sizes / sizeof *sizes };
    struct frame frames[COUNT];
    struct message take = {.type = MESSAGE_TAKE};
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 151 + (i >> 9));
    for (size_t i = 0; i < COUNT; i++)
        frames[i] = (struct frame){bytes + i, sizes[i]};
    struct channel *anna = connect_as(ANNA);
    for (size_t count = 1; count <= COUNT; count++) {
        send_ok(anna, 0, &take, frames, count);
        await(listener);
        assert_int_equal(received->frame_count, count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(received->frames[i].bytes, sizes[i]);
            assert_int_equal((uintptr_t)received->frames[i].data % 8, 0);
            if (sizes[i] > 0)
                assert_memory_equal(received->frames[i].data, bytes + i, sizes[i]);
        }
    }
    assert_int_equal(channel_dropped(listener), 0);
    channel_close(&anna);
}

/* libzmq hands these out where they lie in its buffer, behind a header of one length or another. */
static void small_parts_are_aligned_whatever_came_before(void **state)
{
    static const uint32_t views[] = {0, 200, 300, 70000};
    const uint8_t bytes[200] = {1, 2, 3};
    struct channel *anna = connect_as(ANNA);
    (void)state;
    for (size_t size = 100; size < 200; size++) {
        struct message take = {.type = MESSAGE_TAKE, .view = views[size % 4]};
        const struct frame frame = {bytes, size};
        take.generation = views[size / 4 % 4];
        send_ok(anna, 0, &take, &frame, 1);
        await(listener);
        assert_int_equal((uintptr_t)received->frames[0].data % 8, 0);
        assert_memory_equal(received->frames[0].data, bytes, size);
    }
    channel_close(&anna);
}

static void large_frames_of_shared_memory_are_not_copied(void **state)
{
    struct channel *first = NULL, *second = NULL;
    struct message loaded = {.type = MESSAGE_LOADED};
    uint8_t *shared = shared_alloc(1, 100000);
    (void)state;
    assert_int_equal(channel_mailbox(context, "box", true, &first, &err), OK);
    assert_int_equal(channel_mailbox(context, "box", false, &second, &err), OK);
    const struct frame large = {shared + 64, 90000, shared}, small = {shared, 500, shared};
    send_ok(first, 0, &loaded, &large, 1);
    assert_false(shared_alone(shared)); /* until it is there and was looked at */
    await(second);
    assert_ptr_equal(received->frames[0].data, shared + 64);
    send_ok(first, 0, &loaded, &small, 1);
    await(second);
    assert_true(shared_alone(shared));
    assert_true(received->frames[0].data != shared);
    shared_drop(shared);
    channel_close(&first);
    channel_close(&second);
}

static bool goes_by(const struct channel *channel, const char *prefix)
{
    return strncmp(channel_endpoint(channel), prefix, strlen(prefix)) == 0;
}

static void on_one_host_the_path_is_taken_by_itself(void **state)
{
    char text[WIRE_TEXT_BYTES];
    struct channel *near = connect_as(ANNA), *far = NULL;
    struct message loaded = {.type = MESSAGE_LOADED};
    (void)state;
    assert_true(goes_by(near, "ipc:///tmp/graft-"));
    snprintf(text, sizeof text, "%s", channel_endpoint(listener));
    endpoint_forget_path(text);
    assert_int_equal(channel_connect(context, text, BERT, &far, &err), OK);
    assert_true(goes_by(far, "tcp://127.0.0.1:"));
    send_ok(near, 0, &loaded, NULL, 0);
    await(listener);
    assert_true(received->peer == ANNA);
    send_ok(far, 0, &loaded, NULL, 0);
    await(listener);
    assert_true(received->peer == BERT);
    channel_close(&near);
    channel_close(&far);
}

/* Another host's path, or that of somebody who is gone. */
static void a_path_where_nobody_answers_is_not_taken(void **state)
{
    struct endpoint place = place_of_listener();
    char text[WIRE_TEXT_BYTES];
    struct message loaded = {.type = MESSAGE_LOADED};
    struct channel *channel = NULL;
    (void)state;
    place.path[strlen(place.path) - 1] ^= 1;
    endpoint_write(&place, text);
    assert_int_equal(channel_connect(context, text, ANNA, &channel, &err), OK);
    assert_true(goes_by(channel, "tcp://"));
    send_ok(channel, 0, &loaded, NULL, 0);
    await(listener);
    channel_close(&channel);
}

static void a_listener_leaves_no_path_behind(void **state)
{
    struct endpoint place = place_of_listener();
    (void)state;
    assert_true(endpoint_answers(place.path));
    assert_int_equal(access(place.path, F_OK), 0);
    channel_close(&listener);
    assert_int_not_equal(access(place.path, F_OK), 0);
}

static void the_sequence_counts_what_a_channel_sends(void **state)
{
    struct channel *anna = connect_as(ANNA);
    struct message loaded = {.type = MESSAGE_LOADED};
    (void)state;
    for (uint64_t i = 1; i <= 20; i++)
        send_ok(anna, 0, &loaded, NULL, 0);
    for (uint64_t i = 1; i <= 20; i++) {
        await(listener);
        assert_int_equal(received->message.sequence, i);
    }
    channel_close(&anna);
}

static void a_message_to_a_peer_that_is_not_there_is_an_error(void **state)
{
    struct message loaded = {.type = MESSAGE_LOADED};
    (void)state;
    assert_int_equal(channel_send(listener, BERT, &loaded, NULL, 0, &err), ERR_PEER);
    assert_non_null(strstr(err.text, "LOADED"));
    assert_non_null(strstr(err.text, "gone"));
}

/* A new process under the old identity takes over. */
static void an_identity_may_come_back(void **state)
{
    struct message loaded = {.type = MESSAGE_LOADED};
    struct channel *first = connect_as(ANNA);
    (void)state;
    send_ok(first, 0, &loaded, NULL, 0);
    await(listener);
    struct channel *second = connect_as(ANNA);
    send_ok(second, 0, &loaded, NULL, 0);
    await(listener);
    send_ok(listener, ANNA, &loaded, NULL, 0);
    await(second);
    channel_close(&first);
    channel_close(&second);
}

static void port_in_use_says_what_to_do(void **state)
{
    struct channel *again = NULL;
    (void)state;
    assert_int_equal(channel_listen(context, "127.0.0.1", port_of_listener(), &again, &err),
                     ERR_IO);
    assert_non_null(strstr(err.text, place_of_listener().tcp));
    assert_non_null(strstr(err.text, "in use"));
    assert_non_null(strstr(err.text, "cluster.port"));
    assert_null(again);
}

static void an_endpoint_that_is_none_says_what_was_expected(void **state)
{
    struct channel *channel = NULL;
    (void)state;
    assert_int_equal(channel_connect(context, "nonsense", ANNA, &channel, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "tcp://HOST:PORT"));
    assert_int_equal(channel_connect(context, "tcp://a:b", ANNA, &channel, &err), ERR_IO);
    assert_non_null(strstr(err.text, "tcp://HOST:PORT"));
    assert_null(channel);
}

/* A plain libzmq peer, under any identity, sending any frames. */
static void *foreign(const void *name, size_t bytes)
{
    void *socket = zmq_socket(plain, ZMQ_DEALER);
    int linger = 0;
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (bytes > 0)
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, name, bytes);
    assert_int_equal(zmq_connect(socket, place_of_listener().tcp), 0);
    return socket;
}

/* [WIRE_PROTOCOL, VIEWED, 0, 0, 0, 0, 0, [frame of `announced` bytes], []] */
static void send_raw(void *socket, uint8_t announced, size_t frames, size_t bytes)
{
    const uint8_t header[] = {0x99, WIRE_PROTOCOL, MESSAGE_VIEWED, 0,   0, 0, 0,
                              0,    0x91,          announced,      0x90};
    const uint8_t payload[64] = {0};
    assert_true(zmq_send(socket, header, sizeof header, frames > 0 ? ZMQ_SNDMORE : 0) >= 0);
    for (size_t i = 0; i < frames; i++)
        assert_true(zmq_send(socket, payload, bytes, i + 1 < frames ? ZMQ_SNDMORE : 0) >= 0);
}

static void a_peer_with_another_kind_of_identity_is_dropped(void **state)
{
    const uint8_t zero[9] = {'g'}, other[9] = {'h', 1};
    void *sockets[] = {foreign("short", 5), foreign(zero, 9), foreign(other, 9), foreign(NULL, 0)};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        send_raw(sockets[i], 4, 1, 4);
        await_dropped(listener, i + 1);
    }
    for (size_t i = 0; i < 4; i++)
        zmq_close(sockets[i]);
}

static void frames_that_are_not_as_announced_are_dropped(void **state)
{
    const uint8_t name[9] = {'g', 1};
    void *socket = foreign(name, 9);
    (void)state;
    send_raw(socket, 4, 1, 5);
    await_dropped(listener, 1);
    send_raw(socket, 4, 0, 0);
    await_dropped(listener, 2);
    send_raw(socket, 4, 2, 4);
    await_dropped(listener, 3);
    send_raw(socket, 0, WIRE_FRAMES_MAX + 5, 0);
    await_dropped(listener, 4);
    assert_true(zmq_send(socket, "", 0, 0) >= 0);
    await_dropped(listener, 5);
    send_raw(socket, 4, 1, 4); /* and the next good one arrives */
    await(listener);
    assert_int_equal(received->message.type, MESSAGE_VIEWED);
    zmq_close(socket);
}

/* Not even ZeroMQ: noise, and a start of its greeting that breaks off. */
static void garbage_on_the_port_disturbs_nobody(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port_of_listener())};
    static const uint8_t greeting[12] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0};
    struct message loaded = {.type = MESSAGE_LOADED};
    uint8_t noise[4096];
    (void)state;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * 151 + (i >> 3));
    for (int round = 0; round < 8; round++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        if (round % 2 == 1)
            assert_true(send(fd, greeting, sizeof greeting, MSG_NOSIGNAL) > 0);
        /* The listener may hang up in the middle: that is its right. */
        ssize_t ignored = send(fd, noise + round, sizeof noise - 8, MSG_NOSIGNAL);
        (void)ignored;
        close(fd);
    }
    struct channel *anna = connect_as(ANNA);
    send_ok(anna, 0, &loaded, NULL, 0);
    await(listener);
    assert_true(received->peer == ANNA);
    channel_close(&anna);
}

static void a_mailbox_carries_messages_between_two_ends(void **state)
{
    struct channel *first = NULL, *second = NULL;
    struct message loaded = {.type = MESSAGE_LOADED}, viewed = {.type = MESSAGE_VIEWED};
    const struct frame frame = {"abc", 3};
    (void)state;
    assert_int_equal(channel_mailbox(context, "box", true, &first, &err), OK);
    assert_int_equal(channel_mailbox(context, "box", false, &second, &err), OK);
    send_ok(first, 0, &loaded, &frame, 1);
    send_ok(second, 0, &viewed, NULL, 0);
    await(second);
    assert_int_equal(received->message.type, MESSAGE_LOADED);
    assert_memory_equal(received->frames[0].data, "abc", 3);
    await(first);
    assert_int_equal(received->message.type, MESSAGE_VIEWED);
    assert_false(channel_receive(first, received));
    channel_close(&first);
    channel_close(&second);
}

static void passing_on_keeps_what_it_is_told_to_keep(void **state)
{
    struct channel *in = NULL, *near = NULL, *far = NULL;
    struct channel *out = connect_as(ANNA);
    struct message beat = {.type = MESSAGE_HEARTBEAT}, loaded = {.type = MESSAGE_LOADED};
    const struct frame frame = {"abc", 3};
    uint32_t type;
    (void)state;
    assert_int_equal(channel_mailbox(context, "in", true, &near, &err), OK);
    assert_int_equal(channel_mailbox(context, "in", false, &in, &err), OK);
    send_ok(near, 0, &beat, NULL, 0);
    send_ok(near, 0, &loaded, &frame, 1);
    assert_true(channel_pass(in, out, MESSAGE_HEARTBEAT, &type));
    assert_int_equal(type, MESSAGE_HEARTBEAT);
    assert_true(channel_pass(in, out, MESSAGE_HEARTBEAT, &type));
    assert_int_equal(type, MESSAGE_LOADED);
    assert_false(channel_pass(in, out, MESSAGE_HEARTBEAT, &type));
    await(listener);
    assert_int_equal(received->message.type, MESSAGE_LOADED);
    assert_int_equal(received->frames[0].bytes, 3);
    channel_close(&in);
    channel_close(&near);
    channel_close(&far);
    channel_close(&out);
}

static void only_the_machine_itself_is_loopback(void **state)
{
    (void)state;
    assert_true(channel_is_loopback("127.0.0.1") && channel_is_loopback("127.1.2.3"));
    assert_true(channel_is_loopback("localhost") && channel_is_loopback("[::1]"));
    assert_false(channel_is_loopback("0.0.0.0") || channel_is_loopback("*"));
    assert_false(channel_is_loopback("10.0.0.1") || channel_is_loopback("eth0"));
    assert_false(channel_is_loopback("localhost.example.org") || channel_is_loopback(""));
    assert_false(channel_is_loopback("127.example.org"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_go_both_ways_with_their_frames),
        TEST(frames_of_all_sizes_arrive_as_they_were),
        TEST(small_parts_are_aligned_whatever_came_before),
        TEST(large_frames_of_shared_memory_are_not_copied),
        TEST(on_one_host_the_path_is_taken_by_itself),
        TEST(a_path_where_nobody_answers_is_not_taken),
        TEST(a_listener_leaves_no_path_behind),
        TEST(the_sequence_counts_what_a_channel_sends),
        TEST(a_message_to_a_peer_that_is_not_there_is_an_error),
        TEST(an_identity_may_come_back),
        TEST(port_in_use_says_what_to_do),
        TEST(an_endpoint_that_is_none_says_what_was_expected),
        TEST(a_peer_with_another_kind_of_identity_is_dropped),
        TEST(frames_that_are_not_as_announced_are_dropped),
        TEST(garbage_on_the_port_disturbs_nobody),
        TEST(a_mailbox_carries_messages_between_two_ends),
        TEST(passing_on_keeps_what_it_is_told_to_keep),
        TEST(only_the_machine_itself_is_loopback),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
