/* oneDNN behind one door: the only header that includes dnnl.h (2.6, the C API of version 2). An
 * engine and an in-order stream on this thread's CPU; calls (one primitive with the memories it
 * runs on); passes (a primitive between plain row-major tensors, with reorders where it wants
 * another layout). Creation may allocate and fail; running cannot fail (a failure there is ours:
 * CHECK). One owner thread. */
#ifndef GRAFT_WORKER_ENGINE_ONEDNN_H
#define GRAFT_WORKER_ENGINE_ONEDNN_H

#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/tensor/tensor.h"

#define ONEDNN_ARGS_MAX 8

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

/* Errors: ERR_MEMORY. After a failure deinit is allowed, as on a zeroed struct. */
enum status onednn_init(struct onednn *out, struct error *err) MUST_CHECK;
void onednn_deinit(struct onednn *dnn);

/* A library status as one of ours, `what` failed. */
enum status onednn_check(dnnl_status_t status, const char *what, struct error *err);

/* Row-major float32 of a known shape; rank 0 as one element. False: the library does not take it.
 */
bool onednn_plain(const struct shape *shape, dnnl_memory_desc_t *out);
/* The same shape in the layout the library likes best. */
bool onednn_any(const struct shape *shape, dnnl_memory_desc_t *out);
size_t onednn_bytes(const dnnl_memory_desc_t *desc);
bool onednn_same(const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b);
/* A primitive descriptor of an operation descriptor; attr may be NULL. */
enum status onednn_describe(const struct onednn *dnn, const void *operation,
                            dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint,
                            const char *what, dnnl_primitive_desc_t *out,
                            struct error *err) MUST_CHECK;

struct onednn_call {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[ONEDNN_ARGS_MAX];
    int arg_count;
};

/* Takes the descriptor (destroyed in any case). */
enum status onednn_call_init(struct onednn_call *call, dnnl_primitive_desc_t desc,
                             struct error *err) MUST_CHECK;
/* Adds an argument; `data` may be NULL and set later. */
enum status onednn_call_bind(struct onednn_call *call, const struct onednn *dnn, int arg,
                             const dnnl_memory_desc_t *desc, void *data,
                             struct error *err) MUST_CHECK;
void onednn_call_set(struct onednn_call *call, int arg, const void *data);
void onednn_call_run(const struct onednn_call *call, const struct onednn *dnn);
void onednn_call_deinit(struct onednn_call *call);
/* A copy from one layout to another, both unbound (DNNL_ARG_FROM, DNNL_ARG_TO). */
enum status onednn_call_reorder(struct onednn_call *call, const struct onednn *dnn,
                                const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                                struct error *err) MUST_CHECK;

#endif
