/* All numbers of a stage at one step, as they come from the servers and go to checkpoints and back:
 * the live vector, the optimiser's vectors, and what belongs to the epoch in work. Training goes on
 * from them as if nothing had been. */
#ifndef GRAFT_COORDINATOR_JOB_VALUES_H
#define GRAFT_COORDINATOR_JOB_VALUES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/plan.h"

#define VALUES_STATES_MAX 2

struct values_sizes {
    size_t states;  /* vectors of the optimiser */
    size_t metrics; /* totals, of all domains */
    size_t labels;  /* pseudo labels: of all unlabelled training samples, or 0 */
};

struct values {
    const struct plan *plan; /* borrowed */
    uint32_t stage;
    uint32_t epoch;      /* finished epochs of the stage */
    uint32_t epoch_step; /* updates since then; 0 at an epoch's end */
    uint64_t stage_step; /* updates since the stage began */
    float *live;         /* [live_elements] */
    float *states[VALUES_STATES_MAX];
    size_t state_count;
    double *metrics; /* totals of the epoch so far, or at its end of all of it; [metric_count] */
    size_t metric_count;
    int32_t *labels; /* of the epoch in work; [label_count] */
    size_t label_count;
    double label_share; /* how many of them are one */
};

/* Zeroed vectors. Errors: ERR_MEMORY. */
enum status values_create(const struct plan *plan, uint32_t stage, struct values_sizes sizes,
                          struct values **out, struct error *err) MUST_CHECK;
void values_destroy(struct values **values);
/* Copies numbers and counters; both are of the same plan and sizes. */
void values_copy(struct values *to, const struct values *from);

/* A copy into *slot, which is made when it is not there yet or was of another plan. Errors:
 * ERR_MEMORY. */
enum status values_keep(struct values **slot, const struct values *values,
                        struct error *err) MUST_CHECK;

/* The start of a stage: pretrained and new tensors as plan_initial gives them, and those that
 * `before` (another stage's values, or NULL) has under the same name as it left them. */
void values_start(struct values *values, uint64_t seed, const struct values *before);

#endif
