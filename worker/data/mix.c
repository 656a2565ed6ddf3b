#include "worker/data/mix.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Number of a draw in the sample's stream; the share takes all from DRAW_SHARE on. */
enum draw { DRAW_PARTNER, DRAW_METHOD, DRAW_X, DRAW_Y, DRAW_SHARE };

#define STEP_MASK ((1u << 24) - 1) /* random_key has 24 bits for it */

struct random_key mix_key(uint64_t seed, uint32_t step, uint32_t sample)
{
    return (struct random_key){
        .seed = seed, .purpose = RANDOM_MIX, .epoch = step & STEP_MASK, .index = sample};
}

static size_t below(struct random_key key, enum draw draw, size_t count)
{
    return (size_t)(random_uniform(key, (uint32_t)draw) * (double)count);
}

/* A side of `length` around `center`, cut at 0 and `extent`. */
static void cut_side(size_t center, size_t length, size_t extent, size_t *first, size_t *end)
{
    size_t before = length / 2, after = length - before;
    *first = center > before ? center - before : 0;
    *end = center + after < extent ? center + after : extent;
}

/* Sides in whole elements; the share follows the box. */
static void draw_box(struct mix *mix, const struct mix_grid *grid, struct random_key key)
{
    double side = sqrt(1 - mix->share);
    cut_side(below(key, DRAW_X, grid->width), (size_t)(side * (double)grid->width), grid->width,
             &mix->left, &mix->right);
    cut_side(below(key, DRAW_Y, grid->height), (size_t)(side * (double)grid->height), grid->height,
             &mix->top, &mix->bottom);
    mix->share = 1 - (double)((mix->right - mix->left) * (mix->bottom - mix->top)) /
                         (double)(grid->width * grid->height);
}

struct mix mix_draw(const struct stage_config *stage, const struct mix_grid *grid,
                    struct random_key key, size_t at, size_t count)
{
    if (count < 2)
        return (struct mix){.partner = at, .share = 1};
    bool box = stage->cutmix > 0 && (stage->mixup <= 0 || random_uniform(key, DRAW_METHOD) < 0.5);
    struct mix mix = {.partner = (at + 1 + below(key, DRAW_PARTNER, count - 1)) % count,
                      .share = random_beta(key, DRAW_SHARE, box ? stage->cutmix : stage->mixup)};
    if (box)
        draw_box(&mix, grid, key);
    return mix;
}

static bool is_box(const struct mix *mix)
{
    return mix->right > mix->left && mix->bottom > mix->top;
}

static void paste(const struct mix *mix, const struct mix_grid *grid, const float *partner,
                  size_t elements, float *out)
{
    size_t width = grid->width, rows = elements / width;
    for (size_t row = 0; row < rows; row++)
        if (row % grid->height >= mix->top && row % grid->height < mix->bottom)
            memcpy(out + row * width + mix->left, partner + row * width + mix->left,
                   (mix->right - mix->left) * sizeof *out);
}

void mix_targets(const struct mix *mix, const float *own, const float *partner, size_t count,
                 float *out)
{
    float mine = (float)mix->share, theirs = (float)(1 - mix->share);
    for (size_t i = 0; i < count; i++)
        out[i] = mine * own[i] + theirs * partner[i];
}

void mix_row(const struct mix *mix, const struct mix_grid *grid, const float *own,
             const float *partner, size_t elements, float *out)
{
    if (!is_box(mix)) {
        mix_targets(mix, own, partner, elements, out);
        return;
    }
    memcpy(out, own, elements * sizeof *out);
    paste(mix, grid, partner, elements, out);
}
