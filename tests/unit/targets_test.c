/* Targets of multilabel and regression in the manifest: where they come from, who reads them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/data_fixture.h"

#define CSV(name, more)                                                                            \
    "{ name = \"" name "\"; divide = [1, 0, 0]; " more "sources = ( { format = \"csv\"; "          \
    "path = \"cache:" name "\"; width = 2; height = 1; label_column = 1; } ); }"
#define LIST(name, more)                                                                           \
    "{ name = \"" name "\"; " more "sources = ( { format = \"list\"; split = \"train\"; "          \
    "path = \"cache:" name "\"; } ); }"
#define UNLABELLED "labelled = false; "

static struct job *job_of(const char *task, const char *domains, const char *stage)
{
    char override[64];
    const char *overrides[] = {override};
    snprintf(override, sizeof override, "data.task=%s", task);
    return fixture_job(domains, stage, overrides, 1);
}

static void refused(const char *task, const char *domains, const char *part)
{
    struct job *job = job_of(task, domains, "\"d\"");
    struct manifest *manifest = NULL;
    struct error err = {OK, ""};
    assert_int_equal(manifest_build(job, MANIFEST_COORDINATOR, &manifest, &err), ERR_INPUT);
    fixture_contains(err.text, part);
    job_destroy(&job);
}

static void assert_targets(const struct manifest *manifest, uint32_t id, float a, float b, float c)
{
    const float *targets = manifest_targets(manifest, id);
    assert_int_equal(manifest->samples[id].label, 0);
    assert_true(targets[0] == a && targets[1] == b && targets[2] == c);
}

static void csv_has_a_column_for_each_target(void **state)
{
    (void)state;
    fixture_text("d", "7,1,0,1,8\n7,0,0,0,8\n");
    struct job *job = job_of("multilabel", CSV("d", ""), "\"d\"");
    struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
    assert_targets(manifest, 0, 1, 0, 1);
    assert_targets(manifest, 1, 0, 0, 0);
    assert_null(manifest->scale);
    manifest_destroy(&manifest);
    job_destroy(&job);
    fixture_text("d", "7,1.5,-2e3,0,8\n7,0,1,2,8\n");
    job = job_of("regression", CSV("d", ""), "\"d\"");
    manifest = fixture_manifest(job, MANIFEST_WORKER);
    assert_targets(manifest, 0, 1.5, -2000, 0);
    manifest_destroy(&manifest);
    job_destroy(&job);
}

static void bad_targets_are_refused_by_line(void **state)
{
    (void)state;
    fixture_text("d", "7,1,0,1,8\n7,2,0,0,8\n");
    refused("multilabel", CSV("d", ""), "/d:2: '2' for label 'a'; expected 0 or 1");
    fixture_text("d", "7,1,0,yes,8\n");
    refused("multilabel", CSV("d", ""), "/d:1: 'yes' for label 'c'; expected 0 or 1");
    refused("regression", CSV("d", ""), "/d:1: 'yes' for 'c' is not a number");
    fixture_text("d", "7,1,0,1e39,8\n");
    refused("regression", CSV("d", ""), "/d:1: '1e39' for 'c' is not a number");
    fixture_text("d", "7,1,0,,8\n");
    refused("regression", CSV("d", ""), "/d:1: no label, but domain 'd' is labelled");
    fixture_text("d", "7,1,0,8\n");
    refused("multilabel", CSV("d", ""),
            "/d:1: 4 columns, expected 5 (width x height x channels and the targets)");
    fixture_text("u", "7,1,0,,8\n");
    fixture_text("d", "7,1,0,1,8\n");
    refused("multilabel", CSV("d", "") ", " CSV("u", UNLABELLED),
            "/u:1: some targets are there and some are not");
}

static void lists_name_labels_or_hold_numbers(void **state)
{
    (void)state;
    fixture_text("1.png", "1");
    fixture_text("2.png", "2");
    fixture_text("d", "1.png,a|c\n2.png,\n");
    struct job *job = job_of("multilabel", LIST("d", ""), "\"d\"");
    struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
    assert_targets(manifest, 0, 1, 0, 1);
    assert_targets(manifest, 1, 0, 0, 0);
    manifest_destroy(&manifest);
    job_destroy(&job);
    fixture_text("d", "1.png,1|2.5|-3\n");
    job = job_of("regression", LIST("d", ""), "\"d\"");
    manifest = fixture_manifest(job, MANIFEST_WORKER);
    assert_targets(manifest, 0, 1, 2.5, -3);
    manifest_destroy(&manifest);
    job_destroy(&job);
    fixture_text("d", "1.png,a|z\n");
    refused("multilabel", LIST("d", ""), "/d:1: label: 'z' is not among");
    fixture_text("d", "1.png\n");
    refused("multilabel", LIST("d", ""), "/d:1: no label, but domain 'd' is labelled");
    fixture_text("d", "1.png,1|2\n");
    refused("regression", LIST("d", ""), "/d:1: 2 numbers joined by '|', expected 3");
    fixture_text("d", "1.png,1|2|3|4\n");
    refused("regression", LIST("d", ""), "/d:1: 4 numbers joined by '|', expected 3");
}

static void a_worker_reads_no_targets_of_an_unlabelled_domain_and_agrees_still(void **state)
{
    (void)state;
    fixture_text("d", "7,1,2,3,8\n7,4,5,6,8\n");
    fixture_text("u", "7,9,9,9,8\n7,,,,8\n7,1,1,1,8\n");
    struct job *job = job_of("regression", CSV("d", "") ", " CSV("u", UNLABELLED), "\"d\", \"u\"");
    struct manifest *coordinator = fixture_manifest(job, MANIFEST_COORDINATOR);
    struct manifest *worker = fixture_manifest(job, MANIFEST_WORKER);
    assert_targets(coordinator, 2, 9, 9, 9);
    assert_int_equal(coordinator->samples[3].label, LABEL_NONE);
    for (uint32_t id = 2; id < 5; id++) {
        assert_int_equal(worker->samples[id].label, LABEL_NONE);
        for (size_t k = 0; k < 3; k++)
            assert_true(manifest_targets(worker, id)[k] == 0);
    }
    assert_targets(worker, 1, 4, 5, 6);
    assert_memory_equal(&coordinator->digest, &worker->digest, DIGEST_BYTES);
    assert_memory_equal(coordinator->scale, worker->scale, 3 * sizeof *worker->scale);
    manifest_destroy(&worker);
    manifest_destroy(&coordinator);
    job_destroy(&job);
}

static void targets_that_teach_are_part_of_the_digest(void **state)
{
    struct digest digests[2];
    (void)state;
    fixture_text("1.png", "1");
    for (int i = 0; i < 2; i++) { /* a list's labels are no content of the file's pictures */
        fixture_text("d", i == 0 ? "1.png,1|2|3\n" : "1.png,1|2|4\n");
        struct job *job = job_of("regression", LIST("d", ""), "\"d\"");
        struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
        digests[i] = manifest->digest;
        manifest_destroy(&manifest);
        job_destroy(&job);
    }
    assert_memory_not_equal(&digests[0], &digests[1], sizeof digests[0]);
}

