/* What predictions are worth: of classes here, of labels in label_scores.c, of values in
 * value_scores.c. All sums in double, in sample order: the same for any cluster. */
#ifndef GRAFT_COORDINATOR_JOB_SCORES_H
#define GRAFT_COORDINATOR_JOB_SCORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "coordinator/job/truth.h"

/* Logits (regression: values) of one part (domain and split), in manifest order. */
struct predictions {
    size_t count, classes;
    float *logits;     /* [count, classes] */
    uint8_t *readable; /* [count]: 0 = the sample could not be decoded and takes no part */
};

enum status predictions_create(size_t count, size_t classes, struct predictions **out,
                               struct error *err) MUST_CHECK;
void predictions_destroy(struct predictions **predictions);

/* Class with the largest logit (the first of equals) of sample i. */
size_t predictions_class(const struct predictions *predictions, size_t i);

#define SCORE_BINS 15

/* NAN: the task does not have it, or there are no samples. A label is predicted where its
 * probability is at least one half. */
struct score {
    enum data_task task;
    size_t classes;     /* K: classes, labels or values */
    size_t samples;     /* readable and labelled */
    double accuracy;    /* classification: 0 without samples; multilabel: of all decisions */
    double macro_f1;    /* mean over classes or labels that occur among labels or predictions */
    double micro_f1;    /* multilabel: of all decisions together */
    double exact_match; /* multilabel: share of samples with all labels right */
    double mae, rmse;   /* regression: of all values together */
    double r2;    /* regression: 1 − Σ(error²)/Σ((target − mean)²), mean over values whose
                           targets are not all equal */
    double top_5; /* share whose label is among the five largest logits; NAN up to 5 classes */
    double auc;   /* area under the ROC curve of each class or label against the rest, the mean
                        over those that have both; NAN when none has */
    double
        calibration_error; /* expected calibration error (Guo 2017), SCORE_BINS equal bins; of the
                                 predicted class's probability, or of all labels' probabilities */
    double *per_class;   /* [classes] recall; F1 of the label; mean absolute error of the value; NAN
                            for one that does not occur */
    uint64_t *support;   /* [classes] samples of the class, with the label, with the value */
    uint64_t *confusion; /* classification: [classes (label), classes (prediction)]; else NULL */
};

enum status score_create(const struct predictions *predictions, const struct truth *truth,
                         struct score **out, struct error *err) MUST_CHECK;
void score_destroy(struct score **score);

/* The number by which epochs are told apart, higher is better: accuracy, macro F1, R²; NAN without
 * samples. Without the rest of a score where that takes long. Errors: ERR_MEMORY. */
enum status score_main(const struct predictions *predictions, const struct truth *truth,
                       double *out, struct error *err) MUST_CHECK;
const char *score_main_name(enum data_task task);

/* Whether sample i takes part. */
bool score_counts(const struct predictions *predictions, const struct truth *truth, size_t i);
/* score_create's part for the tasks without classes: fill per_class, support and the numbers. */
enum status label_scores_fill(const struct predictions *predictions, const struct truth *truth,
                              struct score *score, struct error *err) MUST_CHECK;
void value_scores_fill(const struct predictions *predictions, const struct truth *truth,
                       struct score *score);

/* Label-free criteria, in nats; lower is better. entropy: mean H(p_i). information: mean H(p_i) −
 * H(mean p), information maximisation (Krause 2010, as SHOT uses it). multilabel: of each label, the
 * mean. NAN without readable samples, and for regression. */
double score_entropy(enum data_task task, const struct predictions *predictions);
double score_information(enum data_task task, const struct predictions *predictions);

#endif
