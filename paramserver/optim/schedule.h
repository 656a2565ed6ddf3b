/* The learning rate as a function of the step. */
#ifndef GRAFT_PARAMSERVER_OPTIM_SCHEDULE_H
#define GRAFT_PARAMSERVER_OPTIM_SCHEDULE_H

#include <stdint.h>

#include "common/config/job.h"

/* Rate of step `step` (from 0) of a stage of `steps_total` steps. Warm-up: base·(step+1)/(warmup+1)
 * while step < warmup. Cosine (Loshchilov & Hutter 2017, equation 5, one cycle): from base to
 * base·final_factor over the steps after it. Step: base·gamma^(epoch / every_epochs). */
double schedule_rate(const struct schedule_config *config, double base, uint64_t step,
                     uint64_t steps_total, uint32_t steps_per_epoch);

#endif
