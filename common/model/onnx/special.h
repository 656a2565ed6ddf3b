/* Operators that are none of graft's but can be said in its own: Split (slices), Sum and Mean
 * (additions), Upsample (Resize), CastLike (Cast), IsNaN (Equal); and those whose meaning depends on the opset or
 * on types: GroupNormalization before 21, Div of whole numbers. */
#ifndef GRAFT_COMMON_MODEL_ONNX_SPECIAL_H
#define GRAFT_COMMON_MODEL_ONNX_SPECIAL_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/model/onnx/build.h"

/* *done: it was one of them and is in the graph now. */
enum status onnx_special(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                         struct error *err) MUST_CHECK;

#endif
