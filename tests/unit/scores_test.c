/* Scores against values worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/data/manifest.h"
#include "coordinator/job/scores.h"

#define CLOSE 1e-12

static void assert_close(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance))
        fail_msg("%.17g is not %.17g", got, expected);
}

static struct predictions *make(size_t count, size_t classes, const float *logits)
{
    struct predictions *predictions = NULL;
    struct error err;
    assert_int_equal(predictions_create(count, classes, &predictions, &err), OK);
    memcpy(predictions->logits, logits, count * classes * sizeof *logits);
    memset(predictions->readable, 1, count);
    return predictions;
}

/* One-hot logits of the given classes. */
static struct predictions *answers(size_t count, size_t classes, const size_t *answer)
{
    float logits[64] = {0};
    assert_true(count * classes <= 64);
    for (size_t i = 0; i < count; i++)
        logits[i * classes + answer[i]] = 1;
    return make(count, classes, logits);
}

static struct score *score_task(enum data_task task, const struct predictions *predictions,
                                const int32_t *labels, const float *targets)
{
    struct score *score = NULL;
    struct error err;
    const struct truth truth = {task, predictions->count, (int32_t *)(uintptr_t)labels,
                                (float *)(uintptr_t)targets};
    assert_int_equal(score_create(predictions, &truth, &score, &err), OK);
    return score;
}

static struct score *score_of(const struct predictions *predictions, const int32_t *labels)
{
    return score_task(DATA_CLASSIFICATION, predictions, labels, NULL);
}

static void accuracy_recall_and_f1_are_those_of_the_confusion(void **state)
{
    const size_t answer[] = {0, 0, 1, 1, 0, 2};
    const int32_t labels[] = {0, 0, 0, 1, 1, 2};
    struct predictions *predictions = answers(6, 4, answer);
    struct score *score = score_of(predictions, labels);
    (void)state;
    assert_int_equal(score->samples, 6);
    assert_close(score->accuracy, 4.0 / 6, CLOSE);
    assert_close(score->per_class[0], 2.0 / 3, CLOSE);
    assert_close(score->per_class[1], 0.5, CLOSE);
    assert_close(score->per_class[2], 1.0, CLOSE);
    assert_true(isnan(score->per_class[3])); /* occurs nowhere, and does not count in F1 */
    assert_close(score->macro_f1, (2.0 / 3 + 0.5 + 1.0) / 3, CLOSE);
    assert_int_equal(score->confusion[0 * 4 + 1], 1);
    assert_int_equal(score->confusion[1 * 4 + 0], 1);
    assert_int_equal(score->confusion[0 * 4 + 0], 2);
    score_destroy(&score);
    predictions_destroy(&predictions);
}

static void a_class_that_is_only_predicted_counts_as_f1_zero(void **state)
{
    const size_t answer[] = {0, 1};
    const int32_t labels[] = {0, 0};
    struct predictions *predictions = answers(2, 2, answer);
    struct score *score = score_of(predictions, labels);
    (void)state;
    assert_close(score->macro_f1, (2.0 / 3 + 0) / 2, CLOSE);
    score_destroy(&score);
    predictions_destroy(&predictions);
}

/* Every pair of a sample of the class and another one. */
static double naive_auc(const struct predictions *p, const int32_t *labels)
{
    double sum = 0;
    size_t classes = 0;
    for (size_t k = 0; k < p->classes; k++) {
        double wins = 0, pairs = 0;
        for (size_t i = 0; i < p->count; i++)
            for (size_t j = 0; j < p->count; j++) {
                double a = 0, b = 0;
                if (labels[i] != (int32_t)k || labels[j] == (int32_t)k)
                    continue;
                for (size_t c = 0; c < p->classes; c++) {
                    a += exp(
                        (double)(p->logits[i * p->classes + c] - p->logits[i * p->classes + k]));
                    b += exp(
                        (double)(p->logits[j * p->classes + c] - p->logits[j * p->classes + k]));
                }
                wins += a < b ? 1 : a == b ? 0.5 : 0;
                pairs++;
            }
        sum += pairs > 0 ? wins / pairs : 0;
        classes += pairs > 0;
    }
    return sum / (double)classes;
}

