#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <jpeglib.h>
#include <png.h>

#include "tests/unit/data_fixture.h"
#include "worker/data/image.h"

static uint8_t *encode_png(uint32_t format, uint32_t width, uint32_t height, const void *pixels,
                           size_t *bytes)
{
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    png.width = width;
    png.height = height;
    png.format = format;
    png_alloc_size_t size = 0;
    assert_true(png_image_write_to_memory(&png, NULL, &size, 0, pixels, 0, NULL));
    uint8_t *data = malloc(size);
    assert_non_null(data);
    assert_true(png_image_write_to_memory(&png, data, &size, 0, pixels, 0, NULL));
    *bytes = size;
    return data;
}

/* One colour all over, in the given colour space. */
static uint8_t *encode_jpeg(J_COLOR_SPACE space, int components, const uint8_t *colour,
                            uint32_t side, size_t *bytes)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    uint8_t *data = NULL;
    unsigned long size = 0;
    uint8_t row_pixels[256 * 4];
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &size);
    jpeg.image_width = jpeg.image_height = side;
    jpeg.input_components = components;
    jpeg.in_color_space = space;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (uint32_t i = 0; i < side * (uint32_t)components; i++)
        row_pixels[i] = colour[i % (uint32_t)components];
    for (uint32_t y = 0; y < side; y++) {
        JSAMPROW row = row_pixels;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    *bytes = size;
    return data;
}

static void png_keeps_gray_and_colour_exactly(void **state)
{
    (void)state;
    const uint8_t gray[4] = {0, 1, 128, 255}, rgb[6] = {1, 2, 3, 250, 251, 252};
    struct image image = {0};
    size_t bytes;
    uint8_t *data = encode_png(PNG_FORMAT_GRAY, 2, 2, gray, &bytes);
    assert_int_equal(image_decode(data, bytes, false, &image, NULL), OK);
    assert_int_equal(image.channels, 1);
    assert_memory_equal(image.pixels, gray, 4);
    free(data);
    data = encode_png(PNG_FORMAT_RGB, 2, 1, rgb, &bytes);
    assert_int_equal(image_decode(data, bytes, true, &image, NULL), OK);
    assert_int_equal(image.channels, 3);
    assert_int_equal(image.width, 2);
    assert_int_equal(image.height, 1);
    assert_memory_equal(image.pixels, rgb, 6);
    free(data);
    image_deinit(&image);
}

static void png_alpha_is_composited_on_white(void **state)
{
    (void)state;
    const uint8_t rgba[12] = {10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 51};
    const uint8_t wanted[9] = {10, 20, 30, 255, 255, 255, 204, 224, 255};
    struct image image = {0};
    size_t bytes;
    uint8_t *data = encode_png(PNG_FORMAT_RGBA, 3, 1, rgba, &bytes);
    assert_int_equal(image_decode(data, bytes, false, &image, NULL), OK);
    assert_int_equal(image.channels, 3);
    assert_memory_equal(image.pixels, wanted, 9);
    free(data);
    image_deinit(&image);
}

static void jpeg_is_read_as_colour_or_luma(void **state)
{
    (void)state;
    const uint8_t colour[3] = {200, 100, 50};
    struct image image = {0};
    size_t bytes;
    uint8_t *data = encode_jpeg(JCS_RGB, 3, colour, 16, &bytes);
    assert_int_equal(image_decode(data, bytes, false, &image, NULL), OK);
    assert_int_equal(image.channels, 3);
    for (int c = 0; c < 3; c++)
        assert_in_range(image.pixels[3 * 100 + c], colour[c] - 2, colour[c] + 2);
    assert_int_equal(image_decode(data, bytes, true, &image, NULL), OK);
    assert_int_equal(image.channels, 1);
    assert_in_range(image.pixels[100], 123, 125); /* 0.299 200 + 0.587 100 + 0.114 50 = 124.2 */
    free(data);
    image_deinit(&image);
}

static void gray_jpeg_stays_gray(void **state)
{
    (void)state;
    const uint8_t gray = 77;
    struct image image = {0};
    size_t bytes;
    uint8_t *data = encode_jpeg(JCS_GRAYSCALE, 1, &gray, 8, &bytes);
    assert_int_equal(image_decode(data, bytes, false, &image, NULL), OK);
    assert_int_equal(image.channels, 1);
    assert_in_range(image.pixels[63], 76, 78);
    free(data);
    image_deinit(&image);
}

static void damaged_files_are_errors_and_later_ones_still_work(void **state)
{
    (void)state;
    const uint8_t colour[4] = {200, 100, 50, 9};
    struct image image = {0};
    struct error err;
    size_t bytes;
    uint8_t *data = encode_jpeg(JCS_RGB, 3, colour, 64, &bytes);
    for (size_t cut = 4; cut < bytes; cut += 37)
        assert_int_equal(image_decode(data, cut, false, &image, &err), ERR_INPUT);
    fixture_contains(err.text, "JPEG: ");
    assert_int_equal(image_decode(data, bytes, false, &image, NULL), OK);
    free(data);
    data = encode_jpeg(JCS_CMYK, 4, colour, 8, &bytes);
    assert_int_equal(image_decode(data, bytes, false, &image, &err), ERR_INPUT);
    free(data);
    uint8_t pixels[32 * 32];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * i / 7);
    data = encode_png(PNG_FORMAT_GRAY, 32, 32, pixels, &bytes);
    for (size_t cut = 9; cut < bytes - 16; cut += 41)
        assert_int_equal(image_decode(data, cut, false, &image, &err), ERR_INPUT);
    fixture_contains(err.text, "PNG: ");
    free(data);
    image_deinit(&image);
}

static void other_formats_are_refused(void **state)
{
    (void)state;
    struct image image = {0};
    struct error err;
    assert_int_equal(image_decode((const uint8_t *)"GIF89a", 6, false, &image, &err), ERR_SUPPORT);
    assert_string_equal(err.text, "neither JPEG nor PNG");
    assert_int_equal(image_decode((const uint8_t *)"", 0, false, &image, &err), ERR_SUPPORT);
    assert_null(image.pixels);
}

static void huge_dimensions_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    const uint8_t gray = 1;
    struct image image = {0};
    struct error err;
    size_t bytes;
    uint8_t *data = encode_jpeg(JCS_GRAYSCALE, 1, &gray, 8, &bytes);
    for (size_t i = 0; i + 8 < bytes; i++) {
        if (data[i] == 0xff && data[i + 1] == 0xc0) /* frame header: height, width */
            memset(data + i + 5, 0xff, 4);
    }
    assert_int_equal(image_decode(data, bytes, false, &image, &err), ERR_INPUT);
    assert_null(image.pixels);
    free(data);
    assert_int_equal(image_resize(&image, 16384, 16384, 1, 1, &err), ERR_INPUT);
    fixture_contains(err.text, "16384 x 16384 pixels");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_keeps_gray_and_colour_exactly),
        cmocka_unit_test(png_alpha_is_composited_on_white),
        cmocka_unit_test(jpeg_is_read_as_colour_or_luma),
        cmocka_unit_test(gray_jpeg_stays_gray),
        cmocka_unit_test(damaged_files_are_errors_and_later_ones_still_work),
        cmocka_unit_test(other_formats_are_refused),
        cmocka_unit_test(huge_dimensions_are_refused_before_memory_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
