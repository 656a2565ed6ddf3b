/* Fusion: the trunk's nodes as few, fat steps. What is folded:
 *   batch norm, scalar and per-channel Mul/Add/Sub/Div after a convolution or dense layer → its
 * weights and bias (scalars also across what only moves data); activations, scalar affines after
 * activations, residual sums → post operations, applied in registers; a 1×1 convolution of a 1×1
 * picture, a product of rows of any rank with a constant matrix → dense layer; what changes only
 * shape or order of axes → a view of the same memory. Everything else stays one node a step. Only
 * values that nobody else reads are swallowed. Weights are copies, owned by the fusion. */
#ifndef GRAFT_WORKER_ENGINE_FUSE_H
#define GRAFT_WORKER_ENGINE_FUSE_H

#include "common/base/error.h"
#include "worker/engine/constants.h"
#include "worker/engine/program.h"

#define FUSED_POSTS_MAX 8

enum fused_kind {
    FUSED_CONV,   /* weight [M, C/groups, kh, kw], bias [M], posts */
    FUSED_DENSE,  /* y […, M] = x […, K]·weightᵀ [M, K] + bias, posts */
    FUSED_MATMUL, /* y [B…, R, M] = x [B…, R, K] · other [B…, K, M], posts but no sum */
    FUSED_VIEW,   /* the input's elements under another shape or, by Transpose, order of axes */
    FUSED_POOL,   /* average, maximum, global average; no posts */
    FUSED_CHAIN,  /* posts only, element by element */
    FUSED_SCALE,  /* x [N, C, H, W] · other [N, C, 1, 1] */
    FUSED_NODE,   /* the operator's kernel on plain tensors */
};

enum post_kind {
    POST_LINEAR, /* alpha·v + beta */
    POST_RELU,   /* v > 0 ? v : alpha·v */
    POST_CLIP,   /* between alpha and beta */
    POST_HARD_SWISH,
    POST_SIGMOID,
    POST_TANH,
    POST_GELU,
    POST_GELU_TANH,
    POST_ADD, /* v + other, of the same shape */
};

struct post {
    enum post_kind kind;
    float alpha, beta;
    uint32_t other; /* value, POST_ADD only */
};

struct fused {
    enum fused_kind kind;
    const struct node *node; /* the first one; borrowed from the program */
    uint32_t input, other, output;
    float *weight, *bias;
    size_t channels, taps; /* M; weights per output channel */
    struct post posts[FUSED_POSTS_MAX];
    size_t post_count;
};

struct fusion {
    struct fused *at;
    size_t count;
};

/* Errors: ERR_MEMORY. On failure deinit is allowed, as on a zeroed struct. */
enum status fuse_init(struct fusion *fusion, const struct program *program,
                      const struct constants *constants, struct error *err) MUST_CHECK;
void fuse_deinit(struct fusion *fusion);

#endif
