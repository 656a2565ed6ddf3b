/* What onnx_fold computes a node's output with, one function an operator (or family). The shape is
 * there already, and the numbers are zero. */
#ifndef GRAFT_COMMON_MODEL_ONNX_FOLD_RULES_H
#define GRAFT_COMMON_MODEL_ONNX_FOLD_RULES_H

#include "common/base/error.h"
#include "common/model/onnx/folded.h"
#include "onnx.pb-c.h"

struct fold {
    const struct node *node; /* attributes as completed by the shape rule */
    const Onnx__NodeProto *proto;
    struct folded *const *in; /* as many as node->input_count */
    struct folded *out;
    struct error *err;
};

enum fold_arithmetic {
    FOLD_ADD,
    FOLD_SUB,
    FOLD_MUL,
    FOLD_DIV,
    FOLD_MOD,
    FOLD_POW,
    FOLD_MIN,
    FOLD_MAX,
    FOLD_EQUAL,
    FOLD_GREATER,
    FOLD_GREATER_EQUAL,
    FOLD_LESS,
    FOLD_LESS_EQUAL, /* comparisons */
    FOLD_AND,
    FOLD_OR,
    FOLD_COUNT
};

/* onnx/fold_move.c: numbers go to another place, the batch too. */
enum status onnx_fold_copy(const struct fold *fold);
enum status onnx_fold_concat(const struct fold *fold);
enum status onnx_fold_expand(const struct fold *fold);
enum status onnx_fold_gather(const struct fold *fold);
enum status onnx_fold_slice(const struct fold *fold);
enum status onnx_fold_tile(const struct fold *fold);
enum status onnx_fold_transpose(const struct fold *fold);
enum status onnx_fold_where(const struct fold *fold);

/* onnx/fold_math.c: the type of `out` says in what arithmetic. */
enum status onnx_fold_cast(const struct fold *fold);
enum status onnx_fold_unary(const struct fold *fold);
enum status onnx_fold_binary(const struct fold *fold);
enum status onnx_fold_reduce(const struct fold *fold);

/* The comparison's answer when a is less than, equal to or greater than b (order < 0, 0, > 0). */
int64_t onnx_fold_answer(enum fold_arithmetic what, int order);

/* onnx/fold_batch.c: one of a and b depends on the batch. What cannot be said of it is unknown, and
 * refused only where it is used. */
void onnx_fold_with_batch(enum fold_arithmetic what, bool real, struct folded_number a,
                          struct folded_number b, struct folded_number *out);

#endif
