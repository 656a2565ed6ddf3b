/* Lookups that count through the samples, as masks are written: the rows of all samples flat, index
 * n · L + k; or pairs (n, k). Each stays in its sample's own rows, so it is a Gather along them. */
#ifndef GRAFT_COMMON_MODEL_ONNX_LOOKUP_H
#define GRAFT_COMMON_MODEL_ONNX_LOOKUP_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/model/onnx/build.h"

/* *done: the node is a Gather or GatherND of that kind. Errors: ERR_SUPPORT when an index reaches
 * into another sample; those of an ordinary node. */
enum status onnx_lookup(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                        struct error *err) MUST_CHECK;

#endif
