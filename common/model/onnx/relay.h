/* Nodes on tensors whose batch is not first and alone (onnx_layout), and those that make them so:
 * each is done to the value's axes instead of the file's. */
#ifndef GRAFT_COMMON_MODEL_ONNX_RELAY_H
#define GRAFT_COMMON_MODEL_ONNX_RELAY_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/model/onnx/build.h"

/* *done: the node was one of those. Errors: ERR_SUPPORT for what cannot be done so (it would mix
 * samples, or graft does not know how); those of an ordinary node. */
enum status onnx_relay(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                       struct error *err) MUST_CHECK;

/* A slice of such a tensor, attributes naming the file's axes: a Split's parts come here too. */
enum status onnx_relay_slice(struct onnx_build *build, const struct layout *from, const char *name,
                             const char *output, const struct attributes *slice,
                             struct error *err) MUST_CHECK;

#endif
