#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <png.h>

#include "tests/unit/data_fixture.h"
#include "worker/data/csv_sample.h"
#include "worker/data/decoder.h"
#include "worker/data/loader.h"
#include "worker/data/preprocess.h"

#define IDX_DOMAIN                                                                                 \
    "{ name = \"d\"; sources = ( { format = \"idx\"; split = \"train\"; path = \"cache:i\"; "      \
    "labels = \"cache:l\"; } ); }"
#define CSV_DOMAIN                                                                                 \
    "{ name = \"d\"; divide = [1, 0, 0]; sources = ( { format = \"csv\"; path = \"cache:c\"; "     \
    "width = 2; height = 2; "                                                                      \
    "label_column = 4; value_max = 16; } ); }"
#define FOLDER_DOMAIN                                                                              \
    "{ name = \"d\"; sources = ( { format = \"folder\"; split = \"train\"; path = \"cache:f\"; } " \
    "); }"

struct opened {
    struct job *job;
    struct manifest *manifest;
    struct decoder *decoder;
};

static struct opened open_domain(const char *domain, const char *const *overrides, size_t count)
{
    struct opened o = {fixture_job(domain, "\"d\"", overrides, count), NULL, NULL};
    struct error err;
    o.manifest = fixture_manifest(o.job, MANIFEST_WORKER);
    if (decoder_open(o.job, o.manifest, NULL, &o.decoder, &err) != OK)
        fail_msg("%s", err.text);
    return o;
}

static void close_domain(struct opened *o)
{
    decoder_close(&o->decoder);
    assert_null(o->decoder);
    manifest_destroy(&o->manifest);
    job_destroy(&o->job);
}

static void close_to(double a, double b)
{
    if (fabs(a - b) > 1e-4)
        fail_msg("%.9g is not %.9g", a, b);
}

static void run_preprocess(const struct preprocess_config *config, const struct picture *picture,
                           float *out)
{
    struct preprocess *preprocess = NULL;
    assert_int_equal(preprocess_create(config, &preprocess, NULL), OK);
    assert_int_equal(preprocess_run(preprocess, picture, out, NULL), OK);
    preprocess_destroy(&preprocess);
}

/* The definition, in double, one output number at a time. */
static double oracle(const struct picture *p, uint32_t in_channel,
                     const struct preprocess_config *c, uint32_t y, uint32_t x)
{
    double at[2] = {(y + 0.5) * p->height / c->height - 0.5, (x + 0.5) * p->width / c->width - 0.5};
    double last[2] = {p->height - 1.0, p->width - 1.0};
    double low[2], high[2], share[2];
    for (int i = 0; i < 2; i++) {
        at[i] = fmin(fmax(at[i], 0), last[i]);
        low[i] = floor(at[i]);
        high[i] = fmin(low[i] + 1, last[i]);
        share[i] = at[i] - low[i];
    }
    double sum = 0;
    for (int corner = 0; corner < 4; corner++) {
        double row = corner & 2 ? high[0] : low[0], column = corner & 1 ? high[1] : low[1];
        double weight =
            (corner & 2 ? share[0] : 1 - share[0]) * (corner & 1 ? share[1] : 1 - share[1]);
        size_t index = ((size_t)row * p->width + (size_t)column) * p->channels + in_channel;
        sum += weight * p->values[index];
    }
    return sum;
}

static void resize_follows_its_definition(void **state)
{
    (void)state;
    static const uint32_t sizes[][4] = {
        {8, 8, 48, 48}, {7, 5, 3, 4}, {1, 1, 3, 3}, {2, 9, 9, 2}, {6, 6, 6, 6}};
    float values[9 * 9 * 3], out[48 * 48 * 3];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = (float)((i * 37) % 256);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct picture picture = {
            .values = values, .width = sizes[i][0], .height = sizes[i][1], .channels = 3};
        struct preprocess_config config = {.width = sizes[i][2],
                                           .height = sizes[i][3],
                                           .channels = 3,
                                           .mean = {1, 2, 3},
                                           .std = {2, 4, 8}};
        run_preprocess(&config, &picture, out);
        size_t index = 0;
        for (uint32_t c = 0; c < 3; c++)
            for (uint32_t y = 0; y < config.height; y++)
                for (uint32_t x = 0; x < config.width; x++)
                    close_to(out[index++],
                             (oracle(&picture, c, &config, y, x) - config.mean[c]) / config.std[c]);
    }
}

