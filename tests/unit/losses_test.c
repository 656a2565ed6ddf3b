/* Gradients of the losses against central differences of a naive double computation, over a whole
 * step of two shards. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/data/manifest.h"
#include "worker/adapt/binary_cross_entropy.h"
#include "worker/adapt/coral.h"
#include "worker/adapt/cross_entropy.h"
#include "worker/adapt/information.h"
#include "worker/adapt/label_information.h"
#include "worker/adapt/squared_error.h"

#define N 7 /* samples of a domain in the step */
#define K 4
#define D 5
/* Differences of a double function with step 1e-5 are good to ~1e-9; inputs and outputs are
 * float32. */
#define STEP 1e-5
#define CLOSE 2e-6

static void fill(float *values, size_t count, uint64_t seed)
{
    struct random_key key = {seed, RANDOM_INIT, 0, 0};
    for (uint32_t i = 0; i < count; i++)
        values[i] = (float)random_normal(key, i);
}

static void softmax(const double *z, double *p)
{
    double sum = 0;
    for (int k = 0; k < K; k++)
        sum += exp(z[k]);
    for (int k = 0; k < K; k++)
        p[k] = exp(z[k]) / sum;
}

static const int32_t labels[N] = {0, 3, LABEL_NONE, 1, 2, 2, 0};

/* Σ_i CE_i with smoothing 0.1. */
static double naive_cross_entropy(const double *z)
{
    double loss = 0, p[K];
    for (int i = 0; i < N; i++) {
        softmax(z + i * K, p);
        for (int k = 0; labels[i] != LABEL_NONE && k < K; k++)
            loss -= (0.1 / K + (k == labels[i] ? 0.9 : 0)) * log(p[k]);
    }
    return loss;
}

/* N times the mean-entropy minus entropy-of-mean. */
static double naive_information(const double *z)
{
    double p[K], mean[K] = {0}, loss = 0;
    for (int i = 0; i < N; i++) {
        softmax(z + i * K, p);
        for (int k = 0; k < K; k++) {
            loss -= p[k] * log(p[k]);
            mean[k] += p[k] / N;
        }
    }
    for (int k = 0; k < K; k++)
        loss += N * mean[k] * log(mean[k]);
    return loss;
}

static void check_gradient(double (*loss)(const double *), const float *at, const float *gradient,
                           double weight, size_t count)
{
    double z[N * (D > K ? D : K)];
    for (size_t i = 0; i < count; i++)
        z[i] = at[i];
    for (size_t i = 0; i < count; i++) {
        double kept = z[i];
        z[i] = kept + STEP;
        double above = loss(z);
        z[i] = kept - STEP;
        double below = loss(z);
        z[i] = kept;
        double expected = weight * (above - below) / (2 * STEP);
        assert_true(fabs(gradient[i] - expected) < CLOSE * (1 + fabs(expected)));
    }
}

static void cross_entropy_follows_its_differences(void **state)
{
    float logits[N * K], gradient[N * K] = {0};
    double z[N * K];
    (void)state;
    fill(logits, N * K, 1);
    float targets[N * K] = {0};
    for (int i = 0; i < N; i++)
        if (labels[i] != LABEL_NONE)
            targets[i * K + labels[i]] = 1;
    struct loss_sum sum = cross_entropy(logits, targets, N, K, 0.1, NULL, 2.0, gradient);
    for (int i = 0; i < N * K; i++)
        z[i] = logits[i];
    assert_true(fabs(sum.loss - naive_cross_entropy(z)) < 1e-9);
    assert_int_equal(sum.samples, N - 1);
    check_gradient(naive_cross_entropy, logits, gradient, 2.0, N * K);
}

static void information_follows_its_differences_over_two_shards(void **state)
{
    float logits[N * K], gradient[N * K] = {0};
    double first[K], second[K];
    (void)state;
    fill(logits, N * K, 2);
    information_sums(logits, 3, K, first);
    information_sums(logits + 3 * K, N - 3, K, second);
    for (int k = 0; k < K; k++)
        first[k] += second[k];
    struct loss_sum a = information_gradient(logits, 3, K, first, N, 0.5, gradient);
    struct loss_sum b =
        information_gradient(logits + 3 * K, N - 3, K, first, N, 0.5, gradient + 3 * K);
    double z[N * K];
    for (int i = 0; i < N * K; i++)
        z[i] = logits[i];
    assert_true(fabs(a.loss + b.loss - naive_information(z)) < 1e-9);
    check_gradient(naive_information, logits, gradient, 0.5, N * K);
}

