/* ONNX files (opset 7 to 21) → graph: the part of the network that the cut tensor needs, nothing
 * else, so that a model whose later layers graft does not know can still be used.
 *
 * Weights come from initializers and from Constant nodes. A constant is a *parameter* when it is a
 * float32 tensor of rank ≥ 1 that no rule of the reader turned into an attribute; scalars of rank 0
 * (the 3 and 6 of a hard swish) and integers are helper constants and never trained. Bytes from
 * outside are trusted in nothing: nesting, counts, names, sizes, offsets and paths are checked. */
#ifndef GRAFT_COMMON_MODEL_ONNX_READER_H
#define GRAFT_COMMON_MODEL_ONNX_READER_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/model/graph.h"

#define ONNX_FILE_BYTES_MAX ((size_t)2 << 30) /* protobuf's own limit */
#define ONNX_OPSET_MIN 7
#define ONNX_OPSET_MAX 21

/* `cut`: name of the tensor to compute; "" = the file's first output. The graph's input keeps the
 * rank of the file, unknown dimensions are -1 (rank 0 when the file does not say); other shapes are
 * not inferred yet. Errors: ERR_IO; ERR_INPUT (truncated, doubled or missing tensor, cycle, sizes);
 * ERR_SUPPORT (operator, attribute, element type, more than one input), each naming the node or
 * tensor; ERR_MEMORY. */
enum status onnx_reader_open(const char *path, const char *cut, struct graph **out,
                             struct error *err) MUST_CHECK;

/* The same from memory; external data is looked for in `directory` (NULL: refused). */
enum status onnx_reader_parse(const void *bytes, size_t byte_count, const char *directory,
                              const char *cut, struct graph **out, struct error *err) MUST_CHECK;

#endif