static void gray_is_repeated_and_inverted_before_normalising(void **state)
{
    (void)state;
    const uint8_t bytes[4] = {0, 255, 10, 20};
    float out[12];
    struct picture picture = {.bytes = bytes, .width = 2, .height = 2, .channels = 1};
    struct preprocess_config config = {.width = 2,
                                       .height = 2,
                                       .channels = 3,
                                       .mean = {127.5, 127.5, 0},
                                       .std = {127.5, 127.5, 1},
                                       .invert = true};
    run_preprocess(&config, &picture, out);
    close_to(out[0], 1);
    close_to(out[1], -1);
    close_to(out[4], 1);
    close_to(out[10], 245);
    close_to(out[11], 235);
}

static void colour_becomes_gray_by_luma(void **state)
{
    (void)state;
    const uint8_t bytes[6] = {255, 0, 0, 0, 255, 0};
    float out[2];
    struct picture picture = {.bytes = bytes, .width = 2, .height = 1, .channels = 3};
    struct preprocess_config config = {.width = 2, .height = 1, .channels = 1, .std = {1}};
    run_preprocess(&config, &picture, out);
    close_to(out[0], 0.299 * 255);
    close_to(out[1], 0.587 * 255);
}

static void channels_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const uint8_t bytes[2] = {0};
    float out[3];
    struct error err;
    struct preprocess *preprocess = NULL;
    struct picture picture = {.bytes = bytes, .width = 1, .height = 1, .channels = 2};
    struct preprocess_config config = {.width = 1, .height = 1, .channels = 3, .std = {1, 1, 1}};
    assert_int_equal(preprocess_create(&config, &preprocess, NULL), OK);
    assert_int_equal(preprocess_run(preprocess, &picture, out, &err), ERR_INPUT);
    assert_string_equal(err.text, "2 channels can't become 3");
    preprocess_destroy(&preprocess);
    assert_null(preprocess);
}

static void idx_pictures_are_read_by_number(void **state)
{
    (void)state;
    float out[4];
    fixture_idx_images("i", 5, 2);
    fixture_idx_labels("l", 5, 3);
    struct opened o = open_domain(IDX_DOMAIN, NULL, 0);
    assert_int_equal(decoder_elements(o.decoder), 4);
    for (uint32_t id = 5; id-- > 0;) {
        assert_int_equal(decoder_read(o.decoder, id, 0, out, NULL), OK);
        for (uint32_t i = 0; i < 4; i++)
            close_to(out[i], 7.0 * id + i);
    }
    close_domain(&o);
}

static void a_file_cut_short_during_the_run_is_noticed(void **state)
{
    (void)state;
    float out[4];
    char path[PATH_BYTES];
    struct error err;
    fixture_idx_images("i", 5, 2);
    fixture_idx_labels("l", 5, 3);
    struct opened o = open_domain(IDX_DOMAIN, NULL, 0);
    fixture_path(path, "i");
    assert_int_equal(truncate(path, 16 + 4 * 4 + 1), 0);
    assert_int_equal(decoder_read(o.decoder, 3, 0, out, &err), OK);
    assert_int_equal(decoder_read(o.decoder, 4, 0, out, &err), ERR_STATE);
    fixture_contains(err.text, "/i: changed since the manifest was made");
    close_domain(&o);
}

static void a_file_replaced_by_fewer_pictures_is_noticed(void **state)
{
    (void)state;
    float out[4];
    struct error err;
    fixture_idx_images("i", 5, 2);
    fixture_idx_labels("l", 5, 3);
    struct opened o = open_domain(IDX_DOMAIN, NULL, 0);
    struct decoder *decoder = NULL;
    fixture_idx_images("i", 3, 2);
    assert_int_equal(decoder_open(o.job, o.manifest, NULL, &decoder, &err), OK);
    assert_int_equal(decoder_read(decoder, 4, 0, out, &err), ERR_STATE);
    decoder_close(&decoder);
    close_domain(&o);
}

