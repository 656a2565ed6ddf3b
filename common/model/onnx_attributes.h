/* ONNX attributes ↔ struct attributes, by one table for both directions: operator, name, type,
 * field, opsets. A field that an opset keeps in a constant input (Clip's bounds, axes, Reshape's
 * target) has a row in a second table, so that the reader can lift it and the writer can put it
 * back. */
#ifndef GRAFT_COMMON_MODEL_ONNX_ATTRIBUTES_H
#define GRAFT_COMMON_MODEL_ONNX_ATTRIBUTES_H

#include "common/base/error.h"
#include "common/model/graph.h"
#include "onnx.pb-c.h"

enum attribute_kind {
    ATTRIBUTE_FLOAT,
    ATTRIBUTE_INT,
    ATTRIBUTE_BOOL,   /* an int, 0 or 1 */
    ATTRIBUTE_PAIR,   /* two ints: int64_t[2] */
    ATTRIBUTE_PADS,   /* four ints */
    ATTRIBUTE_AXES,   /* up to TENSOR_RANK_MAX ints: axes, axes_count */
    ATTRIBUTE_PAD,    /* auto_pad's text */
    ATTRIBUTE_FIXED,  /* an int that must be `fixed` */
    ATTRIBUTE_IGNORED /* does not matter at inference */
};

struct attribute_row {
    enum op op;
    const char *name;
    enum attribute_kind kind;
    size_t offset;      /* in struct attributes */
    int64_t opset_last; /* the last opset that has it as attribute; 0: all */
    int64_t fixed;
};

struct input_row {
    enum op op;
    size_t input;
    enum attribute_kind kind; /* FLOAT, AXES or IGNORED */
    size_t offset;
    int64_t opset_first;
};

/* Rows of one operator one after another: give NULL first, then the last answer; NULL at the end.
 */
const struct attribute_row *onnx_attributes_next(enum op op, const struct attribute_row *after);
const struct input_row *onnx_attributes_next_input(enum op op, const struct input_row *after);

/* What ONNX takes an attribute for when the node does not say. */
void onnx_attributes_default(enum op op, int64_t opset, struct attributes *out);

/* The defaults for `op`, then what the node says. Errors: ERR_INPUT (wrong type or count),
 * ERR_SUPPORT (an attribute graft does not know: ignoring it could change the result). */
enum status onnx_attributes_read(const Onnx__NodeProto *node, enum op op, int64_t opset,
                                 struct attributes *out, struct error *err) MUST_CHECK;

#endif
