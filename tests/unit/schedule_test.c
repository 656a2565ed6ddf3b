/* Learning rates at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "paramserver/optim/schedule.h"

#define BASE 0.8
#define TOTAL 20
#define EPOCH 4

static void assert_rate(const struct schedule_config *config, uint64_t step, double expected)
{
    double got = schedule_rate(config, BASE, step, TOTAL, EPOCH);
    if (!(fabs(got - expected) <= 1e-15))
        fail_msg("step %llu: %.17g is not %.17g", (unsigned long long)step, got, expected);
}

static void a_constant_rate_is_constant(void **state)
{
    const struct schedule_config config = {.kind = SCHEDULE_CONSTANT};
    (void)state;
    assert_rate(&config, 0, BASE);
    assert_rate(&config, 1000000, BASE);
}

/* With 3 steps of warm-up: 1/4, 2/4, 3/4, and then all of it. */
static void warm_up_rises_in_equal_steps_from_above_zero(void **state)
{
    const enum schedule_kind kinds[] = {SCHEDULE_CONSTANT, SCHEDULE_COSINE, SCHEDULE_STEP};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct schedule_config config = {
            .kind = kinds[i], .warmup_steps = 3, .gamma = 1, .every_epochs = 1};
        assert_rate(&config, 0, BASE / 4);
        assert_rate(&config, 2, BASE * 3 / 4);
        assert_rate(&config, 3, BASE);
    }
}

static void a_cosine_falls_from_base_to_its_final_factor(void **state)
{
    const struct schedule_config config = {.kind = SCHEDULE_COSINE, .final_factor = 0.25};
    (void)state;
    assert_rate(&config, 0, BASE);
    assert_rate(&config, TOTAL / 2, BASE * 0.625);
    assert_rate(&config, TOTAL, BASE * 0.25);
    assert_rate(&config, TOTAL + 100, BASE * 0.25); /* never up again */
    for (uint64_t step = 0; step < TOTAL; step++)
        assert_true(schedule_rate(&config, BASE, step + 1, TOTAL, EPOCH) <
                    schedule_rate(&config, BASE, step, TOTAL, EPOCH));
}

static void a_warm_up_as_long_as_the_stage_is_fine(void **state)
{
    const struct schedule_config config = {.kind = SCHEDULE_COSINE, .warmup_steps = 50};
    (void)state;
    assert_rate(&config, TOTAL - 1, BASE * TOTAL / 51);
    assert_rate(&config, 50, BASE);
}

static void steps_fall_between_epochs(void **state)
{
    const struct schedule_config config = {.kind = SCHEDULE_STEP, .gamma = 0.5, .every_epochs = 2};
    (void)state;
    assert_rate(&config, 0, BASE);
    assert_rate(&config, 2 * EPOCH - 1, BASE);
    assert_rate(&config, 2 * EPOCH, BASE / 2);
    assert_rate(&config, 4 * EPOCH, BASE / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_rate_is_constant),
        cmocka_unit_test(warm_up_rises_in_equal_steps_from_above_zero),
        cmocka_unit_test(a_cosine_falls_from_base_to_its_final_factor),
        cmocka_unit_test(a_warm_up_as_long_as_the_stage_is_fine),
        cmocka_unit_test(steps_fall_between_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
