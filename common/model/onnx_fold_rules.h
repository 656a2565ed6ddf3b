/* What onnx_fold computes a node's output with, one function an operator (or family). The shape is
 * there already, and the numbers are zero. */
#ifndef GRAFT_COMMON_MODEL_ONNX_FOLD_RULES_H
#define GRAFT_COMMON_MODEL_ONNX_FOLD_RULES_H

#include "common/base/error.h"
#include "common/model/onnx_folded.h"
#include "onnx.pb-c.h"

struct fold {
    const struct node *node; /* attributes as completed by the shape rule */
    const Onnx__NodeProto *proto;
    struct folded *const *in; /* as many as node->input_count */
    struct folded *out;
    struct error *err;
};

/* onnx_fold_move.c: numbers go to another place, the batch too. */
enum status onnx_fold_copy(const struct fold *fold);
enum status onnx_fold_concat(const struct fold *fold);
enum status onnx_fold_expand(const struct fold *fold);
enum status onnx_fold_gather(const struct fold *fold);
enum status onnx_fold_slice(const struct fold *fold);
enum status onnx_fold_tile(const struct fold *fold);
enum status onnx_fold_transpose(const struct fold *fold);
enum status onnx_fold_where(const struct fold *fold);

/* onnx_fold_math.c: the type of `out` says in what arithmetic. */
enum status onnx_fold_cast(const struct fold *fold);
enum status onnx_fold_unary(const struct fold *fold);
enum status onnx_fold_binary(const struct fold *fold);
enum status onnx_fold_reduce(const struct fold *fold);

#endif
