/* Last changes to a node before it is added, where its attributes mean something only beside its
 * inputs' shapes: sizes of some axes, a number that stands for the batch, parts that are the same
 * for each sample. */
#ifndef GRAFT_COMMON_MODEL_ONNX_ADJUST_H
#define GRAFT_COMMON_MODEL_ONNX_ADJUST_H

#include "common/base/error.h"
#include "common/model/onnx/build.h"

enum status onnx_adjust(struct onnx_build *build, const Onnx__NodeProto *node, enum op op,
                        struct attributes *attributes, uint32_t *inputs, size_t count,
                        struct error *err) MUST_CHECK;

#endif
