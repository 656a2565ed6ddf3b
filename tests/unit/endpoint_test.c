/* Where a listener is reached, as text; and the directory of its sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/net/endpoint.h"

static struct error err;

static void a_text_is_read_back_as_it_was_written(void **state)
{
    static const char *const texts[] = {"tcp://10.0.0.1:5", "tcp://a:1,ipc:///tmp/x",
                                        "tcp://a:1,ipc:///tmp/x,server", "tcp://a:1,server"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct endpoint endpoint;
        char text[WIRE_TEXT_BYTES];
        assert_int_equal(endpoint_read(texts[i], &endpoint, &err), OK);
        endpoint_write(&endpoint, text);
        assert_string_equal(text, texts[i]);
    }
}

static void what_is_no_endpoint_is_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "nonsense",
                                        "ipc:///tmp/x",
                                        ",tcp://a:1",
                                        "tcp://a:1,",
                                        "tcp://a:1,,x",
                                        "tcp://a:1,ipc://",
                                        "tcp://a:1,ipc:///x,ipc:///y",
                                        "tcp://a:1,x,y"};
    char far[300] = "tcp://a:1,ipc:///";
    struct endpoint endpoint;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(endpoint_read(texts[i], &endpoint, &err), ERR_INPUT);
    memset(far + strlen(far), 'p', 108);
    assert_int_equal(endpoint_read(far, &endpoint, &err), ERR_INPUT);
    memset(far, 'p', sizeof far - 1);
    memcpy(far, "tcp://", 6);
    assert_int_equal(endpoint_read(far, &endpoint, &err), ERR_INPUT);
}

static void a_path_that_makes_the_text_too_long_is_left_out(void **state)
{
    struct endpoint endpoint = {.tcp = "tcp://a-rather-long-name-of-a-machine.example.org:12345",
                                .path = "/tmp/graft-1000/1234567-0123456789abcdef/and/some/more",
                                .name = "server"};
    char text[WIRE_TEXT_BYTES];
    (void)state;
    endpoint_write(&endpoint, text);
    assert_non_null(strstr(text, ",ipc:///tmp/graft-1000/"));
    assert_string_equal(strrchr(text, ','), ",server");
    memset(endpoint.path, 'p', 90);
    endpoint_write(&endpoint, text);
    assert_string_equal(text, "tcp://a-rather-long-name-of-a-machine.example.org:12345,server");
}

static void the_path_can_be_forgotten(void **state)
{
    char text[WIRE_TEXT_BYTES] = "tcp://a:1,ipc:///tmp/x,server", nonsense[WIRE_TEXT_BYTES] = "x,y";
    (void)state;
    endpoint_forget_path(text);
    assert_string_equal(text, "tcp://a:1,server");
    endpoint_forget_path(nonsense);
    assert_string_equal(nonsense, "x,y");
}

/* A socket file whose process is gone. */
static void leave_socket(const char *path, long age_seconds)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timespec times[2] = {{.tv_sec = time(NULL) - age_seconds}, {0}};
    times[1] = times[0];
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void a_new_path_clears_away_the_dead_and_spares_the_living(void **state)
{
    char dead[WIRE_TEXT_BYTES], young[WIRE_TEXT_BYTES], live[WIRE_TEXT_BYTES],
        next[WIRE_TEXT_BYTES];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    const char *why;
    (void)state;
    assert_true(endpoint_new_path(dead, &why) && endpoint_new_path(young, &why) &&
                endpoint_new_path(live, &why));
    leave_socket(dead, 120);
    leave_socket(young, 0);
    memcpy(address.sun_path, live, strlen(live) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(utimensat(AT_FDCWD, live, old, 0), 0);
    assert_true(endpoint_answers(live));
    assert_false(endpoint_answers(dead) || endpoint_answers("/nowhere"));
    assert_true(endpoint_new_path(next, &why));
    assert_int_not_equal(access(dead, F_OK), 0);
    assert_int_equal(access(young, F_OK), 0);
    assert_int_equal(access(live, F_OK), 0);
    close(fd);
    unlink(live);
    unlink(young);
}

static void the_directory_is_the_users_own(void **state)
{
    char path[WIRE_TEXT_BYTES];
    const char *why = "";
    struct stat info;
    (void)state;
    assert_true(endpoint_new_path(path, &why));
    *strrchr(path, '/') = '\0';
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_read_back_as_it_was_written),
        cmocka_unit_test(what_is_no_endpoint_is_refused),
        cmocka_unit_test(a_path_that_makes_the_text_too_long_is_left_out),
        cmocka_unit_test(the_path_can_be_forgotten),
        cmocka_unit_test(a_new_path_clears_away_the_dead_and_spares_the_living),
        cmocka_unit_test(the_directory_is_the_users_own),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
