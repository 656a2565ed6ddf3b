/* A oneDNN primitive run on plain row-major tensors: operands go through reorders where the
 * primitive prefers a blocked layout, in scratch memory of the caller. For the head, whose values are plain; the trunk keeps blocked
 * layouts between nodes instead. */
#ifndef GRAFT_WORKER_ENGINE_ONEDNN_PASS_H
#define GRAFT_WORKER_ENGINE_ONEDNN_PASS_H

#include "worker/engine/onednn.h"

#define ONEDNN_OPERANDS_MAX 4

struct onednn_operand {
    int arg; /* DNNL_ARG_… */
    const struct onednn_layout *plain;
    bool output;
};

struct onednn_leg {
    int arg;
    bool output, turned; /* turned: the primitive wants another layout than the plain one … */
    size_t at;           /* … which lies here in the scratch memory, in bytes */
    struct onednn_call reorder;
};

struct onednn_pass {
    struct onednn_call call;
    struct onednn_leg legs[ONEDNN_OPERANDS_MAX];
    size_t leg_count;
    size_t scratch_bytes, scratchpad_at; /* the library's own scratchpad lies last */
};

/* Takes `desc`, made with dnn->frugal. On failure deinit is allowed, as on a zeroed struct. */
enum status onednn_pass_init(struct onednn_pass *pass, const struct onednn *dnn,
                             dnnl_primitive_desc_t desc, const struct onednn_operand *operands,
                             size_t count, struct error *err) MUST_CHECK;
/* data[i]: the plain tensor of operand i; scratch: scratch_bytes, aligned as by memory_alloc. */
void onednn_pass_run(struct onednn_pass *pass, const struct onednn *dnn, const float *const *data,
                     void *scratch);
void onednn_pass_deinit(struct onednn_pass *pass);

#endif
