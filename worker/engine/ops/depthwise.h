/* Weight gradient of a depthwise convolution (groups = input channels = output channels):
 * oneDNN 2.6 falls back to one small matrix product per channel there, which took 10 ms where this
 * takes a fraction of one. */
#ifndef GRAFT_WORKER_ENGINE_OPS_DEPTHWISE_H
#define GRAFT_WORKER_ENGINE_OPS_DEPTHWISE_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/engine/ops/op.h"

bool depthwise_fits(const struct op_site *site);

/* Floats of scratch memory. */
size_t depthwise_scratch(const struct op_site *site);

/* dw [C, 1, kh, kw] = Σ over samples and positions of x·dy, db [C] = Σ dy; either may be NULL.
 * Overwrites. */
void depthwise_weight(const struct op_site *site, const float *x, const float *dy, float *dw,
                      float *db, float *scratch);

#endif
