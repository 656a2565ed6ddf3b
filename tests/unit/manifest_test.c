#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/data/csv_line.h"
#include "common/data/label_table.h"
#include "tests/unit/data_fixture.h"

#define IDX "{ format = \"idx\"; split = \"train\"; path = \"cache:i\"; labels = \"cache:l\"; }"
#define IDX_DOMAIN "{ name = \"d\"; sources = ( " IDX " ); }"
#define IDX_UNLABELLED "{ name = \"u\"; labelled = false; sources = ( " IDX " ); }"
#define CSV(more)                                                                                  \
    "{ name = \"d\"; " more "sources = ( { format = \"csv\"; path = \"cache:c\"; width = 2; "      \
    "height = 1; label_column = 1; } ); }"
#define FOLDER(more)                                                                               \
    "{ name = \"d\"; " more                                                                        \
    "sources = ( { format = \"folder\"; split = \"train\"; path = \"cache:f\"; } ); }"
#define LIST(name, more)                                                                           \
    "{ name = \"" name "\"; " more                                                                 \
    "sources = ( { format = \"list\"; split = \"train\"; path = \"cache:x/list\"; } ); }"
#define ALL_TRAIN "divide = [1.0, 0.0, 0.0]; "

static void refused(const char *domains, const char *part)
{
    struct job *job = fixture_job(domains, "\"d\"", NULL, 0);
    struct manifest *manifest = NULL;
    struct error err = {OK, ""};
    assert_int_not_equal(manifest_build(job, MANIFEST_COORDINATOR, &manifest, &err), OK);
    assert_null(manifest);
    fixture_contains(err.text, part);
    job_destroy(&job);
}

static void idx_samples_keep_order_and_labels(void **state)
{
    (void)state;
    fixture_idx_images("i", 5, 3);
    fixture_idx_labels("l", 5, 3);
    struct job *job = fixture_job(IDX_DOMAIN, "\"d\"", NULL, 0);
    struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
    assert_int_equal(manifest->sample_count, 5);
    assert_int_equal(manifest->part_count[0][SPLIT_TRAIN], 5);
    assert_int_equal(manifest->samples[4].index, 4);
    assert_int_equal(manifest->samples[4].label, 1);
    char path[PATH_BYTES];
    fixture_path(path, "i");
    assert_string_equal(manifest_path(manifest, job, 3), path);
    manifest_destroy(&manifest);
    assert_null(manifest);
    job_destroy(&job);
}

static void bad_idx_files_are_refused_by_name(void **state)
{
    (void)state;
    uint8_t header[20] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4};
    fixture_idx_labels("l", 1, 1);
    fixture_write("i", header, 19);
    refused(IDX_DOMAIN,
            "/i: the IDX header announces 1 items, 20 bytes in all, but the file has 19");
    fixture_write("i", header, 6);
    refused(IDX_DOMAIN, "/i: ends inside the IDX header");
    fixture_write("i", header, 0);
    refused(IDX_DOMAIN, "/i: not an IDX file");
    header[2] = 0x0d;
    fixture_write("i", header, 20);
    refused(IDX_DOMAIN, "/i: IDX element type 0x0d");
    header[2] = 8;
    header[3] = 1;
    fixture_write("i", header, 20);
    refused(IDX_DOMAIN, "/i: IDX with 1 dimensions, expected 3");
    header[3] = 3;
    header[8] = 0xff;
    fixture_write("i", header, 20);
    refused(IDX_DOMAIN, "/i: pictures of 4278190082 x 2 x 1");
    fixture_write("i", "\x1f\x8b\x08\x00", 4);
    refused(IDX_DOMAIN, "/i: compressed");
}

static void labels_must_match_the_pictures_and_classes(void **state)
{
    (void)state;
    fixture_idx_images("i", 5, 3);
    fixture_idx_labels("l", 4, 3);
    refused(IDX_DOMAIN, "/l: 4 labels for the 5 pictures of");
    fixture_idx_labels("l", 5, 4);
    refused(IDX_DOMAIN, "/l: label 3 of picture 3, but data.classes has 3 (0 to 2)");
}

