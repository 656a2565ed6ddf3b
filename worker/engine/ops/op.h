/* One operator, forward and backward, on plain row-major float32 tensors. One family a file; the
 * table is op_kernels.c. `x` is an input, `y` the output, dx = ∂(sum of losses)/∂x.
 *
 * A site is one node at its place in a program: shapes with the batch filled in, which gradients
 * are wanted, and what the kernel prepared. forward overwrites y. backward OVERWRITES every wanted
 * dx[i] (the tape adds where a value has several users). Both are deterministic, allocate nothing
 * and read nothing but their arguments.
 * Where op_table_differentiable says that no gradient passes, none is asked for. */
#ifndef GRAFT_WORKER_ENGINE_OPS_OP_H
#define GRAFT_WORKER_ENGINE_OPS_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/graph.h"
#include "common/tensor/tensor.h"

struct onednn;

/* The one thing about a run that the data can get wrong: an index outside its axis. A kernel writes
 * the first one down, takes element 0 instead, and whoever runs the program ends the run with it. */
struct op_fault {
    const struct node *node; /* NULL: none */
    float index;
    size_t extent;
};

/* What a program is being run for; kernels whose samples influence each other ask. */
struct op_run {
    bool learns;    /* forward for a backward, or that; else prediction */
    size_t samples; /* of the batch, the first ones; the rest fill it up */
};

struct op_site {
    const struct node *node;
    size_t input_count;
    const struct shape
        *x_shape; /* [input_count]; rank 0 and no elements used where an input is left out */
    struct shape y_shape;
    const bool *wanted; /* [input_count]: will backward be asked for dx[i]? */
    const struct onednn *dnn;
    struct op_fault *fault; /* shared by the sites of a program, like … */
    const struct op_run *run;
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

/* Does backward of the site read this input's values, or those of OP_OUTPUT? What it does not read may
 * be gone by then (its pointers still point somewhere). */
#define OP_OUTPUT SIZE_MAX
bool op_reads(const struct op_site *site, size_t port);

/* Does BatchNormalization at this site normalise by the micro-batch's own statistics in this run? Its
 * backward then writes count·mean and count·variance where it is asked for `dx` of the running ones:
 * a sum over samples like any gradient. */
bool op_by_batch(const struct op_site *site);

/* Elements of a shape that is known. */
size_t op_elements(const struct shape *shape);

/* What a window slides over: [N, C, W] as a picture of height 1 (a weight the same), four axes as they
 * are. */
struct shape op_picture(const struct shape *shape);

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

/* activation.c */
extern const struct op_kernel op_clip, op_elu, op_gelu, op_hard_sigmoid, op_hard_swish,
    op_leaky_relu, op_relu, op_sigmoid, op_softplus, op_tanh;
/* arithmetic.c */
extern const struct op_kernel op_add, op_div, op_mul, op_pow, op_sub;
/* choose.c */
extern const struct op_kernel op_max, op_min, op_prelu, op_where;
/* compare.c */
extern const struct op_kernel op_and, op_equal, op_greater, op_greater_or_equal, op_less,
    op_less_or_equal, op_or;
/* conv.c, conv_transpose.c */
extern const struct op_kernel op_conv, op_conv_transpose;
/* function.c */
extern const struct op_kernel op_abs, op_cast, op_erf, op_exp, op_log, op_neg, op_not, op_sqrt;
/* gather.c */
extern const struct op_kernel op_gather, op_gather_elements;
/* gemm.c, matmul.c */
extern const struct op_kernel op_gemm, op_matmul;
/* move.c */
extern const struct op_kernel op_concat, op_copy, op_transpose;
/* norm.c, normalise.c */
extern const struct op_kernel op_batch_norm, op_group_norm, op_instance_norm, op_layer_norm;
/* pick.c */
extern const struct op_kernel op_expand, op_pad, op_slice, op_tile;
/* pool.c, global_pool.c */
extern const struct op_kernel op_average_pool, op_global_average_pool, op_global_max_pool,
    op_max_pool;
/* quantize.c */
extern const struct op_kernel op_dequantize, op_quantize;
/* reduce.c */
extern const struct op_kernel op_arg_max, op_reduce_l2, op_reduce_max, op_reduce_mean,
    op_reduce_min, op_reduce_sum;
/* resize.c */
extern const struct op_kernel op_resize;
/* softmax.c */
extern const struct op_kernel op_log_softmax, op_softmax;

#endif
