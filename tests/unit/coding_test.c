/* Codes of gradients: what comes out of what went in, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/wire/coding.h"

#define MANY 1000

static struct random_key key_of(uint64_t seed)
{
    return (struct random_key){.seed = seed, .purpose = RANDOM_ROUNDING};
}

static void fill(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (float)random_normal(key_of(7), (uint32_t)i) *
                    (i < n / 2 ? 1e-3f : 3.0f); /* halves of other sizes */
}

/* In a frame that lies at an odd address, as frames may. */
static bool pass(const struct compression_config *config, uint64_t seed, const float *in, size_t n,
                 float *out)
{
    size_t bytes = coding_bytes(config, n);
    uint8_t *coded = malloc(bytes + 8), *odd = malloc(bytes + 1);
    coding_encode(config, key_of(seed), in, n, coded);
    memcpy(odd + 1, coded, bytes);
    bool decodes = coding_decode(config, odd + 1, n, out);
    free(coded);
    free(odd);
    return decodes;
}

static void sizes_are_those_that_the_header_says(void **state)
{
    const struct {
        enum compression_kind kind;
        double share;
        size_t n, bytes;
    } cases[] = {{COMPRESSION_NONE, 0, 3, 12},         {COMPRESSION_BFLOAT16, 0, 3, 6},
                 {COMPRESSION_FLOAT16, 0, 3, 6},       {COMPRESSION_INT8, 0, 256, 260},
                 {COMPRESSION_INT8, 0, 257, 265},      {COMPRESSION_TOP_K, 0.01, 1000, 80},
                 {COMPRESSION_TOP_K, 0.01, 1001, 88},  {COMPRESSION_TOP_K, 1e-5, 3, 8},
                 {COMPRESSION_TOP_K, 1.0, 1000, 8000}, {COMPRESSION_INT8_STOCHASTIC, 0, 1, 5}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct compression_config config = {cases[i].kind, cases[i].share};
        assert_int_equal(coding_bytes(&config, cases[i].n), cases[i].bytes);
    }
}

static void errors_are_half_a_step_at_most(void **state)
{
    float in[MANY], out[MANY];
    (void)state;
    fill(in, MANY);
    assert_true(pass(&(struct compression_config){COMPRESSION_BFLOAT16, 0}, 1, in, MANY, out));
    for (size_t i = 0; i < MANY; i++)
        assert_true(fabsf(out[i] - in[i]) <= fabsf(in[i]) / 256);
    assert_true(pass(&(struct compression_config){COMPRESSION_FLOAT16, 0}, 1, in, MANY, out));
    for (size_t i = 0; i < MANY; i++)
        assert_true(fabsf(out[i] - in[i]) <= fmaxf(fabsf(in[i]) / 2048, 0x1p-25f));
    assert_true(pass(&(struct compression_config){COMPRESSION_INT8, 0}, 1, in, MANY, out));
    for (size_t first = 0; first < MANY; first += 256) {
        float largest = 0;
        for (size_t i = first; i < first + 256 && i < MANY; i++)
            largest = fmaxf(largest, fabsf(in[i]));
        for (size_t i = first; i < first + 256 && i < MANY; i++)
            assert_true(fabsf(out[i] - in[i]) <= largest / 254 * 1.00001f);
    }
}

/* Against the tables of IEEE 754 and of bfloat16. */
static void sixteen_bits_are_rounded_to_nearest_even(void **state)
{
    const struct {
        enum compression_kind kind;
        float in;
        uint16_t out;
    } cases[] = {
        {COMPRESSION_FLOAT16, 1.0f, 0x3c00},           {COMPRESSION_FLOAT16, -2.0f, 0xc000},
        {COMPRESSION_FLOAT16, 65504.0f, 0x7bff},       {COMPRESSION_FLOAT16, 1e9f, 0x7bff},
        {COMPRESSION_FLOAT16, 0x1p-14f, 0x0400},       {COMPRESSION_FLOAT16, 0x1p-24f, 0x0001},
        {COMPRESSION_FLOAT16, 0x1p-25f, 0x0000},       {COMPRESSION_FLOAT16, 0x1.8p-25f, 0x0001},
        {COMPRESSION_FLOAT16, 0x1.ff8p-15f, 0x03ff},   {COMPRESSION_FLOAT16, 0x1.ffcp-15f, 0x0400},
        {COMPRESSION_FLOAT16, 0x1.002p0f, 0x3c00},     {COMPRESSION_FLOAT16, 0x1.006p0f, 0x3c02},
        {COMPRESSION_FLOAT16, -0.0f, 0x8000},          {COMPRESSION_FLOAT16, 0.1f, 0x2e66},
        {COMPRESSION_FLOAT16, INFINITY, 0x7c00},       {COMPRESSION_BFLOAT16, 1.0f, 0x3f80},
        {COMPRESSION_BFLOAT16, 0x1.01p0f, 0x3f80},     {COMPRESSION_BFLOAT16, 0x1.03p0f, 0x3f82},
        {COMPRESSION_BFLOAT16, 0x1.fffffep0f, 0x4000}, {COMPRESSION_BFLOAT16, INFINITY, 0x7f80},
        {COMPRESSION_BFLOAT16, 0x1p-133f, 0x0001},     {COMPRESSION_BFLOAT16, -0.1f, 0xbdcd},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct compression_config config = {cases[i].kind, 0};
        uint16_t out;
        coding_encode(&config, key_of(0), &cases[i].in, 1, &out);
        assert_int_equal(out, cases[i].out);
    }
}