static void csv_values_are_scaled_to_pixels(void **state)
{
    (void)state;
    float out[4];
    fixture_text("c", "0,4,8,16,a\n1.6,-0,1e1, 2 ,b\r\n");
    struct opened o = open_domain(CSV_DOMAIN, NULL, 0);
    assert_int_equal(decoder_read(o.decoder, 0, 0, out, NULL), OK);
    close_to(out[0], 0);
    close_to(out[1], 63.75);
    close_to(out[3], 255);
    assert_int_equal(decoder_read(o.decoder, 1, 0, out, NULL), OK);
    close_to(out[0], 25.5);
    close_to(out[2], 159.375);
    close_to(out[3], 31.875);
    close_domain(&o);
}

static void csv_lines_longer_than_the_first_buffer_are_read_whole(void **state)
{
    (void)state;
    enum { COLUMNS = 3000 };
    static char text[COLUMNS * 8 + 16];
    static float out[COLUMNS];
    size_t used = 0;
    const char *overrides[] = {"data.preprocess.width=3000", "data.preprocess.height=1"};
    for (int i = 0; i < COLUMNS; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%d,", i);
    snprintf(text + used, sizeof text - used, "a\n");
    fixture_text("c", text);
    struct opened o =
        open_domain("{ name = \"d\"; divide = [1, 0, 0]; sources = ( { format = \"csv\"; path = "
                    "\"cache:c\"; width = 3000; height = 1; label_column = 3000; } ); }",
                    overrides, 2);
    assert_int_equal(decoder_read(o.decoder, 0, 0, out, NULL), OK);
    close_to(out[COLUMNS - 1], COLUMNS - 1);
    close_domain(&o);
}

static void csv_lines_that_are_no_numbers_fail_by_column(void **state)
{
    (void)state;
    struct source_config source = {
        .width = 2, .height = 1, .channels = 1, .label_column = 0, .value_max = 255};
    float out[2];
    struct error err;
    assert_int_equal(csv_sample_parse(&source, 1, "x,1,2", 5, out, &err), OK);
    assert_int_equal(csv_sample_parse(&source, 1, "x,1,2y", 6, out, &err), ERR_INPUT);
    assert_string_equal(err.text, "column 2: '2y' is not a number");
    assert_int_equal(csv_sample_parse(&source, 1, "x,,2", 4, out, &err), ERR_INPUT);
    assert_int_equal(csv_sample_parse(&source, 1, "x,nan,2", 7, out, &err), ERR_INPUT);
    assert_int_equal(csv_sample_parse(&source, 1, "x,1e999,2", 9, out, &err), ERR_INPUT);
    assert_int_equal(csv_sample_parse(&source, 1, "x,1", 3, out, &err), ERR_STATE);
}

static void a_picture_that_does_not_decode_names_its_file(void **state)
{
    (void)state;
    float out[4];
    struct error err;
    fixture_directory("f/a");
    fixture_text("f/a/1.png", "this is no picture");
    struct opened o = open_domain(FOLDER_DOMAIN, NULL, 0);
    assert_int_equal(decoder_read(o.decoder, 0, 0, out, &err), ERR_SUPPORT);
    fixture_contains(err.text, "/f/a/1.png: neither JPEG nor PNG");
    char path[PATH_BYTES];
    fixture_path(path, "f/a/1.png");
    unlink(path);
    assert_int_equal(decoder_read(o.decoder, 0, 0, out, &err), ERR_IO);
    close_domain(&o);
}

static void pictures_of_a_folder_are_decoded(void **state)
{
    (void)state;
    const uint8_t pixels[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255};
    char path[PATH_BYTES];
    float out[4];
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    png.width = png.height = 2;
    png.format = PNG_FORMAT_RGB;
    fixture_directory("f/b");
    fixture_path(path, "f/b/1.jpg"); /* the content decides, not the name */
    assert_true(png_image_write_to_file(&png, path, 0, pixels, 0, NULL));
    struct opened o = open_domain(FOLDER_DOMAIN, NULL, 0);
    assert_int_equal(decoder_read(o.decoder, 0, 0, out, NULL), OK);
    close_to(out[0], 0.299 * 255);
    close_to(out[1], 0.587 * 255);
    close_to(out[2], 0.114 * 255);
    close_to(out[3], 255);
    close_domain(&o);
}

static struct loader *open_loader(const struct opened *o, size_t batch_max)
{
    struct loader *loader = NULL;
    assert_int_equal(loader_create(o->decoder, batch_max, &loader, NULL), OK);
    return loader;
}

static void the_loader_keeps_order_and_bounds_its_queue(void **state)
{
    (void)state;
    const uint32_t ids[] = {4, 3, 2, 1, 0};
    struct loader_batch batch;
    fixture_idx_images("i", 5, 2);
    fixture_idx_labels("l", 5, 3);
    struct opened o = open_domain(IDX_DOMAIN, NULL, 0);
    struct loader *loader = open_loader(&o, 3);
    assert_true(loader_submit(loader, ids, 3, 0));
    assert_true(loader_submit(loader, ids + 3, 2, 0));
    assert_false(loader_submit(loader, ids, 1, 0));
    for (int round = 0; round < 50; round++) {
        assert_int_equal(loader_take(loader, &batch, NULL), OK);
        assert_int_equal(batch.count, round % 2 == 0 ? 3 : 2);
        assert_int_equal(batch.failure_count, 0);
        assert_true(loader_submit(loader, round % 2 == 0 ? ids : ids + 3, batch.count, 0));
        for (size_t i = 0; i < batch.count; i++) {
            assert_int_equal(batch.ids[i], ids[i + (round % 2 == 0 ? 0 : 3)]);
            assert_int_equal(batch.valid[i], 1);
            close_to(batch.inputs[4 * i], 7.0 * batch.ids[i]);
        }
    }
    loader_destroy(&loader);
    assert_null(loader);
    close_domain(&o);
}

static void unreadable_samples_are_masked_and_reported(void **state)
{
    (void)state;
    const uint32_t ids[] = {0, 1, 2};
    struct loader_batch batch;
    fixture_text("c", "1,2,3,4,a\n1,2,x,4,a\n5,6,7,8,a\n");
    struct opened o = open_domain(CSV_DOMAIN, NULL, 0);
    struct loader *loader = open_loader(&o, 3);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(loader_load(loader, ids, 3, &batch, NULL), OK);
        assert_int_equal(batch.failure_count, 1);
        assert_int_equal(batch.failures[0].id, 1);
        fixture_contains(batch.failures[0].error.text,
                         "/c: line at byte 10: column 2: 'x' is not a number");
        assert_int_equal(batch.valid[0], 1);
        assert_int_equal(batch.valid[1], 0);
        for (int i = 0; i < 4; i++)
            assert_true(batch.inputs[4 + i] == 0);
        close_to(batch.inputs[8], 5 * 255.0 / 16);
    }
    loader_destroy(&loader);
    close_domain(&o);
}

