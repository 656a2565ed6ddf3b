/* From finished sums to the next version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "paramserver/table/update.h"
#include "tests/unit/data_fixture.h"

#define SHARDS 2u
#define ELEMENTS 2

static const char *domain_names[] = {"source", "target"};
static struct stage_config stage;
static struct block block;
static struct update_room room;
static struct error err;

static int setup(void **state)
{
    (void)state;
    stage = (struct stage_config){.name = "s",
                                  .domains = domain_names,
                                  .domain_count = 2,
                                  .epochs = 10,
                                  .optimizer = {.kind = OPTIMIZER_SGD, .rate = 0.5},
                                  .domain_weights = {1, 1}};
    return update_room_reserve(&room, 2, ELEMENTS, &err) == OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    block_deinit(&block);
    update_room_deinit(&room);
    return 0;
}

static void open_block(bool pretrained)
{
    const struct load_block load = {
        .block = 6, .kind = BLOCK_PARAMETER, .elements = ELEMENTS, .pretrained = pretrained};
    assert_int_equal(block_init(&block, &load, 2, SHARDS, 0, &err), OK);
    block.weights[0][0] = 1;
    block.weights[0][1] = 2;
}

/* The whole sum of one domain at once. */
static void add(uint32_t domain, uint64_t count, float x, float y)
{
    const float sum[] = {x, y};
    assert_int_not_equal(block_add(&block, domain, 0, 1, count, sum), REDUCTION_REFUSED);
}

static void update(uint64_t stage_step)
{
    if (update_block(&block, &stage, &room, 1, 0, stage_step, 10, &err) != OK)
        fail_msg("%s", err.text);
}

static void assert_weights(double x, double y)
{
    assert_true(fabs((double)block.weights[1][0] - x) < 1e-6);
    assert_true(fabs((double)block.weights[1][1] - y) < 1e-6);
    assert_true(block.weights[0][0] == 1 && block.weights[0][1] == 2); /* the old version stays */
}

static void each_domain_counts_by_its_mean_and_weight(void **state)
{
    (void)state;
    open_block(false);
    stage.domain_weights[1] = 3;
    add(0, 4, 8, 4);  /* mean 2, 1 */
    add(1, 2, 2, -2); /* mean 1, -1, times 3 */
    update(0);
    assert_weights(1 - 0.5 * (2 + 3), 2 - 0.5 * (1 - 3));
}

static void a_domain_without_samples_moves_nothing(void **state)
{
    (void)state;
    open_block(false);
    add(0, 1, 2, 2);
    add(1, 0, 0, 0);
    update(0);
    assert_weights(0, 1);
}

/* ---- one shard at a time ---- */

static float target_sum[] = {2, -2};

static void step_by(float x, float y, double staleness, const float *seen)
{
    float source_sum[] = {x, y};
    const struct reduction_node sums[] = {{.count = 2, .sum = source_sum},
                                          {.count = 2, .sum = target_sum}};
    const struct shard_step step = {.sums = sums,
                                    .shards = SHARDS,
                                    .clock = 3,
                                    .steps_per_epoch = 10,
                                    .staleness = staleness,
                                    .seen = seen};
    assert_int_equal(update_by_shard(&block, &stage, &room, &step, &err), OK);
    block.updates++;
}

static void open_for_shards(void)
{
    open_block(false);
    stage.micro_batch = 2;
    stage.accumulate = 1;
}

/* Two shards, two samples each of each domain. */
static void a_step_of_each_shard_moves_as_one_step_of_all(void **state)
{
    float all[ELEMENTS];
    (void)state;
    stage.domain_weights[1] = 3;
    open_for_shards();
    add(0, 4, 8 + 1, 4 - 3);
    add(1, 4, 2 * 2, 2 * -2);
    update(3);
    memcpy(all, block.weights[1], sizeof all);
    block_deinit(&block);
    open_for_shards();
    step_by(8, 4, 0, NULL);
    step_by(1, -3, 0, NULL);
    for (size_t i = 0; i < ELEMENTS; i++)
        assert_true(fabsf(block.weights[0][i] - all[i]) < 1e-6f);
}

