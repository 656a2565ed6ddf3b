/* Constant inputs → attributes: what an opset keeps in an input (onnx_attributes) is known while
 * reading. The batch may be the first of a target (Reshape, Expand, Resize), nothing else. */
#ifndef GRAFT_COMMON_MODEL_ONNX_LIFT_H
#define GRAFT_COMMON_MODEL_ONNX_LIFT_H

#include "common/base/error.h"
#include "common/model/onnx/build.h"

/* The node's attributes, from the file and from its constant inputs. Errors: ERR_SUPPORT for an
 * input that is computed, depends on the batch where it must not, or is not what it must be. */
enum status onnx_lift(struct onnx_build *build, const Onnx__NodeProto *node, enum op op,
                      struct attributes *out, struct error *err) MUST_CHECK;

/* An input as up to `most` whole numbers; the batch is refused. */
enum status onnx_lift_list(struct onnx_build *build, const char *tensor, size_t most, int64_t *list,
                           size_t *count, struct error *err) MUST_CHECK;

#endif