static const double label_weights[K] = {1, 0.5, 3, 0};
static const double *naive_weights; /* NULL: 1 each */
static float naive_targets[N * K];

static double naive_weight(int k)
{
    return (naive_weights == NULL ? 1 : naive_weights[k]) / K;
}

/* −y·log p − (1 − y)·log(1 − p), by their definition. */
static double naive_binary_cross_entropy(const double *z)
{
    double loss = 0;
    for (int i = 0; i < N * K; i++) {
        double p = 1 / (1 + exp(-z[i])), y = naive_targets[i];
        loss -= naive_weight(i % K) * (y * log(p) + (1 - y) * log(1 - p));
    }
    return loss;
}

static double naive_squared_error(const double *z)
{
    double loss = 0;
    for (int i = 0; i < N * K; i++)
        loss += naive_weight(i % K) * pow(z[i] - (double)naive_targets[i], 2);
    return loss;
}

static double binary_entropy(double p)
{
    return -p * log(p) - (1 - p) * log(1 - p);
}

/* N times the mean over labels of the mean-entropy minus entropy-of-mean. */
static double naive_label_information(const double *z)
{
    double mean[K] = {0}, loss = 0;
    for (int i = 0; i < N * K; i++) {
        double p = 1 / (1 + exp(-z[i]));
        loss += binary_entropy(p) / K;
        mean[i % K] += p / N;
    }
    for (int k = 0; k < K; k++)
        loss -= N * binary_entropy(mean[k]) / K;
    return loss;
}

typedef struct loss_sum (*target_loss)(const float *, const float *, size_t, size_t, const double *,
                                       double, float *);

static void check_target_loss(target_loss loss, double (*naive)(const double *),
                              const double *weights)
{
    float logits[N * K], gradient[N * K] = {0};
    double z[N * K], square = 0;
    naive_weights = weights;
    fill(logits, N * K, 5);
    struct loss_sum sum = loss(logits, naive_targets, N, K, weights, 0.5, gradient);
    for (int i = 0; i < N * K; i++) {
        z[i] = logits[i];
        square += 4 * (double)gradient[i] * (double)gradient[i];
    }
    assert_true(fabs(sum.loss - naive(z)) < 1e-9);
    assert_int_equal(sum.samples, N);
    assert_true(fabs(sum.gradient_square - square) < 1e-5 * square);
    check_gradient(naive, logits, gradient, 0.5, N * K);
}

static void binary_cross_entropy_follows_its_differences(void **state)
{
    (void)state;
    for (int i = 0; i < N * K; i++)
        naive_targets[i] = i % 3 == 0 ? 1.0f : i % 5 == 0 ? 0.25f : 0.0f; /* a mix among them */
    check_target_loss(binary_cross_entropy, naive_binary_cross_entropy, NULL);
    check_target_loss(binary_cross_entropy, naive_binary_cross_entropy, label_weights);
}

static void binary_cross_entropy_neither_overflows_nor_loses_digits(void **state)
{
    const float far[] = {3e38f, -3e38f, 200, -50}, there[] = {1, 1, 0, 0};
    float gradient[4] = {0};
    (void)state;
    struct loss_sum sum = binary_cross_entropy(far, there, 4, 1, NULL, 1, gradient);
    assert_true(isfinite(sum.loss) && gradient[0] == 0 && gradient[1] == -1 && gradient[2] == 1);
    assert_true(fabs((double)gradient[3] - exp(-50)) < 1e-6 * exp(-50));
    sum = binary_cross_entropy(far + 3, there + 3, 1, 1, NULL, 1, gradient);
    assert_true(fabs(sum.loss - exp(-50)) < 1e-6 * exp(-50));
}

static void squared_error_follows_its_differences(void **state)
{
    (void)state;
    fill(naive_targets, N * K, 6);
    check_target_loss(squared_error, naive_squared_error, NULL);
    check_target_loss(squared_error, naive_squared_error, label_weights);
}

static void label_information_follows_its_differences_over_two_shards(void **state)
{
    float logits[N * K], gradient[N * K] = {0};
    double first[K], second[K], z[N * K];
    (void)state;
    fill(logits, N * K, 7);
    label_information_sums(logits, 3, K, first);
    label_information_sums(logits + 3 * K, N - 3, K, second);
    for (int k = 0; k < K; k++)
        first[k] += second[k];
    struct loss_sum a = label_information_gradient(logits, 3, K, first, N, 0.5, gradient);
    struct loss_sum b =
        label_information_gradient(logits + 3 * K, N - 3, K, first, N, 0.5, gradient + 3 * K);
    for (int i = 0; i < N * K; i++)
        z[i] = logits[i];
    assert_true(fabs(a.loss + b.loss - naive_label_information(z)) < 1e-9);
    assert_int_equal(a.samples + b.samples, N);
    check_gradient(naive_label_information, logits, gradient, 0.5, N * K);
}

