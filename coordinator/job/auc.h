/* Area under the ROC curve: the chance that a sample of the class gets a larger probability of it
 * than one of another class, equal ones counting half (Mann & Whitney 1947). */
#ifndef GRAFT_COORDINATOR_JOB_AUC_H
#define GRAFT_COORDINATOR_JOB_AUC_H

#include "common/base/error.h"
#include "coordinator/job/scores.h"

/* Each class or label against the rest, the mean over those that have samples and are not alone; NAN
 * when there is none. Classes by their softmax probability, labels by their logit. Errors:
 * ERR_MEMORY. */
enum status auc_mean(const struct predictions *predictions, const struct truth *truth, double *out,
                     struct error *err) MUST_CHECK;

#endif
