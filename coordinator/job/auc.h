/* Area under the ROC curve: the chance that a sample of the class gets a larger probability of it
 * than one of another class, equal ones counting half (Mann & Whitney 1947). */
#ifndef GRAFT_COORDINATOR_JOB_AUC_H
#define GRAFT_COORDINATOR_JOB_AUC_H

#include <stdint.h>

#include "common/base/error.h"
#include "coordinator/job/scores.h"

/* Each class against the rest, the mean over the classes that have samples and are not alone; NAN
 * when there is none. labels[count], LABEL_NONE takes no part. Errors: ERR_MEMORY. */
enum status auc_mean(const struct predictions *predictions, const int32_t *labels, double *out,
                     struct error *err) MUST_CHECK;

#endif
