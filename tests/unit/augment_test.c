/* Augmentation: what each change does, that it stays inside its limits, and that it is a function
 * of (seed, variant, sample) alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/data/augment.h"

#define SIDE 12
#define PLANE (SIDE * SIDE)
#define SEEDS 200

static const struct preprocess_config input = {
    .width = SIDE, .height = SIDE, .channels = 3, .mean = {100, 110, 120}, .std = {50, 60, 70}};

/* In pixels 20 … 235, and normalised. */
static float pixel(size_t i)
{
    return 20 + (float)(i * 37 % 216);
}

static void fill(float *x)
{
    for (size_t i = 0; i < 3 * PLANE; i++)
        x[i] = (pixel(i) - (float)input.mean[i / PLANE]) / (float)input.std[i / PLANE];
}

static float back(const float *x, size_t i)
{
    return x[i] * (float)input.std[i / PLANE] + (float)input.mean[i / PLANE];
}

static void augmented(const struct augment_config *augment, uint32_t sample, float *x)
{
    fill(x);
    augment_sample(augment, &input, augment_key(7, 1, sample), x);
}

static void the_same_key_gives_the_same_picture_and_another_another(void **state)
{
    const struct augment_config all = {.flip = true, .jitter = 0.4, .erase = 0.3};
    float a[3 * PLANE], b[3 * PLANE], c[3 * PLANE];
    (void)state;
    augmented(&all, 3, a);
    augmented(&all, 3, b);
    augmented(&all, 4, c);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    fill(b);
    augment_sample(&all, &input, augment_key(7, 2, 3), b);
    assert_memory_not_equal(a, b, sizeof a);
    fill(b);
    augment_sample(&all, &input, augment_key(8, 1, 3), b);
    assert_memory_not_equal(a, b, sizeof a);
}

static void half_are_mirrored_exactly(void **state)
{
    const struct augment_config flip = {.flip = true};
    float x[3 * PLANE], plain[3 * PLANE];
    size_t mirrored = 0;
    (void)state;
    fill(plain);
    for (uint32_t sample = 0; sample < SEEDS; sample++) {
        augmented(&flip, sample, x);
        if (memcmp(x, plain, sizeof x) == 0)
            continue;
        mirrored++;
        for (size_t i = 0; i < 3 * PLANE; i++)
            assert_true(x[i] == plain[i - i % SIDE + (SIDE - 1 - i % SIDE)]);
    }
    assert_true(mirrored > SEEDS / 3 && mirrored < SEEDS * 2 / 3);
}

static void erasing_takes_one_rectangle_within_its_share(void **state)
{
    const struct augment_config erase = {.erase = 0.25};
    size_t untouched = 0;
    (void)state;
    for (uint32_t sample = 0; sample < SEEDS; sample++) {
        float x[3 * PLANE];
        size_t gray = 0, left = SIDE, right = 0, top = SIDE, bottom = 0;
        augmented(&erase, sample, x);
        for (size_t i = 0; i < PLANE; i++) {
            bool erased = fabsf(back(x, i) - 127.5f) < 1e-3f;
            for (size_t c = 0; c < 3; c++)
                assert_true(fabsf(back(x, c * PLANE + i) -
                                  (erased ? 127.5f : pixel(c * PLANE + i))) < 1e-3f);
            if (!erased)
                continue;
            gray++;
            left = i % SIDE < left ? i % SIDE : left;
            right = i % SIDE > right ? i % SIDE : right;
            top = i / SIDE < top ? i / SIDE : top;
            bottom = i / SIDE > bottom ? i / SIDE : bottom;
        }
        untouched += gray == 0;
        if (gray > 0)
            assert_int_equal(gray, (right - left + 1) * (bottom - top + 1));
        assert_true((double)gray <= 0.25 * PLANE * 1.2); /* sides are whole pixels */
    }
    assert_true(untouched > SEEDS / 3 && untouched < SEEDS * 2 / 3);
}

static void jitter_stays_within_the_pixels_and_moves_all(void **state)
{
    const struct augment_config jitter = {.jitter = 0.5};
    double low = 1e9, high = 0;
    (void)state;
    for (uint32_t sample = 0; sample < SEEDS; sample++) {
        float x[3 * PLANE];
        double mean = 0;
        augmented(&jitter, sample, x);
        for (size_t i = 0; i < 3 * PLANE; i++) {
            assert_true(back(x, i) > -1e-3f && back(x, i) < 255.001f);
            mean += (double)back(x, i) / (3 * PLANE);
        }
        low = fmin(low, mean);
        high = fmax(high, mean);
    }
    assert_true(low > 55 && low < 75 && high > 165 && high < 195); /* around 127 · (0.5 … 1.5) */
}

static void crops_lie_inside_and_keep_their_share(void **state)
{
    const struct augment_config crop = {.crop = 0.5}, none = {0};
    double smallest = 1;
    uint32_t last_left = 0, last_top = 0;
    (void)state;
    for (uint32_t sample = 0; sample < SEEDS; sample++) {
        struct picture p = {.width = 100, .height = 60, .channels = 3};
        augment_crop(&crop, augment_key(1, 1, sample), &p);
        double share = (double)p.width * p.height / 6000;
        assert_int_equal(p.stride, 100);
        assert_true(p.left + p.width <= 100 && p.top + p.height <= 60);
        assert_true(share > 0.45 && share <= 1.0);
        smallest = fmin(smallest, share);
        last_left = p.left > last_left ? p.left : last_left;
        last_top = p.top > last_top ? p.top : last_top;
    }
    assert_true(smallest < 0.6 && last_left > 20 && last_top > 10);
    struct picture whole = {.width = 100, .height = 60, .channels = 3};
    augment_crop(&none, augment_key(1, 1, 1), &whole);
    assert_true(whole.stride == 0 && whole.width == 100 && whole.height == 60);
}

/* A window of a picture is preprocessed as the picture that has only it. */
static void a_window_is_a_picture_of_its_own(void **state)
{
    uint8_t large[20 * 30 * 3], small[7 * 11 * 3];
    float a[3 * PLANE], b[3 * PLANE];
    struct preprocess *preprocess = NULL;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * i >> 3);
    for (size_t y = 0; y < 7; y++)
        memcpy(small + y * 33, large + ((y + 5) * 30 + 4) * 3, 33);
    assert_int_equal(preprocess_create(&input, &preprocess, &err), OK);
    struct picture window = {
        .bytes = large, .width = 11, .height = 7, .channels = 3, .stride = 30, .left = 4, .top = 5};
    struct picture alone = {.bytes = small, .width = 11, .height = 7, .channels = 3};
    assert_int_equal(preprocess_run(preprocess, &window, a, &err), OK);
    assert_int_equal(preprocess_run(preprocess, &alone, b, &err), OK);
    assert_memory_equal(a, b, sizeof a);
    preprocess_destroy(&preprocess);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_key_gives_the_same_picture_and_another_another),
        cmocka_unit_test(half_are_mirrored_exactly),
        cmocka_unit_test(erasing_takes_one_rectangle_within_its_share),
        cmocka_unit_test(jitter_stays_within_the_pixels_and_moves_all),
        cmocka_unit_test(crops_lie_inside_and_keep_their_share),
        cmocka_unit_test(a_window_is_a_picture_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
