/* Cross-entropy and the focal loss against their definitions in double.
 *
 * Central differences are taken in double on the naive loss below, with h = 1e-5: the error is h²
 * times the third derivative (≤ 1) plus rounding 1e-16/h, together below 1e-10. The gradient under
 * test leaves as float32, which rounds values below 1 by at most 6e-8: tolerance 2e-7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/data/manifest.h"
#include "worker/adapt/cross_entropy.h"
#include "worker/adapt/focal.h"

#define COUNT 6
#define CLASSES 4
#define STEP 1e-5
#define TOLERANCE 2e-7

static float logits[COUNT * CLASSES];
static const int32_t labels[COUNT] = {0, 3, 1, LABEL_NONE, 2, 2};

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT * CLASSES; i++)
        logits[i] = (float)(2 * random_normal((struct random_key){.seed = 8}, i));
    return 0;
}

/* One-hot rows; zeros for none. */
static const float *one_hot(const int32_t *of, size_t count)
{
    static float rows[COUNT * CLASSES];
    memset(rows, 0, sizeof rows);
    for (size_t i = 0; i < count; i++)
        if (of[i] != LABEL_NONE)
            rows[i * CLASSES + (size_t)of[i]] = 1;
    return rows;
}

static const double class_weights[CLASSES] = {0.5, 2, 1, 3};

/* γ < 0: cross-entropy. */
static double naive(const double *z, const float *targets, double smoothing, double gamma,
                    const double *weights)
{
    double loss = 0;
    for (size_t i = 0; i < COUNT; i++) {
        double sum = 0;
        for (size_t k = 0; k < CLASSES; k++)
            sum += exp(z[i * CLASSES + k]);
        for (size_t k = 0; k < CLASSES && labels[i] != LABEL_NONE; k++) {
            double y = smoothing / CLASSES + (1 - smoothing) * (double)targets[i * CLASSES + k];
            double log_p = z[i * CLASSES + k] - log(sum);
            loss -= (weights == NULL ? 1 : weights[k]) * y * log_p *
                    (gamma < 0 ? 1 : pow(1 - exp(log_p), gamma));
        }
    }
    return loss;
}

static void assert_close(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance))
        fail_msg("%.17g is not %.17g", got, expected);
}

static void check_targets(const float *targets, double smoothing, double gamma,
                          const double *weights, double weight)
{
    double z[COUNT * CLASSES], square = 0;
    float gradient[COUNT * CLASSES];
    for (size_t i = 0; i < COUNT * CLASSES; i++) {
        z[i] = logits[i];
        gradient[i] = 0.5f; /* it is added to */
    }
    struct loss_sum sum =
        gamma < 0
            ? cross_entropy(logits, targets, COUNT, CLASSES, smoothing, weights, weight, gradient)
            : focal(logits, targets, COUNT, CLASSES, gamma, weights, weight, gradient);
    assert_close(sum.loss, naive(z, targets, smoothing, gamma, weights), 1e-12);
    assert_int_equal(sum.samples, COUNT - 1);
    for (size_t i = 0; i < COUNT * CLASSES; i++) {
        double kept = z[i];
        z[i] = kept + STEP;
        double above = naive(z, targets, smoothing, gamma, weights);
        z[i] = kept - STEP;
        double slope = (above - naive(z, targets, smoothing, gamma, weights)) / (2 * STEP);
        z[i] = kept;
        square += slope * slope;
        assert_close((double)gradient[i], 0.5 + weight * slope, TOLERANCE * fmax(1, 4 * weight));
    }
    assert_close(sum.gradient_square, square, 1e-7);
}

static void check(double smoothing, double gamma, const double *weights, double weight)
{
    check_targets(one_hot(labels, COUNT), smoothing, gamma, weights, weight);
}

static void the_gradient_is_the_slope_of_the_loss(void **state)
{
    (void)state;
    check(0, -1, NULL, 1);
    check(0.1, -1, NULL, 1);
    check(0.3, -1, NULL, 2.5);
    check(0, -1, class_weights, 1);
    check(0.2, -1, class_weights, 0.7);
}