static void a_worker_reads_no_labels_of_an_unlabelled_domain_and_agrees_still(void **state)
{
    (void)state;
    fixture_idx_images("i", 5, 3);
    fixture_idx_labels("l", 5, 3);
    const char *stage = "\"d\", \"u\"";
    struct job *job = fixture_job(IDX_DOMAIN ", " IDX_UNLABELLED, stage, NULL, 0);
    struct manifest *coordinator = fixture_manifest(job, MANIFEST_COORDINATOR);
    struct manifest *worker = fixture_manifest(job, MANIFEST_WORKER);
    assert_int_equal(coordinator->samples[6].label, 1);
    assert_int_equal(worker->samples[6].label, LABEL_NONE);
    assert_int_equal(worker->samples[1].label, 1);
    assert_memory_equal(&coordinator->digest, &worker->digest, DIGEST_BYTES);
    manifest_destroy(&worker);
    manifest_destroy(&coordinator);
    job_destroy(&job);
}

static void content_changes_the_digest_and_labels_change_only_the_whole(void **state)
{
    (void)state;
    fixture_idx_images("i", 5, 3);
    fixture_idx_labels("l", 5, 3);
    struct job *job = fixture_job(IDX_DOMAIN, "\"d\"", NULL, 0);
    struct manifest *first = fixture_manifest(job, MANIFEST_WORKER);
    fixture_idx_labels("l", 5, 2);
    struct manifest *relabelled = fixture_manifest(job, MANIFEST_WORKER);
    fixture_idx_images("i", 5, 2);
    struct manifest *other = fixture_manifest(job, MANIFEST_WORKER);
    assert_memory_not_equal(&first->digest, &relabelled->digest, DIGEST_BYTES);
    assert_memory_equal(&first->domain_digest[0], &relabelled->domain_digest[0], DIGEST_BYTES);
    assert_memory_not_equal(&relabelled->domain_digest[0], &other->domain_digest[0], DIGEST_BYTES);
    manifest_destroy(&first);
    manifest_destroy(&relabelled);
    manifest_destroy(&other);
    job_destroy(&job);
}

static void write_csv_rows(int count)
{
    char text[65536];
    size_t used = 0;
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%d,%c,%d\n", i % 256,
                                 'a' + i % 3, i % 7);
    fixture_text("c", text);
}

static void division_is_exact_and_independent_of_the_seed(void **state)
{
    (void)state;
    const char *overrides[] = {"data.domains.d.divide=[0.5, 0, 0.5]", "run.seed=77"};
    write_csv_rows(1797);
    struct job *job = fixture_job(CSV(""), "\"d\"", overrides, 1);
    struct job *seeded = fixture_job(CSV(""), "\"d\"", overrides, 2);
    struct manifest *manifest = fixture_manifest(job, MANIFEST_COORDINATOR);
    struct manifest *again = fixture_manifest(seeded, MANIFEST_COORDINATOR);
    assert_int_equal(manifest->part_count[0][SPLIT_TRAIN], 898);
    assert_int_equal(manifest->part_count[0][SPLIT_VALIDATION], 0);
    assert_int_equal(manifest->part_count[0][SPLIT_TEST], 899);
    assert_memory_equal(&manifest->digest, &again->digest, DIGEST_BYTES);
    size_t early = 0; /* random, not the first half */
    for (size_t i = 0; i < 898; i++)
        early += manifest->samples[i].split == SPLIT_TRAIN;
    assert_in_range(early, 380, 520);
    manifest_destroy(&manifest);
    manifest_destroy(&again);
    job_destroy(&job);
    job_destroy(&seeded);
}

