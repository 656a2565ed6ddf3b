#include "worker/data/image.h"

#include <string.h>

#include "common/base/memory.h"

static bool begins(const uint8_t *data, size_t bytes, const char *magic, size_t length)
{
    return bytes >= length && memcmp(data, magic, length) == 0;
}

enum status image_decode(const uint8_t *data, size_t bytes, bool gray, struct image *image,
                         struct error *err)
{
    if (begins(data, bytes, "\xff\xd8\xff", 3))
        return image_jpeg(data, bytes, gray, image, err);
    if (begins(data, bytes, "\x89PNG\r\n\x1a\n", 8))
        return image_png(data, bytes, image, err);
    return error_set(err, ERR_SUPPORT, "neither JPEG nor PNG");
}

void image_deinit(struct image *image)
{
    memory_free(image->pixels);
    *image = (struct image){0};
}

enum status image_resize(struct image *image, uint32_t width, uint32_t height, uint32_t channels,
                         size_t pixel_bytes, struct error *err)
{
    if (width == 0 || height == 0 || width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX ||
        (size_t)width * height > IMAGE_PIXELS_MAX)
        return error_set(err, ERR_INPUT,
                         "%u x %u pixels; pictures up to %u a side and %zu in all are read", width,
                         height, IMAGE_SIDE_MAX, IMAGE_PIXELS_MAX);
    size_t wanted = (size_t)width * height * pixel_bytes;
    if (wanted > image->room) {
        uint8_t *pixels = memory_alloc(wanted, 1);
        if (pixels == NULL)
            return error_set(err, ERR_MEMORY, "no memory for %u x %u pixels", width, height);
        memory_free(image->pixels);
        image->pixels = pixels;
        image->room = wanted;
    }
    image->width = width;
    image->height = height;
    image->channels = channels;
    return OK;
}
