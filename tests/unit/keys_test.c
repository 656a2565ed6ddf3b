#define _GNU_SOURCE /* memmem, mkdtemp */
/* Keys in files: who may read them, and what is no key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/net/keys.h"

static char directory[] = "/tmp/graft-test-keys-XXXXXX";
static char path[PATH_BYTES];
static struct keys *keys;
static struct error err;

static int setup(void **state)
{
    (void)state;
    memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
    return mkdtemp(directory) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    keys_destroy(&keys);
    return file_remove_tree(directory, NULL);
}

static const char *at(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void make(const char *name)
{
    if (keys_make(directory, name, &err) != OK)
        fail_msg("%s", err.text);
}

static void put(const char *name, const char *how, const char *text)
{
    FILE *file = fopen(at(name), how);
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(const char *words)
{
    assert_int_equal(keys_load(directory, "server", &keys, &err), ERR_INPUT);
    assert_null(keys);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' is missing in: %s", words, err.text);
}

static void made_keys_are_secret_listed_and_load(void **state)
{
    struct stat info;
    (void)state;
    make("server");
    make("worker-7");
    assert_int_equal(stat(at("server.secret"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(keys_load(directory, "server", &keys, &err), OK);
    assert_int_equal(keys->allowed_count, 2);
    assert_string_equal(keys->own.name, "server");
    assert_memory_equal(keys_named(keys, "server")->public_key, keys->own.public_key, KEY_BYTES);
    assert_string_equal(keys_holding(keys, keys->own.public_key)->name, "server");
    assert_string_equal(keys_named(keys, "worker-7")->name, "worker-7");
    assert_null(keys_named(keys, "worker"));
    assert_null(keys_holding(keys, keys->secret));
}

static void the_list_does_not_hold_a_secret(void **state)
{
    struct file_map map;
    char hex[2 * KEY_BYTES + 1];
    (void)state;
    make("server");
    assert_int_equal(keys_load(directory, "server", &keys, &err), OK);
    sodium_bin2hex(hex, sizeof hex, keys->secret, KEY_BYTES);
    assert_int_equal(file_map(at("allowed"), 4096, &map, NULL), OK);
    assert_null(memmem(map.data, map.bytes, hex, sizeof hex - 1));
    assert_int_equal(map.bytes, strlen("server ") + 2 * KEY_BYTES + 1);
    file_unmap(&map);
}

static void a_key_is_not_made_over_another(void **state)
{
    (void)state;
    make("server");
    assert_int_equal(keys_make(directory, "server", &err), ERR_STATE);
    assert_non_null(strstr(err.text, "server.secret"));
}

static void names_are_no_paths(void **state)
{
    static const char *const bad[] = {"",   "../x", "a/b", "a b",
                                      "-a", ".a",   "a\n", "a2345678901234567890123456789012"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(keys_make(directory, bad[i], &err), ERR_INPUT);
}

static void a_secret_that_others_may_read_is_refused(void **state)
{
    (void)state;
    make("server");
    assert_int_equal(chmod(at("server.secret"), 0640), 0);
    assert_refused("chmod 600");
}

static void a_file_that_is_no_key_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "graft-secret-1 server 00 00\n", "hello\n",
        /* a public key that is not the secret one's */
        "graft-secret-1 server "
        "0000000000000000000000000000000000000000000000000000000000000001 "
        "0000000000000000000000000000000000000000000000000000000000000001\n"};
    (void)state;
    make("server");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("server.secret", "w", bad[i]);
        assert_refused("no secret key");
        assert_null(strstr(err.text, "00000"));
    }
}

static void a_broken_list_is_refused_with_its_line(void **state)
{
    (void)state;
    make("server");
    put("allowed", "a", "# a remark\n\nworker 12\n");
    assert_refused("allowed:4:");
    put("allowed", "w",
        "server 0000000000000000000000000000000000000000000000000000000000000001\n"
        "server 0000000000000000000000000000000000000000000000000000000000000002\n");
    assert_refused("allowed:2:");
}

static void an_own_key_that_is_not_listed_is_refused(void **state)
{
    (void)state;
    make("server");
    put("allowed", "w",
        "server 0000000000000000000000000000000000000000000000000000000000000001\n");
    assert_refused("not on the list");
}

static void missing_keys_say_how_to_make_them(void **state)
{
    (void)state;
    assert_int_equal(keys_load(directory, "server", &keys, &err), ERR_IO);
    assert_non_null(strstr(err.text, "graft keygen"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(made_keys_are_secret_listed_and_load),
        TEST(the_list_does_not_hold_a_secret),
        TEST(a_key_is_not_made_over_another),
        TEST(names_are_no_paths),
        TEST(a_secret_that_others_may_read_is_refused),
        TEST(a_file_that_is_no_key_is_refused),
        TEST(a_broken_list_is_refused_with_its_line),
        TEST(an_own_key_that_is_not_listed_is_refused),
        TEST(missing_keys_say_how_to_make_them),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
