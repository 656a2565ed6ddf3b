/* One node of the file → nodes of the graph, or folded, or postponed. */
#ifndef GRAFT_COMMON_MODEL_ONNX_OPERATOR_H
#define GRAFT_COMMON_MODEL_ONNX_OPERATOR_H

#include "common/base/error.h"
#include "common/model/onnx/build.h"

/* Errors: ERR_SUPPORT (an operator, attribute, type or use of the batch that graft does not have),
 * ERR_INPUT, ERR_MEMORY; the caller names the node. */
enum status onnx_operator_add(struct onnx_build *build, const Onnx__NodeProto *node,
                              struct error *err) MUST_CHECK;

/* A node as operator `op`: attributes, lifted inputs and tensors as the tables say. */
enum status onnx_operator_plain(struct onnx_build *build, const Onnx__NodeProto *node, enum op op,
                                const char *output, uint32_t *out, struct error *err) MUST_CHECK;

#endif