static void shares_of_zero_get_no_samples(void **state)
{
    (void)state;
    static const struct {
        const char *override;
        size_t count[3];
    } cases[] = {
        {"data.domains.d.divide=[0.8, 0.2, 0]", {5, 2, 0}},
        {"data.domains.d.divide=[1, 0, 0]", {7, 0, 0}},
        {"data.domains.d.divide=[0.34, 0.33, 0.33]", {2, 2, 3}},
    };
    write_csv_rows(7);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job *job = fixture_job(CSV(""), "\"d\"", &cases[i].override, 1);
        struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
        for (size_t split = 0; split < 3; split++)
            assert_int_equal(manifest->part_count[0][split], cases[i].count[split]);
        manifest_destroy(&manifest);
        job_destroy(&job);
    }
}

static void csv_rows_carry_offsets_and_labels_by_name_or_number(void **state)
{
    (void)state;
    fixture_text("c", "1,b,2\r\n\n3,\"c\",4\n5,0,6");
    struct job *job = fixture_job(CSV(ALL_TRAIN), "\"d\"", NULL, 0);
    struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
    assert_int_equal(manifest->sample_count, 3);
    assert_int_equal(manifest->samples[0].label, 1);
    assert_int_equal(manifest->samples[1].label, 2);
    assert_int_equal(manifest->samples[2].label, 0);
    assert_int_equal(manifest->samples[1].index, 8);
    assert_int_equal(manifest->samples[2].index, 16);
    manifest_destroy(&manifest);
    job_destroy(&job);
}

static void headers_are_skipped_when_the_source_says_so(void **state)
{
    (void)state;
    const char *override = "data.domains.d.sources.0.header=true";
    fixture_text("c", "first;class;second\n1;b;2\n");
    struct job *job = fixture_job(CSV(ALL_TRAIN), "\"d\"", &override, 1);
    struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
    assert_int_equal(manifest->sample_count, 1);
    assert_int_equal(manifest->samples[0].index, 19);
    assert_int_equal(manifest->samples[0].label, 1);
    manifest_destroy(&manifest);
    job_destroy(&job);
}

static void bad_csv_rows_are_refused_by_line(void **state)
{
    (void)state;
    fixture_text("c", "1,b,2\n3,c\n");
    refused(CSV(ALL_TRAIN),
            "/c:2: 2 columns, expected 3 (width x height x channels and the label)");
    fixture_text("c", "1,b,2\n3,bb,3\n");
    refused(CSV(ALL_TRAIN), "/c:2: label: 'bb' is not among data.classes; the nearest is 'b'");
    fixture_text("c", "1,3,2\n");
    refused(CSV(ALL_TRAIN), "/c:1: label: '3' is not among");
    fixture_text("c", "1,,2\n");
    refused(CSV(ALL_TRAIN), "/c:1: no label, but domain 'd' is labelled");
    fixture_text("c", "\n");
    refused(CSV(ALL_TRAIN), "/c: holds no samples of domain 'd'");
    refused("{ name = \"d\"; sources = ( { format = \"csv\"; path = \"cache:nowhere\"; width = 1; "
            "height = 1; "
            "label_column = 0; } ); }",
            "nowhere: No such file");
}

static void a_stage_needs_training_samples(void **state)
{
    (void)state;
    write_csv_rows(10);
    refused(CSV("divide = [0.0, 0.5, 0.5]; "),
            "domain 'd' has no training samples, but stage 's' needs some");
}

static void selecting_by_validation_needs_validation_samples(void **state)
{
    (void)state;
    const char *override = "stages.s.select=source_validation";
    struct manifest *manifest = NULL;
    struct error err;
    write_csv_rows(10);
    struct job *job = fixture_job(CSV(ALL_TRAIN), "\"d\"", &override, 1);
    assert_int_equal(manifest_build(job, MANIFEST_WORKER, &manifest, &err), ERR_INPUT);
    fixture_contains(err.text, "domain 'd' has no validation samples");
    job_destroy(&job);
}

