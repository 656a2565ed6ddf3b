/* One optimiser step on one block. Float32 values, float32 state, arithmetic in float32 in index
 * order; bias corrections and rates in double. Reads `from`, writes `to` (they may be the same);
 * state vectors are updated in place. */
#ifndef GRAFT_PARAMSERVER_OPTIM_OPTIMIZER_H
#define GRAFT_PARAMSERVER_OPTIM_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

#include "common/config/job.h"
#include "common/config/optimizer_states.h"

/* step counts from 1.
 * SGD (PyTorch's form): v = μv + g; w −= rate·(nesterov ? g + μv : v).
 * Adam (Kingma & Ba 2015, algorithm 1): w −= rate·m̂/(√v̂ + ε). weight_decay adds w·decay to g first
 * (L2). AdamW (Loshchilov & Hutter 2019, algorithm 2): the decay goes to the weights: w −=
 * rate·decay·w. */
void optimizer_apply(const struct optimizer_config *config, double rate, uint64_t step,
                     const float *from, const float *gradient, float *const *states, float *to,
                     size_t elements);

#endif
