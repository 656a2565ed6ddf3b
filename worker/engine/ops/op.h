/* One operator, forward and backward, on plain row-major float32 tensors. One family a file; the
 * table is op_kernels.c. `x` is an input, `y` the output, dx = ∂(sum of losses)/∂x.
 *
 * A site is one node at its place in a program: shapes with the batch filled in, which gradients
 * are wanted, and what the kernel prepared. forward overwrites y. backward OVERWRITES every wanted
 * dx[i] (the tape adds where a value has several users). Both are deterministic, allocate nothing
 * and read nothing but their arguments. */
#ifndef GRAFT_WORKER_ENGINE_OPS_OP_H
#define GRAFT_WORKER_ENGINE_OPS_OP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/model/graph.h"
#include "common/tensor/tensor.h"

struct onednn;

struct op_site {
    const struct node *node;
    size_t input_count;
    const struct shape
        *x_shape; /* [input_count]; rank 0 and no elements used where an input is left out */
    struct shape y_shape;
    const bool *wanted; /* [input_count]: will backward be asked for dx[i]? */
    const struct onednn *dnn;
    void *state; /* the kernel's own */
};

struct op_kernel {
    /* NULL: nothing to prepare. */
    enum status (*create)(struct op_site *site, struct error *err);
    void (*destroy)(struct op_site *site);
    /* Floats of scratch memory that forward and backward may use; NULL: none. */
    size_t (*scratch)(const struct op_site *site);
    void (*forward)(const struct op_site *site, const float *const *x, float *y, float *scratch);
    void (*backward)(const struct op_site *site, const float *const *x, const float *y,
                     const float *dy, float *const *dx, float *scratch);
};

const struct op_kernel *op_kernel(enum op op);

/* Elements of a shape that is known. */
size_t op_elements(const struct shape *shape);

#define OP_FORWARD(name)                                                                           \
    static void name(const struct op_site *site, const float *const *x, float *y, float *scratch)
#define OP_BACKWARD(name)                                                                          \
    static void name(const struct op_site *site, const float *const *x, const float *y,            \
                     const float *dy, float *const *dx, float *scratch)

/* For loops that vectorise: compiled for several instruction sets, chosen at load. Lanes are
 * independent and contraction is off, so the bits do not depend on the choice. Sanitizers run
 * before loader resolvers may. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define OP_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define OP_CLONES
#endif

extern const struct op_kernel op_add, op_sub, op_mul, op_div; /* arithmetic.c */
extern const struct op_kernel op_clip, op_relu, op_leaky_relu, op_sigmoid, op_tanh, op_hard_sigmoid,
    op_hard_swish;
extern const struct op_kernel op_conv;            /* conv.c */
extern const struct op_kernel op_gemm, op_matmul; /* matmul.c */
extern const struct op_kernel op_average_pool, op_max_pool, op_global_average_pool,
    op_reduce_mean;                                             /* pool.c */
extern const struct op_kernel op_batch_norm, op_softmax;        /* norm.c */
extern const struct op_kernel op_copy, op_concat, op_transpose; /* move.c */

#endif
