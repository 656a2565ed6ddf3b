#include "worker/data/augment.h"

#include <math.h>

/* Number of a draw in the sample's stream. */
enum draw {
    DRAW_AREA,
    DRAW_ASPECT,
    DRAW_LEFT,
    DRAW_TOP,
    DRAW_FLIP,
    DRAW_BRIGHTNESS,
    DRAW_CONTRAST,
    DRAW_SATURATION,
    DRAW_ERASE,
    DRAW_ERASED_AREA,
    DRAW_ERASED_ASPECT,
    DRAW_ERASED_LEFT,
    DRAW_ERASED_TOP,
};

struct random_key augment_key(uint64_t seed, uint32_t variant, uint32_t sample)
{
    return (struct random_key){
        .seed = seed, .purpose = RANDOM_AUGMENT, .epoch = variant, .index = sample};
}

static double between(struct random_key key, enum draw draw, double least, double most)
{
    return least + (most - least) * random_uniform(key, (uint32_t)draw);
}

/* A side of `extent` in 1 … extent. */
static uint32_t side(double share, uint32_t extent)
{
    double pixels = round(share * extent);
    return pixels < 1 ? 1 : pixels > extent ? extent : (uint32_t)pixels;
}

static uint32_t place(struct random_key key, enum draw draw, uint32_t extent, uint32_t length)
{
    return (uint32_t)(random_uniform(key, (uint32_t)draw) * (extent - length + 1));
}

/* ln of 4:3 */
#define ASPECT 0.28768207245178093

void augment_crop(const struct augment_config *augment, struct random_key key,
                  struct picture *picture)
{
    if (augment->crop <= 0)
        return;
    uint32_t width = picture->width, height = picture->height;
    double area = sqrt(between(key, DRAW_AREA, 1 - augment->crop, 1));
    double aspect = exp(between(key, DRAW_ASPECT, -ASPECT, ASPECT) / 2);
    picture->stride = width;
    picture->width = side(area * aspect, width);
    picture->height = side(area / aspect, height);
    picture->left = place(key, DRAW_LEFT, width, picture->width);
    picture->top = place(key, DRAW_TOP, height, picture->height);
}

static void flip(const struct preprocess_config *input, float *x)
{
    size_t rows = (size_t)input->channels * input->height;
    for (size_t row = 0; row < rows; row++)
        for (uint32_t a = 0, b = input->width - 1; a < b; a++, b--) {
            float *line = x + row * input->width, kept = line[a];
            line[a] = line[b];
            line[b] = kept;
        }
}

static void to_pixels(const struct preprocess_config *input, float *x, bool back)
{
    size_t plane = (size_t)input->width * input->height;
    for (uint32_t c = 0; c < input->channels; c++) {
        float mean = (float)input->mean[c], deviation = (float)input->std[c];
        for (size_t i = c * plane; i < (c + 1) * plane; i++)
            x[i] = back ? (fminf(fmaxf(x[i], 0), 255) - mean) / deviation : x[i] * deviation + mean;
    }
}

/* Away from `center`, by `factor`. */
static void scale_from(float *x, size_t count, float center, float factor)
{
    for (size_t i = 0; i < count; i++)
        x[i] = center + (x[i] - center) * factor;
}

static void saturate(float *x, size_t plane, float factor)
{
    for (size_t i = 0; i < plane; i++) {
        float gray = 0.299f * x[i] + 0.587f * x[plane + i] + 0.114f * x[2 * plane + i];
        for (size_t c = 0; c < 3; c++)
            x[c * plane + i] = gray + (x[c * plane + i] - gray) * factor;
    }
}

static void jitter(double most, const struct preprocess_config *input, struct random_key key,
                   float *x)
{
    size_t plane = (size_t)input->width * input->height, count = plane * input->channels;
    double sum = 0;
    scale_from(x, count, 0, (float)between(key, DRAW_BRIGHTNESS, 1 - most, 1 + most));
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i];
    scale_from(x, count, (float)(sum / (double)count),
               (float)between(key, DRAW_CONTRAST, 1 - most, 1 + most));
    if (input->channels == 3)
        saturate(x, plane, (float)between(key, DRAW_SATURATION, 1 - most, 1 + most));
}

/* Half of the samples lose a rectangle of up to `most` of the area; it becomes middle gray. */
static void erase(double most, const struct preprocess_config *input, struct random_key key,
                  float *x)
{
    if (random_uniform(key, DRAW_ERASE) < 0.5)
        return;
    double area = sqrt(between(key, DRAW_ERASED_AREA, 0, most));
    double aspect = exp(between(key, DRAW_ERASED_ASPECT, -ASPECT, ASPECT) / 2);
    uint32_t width = side(area * aspect, input->width), height = side(area / aspect, input->height);
    uint32_t left = place(key, DRAW_ERASED_LEFT, input->width, width);
    uint32_t top = place(key, DRAW_ERASED_TOP, input->height, height);
    for (uint32_t c = 0; c < input->channels; c++)
        for (uint32_t row = top; row < top + height; row++)
            for (uint32_t column = left; column < left + width; column++)
                x[((size_t)c * input->height + row) * input->width + column] = 127.5f;
}

void augment_sample(const struct augment_config *augment, const struct preprocess_config *input,
                    struct random_key key, float *x)
{
    if (augment->flip && random_uniform(key, DRAW_FLIP) < 0.5)
        flip(input, x);
    if (augment->jitter <= 0 && augment->erase <= 0)
        return;
    to_pixels(input, x, false);
    if (augment->jitter > 0)
        jitter(augment->jitter, input, key, x);
    if (augment->erase > 0)
        erase(augment->erase, input, key, x);
    to_pixels(input, x, true);
}
