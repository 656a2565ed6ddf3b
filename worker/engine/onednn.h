/* oneDNN behind one door: the only header that includes dnnl.h, and onednn.c the only file that
 * knows what versions 2 (2.6) and 3 of its C API do differently. An engine and an in-order stream on
 * this thread's CPU; layouts; operations, from which the library makes a primitive's descriptor;
 * calls (one primitive with the memories it runs on). Creation may allocate and fail; running cannot
 * fail (a failure there is ours: CHECK). One owner thread. */
#ifndef GRAFT_WORKER_ENGINE_ONEDNN_H
#define GRAFT_WORKER_ENGINE_ONEDNN_H

#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/model/graph.h"
#include "common/tensor/tensor.h"

#define ONEDNN_ARGS_MAX 8

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t frugal;  /* attributes: scratch memory is the caller's */
    struct onednn_layout *layouts; /* all that were made; the first is none, so that a const struct
                                      onednn can add */
};

/* Errors: ERR_MEMORY. After a failure deinit is allowed, as on a zeroed struct. */
enum status onednn_init(struct onednn *out, struct error *err) MUST_CHECK;
void onednn_deinit(struct onednn *dnn);

/* A library status as one of ours, `what` failed. */
enum status onednn_check(dnnl_status_t status, const char *what, struct error *err);

/* How a tensor lies in memory: of float32 unless cast. Layouts live as long as `dnn`. NULL: the library does not
 * take the shape, or there is no memory; what is then made of it fails with ERR_SUPPORT. */
struct onednn_layout;

/* Row-major of a known shape; rank 0 as one element. */
const struct onednn_layout *onednn_plain(const struct onednn *dnn, const struct shape *shape);
const struct onednn_layout *onednn_strided(const struct onednn *dnn, const struct shape *shape,
                                           const int64_t *strides);
/* The strides of a row-major tensor. */
void onednn_strides(const struct shape *shape, dnnl_dims_t out);
/* What the library likes best; only for operations. */
const struct onednn_layout *onednn_any(const struct onednn *dnn, const struct shape *shape);
/* What a primitive wants for an argument (DNNL_ARG_…). */
const struct onednn_layout *onednn_wanted(const struct onednn *dnn,
                                          const_dnnl_primitive_desc_t desc, int arg);
/* A plain, strided or any layout's places with numbers of another type. */
const struct onednn_layout *onednn_cast(const struct onednn *dnn,
                                        const struct onednn_layout *layout, dnnl_data_type_t type);
dnnl_data_type_t onednn_type(const struct onednn_layout *layout);
size_t onednn_bytes(const struct onednn_layout *layout);
bool onednn_same(const struct onednn_layout *a, const struct onednn_layout *b);
/* b of a layout [N, C/b, H, W, b] without padded channels; 1: row-major, 0: something else. */
size_t onednn_channel_block(const struct onednn *dnn, const struct onednn_layout *layout,
                            const struct shape *shape);

/* A function of one element, as dnnl_eltwise_… with its parameters; dnnl_alg_kind_undef: none. */
struct onednn_element {
    dnnl_alg_kind_t kind;
    float alpha, beta;
};

/* Convolution, inner product, stack of products, pooling or element-wise function; fields that the kind has no use for
 * stay zero. */
struct onednn_operation {
    dnnl_primitive_kind_t kind;
    dnnl_prop_kind_t pass;
    const struct onednn_layout *x, *w, *y; /* or of their gradients */
    int64_t bias;                          /* its elements; 0: none */
    dnnl_dims_t strides, kernel, dilations, pads_near, pads_far;
    bool transforms; /* convolution: by Winograd's algorithm if the library has a kernel for it */
    dnnl_alg_kind_t pooling;
    struct onednn_element element;
    const_dnnl_primitive_desc_t forward; /* backward passes: of the forward one */
};

/* Groups are an axis of their own, [G, M/G, C/G, h, w]; the memory is the same as in ONNX. */
struct shape onednn_weight_shape(const struct shape *w, int64_t groups);
/* A convolution in the layouts the library likes best; w as in ONNX, [M, C/G, h, w]. */
struct onednn_operation onednn_convolution(const struct onednn *dnn, dnnl_prop_kind_t pass,
                                           const struct attributes *at, const struct shape *x,
                                           const struct shape *w, const struct shape *y, bool bias);
/* Strides, dilations, pads and kernel. */
void onednn_window(struct onednn_operation *operation, const struct attributes *at);

/* Descriptors are the caller's. attr may be NULL; `what` names the operation in errors. */
enum status onednn_describe(const struct onednn *dnn, const struct onednn_operation *operation,
                            dnnl_primitive_attr_t attr, const char *what,
                            dnnl_primitive_desc_t *out, struct error *err) MUST_CHECK;
/* Is it the library's plain loop, there for completeness and slow? */
bool onednn_is_reference(const_dnnl_primitive_desc_t desc);
/* Is it one product of all rows, where a row's bits may depend on its place among them? The newer
 * kernels (AVX-512) sum every row in the same order. */
bool onednn_mixes_rows(const_dnnl_primitive_desc_t desc);
/* A copy from one layout to another (DNNL_ARG_FROM, DNNL_ARG_TO). */
enum status onednn_describe_reorder(const struct onednn *dnn, const struct onednn_layout *from,
                                    const struct onednn_layout *to, dnnl_primitive_desc_t *out,
                                    struct error *err) MUST_CHECK;
/* Appends a function of one element or, for no function, the sum with what the output's memory
 * holds before. */
dnnl_status_t onednn_append(dnnl_post_ops_t posts, struct onednn_element element);

struct onednn_call {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[ONEDNN_ARGS_MAX];
    int arg_count;
};

/* Takes the descriptor (destroyed in any case). */
enum status onednn_call_init(struct onednn_call *call, dnnl_primitive_desc_t desc,
                             struct error *err) MUST_CHECK;
/* Adds an argument, in the layout that the primitive wants; `data` may be NULL and set later. */
enum status onednn_call_bind(struct onednn_call *call, const struct onednn *dnn, int arg,
                             void *data, struct error *err) MUST_CHECK;
void onednn_call_set(struct onednn_call *call, int arg, const void *data);
void onednn_call_run(const struct onednn_call *call, const struct onednn *dnn);
void onednn_call_deinit(struct onednn_call *call);
/* A reorder with both arguments unbound. */
enum status onednn_call_reorder(struct onednn_call *call, const struct onednn *dnn,
                                const struct onednn_layout *from, const struct onednn_layout *to,
                                struct error *err) MUST_CHECK;

#endif
