/* Texts: rows of files, WordPiece, the network's inputs, and what a job must not say of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/data/text_row.h"
#include "common/model/vocabulary.h"
#include "tests/unit/data_fixture.h"
#include "worker/data/decoder.h"
#include "worker/data/wordpiece.h"

#define LENGTH 8

static const char vocabulary[] =
    "[PAD]\012[UNK]\012[CLS]\012[SEP]\012[MASK]\012the\012un\012##aff\012##able\012##"
    "s\012cafe\012a\012b\012##b\012c\012#\012\346\235\261\012\344\272\254\012\341\204\222\012##"
    "\341\205\241\012##\341\206\253\012\317\203\012##\316\277\012##\317\203\012i\012!"
    "\012Caf\303\251\012THE\012hello\012,\012##a";

static const struct {
    const char *text;
    bool lower_case;
    uint32_t ids[LENGTH];
} encoded[] = {
    /* What Hugging Face's tokenizers 0.23.3 make of these texts with this vocabulary. */
    {"The unaffable, cafes!", true, {2, 5, 6, 7, 8, 29, 10, 3}},
    {"Caf\303\251 CAFE\314\201S", true, {2, 10, 10, 9, 3, 0, 0, 0}},
    {"\346\235\261\344\272\254the\346\235\261 \344\272\254", true, {2, 16, 17, 5, 16, 17, 3, 0}},
    {"\355\225\234", true, {2, 18, 19, 20, 3, 0, 0, 0}},
    {"\316\243\316\237\316\243", true, {2, 21, 22, 23, 3, 0, 0, 0}},
    {"a\342\200\213b\357\277\275", true, {2, 11, 13, 3, 0, 0, 0, 0}},
    {"a\302\240b\342\200\203c\342\200\250a\015\012", true, {2, 11, 12, 14, 11, 3, 0, 0}},
    {"the#b##a", true, {2, 5, 15, 12, 15, 15, 11, 3}},
    {"[CLS]the[SEP]x[MASK]", true, {2, 2, 5, 3, 1, 4, 3, 0}},
    {"[cls]", true, {2, 1, 1, 1, 3, 0, 0, 0}},
    {"hello hellos", true, {2, 28, 28, 9, 3, 0, 0, 0}},
    {"   ", true, {2, 3, 0, 0, 0, 0, 0, 0}},
    {"a\314\201b", true, {2, 11, 13, 3, 0, 0, 0, 0}},
    {"I\314\207 \304\260", true, {2, 24, 24, 3, 0, 0, 0, 0}},
    {"The unaffable, cafes!", false, {2, 1, 6, 7, 8, 29, 10, 3}},
    {"Caf\303\251 CAFE\314\201S", false, {2, 26, 1, 3, 0, 0, 0, 0}},
    {"\346\235\261\344\272\254the\346\235\261 \344\272\254", false, {2, 16, 17, 5, 16, 17, 3, 0}},
    {"\355\225\234", false, {2, 1, 3, 0, 0, 0, 0, 0}},
    {"\316\243\316\237\316\243", false, {2, 1, 3, 0, 0, 0, 0, 0}},
    {"a\342\200\213b\357\277\275", false, {2, 11, 13, 3, 0, 0, 0, 0}},
    {"a\302\240b\342\200\203c\342\200\250a\015\012", false, {2, 11, 12, 14, 11, 3, 0, 0}},
    {"the#b##a", false, {2, 5, 15, 12, 15, 15, 11, 3}},
    {"[CLS]the[SEP]x[MASK]", false, {2, 2, 5, 3, 1, 4, 3, 0}},
    {"[cls]", false, {2, 1, 1, 1, 3, 0, 0, 0}},
    {"hello hellos", false, {2, 28, 28, 9, 3, 0, 0, 0}},
    {"   ", false, {2, 3, 0, 0, 0, 0, 0, 0}},
    {"a\314\201b", false, {2, 1, 3, 0, 0, 0, 0, 0}},
    {"I\314\207 \304\260", false, {2, 1, 1, 3, 0, 0, 0, 0}},
};

static struct wordpiece *open_wordpiece(bool lower_case)
{
    struct wordpiece *wordpiece = NULL;
    struct error err;
    if (wordpiece_create(vocabulary, lower_case, &wordpiece, &err) != OK)
        fail_msg("%s", err.text);
    return wordpiece;
}

static void ids_are_those_of_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof encoded / sizeof *encoded; i++) {
        uint32_t ids[LENGTH];
        struct wordpiece *wordpiece = open_wordpiece(encoded[i].lower_case);
        wordpiece_encode(wordpiece, encoded[i].text, strlen(encoded[i].text), ids, LENGTH);
        for (size_t k = 0; k < LENGTH; k++)
            if (ids[k] != encoded[i].ids[k])
                fail_msg("'%s': token %zu is %u", encoded[i].text, k, ids[k]);
        wordpiece_destroy(&wordpiece);
    }
}

