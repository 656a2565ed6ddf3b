/* result.json: what is in it, that it is JSON whatever the numbers are, and reading it back. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/unit/data_fixture.h"
#include "tests/unit/run_fixture.h"

#include "coordinator/job/result.h"

static struct job *job;

/* Three classes of the fixture's job; the third does not occur. */
static double recalls[] = {0.5, 1, NAN};
static uint64_t confusion[] = {1, 1, 0, 0, 2, 0, 0, 0, 0}, support[] = {2, 2, 0};
static const struct score before = {.classes = 3,
                                    .samples = 4,
                                    .accuracy = 0.5,
                                    .macro_f1 = 0.4,
                                    .per_class = recalls,
                                    .support = support,
                                    .confusion = confusion},
                          after = {.classes = 3,
                                   .samples = 4,
                                   .accuracy = 0.75,
                                   .macro_f1 = 0.7333,
                                   .per_class = recalls,
                                   .support = support,
                                   .confusion = confusion};

static int open_all(void **state)
{
    job = NULL;
    if (fixture_setup(state) != 0)
        return -1;
    job = run_job();
    return 0;
}

static int close_all(void **state)
{
    job_destroy(&job);
    return fixture_teardown(state);
}

static const struct journal_epoch epoch = {
    .stage = 1,
    .epoch = 2,
    .step = 30,
    .seconds = 0.5,
    .source_validation = 0.9,
    .information = NAN,
    .entropy = NAN,
    .score = INFINITY,
    .best = true,
    .terms = {
        [TERM_LABELLED] = {[METRIC_LOSS] = 6, [METRIC_GRADIENT_SQUARE] = 9, [METRIC_SAMPLES] = 4}}};

static struct result make(void)
{
    static const struct result_unreadable lost[] = {{"a.png", "broken"},
                                                    {"\xff.png", "no \"PNG\""}};
    return (struct result){.job = job,
                           .weights = digest_of("w", 1),
                           .model = digest_of("m", 1),
                           .source_only = &before,
                           .adapted = &after,
                           .stage_seconds = {1, 2},
                           .total_seconds = 4,
                           .selected = {4, 2},
                           .selected_score = {-0.9, NAN},
                           .epochs = &epoch,
                           .epoch_count = 1,
                           .unreadable = lost,
                           .unreadable_count = 2,
                           .workers = 2,
                           .servers = 1,
                           .platform = "graft test",
                           .dropped = 3};
}

static json_t *written(const struct result *result)
{
    char path[PATH_BYTES];
    struct error err;
    json_error_t reason;
    if (result_write(fixture_folder, result, &err) != OK)
        fail_msg("%s", err.text);
    fixture_path(path, RESULT_FILE);
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &reason);
    assert_non_null(json);
    return json;
}

static const json_t *at(const json_t *json, const char *a, const char *b)
{
    return json_object_get(json_object_get(json, a), b);
}

static void scores_times_and_selection_are_named(void **state)
{
    struct result result = make();
    json_t *json = written(&result);
    (void)state;
    assert_string_equal(json_string_value(json_object_get(json, "name")), "fixture");
    assert_int_equal(json_integer_value(at(json, "seeds", "run")), 1);
    assert_true(json_real_value(at(json, "adapted", "accuracy")) == 0.75);
    assert_true(json_real_value(json_object_get(at(json, "source_only", "per_class"), "b")) == 1);
    assert_true(json_is_null(json_object_get(at(json, "source_only", "per_class"), "ü")));
    const json_t *row = json_array_get(at(json, "adapted", "confusion"), 1);
    assert_int_equal(json_integer_value(json_array_get(row, 1)), 2);
    assert_true(json_real_value(json_object_get(at(json, "seconds", "stages"), "two")) == 2);
    assert_true(json_real_value(at(json, "seconds", "total")) == 4);
    assert_int_equal(json_integer_value(json_object_get(at(json, "selection", "one"), "epoch")), 4);
    assert_int_equal(json_integer_value(at(json, "cluster", "shards")), 3);
    assert_int_equal(json_integer_value(at(json, "cluster", "messages_dropped")), 3);
    json_decref(json);
}

