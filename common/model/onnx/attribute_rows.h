/* The rows of onnx/attributes.c, operator by operator (ONNX operator schemas, opsets 7 to 21).
 * Included there only. */
#ifndef GRAFT_COMMON_MODEL_ONNX_ATTRIBUTE_ROWS_H
#define GRAFT_COMMON_MODEL_ONNX_ATTRIBUTE_ROWS_H

#include "common/model/onnx/attributes.h"

#define FIELD(field) offsetof(struct attributes, field)
#define EVERY 0

/* clang-format off */
#define WINDOW_ROWS(op)                                                                            \
    {op, "kernel_shape", ATTRIBUTE_PAIR, FIELD(kernel), EVERY, 1},                                 \
    {op, "strides", ATTRIBUTE_PAIR, FIELD(strides), EVERY, 1},                                     \
    {op, "dilations", ATTRIBUTE_PAIR, FIELD(dilations), EVERY, 1},                                 \
    {op, "pads", ATTRIBUTE_PADS, FIELD(pads), EVERY, 0},                                           \
    {op, "auto_pad", ATTRIBUTE_AUTO_PAD, FIELD(auto_pad), EVERY, 0}

#define REDUCE_ROWS(op, axes_last)                                                                 \
    {op, "axes", ATTRIBUTE_AXES, FIELD(axes), axes_last, 0},                                       \
    {op, "keepdims", ATTRIBUTE_BOOL, FIELD(keep_dims), EVERY, 0},                                  \
    {op, "noop_with_empty_axes", ATTRIBUTE_BOOL, FIELD(reduce_none), EVERY, 0}

