/* Weights beside the file (ONNX external data): for those that protobuf's 2 GiB do not hold, and for
 * who wants to map them. */
#ifndef GRAFT_COMMON_MODEL_ONNX_EXTERNAL_H
#define GRAFT_COMMON_MODEL_ONNX_EXTERNAL_H

#include "common/model/onnx/writing.h"

#define ONNX_EXTERNAL_SUFFIX ".data"
#define ONNX_EXTERNAL_BYTES_MIN ((size_t)1024) /* smaller ones stay within */
#define ONNX_EXTERNAL_ALIGN ((size_t)4096)     /* a page */

/* Writes the large initializers to `path`.data, atomically, and makes them point there. Whoever reads
 * an older `path` between this and the writing of the new one finds the new weights. Errors: ERR_IO,
 * ERR_MEMORY. */
enum status onnx_external_move(struct onnx_writing *writing, const char *path) MUST_CHECK;

#endif
