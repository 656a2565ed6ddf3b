/* What predictions are worth. All sums in double, in sample order: the same for any cluster. */
#ifndef GRAFT_COORDINATOR_JOB_SCORES_H
#define GRAFT_COORDINATOR_JOB_SCORES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

/* Logits of one part (domain and split), in manifest order. */
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

struct score {
    size_t classes;
    size_t samples;  /* readable and labelled */
    double accuracy; /* 0 when there are no samples */
    double macro_f1; /* mean over classes that occur among labels or predictions */
    double top_5;    /* share whose label is among the five largest logits; NAN up to 5 classes */
    double auc;      /* area under the ROC curve of each class against the rest, the mean over
                            classes that have both; NAN when none has */
    double calibration_error; /* expected calibration error (Guo 2017), SCORE_BINS equal bins; NAN
                                 without samples */
    double *per_class;        /* [classes] recall; NAN for a class that does not occur */
    uint64_t *confusion;      /* [classes (label), classes (prediction)] */
};

/* labels[count]; LABEL_NONE takes no part. */
enum status score_create(const struct predictions *predictions, const int32_t *labels,
                         struct score **out, struct error *err) MUST_CHECK;
void score_destroy(struct score **score);

/* Label-free criteria, in nats; lower is better. entropy: mean H(p_i). information: mean H(p_i) −
 * H(mean p), information maximisation (Krause 2010, as SHOT uses it). NAN without readable samples.
 */
double score_entropy(const struct predictions *predictions);
double score_information(const struct predictions *predictions);

#endif
