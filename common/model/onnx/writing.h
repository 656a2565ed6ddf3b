/* A model while it is written: shared by onnx/writer.c (file, ports, tensors) and onnx/writing.c
 * (nodes). `arena` is a graph only for its memory: every protobuf structure lies there, so that
 * there is one thing to free. */
#ifndef GRAFT_COMMON_MODEL_ONNX_WRITING_H
#define GRAFT_COMMON_MODEL_ONNX_WRITING_H

#include "common/base/error.h"
#include "common/model/graph.h"
#include "onnx.pb-c.h"

#define ONNX_WRITING_LIFTED 5 /* initializers for one node at most */
#define ONNX_WRITING_NODES 4  /* nodes for one node at most */

struct onnx_writing {
    const struct graph *graph;
    const float *const *replaced;
    struct graph *arena;
    int64_t opset;
    Onnx__GraphProto proto;
    size_t node_room, initializer_room;
    bool *written;     /* per value: its initializer is there */
    const char *batch; /* the tensor that holds the batch's size, once there is one */
    struct error *err;
};

/* NULL when refused. */
void *onnx_writing_take(struct onnx_writing *writing, size_t count, size_t bytes);
enum status onnx_writing_no_memory(struct onnx_writing *writing);

/* protobuf-c declares its strings mutable but does not change them. */
char *onnx_writing_text(const char *constant);

/* An initializer; borrows name and data. */
enum status onnx_writing_tensor(struct onnx_writing *writing, const char *name, enum dtype dtype,
                                const struct shape *shape, const void *data) MUST_CHECK;
/* The value's initializer, if it is a constant that is not there yet. */
enum status onnx_writing_value(struct onnx_writing *writing, uint32_t index) MUST_CHECK;

/* The node, and what its opset keeps in inputs. */
enum status onnx_writing_node(struct onnx_writing *writing, const struct node *node) MUST_CHECK;

#endif
