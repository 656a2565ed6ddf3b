#include "coordinator/watch/canvas.h"

#include <png.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/watch/font.h"

enum status canvas_create(uint32_t width, uint32_t height, struct colour colour,
                          struct canvas **out, struct error *err)
{
    if (width == 0 || height == 0 || width > CANVAS_SIDE_MAX || height > CANVAS_SIDE_MAX)
        return error_set(err, ERR_INPUT, "a picture of %u x %u pixels cannot be drawn", width,
                         height);
    struct canvas *canvas = memory_alloc(1, sizeof *canvas);
    if (canvas != NULL)
        *canvas = (struct canvas){width, height, memory_alloc((size_t)width * height, 3)};
    if (canvas == NULL || canvas->pixels == NULL) {
        canvas_destroy(&canvas);
        return error_set(err, ERR_MEMORY, "no memory for a picture");
    }
    canvas_fill(canvas, (struct rectangle){0, 0, width, height}, colour);
    *out = canvas;
    return OK;
}

void canvas_destroy(struct canvas **canvas)
{
    if (*canvas == NULL)
        return;
    memory_free((*canvas)->pixels);
    memory_free(*canvas);
    *canvas = NULL;
}

static void set_pixel(struct canvas *canvas, uint32_t x, uint32_t y, struct colour colour)
{
    if (x >= canvas->width || y >= canvas->height)
        return;
    uint8_t *pixel = canvas->pixels + ((size_t)y * canvas->width + x) * 3;
    pixel[0] = colour.red;
    pixel[1] = colour.green;
    pixel[2] = colour.blue;
}

void canvas_fill(struct canvas *canvas, struct rectangle at, struct colour colour)
{
    for (uint32_t y = 0; y < at.height; y++)
        for (uint32_t x = 0; x < at.width; x++)
            set_pixel(canvas, at.x + x, at.y + y, colour);
}

void canvas_image(struct canvas *canvas, struct rectangle at, const uint8_t *pixels, uint32_t width,
                  uint32_t height)
{
    for (uint32_t y = 0; y < at.height; y++)
        for (uint32_t x = 0; x < at.width; x++) {
            size_t from_y = (uint64_t)y * height / at.height;
            size_t from_x = (uint64_t)x * width / at.width;
            const uint8_t *from = pixels + (from_y * width + from_x) * 3;
            set_pixel(canvas, at.x + x, at.y + y, (struct colour){from[0], from[1], from[2]});
        }
}

static void draw_glyph(struct canvas *canvas, uint32_t x, uint32_t y, uint32_t scale,
                       const uint8_t *glyph, struct colour colour)
{
    for (uint32_t column = 0; column < FONT_COLUMNS; column++)
        for (uint32_t row = 0; row < FONT_ROWS; row++)
            if (glyph[column] >> row & 1)
                canvas_fill(canvas,
                            (struct rectangle){x + column * scale, y + row * scale, scale, scale},
                            colour);
}

void canvas_text(struct canvas *canvas, uint32_t x, uint32_t y, uint32_t scale, const char *text,
                 struct colour colour)
{
    for (; *text != '\0' && x < canvas->width; text++, x += FONT_ADVANCE * scale)
        draw_glyph(canvas, x, y, scale, font_glyph(*text), colour);
}

enum status canvas_write(const struct canvas *canvas, const char *path, struct error *err)
{
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = canvas->width,
                     .height = canvas->height,
                     .format = PNG_FORMAT_RGB};
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
    void *encoded = memory_alloc(bytes, 1);
    if (encoded == NULL)
        return error_set(err, ERR_MEMORY, "no memory to write %s", path);
    enum status status = OK;
    if (!png_image_write_to_memory(&png, encoded, &bytes, 0, canvas->pixels, 0, NULL))
        status = error_set(err, ERR_MEMORY, "%s: PNG: %.64s", path, png.message);
    if (status == OK)
        status = file_write(path, encoded, bytes, err);
    memory_free(encoded);
    return status;
}
