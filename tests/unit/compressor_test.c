/* Error feedback: what is left out of a gradient comes with a later one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/wire/coding.h"
#include "worker/sync/compressor.h"

#define ELEMENTS                                                                                   \
    700 /* of three blocks: 300 in one tensor, 300 and 100 in the next but for statistics */
#define STEPS 40

static struct live_tensor tensors[] = {
    {.name = "weight", .offset = 0, .elements = 600},
    {.name = "statistics", .offset = 600, .elements = 100, .running = true},
};
static struct plan_block blocks[] = {{0, 0, 300}, {0, 300, 300}, {1, 600, 100}};
static const struct plan plan = {.tensors = tensors,
                                 .tensor_count = 2,
                                 .live_elements = ELEMENTS,
                                 .blocks = blocks,
                                 .block_count = 3};
static struct stage_config stage = {.domain_count = 2};
static const struct job job = {
    .cluster = {.shards = 3}, .stages = &stage, .stage_count = 1, .run = {.seed = 5}};

static float gradient_of(uint32_t shard, size_t slot, uint32_t step, size_t i)
{
    struct random_key key = {
        .seed = 1 + shard + 10 * slot, .purpose = RANDOM_INIT, .epoch = step, .index = i};
    return (float)random_normal(key, 0);
}

/* What the server makes of it. */
static void decode(const struct compressor *compressor, const uint8_t *coded, float *out)
{
    for (size_t b = 0; b < plan.block_count; b++) {
        struct compression_config config = stage.compression;
        if (b == 2)
            config.kind = COMPRESSION_NONE;
        assert_int_equal(compressor_block_bytes(compressor, b),
                         coding_bytes(&config, blocks[b].elements));
        assert_true(coding_decode(&config, coded + compressor_block_offset(compressor, b),
                                  blocks[b].elements, out + blocks[b].offset));
    }
}

static void step_of(struct compressor *compressor, uint32_t shard, size_t slot, uint32_t step,
                    float *decoded)
{
    float gradient[ELEMENTS];
    const void *coded;
    struct error err;
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = gradient_of(shard, slot, step, i);
    assert_int_equal(compressor_code(compressor, shard, slot, step, gradient, &coded, &err), OK);
    decode(compressor, coded, decoded);
}

/* Sum of all that was decoded = sum of all gradients - the last error, which is small. */
static void nothing_is_lost(void **state)
{
    const struct {
        enum compression_kind kind;
        double error; /* of one value, at most: gradients are below 5 */
    } cases[] = {{COMPRESSION_BFLOAT16, 0.02},
                 {COMPRESSION_FLOAT16, 0.003},
                 {COMPRESSION_INT8, 0.025},
                 {COMPRESSION_TOP_K, 12}};
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct compressor *compressor;
        struct error err;
        double sums[3][2][ELEMENTS] = {{{0}}};
        stage.compression = (struct compression_config){cases[c].kind, 0.2};
        assert_int_equal(compressor_create(&job, &plan, 0, &compressor, &err), OK);
        for (uint32_t step = 0; step < STEPS; step++)
            for (uint32_t shard = 0; shard < 3; shard++)
                for (size_t slot = 0; slot < 2; slot++) {
                    float decoded[ELEMENTS];
                    step_of(compressor, shard, slot, step, decoded);
                    for (size_t i = 0; i < ELEMENTS; i++)
                        sums[shard][slot][i] +=
                            (double)gradient_of(shard, slot, step, i) - (double)decoded[i];
                }
        for (uint32_t shard = 0; shard < 3; shard++)
            for (size_t slot = 0; slot < 2; slot++)
                for (size_t i = 0; i < ELEMENTS; i++)
                    assert_true(fabs(sums[shard][slot][i]) <= (i < 600 ? cases[c].error : 0));
        compressor_destroy(&compressor);
    }
}

static void an_epoch_begins_without_errors(void **state)
{
    struct compressor *compressor;
    struct error err;
    float first[ELEMENTS], second[ELEMENTS], again[ELEMENTS];
    (void)state;
    stage.compression = (struct compression_config){COMPRESSION_TOP_K, 0.1};
    assert_int_equal(compressor_create(&job, &plan, 0, &compressor, &err), OK);
    step_of(compressor, 1, 0, 3, first);
    step_of(compressor, 1, 0, 3, second);
    assert_memory_not_equal(first, second, sizeof first);
    compressor_begin(compressor);
    step_of(compressor, 1, 0, 3, again);
    assert_memory_equal(first, again, sizeof first);
    compressor_destroy(&compressor);
}

static void random_rounding_keeps_nothing_and_depends_on_shard_slot_and_step(void **state)
{
    struct compressor *compressor;
    struct error err;
    const void *coded;
    float gradient[ELEMENTS], outs[5][ELEMENTS];
    const struct {
        uint32_t shard;
        size_t slot;
        uint32_t step;
    } at[] = {{0, 0, 0}, {0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    (void)state;
    stage.compression = (struct compression_config){COMPRESSION_INT8_STOCHASTIC, 0};
    assert_int_equal(compressor_create(&job, &plan, 0, &compressor, &err), OK);
    for (size_t k = 0; k < 5; k++) {
        for (size_t i = 0; i < ELEMENTS; i++)
            gradient[i] = gradient_of(0, 0, 0, i);
        assert_int_equal(compressor_code(compressor, at[k].shard, at[k].slot, at[k].step, gradient,
                                         &coded, &err),
                         OK);
        decode(compressor, coded, outs[k]);
        if (k >= 2)
            assert_memory_not_equal(outs[k], outs[0], sizeof outs[0]);
    }
    assert_memory_equal(outs[1], outs[0], sizeof outs[0]);
    compressor_destroy(&compressor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(an_epoch_begins_without_errors),
        cmocka_unit_test(random_rounding_keeps_nothing_and_depends_on_shard_slot_and_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