/* Whole logits, so that ties occur. */
static void rank_measures_are_those_of_their_definitions(void **state)
{
    enum { COUNT = 40, CLASSES = 7 };
    float logits[COUNT * CLASSES];
    int32_t labels[COUNT];
    size_t hits = 0;
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct random_key key = {.seed = 3, .index = i};
        labels[i] = (int32_t)(random_bits(key, 0) % (CLASSES - 1)); /* one class never occurs */
        for (uint32_t k = 0; k < CLASSES; k++)
            logits[i * CLASSES + k] =
                (float)(random_bits(key, 1 + k) % 4) + ((int32_t)k == labels[i]);
        size_t larger = 0;
        for (uint32_t k = 0; k < CLASSES; k++) {
            float mine = logits[i * CLASSES + (uint32_t)labels[i]], other = logits[i * CLASSES + k];
            larger += other > mine || (other == mine && (int32_t)k < labels[i]);
        }
        hits += larger < 5;
    }
    struct predictions *predictions = make(COUNT, CLASSES, logits);
    struct score *score = score_of(predictions, labels);
    assert_true(hits < COUNT);
    assert_close(score->top_5, (double)hits / COUNT, CLOSE);
    assert_close(score->auc, naive_auc(predictions, labels), CLOSE);
    assert_true(score->auc > 0.5 && score->auc < 1);
    score_destroy(&score);
    predictions_destroy(&predictions);
}

/* Confidence 0.8 on four samples of which two are right, 0.6 on one that is right. */
static void the_calibration_error_is_the_gap_between_confidence_and_accuracy(void **state)
{
    const float far = logf(4), near = logf(1.5f);
    const float logits[] = {far, 0, far, 0, far, 0, far, 0, 0, near};
    const int32_t labels[] = {0, 0, 1, 1, 1};
    struct predictions *predictions = make(5, 2, logits);
    struct score *score = score_of(predictions, labels);
    (void)state;
    assert_close(score->calibration_error, 4.0 / 5 * 0.3 + 1.0 / 5 * 0.4, 1e-6);
    assert_true(isnan(score->top_5));
    score_destroy(&score);
    predictions_destroy(&predictions);
}

static void unlabelled_and_unreadable_samples_take_no_part(void **state)
{
    const size_t answer[] = {0, 1, 1};
    const int32_t labels[] = {0, LABEL_NONE, 0};
    struct predictions *predictions = answers(3, 2, answer);
    predictions->readable[2] = 0;
    struct score *score = score_of(predictions, labels);
    (void)state;
    assert_int_equal(score->samples, 1);
    assert_close(score->accuracy, 1.0, CLOSE);
    score_destroy(&score);
    predictions->readable[0] = 0;
    score = score_of(predictions, labels);
    assert_int_equal(score->samples, 0);
    assert_close(score->accuracy, 0.0, CLOSE);
    score_destroy(&score);
    predictions_destroy(&predictions);
}

static void the_first_of_equal_logits_is_the_class(void **state)
{
    const float logits[] = {1, 3, 3};
    struct predictions *predictions = make(1, 3, logits);
    (void)state;
    assert_int_equal(predictions_class(predictions, 0), 1);
    predictions_destroy(&predictions);
}

/* p = (1/4, 3/4) and (3/4, 1/4): H = 2 ln 2 − (3/4) ln 3 each, mean p uniform. */
static void criteria_are_those_of_the_formulas(void **state)
{
    const float logits[] = {0, (float)log(3.0), (float)log(3.0) + 5, 5};
    struct predictions *predictions = make(2, 2, logits);
    double entropy = 2 * log(2) - 0.75 * log(3);
    (void)state;
    assert_close(score_entropy(DATA_CLASSIFICATION, predictions), entropy, 1e-6);
    assert_close(score_information(DATA_CLASSIFICATION, predictions), entropy - log(2), 1e-6);
    predictions_destroy(&predictions);
}

static void sure_and_varied_answers_are_best_by_information(void **state)
{
    const float varied[] = {50, 0, 0, 50}, collapsed[] = {50, 0, 50, 0};
    struct predictions *good = make(2, 2, varied), *bad = make(2, 2, collapsed);
    (void)state;
    assert_close(score_information(DATA_CLASSIFICATION, good), -log(2), CLOSE);
    assert_close(score_information(DATA_CLASSIFICATION, bad), 0, CLOSE);
    assert_close(score_entropy(DATA_CLASSIFICATION, good), score_entropy(DATA_CLASSIFICATION, bad),
                 CLOSE); /* which cannot tell them */
    predictions_destroy(&good);
    predictions_destroy(&bad);
}

