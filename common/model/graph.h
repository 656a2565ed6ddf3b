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
#define GRAPH_NAME_BYTES_MAX ((size_t)512) /* TensorFlow names a fused tensor after all its parts */
#define GRAPH_EXTENT_MAX                                                                           \
    ((int64_t)1 << 20) /* kernel, stride, dilation and pad: keeps sums inside 64 bits */
#define GRAPH_INPUTS_MAX ((size_t)8)       /* tensors that are fed */
#define GRAPH_WHOLE_MAX ((int64_t)1 << 24) /* up to here float32 holds every whole number */
#define GRAPH_NONE UINT32_MAX

/* Shape, Size, Range, Constant and ConstantOfShape are no operators here: the reader computes
 * them. */
enum op {
    OP_ABS,
    OP_ADD,
    OP_AND,
    OP_ARG_MAX,
    OP_AVERAGE_POOL,
    OP_BATCH_NORM,
    OP_CAST,
    OP_CLIP,
    OP_CONCAT,
    OP_CONV,
    OP_CONV_TRANSPOSE,
    OP_DEQUANTIZE,
    OP_DIV,
    OP_ELU,
    OP_EQUAL,
    OP_ERF,
    OP_EXP,
    OP_EXPAND,
    OP_FLATTEN,
    OP_GATHER,
    OP_GATHER_ELEMENTS,
    OP_GELU,
    OP_GEMM,
    OP_GLOBAL_AVERAGE_POOL,
    OP_GLOBAL_MAX_POOL,
    OP_GREATER,
    OP_GREATER_OR_EQUAL,
    OP_GROUP_NORM,
    OP_HARD_SIGMOID,
    OP_HARD_SWISH,
    OP_IDENTITY, /* also Dropout, which does nothing at inference */
    OP_INSTANCE_NORM,
    OP_LAYER_NORM,
    OP_LEAKY_RELU,
    OP_LESS,
    OP_LESS_OR_EQUAL,
    OP_LOG,
    OP_LOG_SOFTMAX,
    OP_MATMUL,
    OP_MAX,
    OP_MAX_POOL,
    OP_MIN,
    OP_MUL,
    OP_NEG,
    OP_NOT,
    OP_OR,
    OP_PAD,
    OP_POW,
    OP_PRELU,
    OP_QUANTIZE,
    OP_REDUCE_L2,
    OP_REDUCE_MAX,
    OP_REDUCE_MEAN,
    OP_REDUCE_MIN,
    OP_REDUCE_SUM,
    OP_RELU,
    OP_RESHAPE,
    OP_RESIZE,
    OP_SIGMOID,
    OP_SLICE, /* also each output of a Split */
    OP_SOFTMAX,
    OP_SOFTPLUS,
    OP_SQRT,
    OP_SQUEEZE,
    OP_SUB,
    OP_TANH,
    OP_TILE,
    OP_TRANSPOSE,
    OP_UNSQUEEZE,
    OP_WHERE,
};
#define OP_COUNT ((size_t)OP_WHERE + 1)

enum auto_pad { PAD_EXPLICIT, PAD_VALID, PAD_SAME_UPPER, PAD_SAME_LOWER };
enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };
enum resize_mode { RESIZE_NEAREST, RESIZE_LINEAR, RESIZE_CUBIC };
enum resize_origin {
    ORIGIN_HALF_PIXEL,
    ORIGIN_PYTORCH_HALF_PIXEL,
    ORIGIN_ALIGN_CORNERS,
    ORIGIN_ASYMMETRIC
};
enum resize_round { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, ROUND_FLOOR, ROUND_CEIL };

/* Which fields an operator uses is said in op_table.c; the others are zero. */
struct attributes {
    int64_t kernel[2], strides[2], dilations[2]; /* height, width; in one dimension: width */
    int64_t pads[4]; /* top, left, bottom, right; explicit after shape inference */
    int64_t output_pads[2];
    int64_t groups;
    enum auto_pad auto_pad;
    bool ceil_mode, count_include_pad;
    float alpha, beta; /* Elu, Gemm, HardSigmoid, LeakyRelu; alpha: Resize's cubic coefficient */
    float epsilon;     /* of the normalisations */
    float low, high;   /* Clip; infinite when open */
    float fill;        /* Pad */
    bool trans_a, trans_b;
    bool keep_dims;
    bool reduce_none;     /* Reduce…: no axes means none, not all */
    bool allow_zero;      /* Reshape: 0 is a size, not a copy */
    bool softmax_flat;    /* opset < 13: all axes from `axis` on together */
    bool approximate;     /* Gelu by tanh */
    bool last_index;      /* ArgMax: of equal values the last */
    bool exclude_outside; /* Resize */
    enum dtype to;        /* Cast, QuantizeLinear */
    enum pad_mode pad_mode;
    enum resize_mode resize_mode;
    enum resize_origin resize_origin;
    enum resize_round resize_round;
    int64_t axis;
    /* Axes; or the permutation, the target of Reshape, Expand and Resize (-1 in the first of Expand
     * and Resize: the batch), the repeats of Tile; ConvTranspose: the wanted height and width, if any
     * are wanted. */
    int64_t axes[TENSOR_RANK_MAX];
    size_t axes_count;
    /* Slice: of axes[i], as in the file; after shape inference of every axis in order, starts and
     * ends inside the extent (backwards, the end before the first element is -extent - 1), the batch
     * as 0, INT64_MAX, 1. Pad: starts = elements before, ends =
     * after, of axes[i]; after shape inference of every axis. */
    int64_t starts[TENSOR_RANK_MAX], ends[TENSOR_RANK_MAX], steps[TENSOR_RANK_MAX];
    size_t starts_count;           /* of the three */
    float scales[TENSOR_RANK_MAX]; /* Resize; after shape inference of every axis */
    size_t scales_count;
};

/* A running program holds every value as float32: whole numbers (token ids, positions) and truth
 * values (0, 1) too, exact up to 2^24. `dtype` is what the file means by it. */
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
    uint32_t inputs[GRAPH_INPUTS_MAX]; /* the values that are fed: a sample is their elements as
                                          float32, side by side in this order */
    size_t input_count;
    uint32_t input;       /* inputs[0] */
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

/* A value that is fed: one more of `inputs`. */
enum status graph_add_input(struct graph *graph, const char *name, enum dtype dtype,
                            const struct shape *shape, uint32_t *out, struct error *err) MUST_CHECK;

/* Appends a node; its output is a new value (float32, shape still unknown: rank 0) called `output`.
 * Inputs must exist already, which keeps the order topological and the graph without cycles. */
enum status graph_add_node(struct graph *graph, enum op op, const char *name,
                           const uint32_t *inputs, size_t input_count, const char *output,
                           const struct attributes *attributes, uint32_t *out,
                           struct error *err) MUST_CHECK;

/* The last `count` nodes come first; they must read constants and each other only. */
void graph_rotate(struct graph *graph, size_t count);

/* Value by name, or GRAPH_NONE. */
uint32_t graph_find(const struct graph *graph, const char *name);

/* Has the batch axis? */
bool value_batched(const struct value *value);

/* Elements of one sample (batched) or of the whole value. Known after shape inference. */
size_t value_elements(const struct value *value);

#endif
