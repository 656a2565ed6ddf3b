/* Reshapes that merge the batch with what follows it, as exporters write linear layers, attention
 * and lookups by flat index:
 *     [N, h, L, d] → Reshape → [N·h, L, d] → Transpose, MatMul, … → Reshape → [N, h, …]
 * Here the value keeps the two axes apart, [N, h, …], and what follows is done to it so. */
#ifndef GRAFT_COMMON_MODEL_ONNX_MERGE_H
#define GRAFT_COMMON_MODEL_ONNX_MERGE_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/model/onnx_build.h"

/* *done: the node is such a reshape, or works on what one made. Errors: ERR_SUPPORT for what cannot
 * be done with the axes apart; those of an ordinary node. */
enum status onnx_merge(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                       struct error *err) MUST_CHECK;

#endif
