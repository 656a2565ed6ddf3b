/* From a picture of any size to the network's input: channels, bilinear resize, inversion,
 * normalisation.
 *
 * Resize (bilinear, half-pixel centres, edges clamped, no antialiasing): output pixel i lies at
 * (i + 0.5) * in / out - 0.5 and mixes its two neighbours. Then v = 255 - v if inverted, then x =
 * (v - mean) / std. Channels: 1 becomes 3 by repetition; 3 becomes 1 by 0.299 R + 0.587 G + 0.114 B
 * (ITU-R 601) before resizing. Deterministic. One thread owns it; no heap call but for pictures
 * wider than all before. */
#ifndef GRAFT_WORKER_DATA_PREPROCESS_H
#define GRAFT_WORKER_DATA_PREPROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"

struct preprocess;

/* [height, width, channels] as bytes or, when `bytes` is NULL, as floats; 0 to 255. Borrowed. With a
 * stride a window of a picture that is `stride` pixels wide. */
struct picture {
    const uint8_t *bytes;
    const float *values;
    uint32_t width, height, channels;
    uint32_t stride, left, top; /* 0: all of it */
};

/* Errors: ERR_MEMORY. `config` is borrowed and must outlive it. */
enum status preprocess_create(const struct preprocess_config *config, struct preprocess **out,
                              struct error *err) MUST_CHECK;
void preprocess_destroy(struct preprocess **preprocess);

/* Floats of one sample: channels * height * width. */
size_t preprocess_elements(const struct preprocess *preprocess);

/* Writes out[channels, height, width]. Errors: ERR_INPUT (channels that can't be converted),
 * ERR_MEMORY. */
enum status preprocess_run(struct preprocess *preprocess, const struct picture *picture, float *out,
                           struct error *err) MUST_CHECK;

#endif
