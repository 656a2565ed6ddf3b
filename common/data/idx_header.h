/* Header of an IDX file (the format of MNIST): two zero bytes, type, rank, then each dimension as a
 * big-endian 32-bit number, then the elements. Images: unsigned bytes [N, H, W] or [N, H, W, C];
 * labels: unsigned bytes [N]. */
#ifndef GRAFT_COMMON_DATA_IDX_HEADER_H
#define GRAFT_COMMON_DATA_IDX_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/file.h"

#define IDX_SIDE_MAX 16384u

struct idx_header {
    uint32_t count;
    uint32_t height, width, channels; /* labels: all 1 */
    size_t data_offset;
    size_t item_bytes;
};

/* Checks that the file holds exactly what the header announces. `path` is for errors. Errors:
 * ERR_INPUT. */
enum status idx_header_images(const char *path, const struct file_map *map, struct idx_header *out,
                              struct error *err) MUST_CHECK;
enum status idx_header_labels(const char *path, const struct file_map *map, struct idx_header *out,
                              struct error *err) MUST_CHECK;

#endif
