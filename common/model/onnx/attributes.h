/* ONNX attributes ↔ struct attributes, by one table for both directions: operator, name, type,
 * field, opsets. A field that an opset keeps in a constant input (Clip's bounds, axes, Reshape's
 * target) has a row in a second table, so that the reader can lift it (onnx_lift) and the writer
 * can put it back. */
#ifndef GRAFT_COMMON_MODEL_ONNX_ATTRIBUTES_H
#define GRAFT_COMMON_MODEL_ONNX_ATTRIBUTES_H

#include "common/base/error.h"
#include "common/model/graph.h"
#include "onnx.pb-c.h"

enum attribute_kind {
    ATTRIBUTE_FLOAT,
    ATTRIBUTE_INT,
    ATTRIBUTE_BOOL,     /* an int, 0 or 1 */
    ATTRIBUTE_DTYPE,    /* an int, a type's number in ONNX */
    ATTRIBUTE_PAIR,     /* two ints: int64_t[2]; or one, for the width */
    ATTRIBUTE_PADS,     /* four ints; or two, left and right */
    ATTRIBUTE_AXES,     /* up to TENSOR_RANK_MAX ints: axes, axes_count */
    ATTRIBUTE_RANGE,    /* as many ints: starts, ends or steps, starts_count */
    ATTRIBUTE_AMOUNTS,  /* twice as many ints: starts, then ends; starts_count */
    ATTRIBUTE_SCALES,   /* up to TENSOR_RANK_MAX floats: scales, scales_count */
    ATTRIBUTE_AUTO_PAD, /* from here a word out of a list */
    ATTRIBUTE_PAD_MODE,
    ATTRIBUTE_RESIZE_MODE,
    ATTRIBUTE_ORIGIN,
    ATTRIBUTE_ROUND,
    ATTRIBUTE_APPROXIMATE,
    ATTRIBUTE_FIXED,     /* an int (as an input: a number) that must be `fixed` */
    ATTRIBUTE_ELSEWHERE, /* onnx_adjust or onnx_special reads it */
    ATTRIBUTE_IGNORED    /* does not matter at inference */
};

struct attribute_row {
    enum op op;
    const char *name;
    enum attribute_kind kind;
    size_t offset;      /* in struct attributes */
    int64_t opset_last; /* the last opset that has it as attribute; 0: all */
    int64_t fixed;      /* of a PAIR: what height has when the file has one dimension */
};

struct input_row {
    enum op op;
    size_t input;
    enum attribute_kind kind; /* FLOAT, AXES, RANGE, AMOUNTS, SCALES, FIXED, ELSEWHERE or IGNORED */
    size_t offset;
    int64_t opset_first, opset_last; /* last: 0: all from the first on */
};

/* Rows of one operator one after another: give NULL first, then the last answer; NULL at the end.
 */
const struct attribute_row *onnx_attributes_next(enum op op, const struct attribute_row *after);
const struct input_row *onnx_attributes_next_input(enum op op, int64_t opset,
                                                   const struct input_row *after);
/* The row of this input in this opset, or NULL: it is a tensor. */
const struct input_row *onnx_attributes_input(enum op op, int64_t opset, size_t input);

/* What ONNX takes an attribute for when the node does not say. */
void onnx_attributes_default(enum op op, int64_t opset, struct attributes *out);

/* Word `index` of a kind that is one out of a list; NULL after the last. */
const char *onnx_attributes_word(enum attribute_kind kind, size_t index);
/* The word's index as it stands in a field of this kind. */
size_t onnx_attributes_choice(enum attribute_kind kind, const void *field);

/* A node's attribute, or NULL. */
const Onnx__AttributeProto *onnx_attributes_find(const Onnx__NodeProto *node, const char *name);

/* The defaults for `op`, then what the node says. Errors: ERR_INPUT (wrong type or count),
 * ERR_SUPPORT (an attribute graft does not know: ignoring it could change the result). */
enum status onnx_attributes_read(const Onnx__NodeProto *node, enum op op, int64_t opset,
                                 struct attributes *out, struct error *err) MUST_CHECK;

#endif