/* ½ · rate · (mean + mean of the other domain), and that / τ. */
static void a_stale_gradient_counts_less_if_the_job_says_so(void **state)
{
    (void)state;
    open_for_shards();
    step_by(8, 4, 5, NULL);
    assert_weights(1 - 0.25 * (4 + 1), 2 - 0.25 * (2 - 1));
    block_deinit(&block);
    stage.staleness_scaling = true;
    open_for_shards();
    step_by(8, 4, 5, NULL);
    assert_weights(1 - 0.25 * (4 + 1) / 5, 2 - 0.25 * (2 - 1) / 5);
    block_deinit(&block);
    open_for_shards();
    step_by(8, 4, 0.5, NULL); /* within the step of all: not stale */
    assert_weights(1 - 0.25 * (4 + 1), 2 - 0.25 * (2 - 1));
}

/* g + λ·g²·(w_now − w_seen), before the pull. */
static void delay_compensation_adds_its_term(void **state)
{
    const float seen[] = {0.5f, 4};
    (void)state;
    stage.delay_compensation = 0.1;
    open_for_shards();
    step_by(8, 4, 5, seen);
    assert_weights(1 - 0.25 * (5 + 0.1 * 25 * 0.5), 2 - 0.25 * (1 + 0.1 * 1 * -2));
}

static void a_short_micro_batch_counts_by_its_samples(void **state)
{
    float source_sum[] = {8, 4}, none[] = {0, 0};
    const struct reduction_node sums[] = {{.count = 1, .sum = source_sum},
                                          {.count = 0, .sum = none}};
    const struct shard_step step = {.sums = sums, .shards = SHARDS, .steps_per_epoch = 10};
    (void)state;
    open_for_shards();
    assert_int_equal(update_by_shard(&block, &stage, &room, &step, &err), OK);
    assert_weights(1 - 0.25 * 4, 2 - 0.25 * 2);
    source_sum[1] = INFINITY;
    assert_int_equal(update_by_shard(&block, &stage, &room, &step, &err), ERR_INPUT);
}

/* Measured before L2-SP or decay and whatever the domains' weights make of it; the pull is not
 * clipped. */
static void a_clipped_gradient_is_scaled_before_the_pull(void **state)
{
    (void)state;
    stage.clip_norm = 1;
    stage.head_decay = 0.2;
    open_block(false);
    add(0, 1, 2, 4);
    add(1, 1, 1, 0);
    assert_int_equal(update_measure(&block, &stage, &room, 0, 0, &err), OK);
    assert_true(block.squares[0] == 25);
    block.squares[0] = 0;
    assert_int_equal(update_block(&block, &stage, &room, 0.2f, 0, 0, 10, &err), OK);
    assert_true(block.squares[0] == 25);
    assert_weights(1 - 0.5 * (0.6 + 0.2 * 1), 2 - 0.5 * (0.8 + 0.2 * 2));
}

static void pretrained_weights_are_pulled_to_their_start_and_the_head_to_zero(void **state)
{
    (void)state;
    stage.l2sp = 0.1;
    stage.head_decay = 0.2;
    open_block(true);
    block.anchor[0] = 5;
    add(0, 1, 0, 0);
    add(1, 1, 0, 0);
    update(0);
    assert_weights(1 - 0.5 * 0.1 * (1 - 5), 2 - 0.5 * 0.1 * 2);
    block_deinit(&block);
    open_block(false);
    add(0, 1, 0, 0);
    add(1, 1, 0, 0);
    update(0);
    assert_weights(1 - 0.5 * 0.2 * 1, 2 - 0.5 * 0.2 * 2);
}

static void the_head_may_have_a_rate_of_its_own(void **state)
{
    (void)state;
    stage.optimizer.head_rate = 2;
    for (int pretrained = 0; pretrained < 2; pretrained++) {
        open_block(pretrained == 1);
        add(0, 1, 1, 0);
        add(1, 1, 0, 0);
        update(0);
        assert_weights(1 - (pretrained ? 0.5 : 2.0), 2);
        block_deinit(&block);
    }
}