static void bytes_that_are_no_text_are_left_out(void **state)
{
    (void)state;
    static const char text[] = "the\xFF\xE6\x9D \xC0\x80 a\0\xED\xA0\x80"
                               "b";
    uint32_t ids[LENGTH];
    struct wordpiece *wordpiece = open_wordpiece(true);
    assert_int_equal(wordpiece_encode(wordpiece, text, sizeof text - 1, ids, LENGTH), 5);
    assert_int_equal(ids[1], 5);
    assert_int_equal(ids[2], 11);
    assert_int_equal(ids[3], 13);
    wordpiece_destroy(&wordpiece);
}

static void a_word_of_more_than_100_characters_is_unknown(void **state)
{
    (void)state;
    char text[128];
    uint32_t ids[128];
    struct wordpiece *wordpiece = open_wordpiece(true);
    memset(text, 'b', sizeof text);
    assert_int_equal(wordpiece_encode(wordpiece, text, 100, ids, 128), 102);
    assert_int_equal(ids[100], 13);
    assert_int_equal(wordpiece_encode(wordpiece, text, 101, ids, 128), 3);
    assert_int_equal(ids[1], 1);
    wordpiece_destroy(&wordpiece);
}

static void a_vocabulary_without_its_special_tokens_is_refused(void **state)
{
    (void)state;
    struct wordpiece *wordpiece = NULL;
    struct error err;
    assert_int_equal(wordpiece_create("[PAD]\n[UNK]\n[CLS]\nthe\n", true, &wordpiece, &err),
                     ERR_INPUT);
    fixture_contains(err.text, "[SEP]");
    fixture_text("v.txt", "[PAD]\n\xFF\n");
    char path[PATH_BYTES], *text = NULL;
    fixture_path(path, "v.txt");
    assert_int_equal(vocabulary_read(path, &text, &err), ERR_INPUT);
    fixture_contains(err.text, "byte 6");
}

/* Every row's fields between bars, rows by line. */
static void expect_rows(enum text_form form, const char *data, const char *expected)
{
    char got[256] = "", field[64];
    uint64_t offset = 0;
    struct text_row row;
    while (text_row_next(form, data, strlen(data), &offset, &row)) {
        size_t length;
        for (size_t column = 0; (length = text_row_copy(form, &row, column, field)) != SIZE_MAX;
             column++) {
            assert_true(length <= row.length);
            snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s|", (int)length, field);
        }
        snprintf(got + strlen(got), sizeof got - strlen(got), row.open ? "open;" : ";");
    }
    assert_string_equal(got, expected);
}

static void rows_and_fields_are_those_of_the_form(void **state)
{
    (void)state;
    expect_rows(TEXT_COMMAS, "a,\"b,\"\"c\"\"\"\r\n\"two\nlines\",,x\n",
                "a|b,\"c\"|;two\nlines||x|;");
    expect_rows(TEXT_COMMAS, "in\"ner,\"\"\n\"q\"tail,z", "in\"ner||;q|z|;");
    expect_rows(TEXT_COMMAS, "a\n\"open\nb,c", "a|;open\nb,c|open;");
    expect_rows(TEXT_COMMAS, "\"", "|open;");
    expect_rows(TEXT_TABS, "a \"q\tb, c\n\t\n", "a \"q|b, c|;||;");
    expect_rows(TEXT_LINES, "\xEF\xBB\xBFone, \"two\"\tx\r\n\nend", "one, \"two\"\tx|;|;end|;");
    assert_int_equal(text_row_form("a.CSV"), TEXT_COMMAS);
    assert_int_equal(text_row_form("a.b/c.tsv"), TEXT_TABS);
    assert_int_equal(text_row_form("csv"), TEXT_LINES);
}

/* ---- a job of texts ---- */

static const char job_text[] =
    "model = { file = \"none.onnx\"; };\n"
    "data = { classes = [\"good\", \"bad\"]; preprocess = { text = { vocabulary = \"cache:v.txt\"; "
    "length = 6; }; };\n"
    "domains = ( { name = \"d\"; divide = [1, 0, 0]; sources = ( { format = \"text\"; path = "
    "\"cache:t.csv\"; header = true; text_column = 1; label_column = 0; } ); } ); };\n"
    "stages = ( { name = \"s\"; domains = [\"d\"]; } );\n";

static struct job *open_job(const char *const *overrides, size_t count)
{
    struct job *job = NULL;
    struct error err;
    if (job_load(NULL, job_text, overrides, count, &job, &err) != OK)
        fail_msg("%s", err.text);
    return job;
}

