/* A picture of what changed: test samples in a grid, each with "before -> after" below, framed
 * green when adaptation put it right, red when it broke it, yellow when the answer changed from one
 * wrong class to another (or the label is not known), gray when it stayed. PNG by libpng. */
#ifndef GRAFT_COORDINATOR_WATCH_PICTURE_H
#define GRAFT_COORDINATOR_WATCH_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define PICTURE_SAMPLES_MAX ((size_t)400)
#define PICTURE_SIDE_MAX ((uint32_t)4096) /* of one sample */

struct picture_sample {
    uint32_t before, after; /* classes */
    int32_t label;          /* LABEL_NONE: not known */
};

struct picture {
    const uint8_t *pixels; /* RGB [count, height, width, 3] */
    uint32_t width, height;
    const struct picture_sample *samples; /* [count] */
    size_t count;                         /* 1 … PICTURE_SAMPLES_MAX */
    const char *const *classes;           /* names; other than ASCII: shown as "#index" */
    size_t class_count;
};

/* Writes `path` aside and renames. Errors: ERR_INPUT (sizes or classes out of range), ERR_IO,
 * ERR_MEMORY. */
enum status picture_write(const char *path, const struct picture *picture,
                          struct error *err) MUST_CHECK;

#endif
