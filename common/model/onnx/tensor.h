/* A TensorProto's content as dense memory of a graph: raw bytes, typed lists or an external file.
 */
#ifndef GRAFT_COMMON_MODEL_ONNX_TENSOR_H
#define GRAFT_COMMON_MODEL_ONNX_TENSOR_H

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/model/graph.h"
#include "onnx.pb-c.h"

#define ONNX_TENSOR_FILE_BYTES_MAX ((size_t)64 << 30)

struct onnx_tensor {
    enum dtype dtype;
    struct shape shape;
    const void *data; /* graph_alloc */
};

/* `directory`: where external files lie; NULL: they are refused. External bytes are added to
 * `digest`. Errors: ERR_INPUT (unknown size, fewer or more data than the shape asks for, a path
 * that leaves the directory), ERR_SUPPORT (element type), ERR_IO, ERR_MEMORY; the caller adds the
 * tensor's name. */
enum status onnx_tensor_read(const Onnx__TensorProto *from, const char *directory,
                             struct graph *graph, struct digest_stream *digest,
                             struct onnx_tensor *out, struct error *err) MUST_CHECK;

#endif
