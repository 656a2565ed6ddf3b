/* Low-rank adapters (Hu 2021, "LoRA"): a weighted layer's W [p, q] (a convolution's [out, in·kh·kw])
 * becomes W + alpha/rank · B·A with new parameters "W.lora_B" [p, rank] = 0 and "W.lora_A" [rank, q]
 * from N(0, 1/q), as ordinary nodes on weights at the front of the graph: splitting,
 * differentiation and folding see nothing new. Merged back into W on export. */
#ifndef GRAFT_COMMON_MODEL_LORA_H
#define GRAFT_COMMON_MODEL_LORA_H

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/model/model.h"

/* Adapters for the weighted layers whose weight's name a pattern matches. All shapes must be known;
 * those of the new nodes are. Errors: ERR_INPUT (no layer matches, names or sizes beyond the
 * graph's limits), ERR_MEMORY. */
enum status lora_add(struct model *model, const struct lora_config *config,
                     struct error *err) MUST_CHECK;

/* A view of the model's graph without adapters: merged weights under the old names. `replaced`:
 * trained data of values (NULL: the graph's own). Borrows the graph; memory hangs on `arena`.
 * Errors: ERR_MEMORY. */
enum status lora_merge(const struct model *model, const float *const *replaced, struct graph *arena,
                       struct graph *out, struct error *err) MUST_CHECK;

#endif
