/* CORAL against a direct computation in double.
 *
 * The value: both sides work in double; Q − SSᵀ/n cancels, so a relative 1e-10 is asked of values
 * near 1. The gradient: central differences on the direct value with h = 1e-5 are good to 1e-9; the
 * gradient times n leaves as float32 (6e-8 relative): tolerance 1e-6 of the largest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "worker/adapt/coral.h"

#define D 4
#define SUMS (D + D * (D + 1) / 2)
#define SOURCE 7
#define TARGET 5
#define STEP 1e-5

static float source[SOURCE * D], target[TARGET * D];
static struct coral *coral;

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SOURCE * D; i++)
        source[i] = (float)(random_normal((struct random_key){.seed = 1}, i) * (1 + i % D));
    for (uint32_t i = 0; i < TARGET * D; i++)
        target[i] = (float)(random_normal((struct random_key){.seed = 2}, i) + 3);
    return coral_create(D, SOURCE, &coral, NULL) == OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    coral_destroy(&coral);
    return 0;
}

static void covariance(const double *h, size_t n, double c[D][D])
{
    double mean[D] = {0};
    memset(c, 0, sizeof(double) * D * D);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < D; j++)
            mean[j] += h[i * D + j] / (double)n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < D; j++)
            for (size_t k = 0; k < D; k++)
                c[j][k] += (h[i * D + j] - mean[j]) * (h[i * D + k] - mean[k]) / (double)(n - 1);
}

static double naive(const double *s, const double *t)
{
    double cs[D][D], ct[D][D], loss = 0;
    covariance(s, SOURCE, cs);
    covariance(t, TARGET, ct);
    for (size_t j = 0; j < D; j++)
        for (size_t k = 0; k < D; k++)
            loss += (cs[j][k] - ct[j][k]) * (cs[j][k] - ct[j][k]);
    return loss / (4.0 * D * D);
}

static void widen(const float *from, size_t count, double *to)
{
    for (size_t i = 0; i < count; i++)
        to[i] = from[i];
}

static void assert_close(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance))
        fail_msg("%.17g is not %.17g", got, expected);
}

static void begin(void)
{
    double s[SUMS], t[SUMS];
    coral_moments(coral, source, SOURCE, s);
    coral_moments(coral, target, TARGET, t);
    coral_begin(coral, s, SOURCE, t, TARGET);
}

static void the_value_is_that_of_the_definition(void **state)
{
    double s[SOURCE * D], t[TARGET * D];
    (void)state;
    begin();
    widen(source, SOURCE * D, s);
    widen(target, TARGET * D, t);
    assert_close(coral_loss(coral), naive(s, t), 1e-10 * naive(s, t));
}

static void check_gradient(bool is_source, double *moved, const double *s, const double *t)
{
    const float *hidden = is_source ? source : target;
    size_t n = is_source ? SOURCE : TARGET;
    float gradient[SOURCE * D];
    double most = 0, square = 0, slopes[SOURCE * D];
    for (size_t i = 0; i < n * D; i++) {
        double kept = moved[i];
        moved[i] = kept + STEP;
        double above = naive(s, t);
        moved[i] = kept - STEP;
        slopes[i] = (above - naive(s, t)) / (2 * STEP);
        moved[i] = kept;
        square += slopes[i] * slopes[i];
        most = fmax(most, fabs(slopes[i]));
        gradient[i] = 1; /* it is added to */
    }
    struct loss_sum sum = coral_gradient(coral, is_source, hidden, n, 0.5, gradient);
    assert_int_equal(sum.samples, n);
    assert_close(sum.gradient_square, square, 1e-6 * square);
    for (size_t i = 0; i < n * D; i++)
        assert_close((double)gradient[i], 1 + 0.5 * (double)n * slopes[i],
                     1e-6 * (1 + (double)n * most));
}

static void the_gradient_is_the_slope_of_the_value(void **state)
{
    double s[SOURCE * D], t[TARGET * D];
    (void)state;
    begin();
    widen(source, SOURCE * D, s);
    widen(target, TARGET * D, t);
    check_gradient(true, s, s, t);
    check_gradient(false, t, s, t);
}

/* What makes it exact for any number of workers. */
static void moments_of_parts_add_up(void **state)
{
    double whole[SUMS], first[SUMS], rest[SUMS];
    (void)state;
    coral_moments(coral, source, SOURCE, whole);
    coral_moments(coral, source, 3, first);
    coral_moments(coral, source + 3 * D, SOURCE - 3, rest);
    for (size_t i = 0; i < SUMS; i++)
        assert_close(first[i] + rest[i], whole[i], 1e-12 * (1 + fabs(whole[i])));
    coral_moments(coral, source, 0, first);
    for (size_t i = 0; i < SUMS; i++)
        assert_true(first[i] == 0);
}

static void equal_domains_cost_nothing(void **state)
{
    double s[SUMS];
    float gradient[SOURCE * D] = {0};
    (void)state;
    coral_moments(coral, source, SOURCE, s);
    coral_begin(coral, s, SOURCE, s, SOURCE);
    assert_true(coral_loss(coral) == 0);
    coral_gradient(coral, true, source, SOURCE, 1, gradient);
    for (size_t i = 0; i < SOURCE * D; i++)
        assert_true(gradient[i] == 0);
}

static void with_one_sample_in_a_domain_it_is_off(void **state)
{
    double s[SUMS], t[SUMS];
    float gradient[D] = {0};
    (void)state;
    coral_moments(coral, source, SOURCE, s);
    coral_moments(coral, target, 1, t);
    coral_begin(coral, s, SOURCE, t, 1);
    assert_true(coral_loss(coral) == 0);
    struct loss_sum sum = coral_gradient(coral, false, target, 1, 1, gradient);
    assert_int_equal(sum.samples, 0);
    for (size_t j = 0; j < D; j++)
        assert_true(gradient[j] == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_value_is_that_of_the_definition),
        TEST(the_gradient_is_the_slope_of_the_value),
        TEST(moments_of_parts_add_up),
        TEST(equal_domains_cost_nothing),
        TEST(with_one_sample_in_a_domain_it_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
