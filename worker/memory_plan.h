/* What a worker of the job will need at most, before it starts: everything but the large pieces is built
 * and measured, the large pieces are planned (tape_plan.h, arena.h) and counted. The plan is for a
 * worker with its equal share of the shards and an empty feature cache. */
#ifndef GRAFT_WORKER_MEMORY_PLAN_H
#define GRAFT_WORKER_MEMORY_PLAN_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/base/memory_sum.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/model/model.h"

struct memory_plan {
    struct memory_sum sum;
    /* Bytes that each stage's head may take for activations and gradients; SIZE_MAX without a limit. */
    size_t activations_max[JOB_STAGES_MAX];
};

/* Call when manifest and model are open and no stage is; `channels`: those that will still be opened.
 * Errors: ERR_STATE when the job does not fit
 * into cluster.memory_limit (the sentence has the number and what to change; *out is filled all the
 * same), ERR_MEMORY, those of plan_create, head_create and trunk_create. */
enum status memory_plan_make(const struct job *job, const struct manifest *manifest,
                             const struct model *model, size_t channels, struct memory_plan *out,
                             struct error *err) MUST_CHECK;

/* `graft-worker --memory CONFIG [PATH=VALUE]...`: prints the plan. Returns the exit status. */
int memory_plan_main(int argc, char **argv);

#endif
