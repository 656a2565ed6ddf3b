/* All numbers of a stage at one step: the live vector and the optimiser's vectors, as they come
 * from the servers and go to checkpoints and back. */
#ifndef GRAFT_COORDINATOR_JOB_VALUES_H
#define GRAFT_COORDINATOR_JOB_VALUES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/plan.h"

#define VALUES_STATES_MAX 2

struct values {
    const struct plan *plan; /* borrowed */
    uint32_t stage;
    uint32_t epoch;      /* finished epochs of the stage */
    uint64_t stage_step; /* updates since the stage began */
    float *live;         /* [live_elements] */
    float *states[VALUES_STATES_MAX];
    size_t state_count;
};

/* Zeroed vectors. Errors: ERR_MEMORY. */
enum status values_create(const struct plan *plan, uint32_t stage, size_t state_count,
                          struct values **out, struct error *err) MUST_CHECK;
void values_destroy(struct values **values);
/* Copies numbers and counters; both are of the same plan. */
void values_copy(struct values *to, const struct values *from);

/* The start of a stage: pretrained and new tensors as plan_initial gives them, and those that
 * `before` (another stage's values, or NULL) has under the same name as it left them. */
void values_start(struct values *values, uint64_t seed, const struct values *before);

#endif