static void large_logits_do_not_overflow(void **state)
{
    const float logits[] = {3e38f, -3e38f};
    struct predictions *predictions = make(1, 2, logits);
    (void)state;
    assert_close(score_entropy(DATA_CLASSIFICATION, predictions), 0, CLOSE);
    predictions_destroy(&predictions);
}

static void without_samples_there_is_no_criterion(void **state)
{
    const float logits[] = {1, 2};
    struct predictions *predictions = make(1, 2, logits);
    predictions->readable[0] = 0;
    (void)state;
    assert_true(isnan(score_entropy(DATA_CLASSIFICATION, predictions)));
    assert_true(isnan(score_information(DATA_CLASSIFICATION, predictions)));
    predictions_destroy(&predictions);
}

/* Three labels, four samples; the third has no targets. */
static const float label_logits[] = {2, -1, 0, -3, 1, -1, 5, 5, 5, 1, -2, -4};
static const float label_targets[] = {1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0};
static const int32_t known[] = {0, 0, LABEL_NONE, 0};

static void labels_are_decided_one_by_one(void **state)
{
    struct predictions *predictions = make(4, 3, label_logits);
    struct score *score = score_task(DATA_MULTILABEL, predictions, known, label_targets);
    (void)state;
    assert_int_equal(score->samples, 3);
    assert_close(score->accuracy, 6.0 / 9, CLOSE); /* a probability of one half is a yes */
    assert_close(score->exact_match, 1.0 / 3, CLOSE);
    assert_close(score->per_class[0], 2.0 / 3, CLOSE); /* 1 hit of 1 there, 2 predicted */
    assert_close(score->per_class[1], 2.0 / 3, CLOSE); /* 1 hit of 2 there, 1 predicted */
    assert_close(score->per_class[2], 0, CLOSE);       /* predicted once, never there */
    assert_close(score->macro_f1, 4.0 / 9, CLOSE);
    assert_close(score->micro_f1, 2.0 * 2 / (3 + 4), CLOSE);
    assert_int_equal(score->support[1], 2);
    /* label 0: 2 against -3, 1: all won. Label 1: 1 and -2 against -1: one of two. 2: never there */
    assert_close(score->auc, 0.75, CLOSE);
    assert_true(isnan(score->r2) && isnan(score->top_5) && score->confusion == NULL);
    score_destroy(&score);
    predictions_destroy(&predictions);
}

static void a_label_that_is_nowhere_does_not_count_in_f1(void **state)
{
    const float logits[] = {1, -1, 1, -1}, targets[] = {1, 0, 1, 0};
    const int32_t all[] = {0, 0};
    struct predictions *predictions = make(2, 2, logits);
    struct score *score = score_task(DATA_MULTILABEL, predictions, all, targets);
    (void)state;
    assert_true(isnan(score->per_class[1]));
    assert_close(score->macro_f1, 1, CLOSE);
    assert_close(score->exact_match, 1, CLOSE);
    score_destroy(&score);
    predictions_destroy(&predictions);
}

/* Two bins: probability σ(0) = 1/2, there in one of four; σ(−30) ≈ 0, there in one of two. */
static void calibration_of_labels_compares_probability_and_share(void **state)
{
    const float logits[] = {0, 0, 0, 0, -30, -30}, targets[] = {1, 0, 0, 0, 1, 0};
    const int32_t all[6] = {0};
    struct predictions *predictions = make(6, 1, logits);
    struct score *score = score_task(DATA_MULTILABEL, predictions, all, targets);
    (void)state;
    assert_close(score->calibration_error, (4 * 0.25 + 2 * 0.5) / 6, 1e-9);
    score_destroy(&score);
    predictions_destroy(&predictions);
}

