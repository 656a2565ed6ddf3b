/* What a graph says and an opset has no words for. */
#ifndef GRAFT_COMMON_MODEL_ONNX_OPSET_H
#define GRAFT_COMMON_MODEL_ONNX_OPSET_H

#include "common/base/error.h"
#include "common/model/graph.h"

/* The graph must have passed shape inference. Errors: ERR_SUPPORT, naming the node. */
enum status onnx_opset_check(const struct graph *graph, int64_t opset,
                             struct error *err) MUST_CHECK;

#endif