static void the_schedule_goes_by_the_step_of_the_stage(void **state)
{
    (void)state;
    stage.schedule =
        (struct schedule_config){.kind = SCHEDULE_STEP, .gamma = 0.1, .every_epochs = 1};
    open_block(false);
    add(0, 1, 1, 0);
    add(1, 1, 0, 0);
    update(10); /* the second epoch */
    assert_weights(1 - 0.05, 2);
}

static void a_poisoned_sum_changes_nothing_and_names_its_domain(void **state)
{
    const float poisons[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        open_block(false);
        block.weights[1][0] = 77;
        add(0, 1, 1, 1);
        add(1, 1, 0, poisons[i]);
        assert_int_equal(update_block(&block, &stage, &room, 1, 0, 12, 10, &err), ERR_INPUT);
        fixture_contains(err.text, "block 6");
        fixture_contains(err.text, "'target'");
        fixture_contains(err.text, "step 12");
        assert_true(block.weights[1][0] == 77);
        block_deinit(&block);
    }
}

/* Finite sums whose weighted mean is not: just as bad. */
static void a_mean_that_overflows_is_poison_too(void **state)
{
    (void)state;
    stage.domain_weights[0] = 1e6;
    open_block(false);
    add(0, 1, 1e36f, 0);
    add(1, 1, 0, 0);
    assert_int_equal(update_block(&block, &stage, &room, 1, 0, 0, 10, &err), ERR_INPUT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* PyTorch: running = (1 - momentum)·running + momentum·observed. Over all samples of the domains that
 * are followed, whatever their weights, the optimiser and the pull toward the start. */
static void a_running_statistic_moves_toward_the_mean(void **state)
{
    (void)state;
    const struct load_block load = {
        .block = 6, .kind = BLOCK_PARAMETER, .elements = ELEMENTS, .pretrained = 1, .running = 1};
    for (int all = 0; all < 2; all++) {
        assert_int_equal(block_init(&block, &load, 2, SHARDS, 0, &err), OK);
        block.weights[0][0] = 1;
        block.weights[0][1] = 2;
        stage.batch_norm_momentum = 0.25;
        stage.domain_weights[1] = 7;
        stage.l2sp = 3;
        stage.followed[0] = all == 1;
        stage.followed[1] = true;
        add(0, 6, 60, 60); /* mean 10, 10 */
        add(1, 2, 6, -2);  /* mean 3, -1 */
        update(0);
        if (all == 1)
            assert_weights(0.75 * 1 + 0.25 * 66 / 8, 0.75 * 2 + 0.25 * 58 / 8);
        else
            assert_weights(0.75 * 1 + 0.25 * 3, 0.75 * 2 - 0.25 * 1);
        block_deinit(&block);
    }
    assert_int_equal(block_init(&block, &load, 2, SHARDS, 0, &err), OK);
    block.weights[0][0] = 1;
    block.weights[0][1] = 2;
    stage.followed[0] = false;
    add(0, 6, 60, 60);
    add(1, 0, 0, 0);
    update(0);
    assert_weights(1, 2); /* nobody to follow */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_domain_counts_by_its_mean_and_weight),
        TEST(a_domain_without_samples_moves_nothing),
        TEST(a_running_statistic_moves_toward_the_mean),
        TEST(a_step_of_each_shard_moves_as_one_step_of_all),
        TEST(a_stale_gradient_counts_less_if_the_job_says_so),
        TEST(delay_compensation_adds_its_term),
        TEST(a_short_micro_batch_counts_by_its_samples),
        TEST(a_clipped_gradient_is_scaled_before_the_pull),
        TEST(pretrained_weights_are_pulled_to_their_start_and_the_head_to_zero),
        TEST(the_head_may_have_a_rate_of_its_own),
        TEST(the_schedule_goes_by_the_step_of_the_stage),
        TEST(a_poisoned_sum_changes_nothing_and_names_its_domain),
        TEST(a_mean_that_overflows_is_poison_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