static void changed_data_fails_the_batch(void **state)
{
    (void)state;
    const uint32_t ids[] = {0, 1};
    char path[PATH_BYTES];
    struct loader_batch batch;
    struct error err;
    fixture_text("c", "1,2,3,4,a\n1,2,3,4,a\n");
    struct opened o = open_domain(CSV_DOMAIN, NULL, 0);
    struct loader *loader = open_loader(&o, 2);
    fixture_path(path, "c");
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(loader_load(loader, ids, 2, &batch, &err), ERR_STATE);
    fixture_contains(err.text, "changed since the manifest was made");
    assert_int_equal(loader_load(loader, ids, 1, &batch, &err), OK);
    loader_destroy(&loader);
    close_domain(&o);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(resize_follows_its_definition),
        TEST(gray_is_repeated_and_inverted_before_normalising),
        TEST(colour_becomes_gray_by_luma),
        TEST(channels_that_do_not_fit_are_refused),
        TEST(idx_pictures_are_read_by_number),
        TEST(a_file_cut_short_during_the_run_is_noticed),
        TEST(a_file_replaced_by_fewer_pictures_is_noticed),
        TEST(csv_values_are_scaled_to_pixels),
        TEST(csv_lines_longer_than_the_first_buffer_are_read_whole),
        TEST(csv_lines_that_are_no_numbers_fail_by_column),
        TEST(a_picture_that_does_not_decode_names_its_file),
        TEST(pictures_of_a_folder_are_decoded),
        TEST(the_loader_keeps_order_and_bounds_its_queue),
        TEST(unreadable_samples_are_masked_and_reported),
        TEST(changed_data_fails_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
