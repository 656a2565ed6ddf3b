/* Which guesses become labels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "common/data/manifest.h"
#include "coordinator/job/pseudo_labels.h"

#define COUNT 8

static struct predictions *predictions;
static struct guess room[COUNT];
static int32_t labels[COUNT];

/* Two classes. Guessed 0 by samples 0, 2, 4, 6 (the surer the later), 1 by the others (the surer
 * the earlier); sample 7 cannot be read. */
static int setup(void **state)
{
    (void)state;
    if (predictions_create(COUNT, 2, &predictions, NULL) != OK)
        return -1;
    for (size_t i = 0; i < COUNT; i++) {
        predictions->logits[2 * i + i % 2] = i % 2 == 0 ? 1 + (float)i : 9 - (float)i;
        predictions->readable[i] = i != 7;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    predictions_destroy(&predictions);
    return 0;
}

static void expect(double fraction, double confidence, const int32_t *expected)
{
    size_t chosen = 0;
    for (size_t i = 0; i < COUNT; i++)
        chosen += expected[i] != LABEL_NONE;
    assert_int_equal(pseudo_labels_choose(predictions, fraction, confidence, room, labels), chosen);
    assert_memory_equal(labels, expected, sizeof labels);
}

static void each_class_gives_its_surest_share(void **state)
{
    const int32_t all[] = {0, 1, 0, 1, 0, 1, 0, -1}, half[] = {-1, 1, -1, 1, 0, -1, 0, -1};
    const int32_t little[] = {-1, 1, -1, -1, -1, -1, 0, -1};
    const int32_t none[] = {-1, -1, -1, -1, -1, -1, -1, -1};
    (void)state;
    expect(1, 0, all);
    expect(0.5, 0, half);    /* 2 of 4, and ceil(1.5) = 2 of 3 */
    expect(0.01, 0, little); /* at least one of each class */
    expect(0, 0, none);
}

static void unsure_guesses_do_not_take_part(void **state)
{
    const int32_t sure[] = {-1, 1, -1, 1, 0, -1, 0, -1}, none[] = {-1, -1, -1, -1, -1, -1, -1, -1};
    (void)state;
    expect(1, 1 / (1 + exp(-4.5)), sure); /* logits at least 4.5 apart */
    expect(1, 1.0, none);
}

static void of_equally_sure_guesses_the_earlier_sample_is_taken(void **state)
{
    const int32_t first[] = {0, 0, -1, -1, -1, -1, -1, -1};
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        predictions->logits[2 * i] = 2;
        predictions->logits[2 * i + 1] = 0;
    }
    expect(0.25, 0, first);
}

static void without_readable_samples_nothing_is_chosen(void **state)
{
    const int32_t none[] = {-1, -1, -1, -1, -1, -1, -1, -1};
    (void)state;
    memset(predictions->readable, 0, COUNT);
    expect(1, 0, none);
}

static void the_share_grows_linearly_over_the_epochs(void **state)
{
    const struct loss_config losses = {.fraction_first = 0.2, .fraction_last = 0.8};
    (void)state;
    assert_true(pseudo_labels_fraction(&losses, 0, 4) == 0.2);
    assert_true(fabs(pseudo_labels_fraction(&losses, 1, 4) - 0.4) < 1e-15);
    assert_true(fabs(pseudo_labels_fraction(&losses, 3, 4) - 0.8) < 1e-15);
    assert_true(fabs(pseudo_labels_fraction(&losses, 9, 4) - 0.8) < 1e-15);
    assert_true(fabs(pseudo_labels_fraction(&losses, 0, 1) - 0.8) < 1e-15);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_class_gives_its_surest_share),
        TEST(unsure_guesses_do_not_take_part),
        TEST(of_equally_sure_guesses_the_earlier_sample_is_taken),
        TEST(without_readable_samples_nothing_is_chosen),
        TEST(the_share_grows_linearly_over_the_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
