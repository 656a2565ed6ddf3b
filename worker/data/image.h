/* A JPEG or PNG file's bytes to pixels. The format is told by the first bytes, not by the file's
 * name. Alpha is composited on white. EXIF orientation is not applied. Truncated files are errors,
 * not gray areas. */
#ifndef GRAFT_WORKER_DATA_IMAGE_H
#define GRAFT_WORKER_DATA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define IMAGE_SIDE_MAX 16384u
#define IMAGE_PIXELS_MAX ((size_t)1 << 26) /* 64 megapixels */
#define IMAGE_FILE_BYTES_MAX ((size_t)256 << 20)

/* Pixels [height, width, channels], rows without gaps. Zeroed before first use; memory grows and is
 * kept between pictures; image_deinit frees it. */
struct image {
    uint8_t *pixels;
    size_t room;
    uint32_t width, height;
    uint32_t channels; /* 1 or 3 */
};

/* `gray`: a colour JPEG is read as its luma (ITU-R 601), which it stores. PNGs keep their channels.
 * Errors: ERR_INPUT, ERR_SUPPORT (neither JPEG nor PNG), ERR_MEMORY; one sentence without the
 * file's name. */
enum status image_decode(const uint8_t *data, size_t bytes, bool gray, struct image *image,
                         struct error *err) MUST_CHECK;
void image_deinit(struct image *image);

/* For the two decoders: sets the size after checking the limits, and makes room for `pixel_bytes` a
 * pixel. */
enum status image_resize(struct image *image, uint32_t width, uint32_t height, uint32_t channels,
                         size_t pixel_bytes, struct error *err) MUST_CHECK;

enum status image_jpeg(const uint8_t *data, size_t bytes, bool gray, struct image *image,
                       struct error *err) MUST_CHECK;
enum status image_png(const uint8_t *data, size_t bytes, struct image *image,
                      struct error *err) MUST_CHECK;

#endif
