#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/data/shard.h"
#include "tests/unit/data_fixture.h"

#define CSV(name, file, more)                                                                      \
    "{ name = \"" name "\"; divide = [1, 0, 0]; " more                                             \
    "sources = ( { format = \"csv\"; path = \"cache:" file                                         \
    "\"; width = 1; height = 1; label_column = 1; } ); }"
#define SAMPLES 17
#define SHARDS 3u /* of the fixture's job, with micro-batches of 2 */

static struct job *job;
static struct manifest *manifest;

static void write_rows(const char *name, int count)
{
    char text[4096];
    size_t used = 0;
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%d,a\n", i);
    fixture_text(name, text);
}

/* A labelled domain of 7 samples and an unlabelled one of 17: the primary. */
static int setup(void **state)
{
    fixture_setup(state);
    write_rows("s", 7);
    write_rows("t", SAMPLES);
    job = fixture_job(CSV("s", "s", "") ", " CSV("t", "t", "labelled = false; "), "\"s\", \"t\"",
                      NULL, 0);
    manifest = fixture_manifest(job, MANIFEST_WORKER);
    return 0;
}

static int teardown(void **state)
{
    manifest_destroy(&manifest);
    job_destroy(&job);
    return fixture_teardown(state);
}

static void every_sample_is_in_exactly_one_shard(void **state)
{
    (void)state;
    uint32_t seen[SAMPLES + 7] = {0};
    size_t total = 0;
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        size_t count = shard_count(manifest, 1, SPLIT_TRAIN, SHARDS, shard);
        total += count;
        for (size_t k = 0; k < count; k++)
            seen[shard_sample(manifest, 1, SPLIT_TRAIN, SHARDS, shard, k)]++;
    }
    assert_int_equal(total, SAMPLES);
    for (size_t id = 7; id < SAMPLES + 7; id++)
        assert_int_equal(seen[id], 1);
    assert_int_equal(shard_sample(manifest, 1, SPLIT_TRAIN, SHARDS, 2, 1), 7 + 5);
    assert_int_equal(shard_count(manifest, 1, SPLIT_TEST, SHARDS, 0), 0);
}

static void an_epoch_visits_each_primary_sample_once(void **state)
{
    (void)state;
    uint32_t steps = shard_steps_per_epoch(job, manifest, 0);
    uint32_t scratch[SAMPLES], out[2];
    assert_int_equal(steps, 3); /* the largest shard has 6 samples */
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        uint32_t seen[SHARDS][6] = {{0}};
        for (uint32_t step = epoch * steps; step < (epoch + 1) * steps; step++) {
            for (uint32_t shard = 0; shard < SHARDS; shard++) {
                size_t count = shard_micro_batch(job, manifest, 0, 1, shard, step, scratch, out);
                for (size_t i = 0; i < count; i++)
                    seen[shard][out[i]]++;
            }
        }
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            for (size_t k = 0; k < shard_count(manifest, 1, SPLIT_TRAIN, SHARDS, shard); k++)
                assert_int_equal(seen[shard][k], 1);
        }
    }
}

static void the_last_primary_batch_may_be_short(void **state)
{
    (void)state;
    uint32_t scratch[SAMPLES], out[2];
    assert_int_equal(shard_count(manifest, 1, SPLIT_TRAIN, SHARDS, 2), 5);
    assert_int_equal(shard_micro_batch(job, manifest, 0, 1, 2, 1, scratch, out), 2);
    assert_int_equal(shard_micro_batch(job, manifest, 0, 1, 2, 2, scratch, out), 1);
}

static void other_domains_are_always_full_and_balanced(void **state)
{
    (void)state;
    uint32_t scratch[SAMPLES], out[2], seen[3] = {0};
    assert_int_equal(shard_count(manifest, 0, SPLIT_TRAIN, SHARDS, 0), 3);
    for (uint32_t step = 0; step < 6; step++) { /* 12 draws are 4 passes over 3 samples */
        assert_int_equal(shard_micro_batch(job, manifest, 0, 0, 0, step, scratch, out), 2);
        seen[out[0]]++;
        seen[out[1]]++;
    }
    for (size_t k = 0; k < 3; k++)
        assert_int_equal(seen[k], 4);
}

static void shuffles_depend_on_epoch_shard_and_seed_only(void **state)
{
    (void)state;
    const char *overrides[] = {"run.seed=2", "cluster.workers=5"};
    struct job *seeded = fixture_job(CSV("s", "s", "") ", " CSV("t", "t", "labelled = false; "),
                                     "\"s\", \"t\"", overrides, 1);
    struct job *moved = fixture_job(CSV("s", "s", "") ", " CSV("t", "t", "labelled = false; "),
                                    "\"s\", \"t\"", overrides + 1, 1);
    uint32_t scratch[SAMPLES], a[2], b[2], same_epoch = 0, same_seed = 0;
    for (uint32_t step = 0; step < 30; step++) {
        assert_int_equal(shard_micro_batch(job, manifest, 0, 1, 0, step, scratch, a), 2);
        assert_int_equal(shard_micro_batch(moved, manifest, 0, 1, 0, step, scratch, b), 2);
        assert_memory_equal(a, b, sizeof a);
        (void)shard_micro_batch(seeded, manifest, 0, 1, 0, step, scratch, b);
        same_seed += memcmp(a, b, sizeof a) == 0;
        (void)shard_micro_batch(job, manifest, 0, 1, 0, step + 3, scratch, b);
        same_epoch += memcmp(a, b, sizeof a) == 0;
    }
    assert_true(same_epoch < 15);
    assert_true(same_seed < 15);
    job_destroy(&seeded);
    job_destroy(&moved);
}

static void shards_without_samples_contribute_nothing(void **state)
{
    (void)state;
    const char *override = "cluster.shards=100";
    struct job *wide = fixture_job(CSV("s", "s", "") ", " CSV("t", "t", "labelled = false; "),
                                   "\"s\", \"t\"", &override, 1);
    uint32_t scratch[SAMPLES], out[2];
    assert_int_equal(shard_steps_per_epoch(wide, manifest, 0), 1);
    assert_int_equal(shard_micro_batch(wide, manifest, 0, 1, 50, 0, scratch, out), 0);
    assert_int_equal(shard_micro_batch(wide, manifest, 0, 0, 50, 0, scratch, out), 0);
    assert_int_equal(shard_micro_batch(wide, manifest, 0, 0, 6, 0, scratch, out), 2);
    assert_int_equal(out[1], 0);
    job_destroy(&wide);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_sample_is_in_exactly_one_shard),
        TEST(an_epoch_visits_each_primary_sample_once),
        TEST(the_last_primary_batch_may_be_short),
        TEST(other_domains_are_always_full_and_balanced),
        TEST(shuffles_depend_on_epoch_shard_and_seed_only),
        TEST(shards_without_samples_contribute_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