static const struct attribute_row attribute_rows[] = {
    {OP_ARG_MAX, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_ARG_MAX, "keepdims", ATTRIBUTE_BOOL, FIELD(keep_dims), EVERY, 0},
    {OP_ARG_MAX, "select_last_index", ATTRIBUTE_BOOL, FIELD(last_index), EVERY, 0},
    WINDOW_ROWS(OP_AVERAGE_POOL),
    {OP_AVERAGE_POOL, "ceil_mode", ATTRIBUTE_BOOL, FIELD(ceil_mode), EVERY, 0},
    {OP_AVERAGE_POOL, "count_include_pad", ATTRIBUTE_BOOL, FIELD(count_include_pad), EVERY, 0},
    {OP_BATCH_NORM, "epsilon", ATTRIBUTE_FLOAT, FIELD(epsilon), EVERY, 0},
    {OP_BATCH_NORM, "momentum", ATTRIBUTE_IGNORED, 0, EVERY, 0},
    {OP_BATCH_NORM, "spatial", ATTRIBUTE_FIXED, 0, EVERY, 1},
    {OP_BATCH_NORM, "training_mode", ATTRIBUTE_FIXED, 0, EVERY, 0},
    {OP_CAST, "to", ATTRIBUTE_DTYPE, FIELD(to), EVERY, 0},
    {OP_CAST, "saturate", ATTRIBUTE_IGNORED, 0, EVERY, 0}, /* of types graft does not have */
    {OP_CLIP, "min", ATTRIBUTE_FLOAT, FIELD(low), 10, 0},
    {OP_CLIP, "max", ATTRIBUTE_FLOAT, FIELD(high), 10, 0},
    {OP_CONCAT, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    WINDOW_ROWS(OP_CONV),
    {OP_CONV, "group", ATTRIBUTE_INT, FIELD(groups), EVERY, 0},
    WINDOW_ROWS(OP_CONV_TRANSPOSE),
    {OP_CONV_TRANSPOSE, "group", ATTRIBUTE_INT, FIELD(groups), EVERY, 0},
    {OP_CONV_TRANSPOSE, "output_padding", ATTRIBUTE_PAIR, FIELD(output_pads), EVERY, 0},
    {OP_CONV_TRANSPOSE, "output_shape", ATTRIBUTE_AXES, FIELD(axes), EVERY, 0},
    {OP_DEQUANTIZE, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_DEQUANTIZE, "block_size", ATTRIBUTE_FIXED, 0, EVERY, 0},
    {OP_ELU, "alpha", ATTRIBUTE_FLOAT, FIELD(alpha), EVERY, 0},
    {OP_FLATTEN, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_GATHER, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_GATHER_ELEMENTS, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_GELU, "approximate", ATTRIBUTE_APPROXIMATE, FIELD(approximate), EVERY, 0},
    {OP_GEMM, "alpha", ATTRIBUTE_FLOAT, FIELD(alpha), EVERY, 0},
    {OP_GEMM, "beta", ATTRIBUTE_FLOAT, FIELD(beta), EVERY, 0},
    {OP_GEMM, "transA", ATTRIBUTE_BOOL, FIELD(trans_a), EVERY, 0},
    {OP_GEMM, "transB", ATTRIBUTE_BOOL, FIELD(trans_b), EVERY, 0},
    {OP_GROUP_NORM, "epsilon", ATTRIBUTE_FLOAT, FIELD(epsilon), EVERY, 0},
    {OP_GROUP_NORM, "num_groups", ATTRIBUTE_INT, FIELD(groups), EVERY, 0},
    {OP_GROUP_NORM, "stash_type", ATTRIBUTE_FIXED, 0, EVERY, 1}, /* computes in float32 */
    {OP_HARD_SIGMOID, "alpha", ATTRIBUTE_FLOAT, FIELD(alpha), EVERY, 0},
    {OP_HARD_SIGMOID, "beta", ATTRIBUTE_FLOAT, FIELD(beta), EVERY, 0},
    {OP_IDENTITY, "ratio", ATTRIBUTE_IGNORED, 0, EVERY, 0}, /* Dropout's */
    {OP_IDENTITY, "seed", ATTRIBUTE_IGNORED, 0, EVERY, 0},
    {OP_INSTANCE_NORM, "epsilon", ATTRIBUTE_FLOAT, FIELD(epsilon), EVERY, 0},
    {OP_LAYER_NORM, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_LAYER_NORM, "epsilon", ATTRIBUTE_FLOAT, FIELD(epsilon), EVERY, 0},
    {OP_LAYER_NORM, "stash_type", ATTRIBUTE_FIXED, 0, EVERY, 1},
    {OP_LEAKY_RELU, "alpha", ATTRIBUTE_FLOAT, FIELD(alpha), EVERY, 0},
    {OP_LOG_SOFTMAX, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    WINDOW_ROWS(OP_MAX_POOL),
    {OP_MAX_POOL, "ceil_mode", ATTRIBUTE_BOOL, FIELD(ceil_mode), EVERY, 0},
    {OP_MAX_POOL, "storage_order", ATTRIBUTE_IGNORED, 0, EVERY, 0}, /* of the indices */
    {OP_PAD, "mode", ATTRIBUTE_PAD_MODE, FIELD(pad_mode), EVERY, 0},
    {OP_PAD, "pads", ATTRIBUTE_AMOUNTS, FIELD(starts), 10, 0},
    {OP_PAD, "value", ATTRIBUTE_FLOAT, FIELD(fill), 10, 0},
    {OP_QUANTIZE, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_QUANTIZE, "block_size", ATTRIBUTE_FIXED, 0, EVERY, 0},
    {OP_QUANTIZE, "output_dtype", ATTRIBUTE_ELSEWHERE, 0, EVERY, 0},
    {OP_QUANTIZE, "saturate", ATTRIBUTE_IGNORED, 0, EVERY, 0},
    REDUCE_ROWS(OP_REDUCE_L2, 17),
    REDUCE_ROWS(OP_REDUCE_MAX, 17),
    REDUCE_ROWS(OP_REDUCE_MEAN, 17),
    REDUCE_ROWS(OP_REDUCE_MIN, 17),
    REDUCE_ROWS(OP_REDUCE_SUM, 12),
    {OP_RESHAPE, "allowzero", ATTRIBUTE_BOOL, FIELD(allow_zero), EVERY, 0},
    {OP_RESIZE, "mode", ATTRIBUTE_RESIZE_MODE, FIELD(resize_mode), EVERY, 0},
    {OP_RESIZE, "scales", ATTRIBUTE_SCALES, FIELD(scales), 8, 0}, /* Upsample's */
    {OP_RESIZE, "coordinate_transformation_mode", ATTRIBUTE_ORIGIN, FIELD(resize_origin), EVERY, 0},
    {OP_RESIZE, "nearest_mode", ATTRIBUTE_ROUND, FIELD(resize_round), EVERY, 0},
    {OP_RESIZE, "cubic_coeff_a", ATTRIBUTE_FLOAT, FIELD(alpha), EVERY, 0},
    {OP_RESIZE, "exclude_outside", ATTRIBUTE_BOOL, FIELD(exclude_outside), EVERY, 0},
    {OP_RESIZE, "antialias", ATTRIBUTE_FIXED, 0, EVERY, 0},
    {OP_RESIZE, "extrapolation_value", ATTRIBUTE_IGNORED, 0, EVERY, 0}, /* of tf_crop_and_resize */
    {OP_RESIZE, "axes", ATTRIBUTE_ELSEWHERE, 0, EVERY, 0},
    {OP_RESIZE, "keep_aspect_ratio_policy", ATTRIBUTE_ELSEWHERE, 0, EVERY, 0},
    {OP_SLICE, "starts", ATTRIBUTE_RANGE, FIELD(starts), 9, 0},
    {OP_SLICE, "ends", ATTRIBUTE_RANGE, FIELD(ends), 9, 0},
    {OP_SLICE, "axes", ATTRIBUTE_AXES, FIELD(axes), 9, 0},
    {OP_SOFTMAX, "axis", ATTRIBUTE_INT, FIELD(axis), EVERY, 0},
    {OP_SQUEEZE, "axes", ATTRIBUTE_AXES, FIELD(axes), 12, 0},
    {OP_TRANSPOSE, "perm", ATTRIBUTE_AXES, FIELD(axes), EVERY, 0},
    {OP_UNSQUEEZE, "axes", ATTRIBUTE_AXES, FIELD(axes), 12, 0},
};
#define ATTRIBUTE_ROWS (sizeof attribute_rows / sizeof *attribute_rows)

/* Rising by input within an operator. */
static const struct input_row input_rows[] = {
    {OP_CAST, 1, ATTRIBUTE_IGNORED, 0, 15, EVERY}, /* CastLike's: onnx_special looks at its type */
    {OP_CLIP, 1, ATTRIBUTE_FLOAT, FIELD(low), 11, EVERY},
    {OP_CLIP, 2, ATTRIBUTE_FLOAT, FIELD(high), 11, EVERY},
    {OP_EXPAND, 1, ATTRIBUTE_AXES, FIELD(axes), 8, EVERY},
    {OP_IDENTITY, 1, ATTRIBUTE_IGNORED, 0, 12, EVERY}, /* Dropout's ratio */
    {OP_IDENTITY, 2, ATTRIBUTE_FIXED, 0, 12, EVERY},   /* Dropout's training_mode: false */
    {OP_PAD, 1, ATTRIBUTE_AMOUNTS, FIELD(starts), 11, EVERY},
    {OP_PAD, 2, ATTRIBUTE_FLOAT, FIELD(fill), 11, EVERY},
    {OP_PAD, 3, ATTRIBUTE_AXES, FIELD(axes), 18, EVERY},
    {OP_REDUCE_L2, 1, ATTRIBUTE_AXES, FIELD(axes), 18, EVERY},
    {OP_REDUCE_MAX, 1, ATTRIBUTE_AXES, FIELD(axes), 18, EVERY},
    {OP_REDUCE_MEAN, 1, ATTRIBUTE_AXES, FIELD(axes), 18, EVERY},
    {OP_REDUCE_MIN, 1, ATTRIBUTE_AXES, FIELD(axes), 18, EVERY},
    {OP_REDUCE_SUM, 1, ATTRIBUTE_AXES, FIELD(axes), 13, EVERY},
    {OP_RESHAPE, 1, ATTRIBUTE_AXES, FIELD(axes), 5, EVERY},
    {OP_RESIZE, 1, ATTRIBUTE_SCALES, FIELD(scales), 9, 10},
    {OP_RESIZE, 1, ATTRIBUTE_IGNORED, 0, 11, EVERY}, /* the region of tf_crop_and_resize */
    {OP_RESIZE, 2, ATTRIBUTE_SCALES, FIELD(scales), 11, EVERY},
    {OP_RESIZE, 3, ATTRIBUTE_AXES, FIELD(axes), 11, EVERY},
    {OP_SLICE, 1, ATTRIBUTE_RANGE, FIELD(starts), 10, EVERY},
    {OP_SLICE, 2, ATTRIBUTE_RANGE, FIELD(ends), 10, EVERY},
    {OP_SLICE, 3, ATTRIBUTE_AXES, FIELD(axes), 10, EVERY},
    {OP_SLICE, 4, ATTRIBUTE_RANGE, FIELD(steps), 10, EVERY},
    {OP_SQUEEZE, 1, ATTRIBUTE_AXES, FIELD(axes), 13, EVERY},
    {OP_TILE, 1, ATTRIBUTE_AXES, FIELD(axes), 6, EVERY},
    {OP_UNSQUEEZE, 1, ATTRIBUTE_AXES, FIELD(axes), 13, EVERY},
};
#define INPUT_ROWS (sizeof input_rows / sizeof *input_rows)
/* clang-format on */

#endif