static void values_are_scored_by_their_errors(void **state)
{
    const float values[] = {1, 10, 2, 20, 99, 99, 6, 30}, targets[] = {2, 10, 2, 20, 0, 0, 3, 30};
    struct predictions *predictions = make(4, 2, values);
    struct score *score = score_task(DATA_REGRESSION, predictions, known, targets);
    (void)state;
    assert_int_equal(score->samples, 3);
    assert_close(score->per_class[0], 4.0 / 3, CLOSE);
    assert_close(score->per_class[1], 0, CLOSE);
    assert_close(score->mae, 4.0 / 6, CLOSE);
    assert_close(score->rmse, sqrt(10.0 / 6), CLOSE);
    assert_close(score->r2, (1 - 10 / (2.0 / 3) + 1) / 2, CLOSE);
    assert_true(isnan(score->accuracy) && isnan(score->auc) && score->confusion == NULL);
    score_destroy(&score);
    predictions_destroy(&predictions);
}

static void values_that_are_all_equal_have_no_r2(void **state)
{
    const float values[] = {1, 2}, targets[] = {3, 3};
    const int32_t all[] = {0, 0};
    struct predictions *predictions = make(2, 1, values);
    struct score *score = score_task(DATA_REGRESSION, predictions, all, targets);
    (void)state;
    assert_true(isnan(score->r2));
    assert_close(score->mae, 1.5, CLOSE);
    score_destroy(&score);
    predictions_destroy(&predictions);
}

static double main_of(enum data_task task, const struct predictions *predictions,
                      const int32_t *labels, const float *targets)
{
    double out;
    struct error err;
    const struct truth truth = {task, predictions->count, (int32_t *)(uintptr_t)labels,
                                (float *)(uintptr_t)targets};
    assert_int_equal(score_main(predictions, &truth, &out, &err), OK);
    return out;
}

static void epochs_are_told_apart_by_what_the_task_asks_for(void **state)
{
    const int32_t classes[] = {0, 1, LABEL_NONE, 2};
    struct predictions *predictions = make(4, 3, label_logits);
    (void)state;
    assert_close(main_of(DATA_CLASSIFICATION, predictions, classes, NULL), 2.0 / 3, CLOSE);
    assert_close(main_of(DATA_MULTILABEL, predictions, known, label_targets), 4.0 / 9, CLOSE);
    assert_true(main_of(DATA_REGRESSION, predictions, known, label_targets) < 0);
    predictions_destroy(&predictions);
}

static void entropies_of_labels_are_those_of_yes_and_no(void **state)
{
    const float logits[] = {1, 40, 1, -40};
    const double p = 1 / (1 + exp(-1)), entropy = -p * log(p) - (1 - p) * log(1 - p);
    struct predictions *predictions = make(2, 2, logits);
    (void)state;
    /* label 0 always p; label 1 sure, and half of the samples have it */
    assert_close(score_entropy(DATA_MULTILABEL, predictions), entropy / 2, 1e-9);
    assert_close(score_information(DATA_MULTILABEL, predictions), -log(2) / 2, 1e-9);
    assert_true(isnan(score_entropy(DATA_REGRESSION, predictions)));
    assert_true(isnan(score_information(DATA_REGRESSION, predictions)));
    predictions_destroy(&predictions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracy_recall_and_f1_are_those_of_the_confusion),
        cmocka_unit_test(a_class_that_is_only_predicted_counts_as_f1_zero),
        cmocka_unit_test(rank_measures_are_those_of_their_definitions),
        cmocka_unit_test(the_calibration_error_is_the_gap_between_confidence_and_accuracy),
        cmocka_unit_test(unlabelled_and_unreadable_samples_take_no_part),
        cmocka_unit_test(the_first_of_equal_logits_is_the_class),
        cmocka_unit_test(criteria_are_those_of_the_formulas),
        cmocka_unit_test(sure_and_varied_answers_are_best_by_information),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(without_samples_there_is_no_criterion),
        cmocka_unit_test(labels_are_decided_one_by_one),
        cmocka_unit_test(a_label_that_is_nowhere_does_not_count_in_f1),
        cmocka_unit_test(calibration_of_labels_compares_probability_and_share),
        cmocka_unit_test(values_are_scored_by_their_errors),
        cmocka_unit_test(values_that_are_all_equal_have_no_r2),
        cmocka_unit_test(epochs_are_told_apart_by_what_the_task_asks_for),
        cmocka_unit_test(entropies_of_labels_are_those_of_yes_and_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
