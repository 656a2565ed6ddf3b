/* ONNX's numbers for element types. */
#ifndef GRAFT_COMMON_MODEL_ONNX_TYPES_H
#define GRAFT_COMMON_MODEL_ONNX_TYPES_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/tensor/tensor.h"

/* ONNX's number → ours. Errors: ERR_SUPPORT, naming the type. */
enum status onnx_types_read(int64_t number, enum dtype *out, struct error *err) MUST_CHECK;
int32_t onnx_types_number(enum dtype dtype);

/* "float16"; "type 77" has no name: "unknown". */
const char *onnx_types_name(int64_t number);

#endif