static void make_folders(void)
{
    fixture_directory("f/b");
    fixture_directory("f/a");
    fixture_text("f/b/2.png", "x");
    fixture_text("f/b/1.JPG", "y");
    fixture_text("f/b/notes.txt", "no picture");
    fixture_text("f/a/9.jpeg", "z");
    fixture_text("f/a/.hidden.png", "no");
}

static void folders_are_classes_in_configured_order(void **state)
{
    (void)state;
    const char *override = "data.classes=[\"b\", \"a\", \"c\"]";
    make_folders();
    struct job *job = fixture_job(FOLDER(""), "\"d\"", &override, 1);
    struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
    assert_int_equal(manifest->sample_count, 3);
    fixture_contains(manifest_path(manifest, job, 0), "/f/b/1.JPG");
    fixture_contains(manifest_path(manifest, job, 1), "/f/b/2.png");
    fixture_contains(manifest_path(manifest, job, 2), "/f/a/9.jpeg");
    assert_int_equal(manifest->samples[0].label, 0);
    assert_int_equal(manifest->samples[2].label, 1);
    manifest_destroy(&manifest);
    job_destroy(&job);
}

static void folders_that_are_no_class_are_refused(void **state)
{
    (void)state;
    make_folders();
    fixture_directory("f/bx");
    refused(FOLDER(""), "/f/bx: label: 'bx' is not among data.classes; the nearest is 'b'");
}

static void pictures_outside_class_folders_are_refused_unless_unlabelled(void **state)
{
    (void)state;
    make_folders();
    fixture_text("f/top.png", "x");
    refused(FOLDER(""), "/f/top.png: a picture outside the class folders");
    fixture_directory("f/unknown");
    fixture_text("f/unknown/1.png", "x");
    struct job *job = fixture_job(
        "{ name = \"v\"; sources = ( { format = \"list\"; path = \"cache:list\"; split = "
        "\"train\"; } ); }, " FOLDER("labelled = false; "),
        "\"v\", \"d\"", NULL, 0);
    fixture_text("list", "f/top.png\ta\n");
    struct manifest *coordinator = fixture_manifest(job, MANIFEST_COORDINATOR);
    struct manifest *worker = fixture_manifest(job, MANIFEST_WORKER);
    assert_int_equal(worker->part_count[1][SPLIT_TRAIN], 5);
    fixture_contains(manifest_path(worker, job, 1), "/f/a/9.jpeg");
    assert_int_equal(worker->samples[1].label, LABEL_NONE);
    assert_int_equal(coordinator->samples[1].label, 0);
    assert_int_equal(coordinator->samples[5].label, LABEL_NONE);
    assert_memory_equal(&coordinator->digest, &worker->digest, DIGEST_BYTES);
    manifest_destroy(&worker);
    manifest_destroy(&coordinator);
    job_destroy(&job);
}

static void lists_take_rows_of_their_domain_only(void **state)
{
    (void)state;
    fixture_directory("x/y");
    fixture_text("x/y/1.png", "1");
    fixture_text("x/y/2.png", "2");
    fixture_text("x/y/3 , 3.png", "3");
    fixture_text("x/list", "y/1.png\ta\td\ny/2.png\t\te\ny/3 , 3.png\tc\n");
    struct job *job =
        fixture_job(LIST("d", "") ", " LIST("e", "labelled = false; "), "\"d\", \"e\"", NULL, 0);
    struct manifest *manifest = fixture_manifest(job, MANIFEST_COORDINATOR);
    assert_int_equal(manifest->part_count[0][SPLIT_TRAIN], 2);
    assert_int_equal(manifest->part_count[1][SPLIT_TRAIN], 2);
    fixture_contains(manifest_path(manifest, job, 1), "/x/y/3 , 3.png");
    assert_int_equal(manifest->samples[1].label, 2);
    assert_int_equal(manifest->samples[2].label, LABEL_NONE);
    manifest_destroy(&manifest);
    job_destroy(&job);
}

