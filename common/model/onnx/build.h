/* A graph while it is read from an ONNX file: what is known about the file's tensors by name. Each
 * is one of
 *   a value of the graph (a constant, an input, a node's output);
 *   folded: known while reading, a value of the graph only once a node asks for it as a tensor;
 *   laid out: a value whose axes the file has in another order, or merged (onnx_layout).
 * Shapes are inferred node by node, so that every value's shape is known to what comes after it. */
#ifndef GRAFT_COMMON_MODEL_ONNX_BUILD_H
#define GRAFT_COMMON_MODEL_ONNX_BUILD_H

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/model/graph.h"
#include "common/model/onnx/folded.h"
#include "common/model/onnx/layout.h"
#include "common/model/onnx/names.h"
#include "onnx.pb-c.h"

#define ONNX_BUILD_NUMBERS_MAX ((size_t)1 << 22) /* of all folded tensors together */

struct onnx_known {
    struct folded *folded;
    struct layout *layout;
};

struct onnx_build {
    const Onnx__GraphProto *proto;
    const char *directory; /* of external data; NULL: there is none */
    struct onnx_names names;
    struct graph *graph;
    struct graph *scratch;    /* memory that is not needed after reading */
    struct onnx_known *known; /* parallel to the names */
    size_t numbers;           /* folded so far */
    struct digest_stream digest;
    int64_t fixed_batch; /* what the file calls the batch, when it is a number; else 0 */
};

/* Reads a TensorProto into a constant of the graph called `name`. */
enum status onnx_build_tensor(struct onnx_build *build, const char *name,
                              const Onnx__TensorProto *proto, struct error *err) MUST_CHECK;

/* The tensor as a value of the graph. Errors: those of reading an initializer; ERR_SUPPORT for what
 * depends on the batch's size or has it in another place than first. */
enum status onnx_build_value(struct onnx_build *build, const char *tensor, uint32_t *out,
                             struct error *err) MUST_CHECK;

/* The tensor when it is known while reading; *out NULL when it is not. Of parameters only those
 * that could be one number an axis are. */
enum status onnx_build_folded(struct onnx_build *build, const char *tensor, struct folded **out,
                              struct error *err) MUST_CHECK;

/* Its shape as the file has it (-1: the batch, wherever it is), and its type. Errors: ERR_SUPPORT
 * where the batch is merged with another axis. */
enum status onnx_build_shape(struct onnx_build *build, const char *tensor, struct shape *shape,
                             enum dtype *dtype, struct error *err) MUST_CHECK;

/* Its sizes one by one; the batch, and multiples of it where it is merged. */
enum status onnx_build_sizes(struct onnx_build *build, const char *tensor,
                             struct folded_number sizes[TENSOR_RANK_MAX], size_t *rank,
                             struct error *err) MUST_CHECK;

/* NULL unless it has one. */
const struct layout *onnx_build_layout(const struct onnx_build *build, const char *tensor);

/* Everything about the tensor that nodes make: remembers it under its name. Errors: ERR_INPUT (the
 * limit of numbers). */
enum status onnx_build_fold(struct onnx_build *build, const char *tensor, struct folded *folded,
                            struct error *err) MUST_CHECK;
enum status onnx_build_lay_out(struct onnx_build *build, const char *tensor,
                               const struct layout *layout, struct error *err) MUST_CHECK;

/* Adds a node and infers its output. */
enum status onnx_build_node(struct onnx_build *build, enum op op, const char *name,
                            const uint32_t *inputs, size_t input_count, const char *output,
                            const struct attributes *attributes, uint32_t *out,
                            struct error *err) MUST_CHECK;

/* "OUTPUT.WHAT": a name for a value that the file does not have. In scratch memory; NULL: no
 * memory. */
const char *onnx_build_name(struct onnx_build *build, const char *output, const char *what);

/* Is input `i` there? */
bool onnx_build_has(const Onnx__NodeProto *node, size_t i);

#endif
