/* What is right about the samples of one part (domain and split), in manifest order. */
#ifndef GRAFT_COORDINATOR_JOB_TRUTH_H
#define GRAFT_COORDINATOR_JOB_TRUTH_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/manifest.h"

struct truth {
    enum data_task task;
    size_t count;
    int32_t *labels; /* [count]; LABEL_NONE: not known */
    float *targets;  /* [count, K], multilabel and regression; else NULL */
};

/* Errors: ERR_MEMORY. */
enum status truth_create(enum data_task task, const struct manifest *manifest, size_t domain,
                         enum split split, struct truth **out, struct error *err) MUST_CHECK;
void truth_destroy(struct truth **truth);

#endif
