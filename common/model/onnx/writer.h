/* Graph → ONNX file: inference mode, dynamic batch, weights as initializers, the opset it was
 * loaded with (at least 9). What a loaded file states is stated again, by the same table
 * (onnx_attributes). */
#ifndef GRAFT_COMMON_MODEL_ONNX_WRITER_H
#define GRAFT_COMMON_MODEL_ONNX_WRITER_H

#include "common/base/error.h"
#include "common/model/graph.h"

#define ONNX_WRITER_OPSET_MIN 9

/* The graph must have passed shape inference. `replaced[v]`: the data to write for value v in place
 * of its own, or NULL. `description`: kept in the file's metadata (onnx/metadata.h), NULL for none. Atomic. Errors: ERR_IO, ERR_MEMORY, ERR_SUPPORT (beyond protobuf's 2 GiB).
 */
enum status onnx_writer_save(const struct graph *graph, const float *const *replaced,
                             const char *description, const char *path,
                             struct error *err) MUST_CHECK;

#endif
