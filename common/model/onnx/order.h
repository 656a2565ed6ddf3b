/* Which nodes of an ONNX graph a tensor needs, in an order in which inputs come before their users,
 * whatever order the file has. A depth-first walk with its own stack: the depth is the file's to
 * choose. */
#ifndef GRAFT_COMMON_MODEL_ONNX_ORDER_H
#define GRAFT_COMMON_MODEL_ONNX_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/onnx/names.h"
#include "onnx.pb-c.h"

struct onnx_order {
    uint32_t *nodes; /* indexes into the graph's nodes */
    size_t count;
};

/* Errors: ERR_INPUT (a cycle, a tensor that nothing makes), ERR_SUPPORT (a node's second output is
 * needed), each naming node and tensor; ERR_MEMORY. On failure deinit is allowed, as on a zeroed
 * struct. */
enum status onnx_order_init(struct onnx_order *order, const Onnx__GraphProto *graph,
                            const struct onnx_names *names, const char *cut,
                            struct error *err) MUST_CHECK;
void onnx_order_deinit(struct onnx_order *order);

/* What to call a node in a sentence: its name, else its first output. */
const char *onnx_order_node_name(const Onnx__NodeProto *node);

#endif
