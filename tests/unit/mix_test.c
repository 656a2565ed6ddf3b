/* Mixup and CutMix against their definitions, and what a mix depends on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/data/mix.h"

#define CHANNELS 2
#define HEIGHT 5
#define WIDTH 8
#define ELEMENTS (CHANNELS * HEIGHT * WIDTH)
#define COUNT 7
#define SAMPLES 3000

static const struct mix_grid grid = {HEIGHT, WIDTH};
static const struct stage_config mixup = {.mixup = 0.4}, cutmix = {.cutmix = 1.0},
                                 both = {.mixup = 0.4, .cutmix = 1.0};

static struct mix draw(const struct stage_config *stage, uint32_t step, uint32_t sample, size_t at)
{
    return mix_draw(stage, &grid, mix_key(5, step, sample), at, COUNT);
}

static bool is_box(const struct mix *mix)
{
    return mix->right > mix->left && mix->bottom > mix->top;
}

static void a_mix_is_a_function_of_seed_step_sample_and_place(void **state)
{
    struct mix a = draw(&mixup, 3, 11, 2), b = draw(&mixup, 3, 11, 2);
    (void)state;
    assert_true(a.share == b.share && a.partner == b.partner);
    assert_true(a.share != draw(&mixup, 4, 11, 2).share);
    assert_true(a.share != draw(&mixup, 3, 12, 2).share);
    assert_true(a.share == draw(&mixup, (1u << 24) + 3, 11, 2).share); /* a long job goes on */
    assert_true(a.share != mix_draw(&mixup, &grid, mix_key(6, 3, 11), 2, COUNT).share);
}

static void every_other_sample_is_a_partner_and_none_its_own(void **state)
{
    size_t seen[COUNT] = {0};
    (void)state;
    for (uint32_t sample = 0; sample < SAMPLES; sample++)
        seen[draw(&both, 0, sample, 2).partner]++;
    for (size_t i = 0; i < COUNT; i++)
        assert_true(i == 2 ? seen[i] == 0
                           : seen[i] > SAMPLES / (COUNT - 1) * 3 / 4 &&
                                 seen[i] < SAMPLES / (COUNT - 1) * 5 / 4);
    struct mix alone = mix_draw(&both, &grid, mix_key(1, 1, 1), 0, 1);
    assert_true(alone.partner == 0 && alone.share == 1 && !is_box(&alone));
}

/* Beta(α, α): mean 1/2, variance 1/(4(2α + 1)). Of 3000 draws the mean is good to 0.01 and the
 * variance to 0.01 with more than four deviations to spare. */
static void the_share_is_of_a_beta_distribution(void **state)
{
    static const double alphas[] = {0.2, 1.0, 4.0};
    (void)state;
    for (size_t a = 0; a < 3; a++) {
        const struct stage_config stage = {.mixup = alphas[a]};
        double sum = 0, squares = 0;
        for (uint32_t sample = 0; sample < SAMPLES; sample++) {
            double share = draw(&stage, 1, sample, 0).share;
            assert_true(share >= 0 && share <= 1);
            sum += share;
            squares += share * share;
        }
        double mean = sum / SAMPLES, variance = squares / SAMPLES - mean * mean;
        assert_true(fabs(mean - 0.5) < 0.035);
        assert_true(fabs(variance - 1 / (4 * (2 * alphas[a] + 1))) < 0.01);
    }
    const struct stage_config tiny = {.mixup = 1e-9}, huge = {.mixup = 100};
    for (uint32_t sample = 0; sample < 100; sample++) {
        double share = draw(&tiny, 1, sample, 0).share;
        assert_true(share == 0 || share == 1);
        assert_true(fabs(draw(&huge, 1, sample, 0).share - 0.5) < 0.2);
    }
}

static void rows(float *own, float *partner)
{
    for (size_t i = 0; i < ELEMENTS; i++) {
        own[i] = (float)i;
        partner[i] = -(float)i * 3 - 1;
    }
}

static void mixup_weighs_rows_and_targets_alike(void **state)
{
    float own[ELEMENTS], partner[ELEMENTS], out[ELEMENTS];
    struct mix mix = draw(&mixup, 0, 4, 0);
    (void)state;
    assert_false(is_box(&mix));
    assert_true(mix.share > 0.01 && mix.share < 0.99);
    rows(own, partner);
    mix_row(&mix, &grid, own, partner, ELEMENTS, out);
    for (size_t i = 0; i < ELEMENTS; i++)
        assert_true(fabs((double)out[i] - (mix.share * (double)own[i] +
                                           (1 - mix.share) * (double)partner[i])) < 1e-4);
    const float mine[] = {1, 0}, theirs[] = {0, 1};
    mix_targets(&mix, mine, theirs, 2, out);
    assert_true(fabs((double)out[0] - mix.share) < 1e-6 &&
                fabs((double)out[1] - 1 + mix.share) < 1e-6);
}

static void cutmix_pastes_one_box_and_counts_its_pixels(void **state)
{
    float own[ELEMENTS], partner[ELEMENTS], out[ELEMENTS];
    size_t large = 0, small = 0, boxes = 0;
    (void)state;
    rows(own, partner);
    for (uint32_t sample = 0; sample < SAMPLES; sample++) {
        struct mix mix = draw(&cutmix, 0, sample, 0);
        size_t pasted = 0;
        mix_row(&mix, &grid, own, partner, ELEMENTS, out);
        for (size_t i = 0; i < ELEMENTS; i++) {
            size_t x = i % WIDTH, y = i / WIDTH % HEIGHT;
            bool inside = x >= mix.left && x < mix.right && y >= mix.top && y < mix.bottom;
            assert_true(out[i] == (inside ? partner[i] : own[i]));
            pasted += inside;
        }
        assert_true(mix.right <= WIDTH && mix.bottom <= HEIGHT);
        assert_true(fabs(mix.share - (1 - (double)pasted / ELEMENTS)) < 1e-12);
        boxes += is_box(&mix);
        large += mix.share < 0.5;
        small += mix.share > 0.8;
    }
    assert_true(boxes > SAMPLES / 2 && large > SAMPLES / 20 && small > SAMPLES / 10);
}

static void with_both_on_each_takes_half(void **state)
{
    size_t same_as_mixup = 0;
    (void)state;
    for (uint32_t sample = 0; sample < SAMPLES; sample++)
        same_as_mixup += draw(&both, 2, sample, 0).share == draw(&mixup, 2, sample, 0).share;
    assert_true(same_as_mixup > SAMPLES * 45 / 100 && same_as_mixup < SAMPLES * 55 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mix_is_a_function_of_seed_step_sample_and_place),
        cmocka_unit_test(every_other_sample_is_a_partner_and_none_its_own),
        cmocka_unit_test(the_share_is_of_a_beta_distribution),
        cmocka_unit_test(mixup_weighs_rows_and_targets_alike),
        cmocka_unit_test(cutmix_pastes_one_box_and_counts_its_pixels),
        cmocka_unit_test(with_both_on_each_takes_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