/* All 65536 of them are what they are. */
static void sixteen_bits_come_back_as_they_went(void **state)
{
    const enum compression_kind kinds[] = {COMPRESSION_BFLOAT16, COMPRESSION_FLOAT16};
    (void)state;
    for (size_t k = 0; k < 2; k++)
        for (uint32_t bits = 0; bits < 0x10000; bits++) {
            struct compression_config config = {kinds[k], 0};
            uint16_t half = (uint16_t)bits, again;
            float value;
            assert_true(coding_decode(&config, &half, 1, &value));
            coding_encode(&config, key_of(0), &value, 1, &again);
            if (isnan(value))
                assert_true((again & 0x7fff) > (k == 0 ? 0x7f80 : 0x7c00));
            else
                assert_int_equal(again, half);
        }
}

/* The mean of many roundings is the value, within five of its standard deviations. */
static void stochastic_rounding_has_no_bias(void **state)
{
    const struct compression_config config = {COMPRESSION_INT8_STOCHASTIC, 0};
    const size_t rounds = 4000;
    enum { N = 64 };
    float in[N], out[N], again[N];
    double mean[N] = {0};
    (void)state;
    fill(in, N);
    in[0] = 12.7f; /* a step of 0.1 */
    for (uint64_t seed = 0; seed < rounds; seed++) {
        assert_true(pass(&config, seed, in, N, out));
        for (size_t i = 0; i < N; i++) {
            assert_true(fabsf(out[i] - in[i]) < 0.1001f);
            mean[i] += (double)out[i] / (double)rounds;
        }
    }
    for (size_t i = 0; i < N; i++)
        assert_true(fabs(mean[i] - (double)in[i]) < 5 * 0.05 / sqrt((double)rounds));
    assert_true(pass(&config, 1, in, N, out) && pass(&config, 1, in, N, again));
    assert_memory_equal(out, again, sizeof out);
}

static void the_largest_values_are_kept_as_they_are(void **state)
{
    const struct compression_config config = {COMPRESSION_TOP_K, 0.1};
    float in[MANY], out[MANY];
    size_t kept = 0;
    float least_kept = INFINITY, most_left = 0;
    (void)state;
    fill(in, MANY);
    assert_true(pass(&config, 1, in, MANY, out));
    for (size_t i = 0; i < MANY; i++) {
        assert_true(out[i] == 0 || out[i] == in[i]);
        kept += out[i] != 0;
        if (out[i] != 0)
            least_kept = fminf(least_kept, fabsf(in[i]));
        else
            most_left = fmaxf(most_left, fabsf(in[i]));
    }
    assert_int_equal(kept, MANY / 10);
    assert_true(least_kept >= most_left);
}

static void of_equal_values_the_first_are_kept(void **state)
{
    const struct compression_config config = {COMPRESSION_TOP_K, 0.5};
    const float in[] = {1, -1, 2, 1, 1, -1}, expected[] = {1, -1, 2, 0, 0, 0};
    float out[6];
    (void)state;
    assert_true(pass(&config, 1, in, 6, out));
    assert_memory_equal(out, expected, sizeof expected);
}

static void positions_out_of_order_or_outside_are_refused(void **state)
{
    const struct compression_config config = {COMPRESSION_TOP_K, 0.2};
    const uint32_t broken[][2] = {{3, 3}, {4, 2}, {1, 10}, {UINT32_MAX, 0}, {1, UINT32_MAX}};
    const uint32_t fine[] = {0, 9};
    uint32_t coded[4] = {0};
    float out[10];
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        memcpy(coded, broken[i], sizeof broken[i]);
        assert_false(coding_decode(&config, coded, 10, out));
    }
    memcpy(coded, fine, sizeof fine);
    assert_true(coding_decode(&config, coded, 10, out));
}

/* The server must see it: a step is refused for it. */
static void what_is_not_finite_stays_so(void **state)
{
    const enum compression_kind kinds[] = {COMPRESSION_BFLOAT16, COMPRESSION_FLOAT16,
                                           COMPRESSION_INT8, COMPRESSION_INT8_STOCHASTIC,
                                           COMPRESSION_TOP_K};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    for (size_t k = 0; k < 5; k++)
        for (size_t b = 0; b < 3; b++) {
            struct compression_config config = {kinds[k], 0.1};
            float in[MANY], out[MANY];
            bool seen = false;
            fill(in, MANY);
            in[400] = bad[b];
            assert_true(pass(&config, 1, in, MANY, out));
            for (size_t i = 0; i < MANY; i++)
                seen |= !isfinite(out[i]);
            assert_true(seen);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_those_that_the_header_says),
        cmocka_unit_test(errors_are_half_a_step_at_most),
        cmocka_unit_test(sixteen_bits_are_rounded_to_nearest_even),
        cmocka_unit_test(sixteen_bits_come_back_as_they_went),
        cmocka_unit_test(stochastic_rounding_has_no_bias),
        cmocka_unit_test(the_largest_values_are_kept_as_they_are),
        cmocka_unit_test(of_equal_values_the_first_are_kept),
        cmocka_unit_test(positions_out_of_order_or_outside_are_refused),
        cmocka_unit_test(what_is_not_finite_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
