#include "coordinator/watch/picture.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/watch/canvas.h"
#include "coordinator/watch/font.h"

#define COLUMNS 8u
#define BOX 96u   /* a sample's square */
#define FRAME 4u  /* around it */
#define MARGIN 8u /* between cells */
#define TEXT_SCALE 2u
#define CAPTION (FONT_ROWS * TEXT_SCALE + 4u)
#define LEGEND (FONT_ROWS + 8u)
#define CELL_WIDTH (BOX + 2 * FRAME + MARGIN)
#define CELL_HEIGHT (BOX + 2 * FRAME + CAPTION + MARGIN)
#define NAME_CHARACTERS 8 /* of each class name in a caption */
#define CAPTION_BYTES 48

static const struct colour paper = {255, 255, 255}, ink = {30, 30, 30}, gray = {190, 190, 190},
                           green = {30, 160, 60}, red = {210, 40, 40}, yellow = {230, 170, 20};

static struct colour frame_colour(const struct picture_sample *sample)
{
    if (sample->before == sample->after)
        return gray;
    if (sample->label >= 0 && sample->after == (uint32_t)sample->label)
        return green;
    if (sample->label >= 0 && sample->before == (uint32_t)sample->label)
        return red;
    return yellow;
}

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

static void class_text(const struct picture *picture, uint32_t class, char *out, size_t bytes)
{
    if (is_printable(picture->classes[class]))
        snprintf(out, bytes, "%.*s", NAME_CHARACTERS, picture->classes[class]);
    else
        snprintf(out, bytes, "#%u", class);
}

/* In large letters where that fits below the sample, else in small ones. */
static void draw_caption(struct canvas *canvas, uint32_t x, uint32_t y,
                         const struct picture *picture, const struct picture_sample *sample)
{
    char before[CAPTION_BYTES / 3], after[CAPTION_BYTES / 3], text[CAPTION_BYTES];
    class_text(picture, sample->before, before, sizeof before);
    class_text(picture, sample->after, after, sizeof after);
    snprintf(text, sizeof text, "%s%c%s", before, FONT_ARROW, after);
    uint32_t room = BOX + 2 * FRAME, wide = (uint32_t)strlen(text) * FONT_ADVANCE;
    uint32_t scale = wide * TEXT_SCALE <= room ? TEXT_SCALE : 1;
    uint32_t indent = wide * scale < room ? (room - wide * scale) / 2 : 0;
    canvas_text(canvas, x + indent, y, scale, text, ink);
}

/* Whole and undistorted in the middle of the box. */
static struct rectangle fit(uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
    uint32_t longer = width > height ? width : height;
    uint32_t w = BOX * width / longer, h = BOX * height / longer;
    w = w > 0 ? w : 1;
    h = h > 0 ? h : 1;
    return (struct rectangle){x + (BOX - w) / 2, y + (BOX - h) / 2, w, h};
}

static void draw_cell(struct canvas *canvas, const struct picture *picture, size_t i)
{
    const struct picture_sample *sample = &picture->samples[i];
    uint32_t x = MARGIN + (uint32_t)(i % COLUMNS) * CELL_WIDTH;
    uint32_t y = MARGIN + (uint32_t)(i / COLUMNS) * CELL_HEIGHT;
    uint32_t side = BOX + 2 * FRAME;
    canvas_fill(canvas, (struct rectangle){x, y, side, side}, frame_colour(sample));
    canvas_fill(canvas, (struct rectangle){x + FRAME, y + FRAME, BOX, BOX}, paper);
    canvas_image(canvas, fit(x + FRAME, y + FRAME, picture->width, picture->height),
                 picture->pixels + i * picture->width * picture->height * 3, picture->width,
                 picture->height);
    draw_caption(canvas, x, y + side + 4, picture, sample);
}

static void draw_legend(struct canvas *canvas, uint32_t y)
{
    static const struct {
        const char *text;
        const struct colour *colour;
    } entries[] = {
        {"now right", &green}, {"now wrong", &red}, {"changed", &yellow}, {"as before", &gray}};
    uint32_t x = MARGIN;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        canvas_fill(canvas, (struct rectangle){x, y, FONT_ROWS, FONT_ROWS}, *entries[i].colour);
        canvas_text(canvas, x + FONT_ROWS + 4, y, 1, entries[i].text, ink);
        x += FONT_ROWS + 4 + ((uint32_t)strlen(entries[i].text) + 2) * FONT_ADVANCE;
    }
}

static enum status check(const struct picture *picture, struct error *err)
{
    if (picture->count == 0 || picture->count > PICTURE_SAMPLES_MAX)
        return error_set(err, ERR_INPUT, "a picture shows 1 to %zu samples, not %zu",
                         PICTURE_SAMPLES_MAX, picture->count);
    if (picture->width == 0 || picture->height == 0 || picture->width > PICTURE_SIDE_MAX ||
        picture->height > PICTURE_SIDE_MAX)
        return error_set(err, ERR_INPUT, "samples of %u x %u pixels cannot be shown",
                         picture->width, picture->height);
    for (size_t i = 0; i < picture->count; i++)
        if (picture->samples[i].before >= picture->class_count ||
            picture->samples[i].after >= picture->class_count)
            return error_set(err, ERR_INPUT, "sample %zu of the picture has a class beyond %zu", i,
                             picture->class_count);
    return OK;
}

enum status picture_write(const char *path, const struct picture *picture, struct error *err)
{
    enum status status = check(picture, err);
    if (status != OK)
        return status;
    uint32_t rows = (uint32_t)((picture->count + COLUMNS - 1) / COLUMNS);
    uint32_t width = MARGIN + COLUMNS * CELL_WIDTH, height = MARGIN + rows * CELL_HEIGHT + LEGEND;
    struct canvas *canvas = NULL;
    status = canvas_create(width, height, paper, &canvas, err);
    if (status != OK)
        return status;
    for (size_t i = 0; i < picture->count; i++)
        draw_cell(canvas, picture, i);
    draw_legend(canvas, MARGIN + rows * CELL_HEIGHT);
    status = canvas_write(canvas, path, err);
    canvas_destroy(&canvas);
    return status;
}
