/* Counter-based random numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"

#define COUNT 100000

/* Random123's kat_vectors for philox4x32-10. Our counter is {draw, index low, index high,
 * purpose << 24 | epoch}, our key {seed low, seed high}; draws hand out the first two words (and
 * normals all four). */
static void it_is_philox_4x32_10(void **state)
{
    const struct random_key zero = {0};
    const struct random_key ones = {UINT64_MAX, (enum random_purpose)255, 0xffffff, UINT64_MAX};
    const struct random_key pi = {0x299f31d0a4093822u, (enum random_purpose)3, 0x707344,
                                  0x13198a2e85a308d3u};
    (void)state;
    assert_true(random_bits(zero, 0) == 0x6627e8d5e169c58du);
    assert_true(random_bits(ones, UINT32_MAX) == 0x408f276d41c83b0eu);
    assert_true(random_bits(pi, 0x243f6a88) == 0xd16cfe0994fdccebu);
}

static void a_normal_uses_all_four_words(void **state)
{
    double u = (double)(0x6627e8d5e169c58du >> 11) / 9007199254740992.0;
    double v = (double)(0xbc57ac4c9b00dbd8u >> 11) / 9007199254740992.0;
    (void)state;
    assert_true(fabs(random_normal((struct random_key){0}, 0) -
                     sqrt(-2 * log(1 - u)) * cos(2 * acos(-1) * v)) < 1e-14);
    assert_true(random_uniform((struct random_key){0}, 0) == u);
}

static void every_part_of_the_key_gives_another_stream(void **state)
{
    const struct random_key keys[] = {{1, RANDOM_SHUFFLE, 1, 1},
                                      {2, RANDOM_SHUFFLE, 1, 1},
                                      {1ull << 32 | 1, RANDOM_SHUFFLE, 1, 1},
                                      {1, RANDOM_INIT, 1, 1},
                                      {1, RANDOM_SHUFFLE, 2, 1},
                                      {1, RANDOM_SHUFFLE, 1, 2},
                                      {1, RANDOM_SHUFFLE, 1, 1ull << 32 | 1}};
    (void)state;
    for (size_t i = 0; i < 7; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(random_bits(keys[i], 5) != random_bits(keys[k], 5));
    assert_true(random_bits(keys[0], 5) != random_bits(keys[0], 6));
    assert_true(random_bits(keys[0], 5) == random_bits(keys[0], 5));
}

/* Five standard errors of the mean of 100,000. */
static void uniforms_and_normals_have_their_moments(void **state)
{
    double uniform = 0, normal = 0, square = 0, error = 5 / sqrt(COUNT);
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct random_key key = {.seed = 3, .index = i};
        double u = random_uniform(key, 0), z = random_normal(key, 0);
        assert_true(u >= 0 && u < 1 && isfinite(z));
        uniform += u / COUNT;
        normal += z / COUNT;
        square += z * z / COUNT;
    }
    assert_true(fabs(uniform - 0.5) < error * sqrt(1.0 / 12));
    assert_true(fabs(normal) < error);
    assert_true(fabs(square - 1) < error * sqrt(2));
}

static void a_permutation_has_each_number_once(void **state)
{
    const size_t counts[] = {0, 1, 2, 3, 1000};
    uint32_t out[1001];
    (void)state;
    for (size_t c = 0; c < 5; c++) {
        uint8_t seen[1000] = {0};
        out[counts[c]] = 77;
        random_permutation((struct random_key){.seed = c}, counts[c], out);
        for (size_t i = 0; i < counts[c]; i++) {
            assert_true(out[i] < counts[c]);
            assert_int_equal(seen[out[i]]++, 0);
        }
        assert_int_equal(out[counts[c]], 77);
    }
}

/* 6,000 permutations of 3: each of the 6 about 1,000 times (standard deviation 29). */
static void permutations_are_equally_likely(void **state)
{
    uint32_t counts[27] = {0}, out[3];
    (void)state;
    for (uint32_t i = 0; i < 6000; i++) {
        random_permutation((struct random_key){.seed = 1, .index = i}, 3, out);
        counts[out[0] * 9 + out[1] * 3 + out[2]]++;
    }
    for (size_t i = 0; i < 27; i++)
        assert_true(counts[i] == 0 || (counts[i] > 850 && counts[i] < 1150));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_philox_4x32_10),
        cmocka_unit_test(a_normal_uses_all_four_words),
        cmocka_unit_test(every_part_of_the_key_gives_another_stream),
        cmocka_unit_test(uniforms_and_normals_have_their_moments),
        cmocka_unit_test(a_permutation_has_each_number_once),
        cmocka_unit_test(permutations_are_equally_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