static void bad_list_rows_are_refused_by_line(void **state)
{
    (void)state;
    fixture_directory("x");
    fixture_text("x/1.png", "1");
    fixture_text("x/list", "1.png,a,d\n2.png,a,d\n");
    refused(LIST("d", ""), "/x/list:2: ");
    fixture_text("x/list", "1.png,,d\n");
    refused(LIST("d", ""), "/x/list:1: no label, but domain 'd' is labelled");
    fixture_text("x/list", "1.png,a,d,e\n");
    refused(LIST("d", ""), "/x/list:1: more than 3 columns");
    fixture_text("x/list", "1.png,a,e\n");
    refused(LIST("d", ""), "/x/list: holds no samples of domain 'd'");
}

static void numeric_class_names_are_never_taken_for_positions(void **state)
{
    (void)state;
    const char *override = "data.classes=[\"2\", \"0\", \"x\"]";
    struct job *job = fixture_job(CSV(""), "\"d\"", &override, 1);
    struct label_table *table = NULL;
    int32_t label = -7;
    assert_int_equal(label_table_create(job, &table, NULL), OK);
    assert_int_equal(label_table_find(table, "2", &label, NULL), OK);
    assert_int_equal(label, 0);
    assert_int_equal(label_table_find(table, "1", &label, NULL), ERR_INPUT);
    assert_int_equal(label, 0);
    label_table_destroy(&table);
    job_destroy(&job);
}

static void csv_fields_are_trimmed_and_bounded(void **state)
{
    (void)state;
    const char data[] = " 1 ,\"two\", ,\r\nlast";
    struct csv_line line;
    struct csv_field field;
    uint64_t offset = 0;
    size_t position = 0;
    char text[4];
    assert_true(csv_line_next((const uint8_t *)data, sizeof data - 1, &offset, &line));
    assert_int_equal(csv_line_columns(&line, ','), 4);
    assert_true(csv_line_field(&line, ',', &position, &field) && csv_line_copy(&field, text, 4));
    assert_string_equal(text, "1");
    assert_true(csv_line_field(&line, ',', &position, &field) && csv_line_copy(&field, text, 4));
    assert_string_equal(text, "two");
    assert_false(csv_line_copy(&field, text, 3));
    assert_true(csv_line_field(&line, ',', &position, &field));
    assert_true(csv_line_field(&line, ',', &position, &field));
    assert_int_equal(field.length, 0);
    assert_false(csv_line_field(&line, ',', &position, &field));
    assert_true(csv_line_next((const uint8_t *)data, sizeof data - 1, &offset, &line));
    assert_int_equal(line.length, 4);
    assert_false(csv_line_next((const uint8_t *)data, sizeof data - 1, &offset, &line));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(idx_samples_keep_order_and_labels),
        TEST(bad_idx_files_are_refused_by_name),
        TEST(labels_must_match_the_pictures_and_classes),
        TEST(a_worker_reads_no_labels_of_an_unlabelled_domain_and_agrees_still),
        TEST(content_changes_the_digest_and_labels_change_only_the_whole),
        TEST(division_is_exact_and_independent_of_the_seed),
        TEST(shares_of_zero_get_no_samples),
        TEST(csv_rows_carry_offsets_and_labels_by_name_or_number),
        TEST(headers_are_skipped_when_the_source_says_so),
        TEST(bad_csv_rows_are_refused_by_line),
        TEST(a_stage_needs_training_samples),
        TEST(selecting_by_validation_needs_validation_samples),
        TEST(folders_are_classes_in_configured_order),
        TEST(folders_that_are_no_class_are_refused),
        TEST(pictures_outside_class_folders_are_refused_unless_unlabelled),
        TEST(lists_take_rows_of_their_domain_only),
        TEST(bad_list_rows_are_refused_by_line),
        TEST(numeric_class_names_are_never_taken_for_positions),
        TEST(csv_fields_are_trimmed_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
