/* The picture of changes, read back with libpng. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <png.h>

#include "tests/unit/data_fixture.h"

#include "coordinator/watch/canvas.h"
#include "coordinator/watch/font.h"
#include "coordinator/watch/picture.h"

#define SIDE 8u
#define COUNT 40u
#define MARGIN 8u /* as in picture.c */
#define CELL_WIDTH 112u

static const char *const classes[] = {"0", "one", "größer"};

static struct picture_sample samples[COUNT];
static uint8_t pixels[COUNT * SIDE * SIDE * 3];

static struct picture make(void)
{
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < COUNT; i++)
        samples[i] = (struct picture_sample){0, 0, 0};
    samples[0] = (struct picture_sample){.before = 0, .after = 1, .label = 1};
    samples[1] = (struct picture_sample){.before = 1, .after = 2, .label = 1};
    samples[2] = (struct picture_sample){.before = 0, .after = 2, .label = 1};
    samples[3] = (struct picture_sample){.before = 0, .after = 1, .label = LABEL_NONE};
    return (struct picture){pixels, SIDE, SIDE, samples, COUNT, classes, 3};
}

static uint8_t *read_png(const char *path, png_image *png)
{
    memset(png, 0, sizeof *png);
    png->version = PNG_IMAGE_VERSION;
    assert_true(png_image_begin_read_from_file(png, path));
    png->format = PNG_FORMAT_RGB;
    uint8_t *rgb = malloc(PNG_IMAGE_SIZE(*png));
    assert_non_null(rgb);
    assert_true(png_image_finish_read(png, NULL, rgb, 0, NULL));
    return rgb;
}

static const uint8_t *pixel(const uint8_t *rgb, const png_image *png, uint32_t x, uint32_t y)
{
    assert_true(x < png->width && y < png->height);
    return rgb + ((size_t)y * png->width + x) * 3;
}

static void the_frame_says_what_became_of_a_sample(void **state)
{
    char path[PATH_BYTES];
    png_image png;
    struct error err;
    struct picture picture = make();
    (void)state;
    fixture_path(path, "p.png");
    assert_int_equal(picture_write(path, &picture, &err), OK);
    uint8_t *rgb = read_png(path, &png);
    const uint8_t *frame[5];
    for (uint32_t i = 0; i < 5; i++)
        frame[i] = pixel(rgb, &png, MARGIN + i * CELL_WIDTH, MARGIN);
    assert_true(frame[0][1] > frame[0][0] && frame[0][1] > frame[0][2]);   /* green: now right */
    assert_true(frame[1][0] > 2 * frame[1][1]);                            /* red: now wrong */
    assert_memory_equal(frame[2], frame[3], 3);                            /* changed, not judged */
    assert_true(frame[4][0] == frame[4][1] && frame[4][1] == frame[4][2]); /* gray: as before */
    /* The sample's first pixel, enlarged, inside the frame. */
    assert_memory_equal(pixel(rgb, &png, MARGIN + 4, MARGIN + 4), pixels, 3);
    assert_memory_equal(pixel(rgb, &png, MARGIN + 4 + 11, MARGIN + 4 + 11), pixels, 3);
    free(rgb);
}

static void wide_and_large_samples_fit(void **state)
{
    char path[PATH_BYTES];
    struct error err;
    struct picture picture = make();
    uint8_t *large = calloc((size_t)300 * 5, 3);
    (void)state;
    fixture_path(path, "p.png");
    picture.pixels = large;
    picture.width = 300;
    picture.height = 5;
    picture.count = 1;
    assert_int_equal(picture_write(path, &picture, &err), OK);
    picture.width = 5;
    picture.height = 300;
    assert_int_equal(picture_write(path, &picture, &err), OK);
    free(large);
}

static void sizes_and_classes_out_of_range_are_refused(void **state)
{
    struct error err;
    struct picture picture = make();
    (void)state;
    picture.count = 0;
    assert_int_equal(picture_write("/none", &picture, &err), ERR_INPUT);
    picture.count = PICTURE_SAMPLES_MAX + 1;
    assert_int_equal(picture_write("/none", &picture, &err), ERR_INPUT);
    picture = make();
    picture.width = 0;
    assert_int_equal(picture_write("/none", &picture, &err), ERR_INPUT);
    picture = make();
    samples[7].after = 3;
    assert_int_equal(picture_write("/none", &picture, &err), ERR_INPUT);
}

static void a_folder_that_is_missing_is_an_error(void **state)
{
    char path[PATH_BYTES];
    struct error err;
    struct picture picture = make();
    (void)state;
    fixture_path(path, "missing/p.png");
    assert_int_equal(picture_write(path, &picture, &err), ERR_IO);
}

static void what_lies_outside_a_canvas_is_cut_off(void **state)
{
    const struct colour white = {255, 255, 255}, black = {0, 0, 0};
    struct canvas *canvas = NULL;
    struct error err;
    (void)state;
    assert_int_equal(canvas_create(0, 5, white, &canvas, &err), ERR_INPUT);
    assert_int_equal(canvas_create(10, 5, white, &canvas, &err), OK);
    canvas_fill(canvas, (struct rectangle){8, 3, 100, 100}, black);
    canvas_text(canvas, 7, 2, 3, "\x1a~\xff", black);
    assert_int_equal(canvas->pixels[0], 255);
    assert_int_equal(canvas->pixels[(3 * 10 + 8) * 3], 0);
    canvas_destroy(&canvas);
    assert_null(canvas);
}

static void every_printable_character_has_its_own_glyph(void **state)
{
    (void)state;
    for (char a = '!'; a <= '~'; a++)
        for (char b = ' '; b < a; b++)
            assert_memory_not_equal(font_glyph(a), font_glyph(b), FONT_COLUMNS);
    assert_ptr_equal(font_glyph('\n'), font_glyph('?'));
    assert_ptr_equal(font_glyph((char)0xC3), font_glyph('?'));
}

int main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        RULE(the_frame_says_what_became_of_a_sample),
        RULE(wide_and_large_samples_fit),
        RULE(sizes_and_classes_out_of_range_are_refused),
        RULE(a_folder_that_is_missing_is_an_error),
        RULE(what_lies_outside_a_canvas_is_cut_off),
        RULE(every_printable_character_has_its_own_glyph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
