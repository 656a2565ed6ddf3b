#include "worker/data/image.h"

#include <png.h>
#include <string.h>

#define WHITE 255u

/* v = (a v + (255 - a) 255) / 255, rounded; in place, from channels + 1 numbers a pixel to
 * channels. */
static void composite_on_white(struct image *image)
{
    size_t pixels = (size_t)image->width * image->height;
    const uint8_t *from = image->pixels;
    uint8_t *to = image->pixels;
    for (size_t i = 0; i < pixels; i++, from += image->channels + 1) {
        uint32_t alpha = from[image->channels];
        for (uint32_t c = 0; c < image->channels; c++)
            *to++ = (uint8_t)((alpha * from[c] + (WHITE - alpha) * WHITE + WHITE / 2) / WHITE);
    }
}

static enum status read_pixels(png_image *png, struct image *image, struct error *err)
{
    bool colour = (png->format & PNG_FORMAT_FLAG_COLOR) != 0;
    bool alpha = (png->format & PNG_FORMAT_FLAG_ALPHA) != 0;
    uint32_t channels = colour ? 3 : 1;
    enum status status =
        image_resize(image, png->width, png->height, channels, channels + alpha, err);
    if (status != OK)
        return status;
    if (colour)
        png->format = alpha ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB;
    else
        png->format = alpha ? PNG_FORMAT_GA : PNG_FORMAT_GRAY;
    if (!png_image_finish_read(png, NULL, image->pixels, 0, NULL))
        return error_set(err, ERR_INPUT, "PNG: %.64s", png->message);
    if (alpha)
        composite_on_white(image);
    return OK;
}

enum status image_png(const uint8_t *data, size_t bytes, struct image *image, struct error *err)
{
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_memory(&png, data, bytes))
        return error_set(err, ERR_INPUT, "PNG: %.64s", png.message);
    enum status status = read_pixels(&png, image, err);
    png_image_free(&png);
    return status;
}
