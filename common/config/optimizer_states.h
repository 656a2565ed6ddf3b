/* How many vectors an optimiser keeps beside the weights, and their names in a checkpoint. Pure;
 * any thread. */
#ifndef GRAFT_COMMON_CONFIG_OPTIMIZER_STATES_H
#define GRAFT_COMMON_CONFIG_OPTIMIZER_STATES_H

#include <stddef.h>

#include "common/config/job.h"

#define OPTIMIZER_STATES_MAX 2

/* Vectors of the weights' size: SGD with momentum 1 (velocity), without 0; Adam and AdamW 2 (m, v).
 * All start at 0. */
size_t optimizer_states(const struct optimizer_config *config);

/* "velocity", "exp_avg", "exp_avg_sq"; state < optimizer_states(config). */
const char *optimizer_state_name(const struct optimizer_config *config, size_t state);

#endif