/* Over labelled training samples only. */
static void values_are_scaled_by_what_teaches(void **state)
{
    (void)state;
    fixture_text("d", "7,1,5,-1,8\n7,2,5,1,8\n7,6,5,0,8\n");
    fixture_text("u", "7,900,900,900,8\n");
    struct job *job = job_of("regression", CSV("d", "") ", " CSV("u", UNLABELLED), "\"d\", \"u\"");
    struct manifest *manifest = fixture_manifest(job, MANIFEST_COORDINATOR);
    assert_true(manifest->scale[0].mean == 3);
    assert_true(fabs(manifest->scale[0].deviation - sqrt(14.0 / 3)) < 1e-15);
    assert_true(manifest->scale[1].mean == 5 && manifest->scale[1].deviation == 1);
    assert_true(fabs(manifest->scale[2].deviation - sqrt(2.0 / 3)) < 1e-15);
    manifest_destroy(&manifest);
    job_destroy(&job);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(csv_has_a_column_for_each_target),
        TEST(bad_targets_are_refused_by_line),
        TEST(lists_name_labels_or_hold_numbers),
        TEST(a_worker_reads_no_targets_of_an_unlabelled_domain_and_agrees_still),
        TEST(targets_that_teach_are_part_of_the_digest),
        TEST(values_are_scaled_by_what_teaches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