static void write_files(const char *texts)
{
    fixture_text("v.txt", vocabulary);
    fixture_text("t.csv", texts);
}

static void a_sample_is_what_the_models_inputs_want(void **state)
{
    (void)state;
    static const struct model model = {.text_inputs = {TEXT_MASK, TEXT_IDS, TEXT_TYPES},
                                       .text_input_count = 3};
    static const float expected[18] = {1, 1, 1, 1, 0, 0, 2, 5, 11, 3, 0, 0};
    char texts[6000];
    snprintf(texts, sizeof texts, "label,text\ngood,\"%5000sthe\n a\"\nbad,b\n",
             ""); /* beyond the first buffer */
    write_files(texts);
    struct job *job = open_job(NULL, 0);
    struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
    struct decoder *decoder = NULL;
    struct error err;
    float out[18];
    assert_int_equal(manifest->sample_count, 2);
    assert_int_equal(manifest->samples[1].label, 1);
    assert_int_equal(decoder_open(job, manifest, &model, &decoder, &err), OK);
    assert_int_equal(decoder_elements(decoder), 18);
    assert_int_equal(decoder_read(decoder, 0, 0, out, &err), OK);
    assert_memory_equal(out, expected, sizeof expected);
    decoder_close(&decoder);
    manifest_destroy(&manifest);
    job_destroy(&job);
}

static struct digest features_of(const char *override)
{
    struct job *job = open_job(&override, override != NULL);
    struct manifest *manifest = fixture_manifest(job, MANIFEST_WORKER);
    struct digest digest = manifest->domain_digest[0];
    manifest_destroy(&manifest);
    job_destroy(&job);
    return digest;
}

static void everything_that_changes_tokens_changes_the_features_digest(void **state)
{
    (void)state;
    static const char *const overrides[] = {"data.preprocess.text.length=7",
                                            "data.preprocess.text.lower_case=false",
                                            "data.domains.d.sources.[0].text_column=2"};
    write_files("l,t,u\ngood,the,a\nbad,b,c\n");
    struct digest plain = features_of(NULL), same = features_of("run.seed=7");
    assert_memory_equal(&plain, &same, sizeof plain);
    for (size_t i = 0; i < sizeof overrides / sizeof *overrides; i++) {
        struct digest other = features_of(overrides[i]);
        assert_memory_not_equal(&plain, &other, sizeof plain);
    }
    fixture_text("v.txt", "[PAD]\n[CLS]\n[UNK]\n[SEP]\n");
    struct digest other = features_of(NULL);
    assert_memory_not_equal(&plain, &other, sizeof plain);
}

static void refuse_texts(const char *texts, const char *words)
{
    struct manifest *manifest = NULL;
    struct error err;
    write_files(texts);
    struct job *job = open_job(NULL, 0);
    assert_int_equal(manifest_build(job, MANIFEST_WORKER, &manifest, &err), ERR_INPUT);
    fixture_contains(err.text, words);
    job_destroy(&job);
}

static void a_bad_row_is_named_with_its_line(void **state)
{
    (void)state;
    refuse_texts("l,t\ngood,\"a\nb\"\ngood\n", "t.csv:4: no column 1");
    refuse_texts("l,t\ngood,a\nbad,\"b\n", "t.csv:3: a quote is not closed");
    refuse_texts("l,t\nugly,a\n", "t.csv:2: label");
    refuse_texts("l,t\n,a\n", "t.csv:2: no label");
}

static void refuse_job(const char *override, const char *words)
{
    struct job *job = NULL;
    struct error err;
    assert_int_equal(job_load(NULL, job_text, &override, 1, &job, &err), ERR_INPUT);
    fixture_contains(err.text, words);
}

static void a_job_that_mixes_texts_and_pictures_is_refused(void **state)
{
    (void)state;
    refuse_job("data.preprocess.text.vocabulary=\"\"", "data.preprocess.width: missing");
    refuse_job("data.preprocess.width=3", "no width and height");
    refuse_job("data.domains.d.sources.[0].format=\"list\"", "label");
    refuse_job("data.domains.d.sources.[0].label_column=1", "is the text's column");
    refuse_job("data.augment.variants=2", "texts are not changed");
    refuse_job("model.file=\"\"", "texts need a network");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_the_reference),
        cmocka_unit_test(bytes_that_are_no_text_are_left_out),
        cmocka_unit_test(a_word_of_more_than_100_characters_is_unknown),
        cmocka_unit_test_setup_teardown(a_vocabulary_without_its_special_tokens_is_refused,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test(rows_and_fields_are_those_of_the_form),
        cmocka_unit_test_setup_teardown(a_sample_is_what_the_models_inputs_want, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(everything_that_changes_tokens_changes_the_features_digest,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_bad_row_is_named_with_its_line, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test(a_job_that_mixes_texts_and_pictures_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
