/* A small RGB picture to draw on. What lies outside is cut off. One thread. */
#ifndef GRAFT_COORDINATOR_WATCH_CANVAS_H
#define GRAFT_COORDINATOR_WATCH_CANVAS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define CANVAS_SIDE_MAX ((uint32_t)16384)

struct colour {
    uint8_t red, green, blue;
};

struct rectangle {
    uint32_t x, y, width, height;
};

struct canvas {
    uint32_t width, height;
    uint8_t *pixels; /* RGB [height, width, 3] */
};

/* One colour all over. Errors: ERR_MEMORY, ERR_INPUT (a side is 0 or beyond CANVAS_SIDE_MAX). */
enum status canvas_create(uint32_t width, uint32_t height, struct colour colour,
                          struct canvas **out, struct error *err) MUST_CHECK;
void canvas_destroy(struct canvas **canvas);

void canvas_fill(struct canvas *canvas, struct rectangle at, struct colour colour);
/* `pixels` (RGB [height, width, 3]) stretched over `at` by nearest neighbour. */
void canvas_image(struct canvas *canvas, struct rectangle at, const uint8_t *pixels, uint32_t width,
                  uint32_t height);
/* Characters of the bitmap font, each dot `scale` pixels wide; (x, y) is the upper left corner. */
void canvas_text(struct canvas *canvas, uint32_t x, uint32_t y, uint32_t scale, const char *text,
                 struct colour colour);

/* Writes a PNG aside and renames. Errors: ERR_IO, ERR_MEMORY. */
enum status canvas_write(const struct canvas *canvas, const char *path,
                         struct error *err) MUST_CHECK;

#endif
