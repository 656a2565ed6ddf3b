/* The note in a model's metadata, and the job that comes back out of it. */
#include "tests/unit/net_fixture.h"

#include "common/config/job_text.h"
#include "common/model/onnx/metadata.h"
#include "common/model/onnx/writer.h"
#include "tests/unit/data_fixture.h"

#define HEAD "data = { classes = [\"a\", \"q\\\"uote\", \"ü\"];\n"
#define REST                                                                                       \
    "preprocess = { width = 7; height = 3; channels = 1; mean = [10.5]; std = [3.0]; invert = "    \
    "true; };\ndomains = ( { name = \"secret\"; sources = ( { format = \"folder\"; path = "        \
    "\"/home/me/patients\"; } ); } ); };\nstages = ( { name = \"s\"; domains = [\"secret\"]; } "   \
    ");\n"

static char path[PATH_BYTES];

static void write_model(const char *note)
{
    struct net net = net_create(net_shape(2, -1, 5));
    uint32_t weight = net_constant(&net, "w", net_shape(2, 5, 3), 0, 1);
    struct error err;
    net_node(&net, OP_MATMUL, "y", NULL, 2, net.graph->input, weight);
    NET_OK(&net, shape_infer(net.graph, &net.err));
    fixture_path(path, "m.onnx");
    if (onnx_writer_save(net.graph, NULL, &(struct onnx_saving){.note = note}, path, &err) != OK)
        fail_msg("%s", err.text);
    graph_destroy(&net.graph);
}

static void refused(const char *words)
{
    char *note = NULL;
    struct error err;
    assert_int_equal(onnx_metadata_read(path, &note, &err), ERR_INPUT);
    assert_null(note);
    fixture_contains(err.text, words);
}

static void the_note_comes_back_as_a_job(void **state)
{
    struct job *job = NULL, *back = NULL;
    char *text = NULL, *note = NULL;
    struct error err;
    (void)state;
    assert_int_equal(job_load(NULL, HEAD REST, NULL, 0, &job, &err), OK);
    assert_int_equal(job_text_note(job, &text, &err), OK);
    assert_null(strstr(text, "patients")); /* whose data it was is nobody's business */
    write_model(text);
    if (onnx_metadata_read(path, &note, &err) != OK ||
        job_text_open_note(note, 2, &back, &err) != OK)
        fail_msg("%s", err.text);
    assert_string_equal(note, text);
    assert_int_equal(back->data.class_count, 3);
    for (size_t k = 0; k < 3; k++)
        assert_string_equal(back->data.classes[k], job->data.classes[k]);
    assert_memory_equal(&back->data.preprocess, &job->data.preprocess,
                        offsetof(struct preprocess_config, text)); /* numbers; then comes a path */
    assert_string_equal(back->data.preprocess.text.vocabulary, "");
    assert_int_equal(back->data.domains[0].source_count, 2);
    free(text);
    memory_free(note);
    job_destroy(&back);
    job_destroy(&job);
}

/* Texts: not where the vocabulary lay, but that it lies in the model. */
static void the_note_of_texts_names_no_path(void **state)
{
    static const char text_job[] =
        "model = { file = \"x\"; };\ndata = { classes = [\"a\", \"b\"]; preprocess = { text = { "
        "vocabulary = \"/home/me/v.txt\"; length = 9; lower_case = false; }; };\ndomains = ( { "
        "name = "
        "\"d\"; sources = ( { format = \"text\"; path = \"t\"; label_column = 1; } ); } ); };\n"
        "stages = ( { name = \"s\"; domains = [\"d\"]; } );\n";
    struct job *job = NULL, *back = NULL;
    char *note = NULL;
    struct error err;
    (void)state;
    assert_int_equal(job_load(NULL, text_job, NULL, 0, &job, &err), OK);
    assert_int_equal(job_text_note(job, &note, &err), OK);
    assert_null(strstr(note, "/home"));
    if (job_text_open_note(note, 3, &back, &err) != OK)
        fail_msg("%s", err.text);
    assert_string_equal(back->data.preprocess.text.vocabulary, JOB_TEXT_VOCABULARY);
    assert_int_equal(back->data.preprocess.text.length, 9);
    assert_false(back->data.preprocess.text.lower_case);
    free(note);
    job_destroy(&back);
    job_destroy(&job);
}

static void a_model_without_a_note_says_so(void **state)
{
    (void)state;
    write_model(NULL);
    refused("does not say how its samples are made");
}

/* Cut anywhere, the walk ends with an error or finds a whole note, and never reads beyond. */
static void a_truncated_file_is_no_file(void **state)
{
    static uint8_t bytes[4096];
    (void)state;
    write_model("a = 1;");
    FILE *file = fopen(path, "rb");
    size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(count > 50 && count < sizeof bytes);
    for (size_t cut = 1; cut < count; cut++) {
        char *note = NULL;
        struct error err;
        fixture_write("m.onnx", bytes, cut);
        if (onnx_metadata_read(path, &note, &err) == OK)
            assert_string_equal(note, "a = 1;");
        memory_free(note);
    }
}

static void lengths_beyond_the_file_are_refused(void **state)
{
    /* Field 14 of 2^63 bytes; a tag that never ends; a wire type that does not exist. */
    static const uint8_t huge[] = {0x72, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 1};
    static const uint8_t endless[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                      0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t group[] = {0x0B, 0x00};
    (void)state;
    fixture_path(path, "m.onnx");
    fixture_write("m.onnx", huge, sizeof huge);
    refused("truncated");
    fixture_write("m.onnx", endless, sizeof endless);
    refused("truncated");
    fixture_write("m.onnx", group, sizeof group);
    refused("not an ONNX file");
}

static void a_hostile_note_is_an_error_of_the_configuration(void **state)
{
    static const char *const notes[] = {"classes = 5;", "}; cluster = { workers = -1; }; x = {",
                                        "@include \"/etc/passwd\"\n", ""};
    (void)state;
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        struct job *job = NULL;
        struct error err;
        assert_int_equal(job_text_open_note(notes[i], 1, &job, &err), ERR_INPUT);
        assert_null(job);
        fixture_contains(err.text, "the model's note");
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_note_comes_back_as_a_job),
        TEST(the_note_of_texts_names_no_path),
        TEST(a_model_without_a_note_says_so),
        TEST(a_truncated_file_is_no_file),
        TEST(lengths_beyond_the_file_are_refused),
        TEST(a_hostile_note_is_an_error_of_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