static void a_label_that_everybody_gets_has_a_finite_information(void **state)
{
    const float all[] = {900, 3e38f};
    float gradient[2] = {0};
    double sums[1];
    (void)state;
    label_information_sums(all, 2, 1, sums);
    struct loss_sum sum = label_information_gradient(all, 2, 1, sums, 2, 1, gradient);
    assert_true(isfinite(sum.loss) && isfinite(gradient[0]) && isfinite(gradient[1]));
}

static float other_domain[N * D];

static void covariance(const double *h, double c[D][D])
{
    double mean[D] = {0};
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            mean[j] += h[i * D + j] / N;
    for (int j = 0; j < D; j++)
        for (int k = 0; k < D; k++) {
            c[j][k] = 0;
            for (int i = 0; i < N; i++)
                c[j][k] += (h[i * D + j] - mean[j]) * (h[i * D + k] - mean[k]) / (N - 1);
        }
}

/* N · ‖C(h) − C(other)‖²/(4d²): symmetric, so it serves as source and as target. */
static double naive_coral(const double *h)
{
    double mine[D][D], theirs[D][D], other[N * D], sum = 0;
    for (int i = 0; i < N * D; i++)
        other[i] = other_domain[i];
    covariance(h, mine);
    covariance(other, theirs);
    for (int j = 0; j < D; j++)
        for (int k = 0; k < D; k++)
            sum += (mine[j][k] - theirs[j][k]) * (mine[j][k] - theirs[j][k]);
    return N * sum / (4.0 * D * D);
}

static void check_coral(bool source)
{
    struct coral *coral;
    float hidden[N * D], gradient[N * D] = {0};
    double mine[D + D * (D + 1) / 2], part[D + D * (D + 1) / 2], theirs[D + D * (D + 1) / 2];
    assert_int_equal(coral_create(D, N, &coral, NULL), OK);
    fill(hidden, N * D, 3);
    fill(other_domain, N * D, 4);
    coral_moments(coral, hidden, 4, mine);
    coral_moments(coral, hidden + 4 * D, N - 4, part);
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        mine[i] += part[i];
    coral_moments(coral, other_domain, N, theirs);
    coral_begin(coral, source ? mine : theirs, N, source ? theirs : mine, N);
    double h[N * D];
    for (int i = 0; i < N * D; i++)
        h[i] = hidden[i];
    assert_true(fabs(N * coral_loss(coral) - naive_coral(h)) < 1e-9);
    coral_gradient(coral, source, hidden, 4, 3.0, gradient);
    struct loss_sum sum =
        coral_gradient(coral, source, hidden + 4 * D, N - 4, 3.0, gradient + 4 * D);
    assert_true(sum.gradient_square > 0);
    check_gradient(naive_coral, hidden, gradient, 3.0, N * D);
    coral_destroy(&coral);
}

static void coral_follows_its_differences_in_both_domains(void **state)
{
    (void)state;
    check_coral(true);
    check_coral(false);
}

static void coral_is_off_with_fewer_than_two_samples(void **state)
{
    struct coral *coral;
    float hidden[D] = {1}, gradient[D] = {0};
    double sums[D + D * (D + 1) / 2];
    (void)state;
    assert_int_equal(coral_create(D, N, &coral, NULL), OK);
    coral_moments(coral, hidden, 1, sums);
    coral_begin(coral, sums, 1, sums, 1);
    assert_int_equal(coral_gradient(coral, true, hidden, 1, 1.0, gradient).samples, 0);
    assert_true(gradient[0] == 0 && coral_loss(coral) == 0);
    coral_destroy(&coral);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_entropy_follows_its_differences),
        cmocka_unit_test(information_follows_its_differences_over_two_shards),
        cmocka_unit_test(binary_cross_entropy_follows_its_differences),
        cmocka_unit_test(binary_cross_entropy_neither_overflows_nor_loses_digits),
        cmocka_unit_test(squared_error_follows_its_differences),
        cmocka_unit_test(label_information_follows_its_differences_over_two_shards),
        cmocka_unit_test(a_label_that_everybody_gets_has_a_finite_information),
        cmocka_unit_test(coral_follows_its_differences_in_both_domains),
        cmocka_unit_test(coral_is_off_with_fewer_than_two_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
