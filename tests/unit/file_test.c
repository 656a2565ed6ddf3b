/* Files whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "tests/unit/data_fixture.h"

static struct error err;

static void assert_content(const char *name, const char *expected)
{
    char path[PATH_BYTES];
    struct file_map map;
    fixture_path(path, name);
    assert_int_equal(file_map(path, 1000, &map, &err), OK);
    assert_int_equal(map.bytes, strlen(expected));
    if (map.bytes > 0)
        assert_memory_equal(map.data, expected, map.bytes);
    file_unmap(&map);
    assert_null(map.data);
}

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static void a_file_aside_replaces_the_old_one_on_commit(void **state)
{
    struct file_aside file;
    char path[PATH_BYTES];
    (void)state;
    fixture_text("f", "old");
    fixture_path(path, "f");
    assert_int_equal(file_aside_open(path, &file, &err), OK);
    assert_int_equal(file_aside_write(&file, "new", 3, &err), OK);
    assert_int_equal(file_aside_write(&file, "er", 2, &err), OK);
    assert_content("f", "old");
    assert_true(exists(file.aside));
    assert_int_equal(file_aside_commit(&file, &err), OK);
    assert_content("f", "newer");
    assert_false(exists(file.aside));
}

static void an_abandoned_file_leaves_the_old_one(void **state)
{
    struct file_aside file;
    char path[PATH_BYTES];
    (void)state;
    fixture_text("f", "old");
    fixture_path(path, "f");
    assert_int_equal(file_aside_open(path, &file, &err), OK);
    assert_int_equal(file_aside_write(&file, "new", 3, &err), OK);
    file_aside_abandon(&file);
    file_aside_abandon(&file); /* twice is once */
    assert_content("f", "old");
    assert_false(exists(file.aside));
}

static void a_commit_that_fails_leaves_nothing_aside(void **state)
{
    struct file_aside file;
    char path[PATH_BYTES];
    (void)state;
    fixture_directory("d/inside");
    fixture_path(path, "d"); /* a directory that is not empty cannot be replaced */
    assert_int_equal(file_aside_open(path, &file, &err), OK);
    assert_int_equal(file_aside_commit(&file, &err), ERR_IO);
    fixture_contains(err.text, path);
    assert_false(exists(file.aside));
}

/* /dev/full takes nothing: the system's reason must get through, and the file is abandoned. */
static void a_full_disk_is_an_error_with_its_reason(void **state)
{
    char path[PATH_BYTES], aside[PATH_BYTES];
    (void)state;
    fixture_path(path, "f");
    assert_int_equal(file_path(aside, &err, "%s.tmp-%ld", path, (long)getpid()), OK);
    assert_int_equal(symlink("/dev/full", aside), 0);
    assert_int_equal(file_write(path, "new", 3, &err), ERR_IO);
    fixture_contains(err.text, "space");
    assert_false(exists(aside));
    assert_false(exists(path));
}

static void a_directory_that_is_missing_is_an_error(void **state)
{
    char path[PATH_BYTES];
    (void)state;
    fixture_path(path, "no/f");
    assert_int_equal(file_write(path, "x", 1, &err), ERR_IO);
    fixture_contains(err.text, path);
}

static void mapping_refuses_what_is_too_long_or_no_file(void **state)
{
    struct file_map map = {NULL, 99};
    char path[PATH_BYTES];
    (void)state;
    fixture_text("f", "12345");
    fixture_path(path, "f");
    assert_int_equal(file_map(path, 4, &map, &err), ERR_INPUT);
    fixture_contains(err.text, "5 bytes");
    assert_int_equal(file_map(fixture_folder, 100, &map, &err), ERR_IO);
    assert_int_equal(map.bytes, 99); /* untouched */
    fixture_text("empty", "");
    assert_content("empty", "");
}

static void directories_are_made_with_their_parents(void **state)
{
    char path[PATH_BYTES];
    (void)state;
    fixture_directory("a/b/c");
    fixture_directory("a/b/c");
    fixture_text("a/b/c/f", "x");
    fixture_path(path, "a/b/c/f/d");
    assert_int_equal(file_make_directory(path, &err), ERR_IO);
    fixture_path(path, "a/b/c/f");
    assert_int_equal(file_make_directory(path, &err), ERR_IO);
}

static void a_tree_is_removed_without_following_links(void **state)
{
    char path[PATH_BYTES], link[PATH_BYTES];
    (void)state;
    fixture_directory("kept");
    fixture_text("kept/f", "x");
    fixture_directory("gone/inside");
    fixture_text("gone/inside/f", "x");
    fixture_path(path, "kept");
    fixture_path(link, "gone/link");
    assert_int_equal(symlink(path, link), 0);
    fixture_path(path, "gone");
    assert_int_equal(file_remove_tree(path, &err), OK);
    assert_false(exists(path));
    assert_content("kept/f", "x");
    assert_int_equal(file_remove_tree(path, &err), OK); /* it is gone already */
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    static char text[PATH_BYTES + 1];
    char path[PATH_BYTES] = "before";
    (void)state;
    memset(text, 'x', PATH_BYTES);
    assert_int_equal(file_path(path, &err, "%s", text), ERR_INPUT);
    assert_string_equal(path, "before");
    assert_int_equal(file_path(path, &err, "%s", text + 1), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_aside_replaces_the_old_one_on_commit),
        TEST(an_abandoned_file_leaves_the_old_one),
        TEST(a_commit_that_fails_leaves_nothing_aside),
        TEST(a_full_disk_is_an_error_with_its_reason),
        TEST(a_directory_that_is_missing_is_an_error),
        TEST(mapping_refuses_what_is_too_long_or_no_file),
        TEST(directories_are_made_with_their_parents),
        TEST(a_tree_is_removed_without_following_links),
        TEST(a_path_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
