/* Tensors of the file that have the batch in another place than first, or merged with other axes, as
 * attention, windows and lookups are written:
 *     permute(2, 0, 3, 1, 4)    [N, L, 3, h, d] → [3, N, h, L, d]
 *     view(-1, L, d)            [N, h, L, d] → [N·h, L, d]
 * The value keeps the batch first and its axes apart; a layout says which of them, in which order,
 * each of the file's axes is made of. Transposes and reshapes of the file change the layout; once
 * the batch is first and alone again, what is left to do is done to the value. */
#ifndef GRAFT_COMMON_MODEL_ONNX_LAYOUT_H
#define GRAFT_COMMON_MODEL_ONNX_LAYOUT_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/model/onnx/folded.h"

struct onnx_build;

/* The file's axis i is made of sizes[i] of the value's axes (none: it has size 1); axes[] names
 * them, axis after axis, each of the value's once. */
struct layout {
    uint32_t value;
    size_t rank;
    size_t sizes[TENSOR_RANK_MAX];
    size_t axes[TENSOR_RANK_MAX];
    size_t count; /* rank of the value */
};

/* A batched value as it is. */
struct layout onnx_layout_plain(const struct onnx_build *build, uint32_t value);

/* The batch is first and alone, as in the graph. */
bool onnx_layout_settled(const struct layout *layout);

/* Where the value's axes of the file's axis i begin in axes[]. */
size_t onnx_layout_begin(const struct layout *layout, size_t axis);

/* The value's one axis that the file's axis is. Errors: ERR_SUPPORT when it is none or several, or
 * the batch. */
enum status onnx_layout_axis(const struct layout *layout, int64_t axis, size_t *out,
                             struct error *err) MUST_CHECK;

/* The size of a file's axis: a number, or a multiple of the batch. */
struct folded_number onnx_layout_size(const struct onnx_build *build, const struct layout *layout,
                                      size_t axis);

/* `layout` under the file's name `output`: remembered, or settled by a transpose and a reshape. Its
 * value is there already. */
enum status onnx_layout_finish(struct onnx_build *build, const struct layout *layout,
                               const char *name, const char *output, struct error *err) MUST_CHECK;

/* The same with an operator before it, whose result has this layout; layout->value is set. */
enum status onnx_layout_emit(struct onnx_build *build, enum op op, const struct attributes *a,
                             const uint32_t *inputs, size_t count, struct layout *layout,
                             const char *name, const char *output, struct error *err) MUST_CHECK;

/* The value with its axes in the file's order, but the batch first; those that make one of the file's
 * axes and follow one another become one. */
enum status onnx_layout_order(struct onnx_build *build, struct layout *layout, const char *output,
                              const char *what, struct error *err) MUST_CHECK;

/* The file's axes become those of `target` (a number, a multiple of the batch, -1 for what is left),
 * under the name `output`. *done false: they cannot be told apart, and nothing is made. */
enum status onnx_layout_reshape(struct onnx_build *build, const struct layout *from,
                                const struct folded_number *target, size_t rank, const char *name,
                                const char *output, bool *done, struct error *err) MUST_CHECK;

#endif
