/* Graph → ONNX file: inference mode, dynamic batch, weights as initializers, the opset it was
 * loaded with (at least 9) or the one that is asked for. What a loaded file states is stated again, by the same table
 * (onnx_attributes). */
#ifndef GRAFT_COMMON_MODEL_ONNX_WRITER_H
#define GRAFT_COMMON_MODEL_ONNX_WRITER_H

#include "common/base/error.h"
#include "common/model/graph.h"

#define ONNX_WRITER_OPSET_MIN 9

/* All zero: as loaded, nothing in the metadata, weights within unless they are too large. */
struct onnx_saving {
    int64_t opset;                 /* 0, or ONNX_WRITER_OPSET_MIN to ONNX_OPSET_MAX */
    bool external;                 /* weights beside (onnx/external.h) */
    const char *note, *vocabulary; /* for the metadata (onnx/metadata.h); NULL: none */
};

/* The graph must have passed shape inference. `replaced[v]`: the data to write for value v in place
 * of its own, or NULL. `saving` may be NULL. What does not fit into one file goes beside.
 * Atomic. Errors: ERR_IO, ERR_MEMORY, ERR_SUPPORT (a node that the opset can't say). */
enum status onnx_writer_save(const struct graph *graph, const float *const *replaced,
                             const struct onnx_saving *saving, const char *path,
                             struct error *err) MUST_CHECK;

#endif
