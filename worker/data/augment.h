/* Augmentation of pictures: random resized crop (Szegedy 2015), horizontal flip, colour jitter,
 * random erasing (Zhong 2017). Variant 0 of a sample is the sample itself; variant v > 0 is a pure
 * function of (seed, v, sample): whoever computes it gets the same picture. No allocation. */
#ifndef GRAFT_WORKER_DATA_AUGMENT_H
#define GRAFT_WORKER_DATA_AUGMENT_H

#include <stdint.h>

#include "common/base/random.h"
#include "common/config/job.h"
#include "worker/data/preprocess.h"

struct random_key augment_key(uint64_t seed, uint32_t variant, uint32_t sample);

/* Before preprocessing: narrows the picture to a random window of 1 − crop … 1 of its area, sides
 * between 3:4 and 4:3 of its own. */
void augment_crop(const struct augment_config *augment, struct random_key key,
                  struct picture *picture);

/* After it, on x [channels, height, width] of `input`, in units of pixels (0 … 255) inside. */
void augment_sample(const struct augment_config *augment, const struct preprocess_config *input,
                    struct random_key key, float *x);

#endif
