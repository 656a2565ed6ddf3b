/* Arguments of the commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/cli/cli.h"

static enum status parse(int argc, const char *const *arguments, struct cli_job_options *options)
{
    struct error err;
    enum status status = OK;
    *options = (struct cli_job_options){0};
    for (int at = 0; at < argc && status == OK;)
        status = cli_job_option(argc, (char **)(uintptr_t)arguments, &at, options, &err);
    return status;
}

static void overrides_are_taken_bare_and_with_set(void **state)
{
    const char *const good[] = {"--set", "a=1", "job.cfg", "b.c=2"};
    struct cli_job_options options;
    (void)state;
    assert_int_equal(parse(4, good, &options), OK);
    assert_string_equal(options.config, "job.cfg");
    assert_int_equal(options.override_count, 2);
    assert_string_equal(options.overrides[1], "b.c=2");
}

static void what_is_neither_is_refused(void **state)
{
    const char *const two_files[] = {"a.cfg", "b.cfg"}, *const unknown[] = {"--sett", "a=1"};
    const char *const lonely[] = {"a.cfg", "--set"}, *const valueless[] = {"--set", "a"};
    struct cli_job_options options;
    (void)state;
    assert_int_equal(parse(2, two_files, &options), ERR_INPUT);
    assert_int_equal(parse(2, unknown, &options), ERR_INPUT);
    assert_int_equal(parse(2, lonely, &options), ERR_INPUT);
    assert_int_equal(parse(2, valueless, &options), ERR_INPUT);
}

static void a_job_needs_a_file(void **state)
{
    struct cli_job_options options = {0};
    struct job *job = NULL;
    (void)state;
    assert_int_equal(cli_job_load(&options, &job, NULL), ERR_INPUT);
    assert_null(job);
}

static void bytes_may_have_a_unit(void **state)
{
    static const char *const bad[] = {
        "", "K", "-1", " 1", "1KB", "1 K", "99999999999999999999", "17179869184G"};
    uint64_t bytes = 0;
    (void)state;
    assert_int_equal(cli_bytes("0", &bytes, NULL), OK);
    assert_true(bytes == 0);
    assert_int_equal(cli_bytes("1500", &bytes, NULL), OK);
    assert_true(bytes == 1500);
    assert_int_equal(cli_bytes("3M", &bytes, NULL), OK);
    assert_true(bytes == 3 << 20);
    assert_int_equal(cli_bytes("2G", &bytes, NULL), OK);
    assert_true(bytes == (uint64_t)2 << 30);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cli_bytes(bad[i], &bytes, NULL), ERR_INPUT);
    assert_true(bytes == (uint64_t)2 << 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overrides_are_taken_bare_and_with_set),
        cmocka_unit_test(what_is_neither_is_refused),
        cmocka_unit_test(a_job_needs_a_file),
        cmocka_unit_test(bytes_may_have_a_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
