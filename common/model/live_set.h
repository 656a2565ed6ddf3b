/* Which parameters a stage trains: by name pattern and by counting weighted layers backwards from
 * the head. Trainable are the parameters toward which some node passes a gradient (op_table.h): not, for
 * example, batch normalisation's running statistics (they are estimates, not weights), which batch_norm
 * adds to the scale and bias beside them, or puts in their place. */
#ifndef GRAFT_COMMON_MODEL_LIVE_SET_H
#define GRAFT_COMMON_MODEL_LIVE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/model.h"

/* live[value_count] of the model's graph, overwritten; the new head is always live. Contract:
 * plan_create. */
enum status live_set_mark(const struct model *model, const struct live_config *config, bool *live,
                          struct error *err) MUST_CHECK;

/* Is the node a weighted layer: Conv, ConvTranspose, Gemm or MatMul with a parameter as its weight? */
struct node;
bool live_set_weighted(const struct model *model, const struct node *node);

#endif
