/* ONNX files (opset 7 to 21) → graph: the part of the network that the cut tensor needs, nothing
 * else, so that a model whose later layers graft does not know can still be used.
 *
 * Weights come from initializers and from Constant nodes. A constant is a *parameter* when it is a
 * float32 tensor of rank ≥ 1 that no rule of the reader turned into an attribute; scalars of rank 0
 * (the 3 and 6 of a hard swish) and integers are helper constants and never trained. What follows
 * from shapes and helpers alone is computed while reading (onnx_fold). Bytes from outside are
 * trusted in nothing: nesting, counts, names, sizes, offsets and paths are checked. */
#ifndef GRAFT_COMMON_MODEL_ONNX_READER_H
#define GRAFT_COMMON_MODEL_ONNX_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/model/graph.h"

#define ONNX_FILE_BYTES_MAX ((size_t)2 << 30) /* protobuf's own limit */
#define ONNX_OPSET_MIN 7
#define ONNX_OPSET_MAX 21

struct onnx_reading {
    const char *cut; /* name of the tensor to compute; "" = the file's first output */
    /* Inputs are fed entire and have no batch; else the first dimension of each is the batch,
     * whatever number the file has there. */
    bool whole;
    /* Called when the graph has its inputs with the shapes that the file declares (unknown
     * dimensions are -1, rank 0 when it does not say) and nothing else; settles all dimensions but
     * the batch. NULL: the file does. */
    enum status (*bind)(void *context, struct graph *graph, struct error *err);
    void *context;
};

/* All shapes are inferred. `directory`: where external data is looked for; NULL: it is refused.
 * Errors: ERR_IO; ERR_INPUT (truncated, doubled or missing tensor, cycle, sizes); ERR_SUPPORT
 * (operator, attribute, element type), each naming the node or tensor; ERR_MEMORY. */
enum status onnx_reader_parse(const void *bytes, size_t byte_count, const char *directory,
                              const struct onnx_reading *reading, struct graph **out,
                              struct error *err) MUST_CHECK;

/* The same from a file; external data lies beside it. */
enum status onnx_reader_open(const char *path, const struct onnx_reading *reading,
                             struct graph **out, struct error *err) MUST_CHECK;

#endif
