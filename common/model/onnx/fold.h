/* Arithmetic on shapes: nodes whose inputs are known while the file is read (Shape, and what
 * follows from it and from constants that are no parameters) are computed at once, in their own
 * types. What is left of them are attributes: Reshape's targets, Slice's ends, Resize's sizes. */
#ifndef GRAFT_COMMON_MODEL_ONNX_FOLD_H
#define GRAFT_COMMON_MODEL_ONNX_FOLD_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/model/onnx/build.h"

/* *done: the node's output is folded; else it is an operator like any other. Errors: ERR_SUPPORT
 * (arithmetic with the batch's size; Shape and the like on what is not known), ERR_INPUT (division
 * by zero, overflow, an index beyond the end), ERR_MEMORY. */
enum status onnx_fold(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                      struct error *err) MUST_CHECK;

#endif