static void the_focal_gradient_is_the_slope_of_its_loss(void **state)
{
    (void)state;
    check(0, 2, NULL, 1);
    check(0, 0.5, NULL, 1.5);
    check(0, 1, class_weights, 1);
}

/* Two shares of a mix (in quarters: exact in float32). */
static void the_gradient_follows_mixed_labels(void **state)
{
    float mixed[COUNT * CLASSES];
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < CLASSES; k++) {
            const float *hot = one_hot(labels, COUNT);
            mixed[i * CLASSES + k] =
                labels[i] == LABEL_NONE
                    ? 0
                    : 0.75f * hot[i * CLASSES + k] + 0.25f * hot[i * CLASSES + (k + 1) % CLASSES];
        }
    check_targets(mixed, 0, -1, NULL, 1);
    check_targets(mixed, 0.2, -1, class_weights, 0.7);
    check_targets(mixed, 0, 2, NULL, 1);
    check_targets(mixed, 0, 1, class_weights, 1);
}

static void a_sure_answer_costs_the_focal_loss_nothing(void **state)
{
    const float far[] = {3e38f, -3e38f, 0, 0};
    const int32_t right = 0, wrong = 1;
    float gradient[CLASSES] = {0};
    (void)state;
    struct loss_sum sum = focal(far, one_hot(&right, 1), 1, CLASSES, 0.5, NULL, 1, gradient);
    assert_true(sum.loss == 0 && sum.gradient_square == 0);
    sum = focal(far, one_hot(&wrong, 1), 1, CLASSES, 2, NULL, 1, gradient);
    assert_true(sum.loss > 1e38 && isfinite(sum.loss));
    for (size_t k = 0; k < CLASSES; k++)
        assert_true(isfinite(gradient[k]));
}

static void unlabelled_samples_take_no_part(void **state)
{
    const int32_t none[] = {LABEL_NONE, LABEL_NONE};
    float gradient[2 * CLASSES] = {0};
    const float zero[2 * CLASSES] = {0};
    (void)state;
    struct loss_sum sum =
        cross_entropy(logits, one_hot(none, 2), 2, CLASSES, 0.1, NULL, 1, gradient);
    assert_int_equal(sum.samples, 0);
    assert_true(sum.loss == 0 && sum.gradient_square == 0);
    assert_memory_equal(gradient, zero, sizeof zero);
}

static void a_uniform_answer_costs_log_k(void **state)
{
    const float flat[CLASSES] = {7, 7, 7, 7};
    const int32_t label = 1;
    float gradient[CLASSES] = {0};
    (void)state;
    struct loss_sum sum = cross_entropy(flat, one_hot(&label, 1), 1, CLASSES, 0, NULL, 1, gradient);
    assert_close(sum.loss, log(CLASSES), 1e-15);
    assert_true(gradient[0] == 0.25f && gradient[1] == -0.75f);
}

static void large_logits_neither_overflow_nor_give_nan(void **state)
{
    const float far[] = {3e38f, -3e38f, 0, 0};
    const int32_t label = 0;
    float gradient[CLASSES] = {0};
    (void)state;
    struct loss_sum sum = cross_entropy(far, one_hot(&label, 1), 1, CLASSES, 0, NULL, 1, gradient);
    assert_true(sum.loss == 0);
    for (size_t k = 0; k < CLASSES; k++)
        assert_true(gradient[k] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_the_slope_of_the_loss),
        cmocka_unit_test(the_focal_gradient_is_the_slope_of_its_loss),
        cmocka_unit_test(the_gradient_follows_mixed_labels),
        cmocka_unit_test(a_sure_answer_costs_the_focal_loss_nothing),
        cmocka_unit_test(unlabelled_samples_take_no_part),
        cmocka_unit_test(a_uniform_answer_costs_log_k),
        cmocka_unit_test(large_logits_neither_overflow_nor_give_nan),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
