/* Which part of an ONNX graph makes which tensor: names sorted once, looked up by bisection.
 * Borrows the graph. */
#ifndef GRAFT_COMMON_MODEL_ONNX_NAMES_H
#define GRAFT_COMMON_MODEL_ONNX_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "onnx.pb-c.h"

enum onnx_maker { MAKER_INPUT, MAKER_INITIALIZER, MAKER_NODE, MAKER_SECOND_OUTPUT };

struct onnx_name {
    const char *name;
    enum onnx_maker maker;
    uint32_t index; /* of the input, initializer or node */
    bool used;      /* the cut needs it: set by onnx_order */
};

struct onnx_names {
    struct onnx_name *sorted;
    size_t count;
};

/* Errors: ERR_INPUT for a tensor made twice (an input that is also an initializer is that
 * initializer) or beyond the limits of graph.h; ERR_MEMORY. */
enum status onnx_names_init(const Onnx__GraphProto *graph, struct onnx_names *out,
                            struct error *err) MUST_CHECK;
void onnx_names_deinit(struct onnx_names *names);

/* NULL when nothing makes it. */
struct onnx_name *onnx_names_find(const struct onnx_names *names, const char *name);

#endif
