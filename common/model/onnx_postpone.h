/* Transposes that move the batch away from the first place, as attention is often written:
 *     [N, L, 3, h, d] → Transpose → [3, N, h, L, d] → Split or Gather of one index → [N, h, L, d]
 * Such a transpose is not made but remembered; what follows is done to the axes of the original,
 * until the batch is first again. Then what is left of the transpose is made. */
#ifndef GRAFT_COMMON_MODEL_ONNX_POSTPONE_H
#define GRAFT_COMMON_MODEL_ONNX_POSTPONE_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/model/onnx_build.h"

/* *done: the node was one of those (Transpose, Squeeze, Slice, Gather on such a tensor, or the
 * first Transpose). Errors: those of an ordinary node. */
enum status onnx_postpone(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                          struct error *err) MUST_CHECK;

/* One output of a node: an operator on `from`'s value, whose attributes name the file's axes, and
 * then the batch's place as before. Slices of a Split come here too. */
enum status onnx_postpone_slice(struct onnx_build *build, const struct postponed *from,
                                const char *name, const char *output,
                                const struct attributes *slice, struct error *err) MUST_CHECK;

#endif
