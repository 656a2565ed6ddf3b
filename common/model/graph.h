/* The graph: what graft keeps of a neural network. Values (tensors) and nodes (operators) in
 * topological order.
 *
 * The batch is symbolic: a value has it when its first dimension is -1; no other dimension is ever
 * unknown after shape inference. Reading normalises: what ONNX states as attribute in one opset and
 * as constant input in another (Clip bounds, axes, Reshape targets) is an attribute here; `inputs`
 * are tensors only. All memory hangs on the graph (an arena), so there is one destroy and nothing
 * else to free. Built by one thread, then immutable and shared. Every limit is declared here;
 * reaching one is ERR_INPUT. */
#ifndef GRAFT_COMMON_MODEL_GRAPH_H
#define GRAFT_COMMON_MODEL_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/tensor/tensor.h"

#define GRAPH_NODES_MAX ((size_t)1 << 16)
#define GRAPH_VALUES_MAX ((size_t)1 << 18)
#define GRAPH_PORTS_MAX                                                                            \
    ((size_t)64) /* inputs of one node; Concat of a dense block is the widest seen */
#define GRAPH_NAME_BYTES_MAX ((size_t)256)
#define GRAPH_EXTENT_MAX                                                                           \
    ((int64_t)1 << 20) /* kernel, stride, dilation and pad: keeps sums inside 64 bits */
#define GRAPH_NONE UINT32_MAX

enum op {
    OP_ADD,
    OP_AVERAGE_POOL,
    OP_BATCH_NORM,
    OP_CLIP,
    OP_CONCAT,
    OP_CONV,
    OP_DIV,
    OP_FLATTEN,
    OP_GEMM,
    OP_GLOBAL_AVERAGE_POOL,
    OP_HARD_SIGMOID,
    OP_HARD_SWISH,
    OP_IDENTITY, /* also Dropout, which does nothing at inference */
    OP_LEAKY_RELU,
    OP_MATMUL,
    OP_MAX_POOL,
    OP_MUL,
    OP_REDUCE_MEAN,
    OP_RELU,
    OP_RESHAPE,
    OP_SIGMOID,
    OP_SOFTMAX,
    OP_SQUEEZE,
    OP_SUB,
    OP_TANH,
    OP_TRANSPOSE,
    OP_UNSQUEEZE,
};
#define OP_COUNT ((size_t)OP_UNSQUEEZE + 1)

enum auto_pad { PAD_EXPLICIT, PAD_VALID, PAD_SAME_UPPER, PAD_SAME_LOWER };

/* Which fields an operator uses is said in op_table.c; the others are zero. */
struct attributes {
    int64_t kernel[2], strides[2], dilations[2]; /* height, width */
    int64_t pads[4]; /* top, left, bottom, right; explicit after shape inference */
    int64_t groups;
    enum auto_pad auto_pad;
    bool ceil_mode, count_include_pad;
    float alpha, beta; /* Gemm, HardSigmoid, LeakyRelu */
    float epsilon;     /* BatchNormalization */
    float low, high;   /* Clip; infinite when open */
    bool trans_a, trans_b;
    bool keep_dims;
    bool softmax_flat; /* opset < 13: all axes from `axis` on together */
    int64_t axis;
    int64_t axes[TENSOR_RANK_MAX]; /* axes, permutation, or Reshape's target */
    size_t axes_count;
};

struct value {
    const char *name;
    enum dtype dtype;
    struct shape shape;
    const void *data;  /* constant, dense; NULL: computed or the graph's input */
    bool parameter;    /* a constant float32 that the file treats as a weight */
    uint32_t producer; /* node, or GRAPH_NONE */
};

struct node {
    enum op op;
    const char *name;
    struct attributes attributes;
    const uint32_t *inputs; /* value indexes; GRAPH_NONE: an optional input left out */
    size_t input_count;
    uint32_t output;
};

struct graph {
    struct value *values;
    size_t value_count;
    struct node *nodes;
    size_t node_count;
    uint32_t input;       /* the one value that is fed */
    uint32_t output;      /* as read: the cut tensor; as modelled: the logits */
    uint32_t features;    /* set by the model */
    int64_t opset;        /* as loaded */
    struct digest digest; /* of the file(s) it was read from */
    void *arena;
    void *names; /* hash table of value names */
    size_t value_room, node_room;
};

/* Errors everywhere below: ERR_MEMORY, ERR_INPUT for a reached limit or a name used twice (names
 * it). */
enum status graph_create(struct graph **out, struct error *err) MUST_CHECK;
void graph_destroy(struct graph **graph);

/* Zeroed memory that lives as long as the graph; NULL when refused. */
void *graph_alloc(struct graph *graph, size_t count, size_t bytes);

/* Copies the name; borrows `data`, which must live as long as the graph (graph_alloc). */
enum status graph_add_value(struct graph *graph, const char *name, enum dtype dtype,
                            const struct shape *shape, const void *data, bool parameter,
                            uint32_t *out, struct error *err) MUST_CHECK;

/* Appends a node; its output is a new value (float32, shape still unknown: rank 0) called `output`.
 * Inputs must exist already, which keeps the order topological and the graph without cycles. */
enum status graph_add_node(struct graph *graph, enum op op, const char *name,
                           const uint32_t *inputs, size_t input_count, const char *output,
                           const struct attributes *attributes, uint32_t *out,
                           struct error *err) MUST_CHECK;

/* Value by name, or GRAPH_NONE. */
uint32_t graph_find(const struct graph *graph, const char *name);

/* Has the batch axis? */
bool value_batched(const struct value *value);

/* Elements of one sample (batched) or of the whole value. Known after shape inference. */
size_t value_elements(const struct value *value);

#endif