static void numbers_that_json_lacks_are_null(void **state)
{
    struct result result = make();
    json_t *json = written(&result);
    const json_t *first = json_array_get(json_object_get(json, "epochs"), 0);
    (void)state;
    assert_true(json_is_null(json_object_get(first, "information")));
    assert_true(json_is_null(json_object_get(first, "score")));
    assert_true(json_is_null(json_object_get(at(json, "selection", "two"), "score")));
    json_decref(json);
}

static void losses_are_per_sample_and_gradients_are_norms(void **state)
{
    struct result result = make();
    json_t *json = written(&result);
    const json_t *terms =
        json_object_get(json_array_get(json_object_get(json, "epochs"), 0), "terms");
    (void)state;
    assert_true(json_real_value(at(terms, "cross_entropy", "loss")) == 1.5);
    assert_true(json_real_value(at(terms, "cross_entropy", "gradient_norm")) == 3);
    assert_true(json_is_null(json_object_get(terms, "coral"))); /* no samples */
    json_decref(json);
}

static void paths_that_are_not_utf8_are_shown_nevertheless(void **state)
{
    struct result result = make();
    json_t *json = written(&result);
    const json_t *second = json_array_get(json_object_get(json, "unreadable"), 1);
    (void)state;
    assert_string_equal(json_string_value(json_object_get(second, "path")), "?.png");
    assert_string_equal(json_string_value(json_object_get(second, "reason")), "no \"PNG\"");
    json_decref(json);
}

static void equal_results_give_equal_bytes(void **state)
{
    char path[PATH_BYTES];
    struct digest first, second;
    struct result result = make();
    (void)state;
    json_decref(written(&result));
    fixture_path(path, RESULT_FILE);
    assert_int_equal(digest_of_file(path, &first, NULL), OK);
    json_decref(written(&result));
    assert_int_equal(digest_of_file(path, &second, NULL), OK);
    assert_memory_equal(&first, &second, sizeof first);
}

static void a_summary_is_what_was_written(void **state)
{
    char hex[DIGEST_HEX_BYTES], path[PATH_BYTES];
    struct result result = make();
    struct result_summary summary;
    struct error err;
    (void)state;
    json_decref(written(&result));
    assert_int_equal(result_read_summary(fixture_folder, &summary, &err), OK);
    digest_hex(&result.weights, hex);
    assert_string_equal(summary.name, "fixture");
    assert_string_equal(summary.weights_hex, hex);
    assert_true(summary.source_only == 0.5 && summary.adapted == 0.75);
    assert_int_equal(summary.samples, 4);
    assert_true(summary.seed == 1 && summary.total_seconds == 4);
    fixture_path(path, RESULT_FILE);
    assert_int_equal(result_read_summary(path, &summary, &err), OK);
}

static void without_labels_there_is_no_accuracy(void **state)
{
    struct result result = make();
    struct result_summary summary;
    struct error err;
    (void)state;
    result.source_only = result.adapted = NULL;
    json_decref(written(&result));
    assert_int_equal(result_read_summary(fixture_folder, &summary, &err), OK);
    assert_true(isnan(summary.adapted));
}

static void what_is_no_result_is_refused_with_its_path(void **state)
{
    static const char *const texts[] = {"", "[]", "{}", "{\"name\": 3}",
                                        "{\"name\": \"x\", \"seeds\": {\"run\": \"1\"}}"};
    char path[PATH_BYTES];
    struct result_summary summary;
    struct error err;
    (void)state;
    fixture_path(path, RESULT_FILE);
    assert_int_equal(result_read_summary(fixture_folder, &summary, &err), ERR_IO);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fixture_text(RESULT_FILE, texts[i]);
        assert_int_equal(result_read_summary(fixture_folder, &summary, &err), ERR_INPUT);
        fixture_contains(err.text, path);
    }
}

int main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        RULE(scores_times_and_selection_are_named),
        RULE(numbers_that_json_lacks_are_null),
        RULE(losses_are_per_sample_and_gradients_are_norms),
        RULE(paths_that_are_not_utf8_are_shown_nevertheless),
        RULE(equal_results_give_equal_bytes),
        RULE(a_summary_is_what_was_written),
        RULE(without_labels_there_is_no_accuracy),
        RULE(what_is_no_result_is_refused_with_its_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
