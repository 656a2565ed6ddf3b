/* One operator on its bench: forward against its oracle in double precision, backward against central
 * differences of that oracle.
 *
 * Tolerances, relative to the largest element: forward 2e-6 (a sum of up to 150 products in float32
 * stays below √150·2⁻²⁴ ≈ 7e-7 typically); backward 2e-5: central differences of a smooth double
 * function with h = 1e-5 err by h²·f'''/6 ≈ 1e-10 and 2⁻⁵³/h ≈ 1e-11, so that what remains is
 * float32 rounding in longer sums. Inputs are kept away from kinks by more than h. */
#ifndef GRAFT_TESTS_UNIT_OP_BENCH_H
#define GRAFT_TESTS_UNIT_OP_BENCH_H

#include "tests/unit/net_fixture.h"
#include "tests/unit/op_oracle.h"

#define FORWARD_TOLERANCE 2e-6
#define BACKWARD_TOLERANCE 2e-5
#define STEP 1e-5
#define INPUTS 5
#define BATCH 3

struct bench {
    struct net net;
    struct op_site site;
    struct sites sites;
    struct onednn dnn;
    size_t elements[INPUTS], outputs;
    float *x[INPUTS], *dx[INPUTS], *y, *dy, *scratch;
    double *wide[INPUTS], *wide_y;
};

/* Away from 0, ±3, 1, … where clip, relu and their kin have kinks. */
static inline float bench_draw(size_t index)
{
    return roundf(net_random(index) * 512) / 512 + 1 / 2048.0f;
}

/* Divisors, variances, bases of powers and what has a logarithm or root. */
static inline bool bench_positive(enum op op, size_t k)
{
    return (op == OP_DIV && k == 1) || (op == OP_BATCH_NORM && k == 4) ||
           ((op == OP_LOG || op == OP_SQRT || op == OP_POW) && k == 0) ||
           ((op == OP_QUANTIZE || op == OP_DEQUANTIZE) && k == 1);
}

/* Element i of input k: what the operator takes there. Comparisons meet equal values; extremes do
 * not. */
static inline float bench_value(const struct op_site *site, size_t k, size_t i)
{
    enum op op = site->node->op;
    float v = net_random(10000 * k + i);
    if (bench_positive(op, k))
        return 0.5f + fabsf(v);
    if (net_dtype(op, k) == DTYPE_BOOL)
        return v > 0 ? 1 : 0;
    if (net_dtype(op, k) == DTYPE_U8)
        return (float)((i * 37 + k) % 256);
    if (net_dtype(op, k) == DTYPE_I64) {
        int64_t extent = site->x_shape[0].dims[site->node->attributes.axis];
        return (float)((int64_t)(i * 7 + 3) % (2 * extent) - extent);
    }
    if (op == OP_EQUAL || op == OP_GREATER || op == OP_GREATER_OR_EQUAL || op == OP_LESS ||
        op == OP_LESS_OR_EQUAL)
        return roundf(v * 2);
    bool extreme = op == OP_MAX || op == OP_MIN || op == OP_REDUCE_MAX || op == OP_REDUCE_MIN;
    return extreme ? v : bench_draw(10000 * k + i);
}

/* The site of net.graph's one node, with memory and drawn inputs. */
static inline void bench_open(struct bench *bench, const bool *needs)
{
    struct error err;
    const struct node *node = &bench->net.graph->nodes[0];
    assert_int_equal(onednn_init(&bench->dnn, &err), OK);
    assert_int_equal(
        sites_init(&bench->sites, node, 1, bench->net.graph, needs, BATCH, &bench->dnn, &err), OK);
    bench->site = bench->sites.at[0];
    bench->outputs = op_elements(&bench->site.y_shape);
    bench->scratch = memory_alloc(bench->sites.scratch_elements, sizeof(float));
    bench->y = calloc(bench->outputs, sizeof(float));
    bench->dy = calloc(bench->outputs, sizeof(float));
    bench->wide_y = calloc(bench->outputs, sizeof(double));
    for (size_t i = 0; i < bench->outputs; i++)
        bench->dy[i] = net_random(5000 + i);
    for (size_t k = 0; k < node->input_count; k++) {
        size_t n = bench->elements[k] = op_elements(&bench->site.x_shape[k]);
        bench->x[k] = calloc(n, sizeof(float));
        bench->dx[k] = calloc(n, sizeof(float));
        bench->wide[k] = calloc(n, sizeof(double));
        for (size_t i = 0; i < n; i++) {
            bench->x[k][i] = bench_value(&bench->site, k, i);
            bench->dx[k][i] = NAN; /* whoever forgets one is seen */
        }
    }
}

static inline void bench_close(struct bench *bench)
{
    for (size_t k = 0; k < INPUTS; k++) {
        free(bench->x[k]);
        free(bench->dx[k]);
        free(bench->wide[k]);
    }
    free(bench->y);
    free(bench->dy);
    free(bench->wide_y);
    memory_free(bench->scratch);
    sites_deinit(&bench->sites);
    onednn_deinit(&bench->dnn);
    graph_destroy(&bench->net.graph);
    free(bench);
}

static inline void bench_forward(struct bench *bench)
{
    op_kernel(bench->site.node->op)
        ->forward(&bench->site, (const float *const *)bench->x, bench->y, bench->scratch);
}

static inline void bench_backward(struct bench *bench)
{
    op_kernel(bench->site.node->op)
        ->backward(&bench->site, (const float *const *)bench->x, bench->y, bench->dy, bench->dx,
                   bench->scratch);
}

static inline void check_forward(struct bench *bench)
{
    double most = 0, scale = 1e-12;
    bench_forward(bench);
    for (size_t k = 0; k < bench->site.input_count; k++)
        for (size_t i = 0; i < bench->elements[k]; i++)
            bench->wide[k][i] = (double)bench->x[k][i];
    oracle_forward(&bench->site, (const double *const *)bench->wide, bench->wide_y);
    for (size_t i = 0; i < bench->outputs; i++) {
        double off = fabs((double)bench->y[i] - bench->wide_y[i]);
        most = isnan(off) ? INFINITY : fmax(most, off);
        scale = fmax(scale, fabs(bench->wide_y[i]));
    }
    if (!(most / scale < FORWARD_TOLERANCE))
        fail_msg("%s forward: off by %g", op_table_row(bench->site.node->op)->type, most / scale);
}

static inline double bench_loss(struct bench *bench)
{
    double sum = 0;
    oracle_forward(&bench->site, (const double *const *)bench->wide, bench->wide_y);
    for (size_t i = 0; i < bench->outputs; i++)
        sum += bench->wide_y[i] * (double)bench->dy[i];
    return sum;
}

static inline double bench_slope(struct bench *bench, size_t k, size_t i)
{
    double kept = bench->wide[k][i];
    bench->wide[k][i] = kept + STEP;
    double above = bench_loss(bench);
    bench->wide[k][i] = kept - STEP;
    double below = bench_loss(bench);
    bench->wide[k][i] = kept;
    return (above - below) / (2 * STEP);
}

static inline void check_backward(struct bench *bench, size_t k)
{
    double most = 0, scale = 1e-12;
    size_t stride = 1 + bench->elements[k] / 97; /* large inputs by sample, to stay fast */
    for (size_t i = 0; i < bench->elements[k]; i += stride) {
        double expected = bench_slope(bench, k, i);
        double off = fabs((double)bench->dx[k][i] - expected);
        most = isnan(off) ? INFINITY : fmax(most, off);
        scale = fmax(scale, fabs(expected));
    }
    if (!(most / scale < BACKWARD_TOLERANCE))
        fail_msg("%s backward toward input %zu: off by %g",
                 op_table_row(bench->site.node->op)->type, k, most / scale);
}

/* A bench for one operator on inputs of these shapes (a first dimension of -1: the batch), its site
 * not open yet. */
static inline struct bench *bench_build(enum op op, const struct attributes *attributes,
                                        size_t count, const struct shape *shapes)
{
    struct bench *bench = calloc(1, sizeof *bench);
    uint32_t inputs[INPUTS], output;
    NET_OK(&bench->net, graph_create(&bench->net.graph, &bench->net.err));
    for (size_t k = 0; k < count; k++) {
        char name[32];
        snprintf(name, sizeof name, "x%zu", k);
        NET_OK(&bench->net, graph_add_value(bench->net.graph, name, net_dtype(op, k), &shapes[k],
                                            NULL, false, &inputs[k], &bench->net.err));
    }
    NET_OK(&bench->net, graph_add_node(bench->net.graph, op, "node", inputs, count, "y", attributes,
                                       &output, &bench->net.err));
    return bench;
}

/* The same, open, with a gradient toward every input that one passes to. */
static inline struct bench *bench_of(enum op op, const struct attributes *attributes, size_t count,
                                     const struct shape *shapes)
{
    const struct attributes usual = net_attributes(op);
    const bool needs[INPUTS + 1] = {true, true, true, true, true};
    struct bench *bench = bench_build(op, attributes == NULL ? &usual : attributes, count, shapes);
    NET_OK(&bench->net, shape_infer(bench->net.graph, &bench->net.err));
    bench_open(bench, needs);
    return bench;
}

/* What backward is said not to read is gone by then. */
static inline void bench_forget(struct bench *bench)
{
    for (size_t k = 0; k < bench->site.input_count; k++)
        for (size_t i = 0; i < bench->elements[k] && !op_reads(&bench->site, k); i++)
            bench->x[k][i] = NAN;
    for (size_t i = 0; i < bench->outputs && !op_reads(&bench->site, OP_OUTPUT); i++)
        bench->y[i] = NAN;
}

/* Both directions, toward every input that a gradient passes to; takes the bench-> */
static inline void bench_check(struct bench *bench)
{
    check_forward(bench);
    bench_forget(bench);
    if (op_kernel(bench->site.node->op)->backward != NULL)
        bench_backward(bench);
    for (size_t k = 0; k < bench->site.input_count; k++)
        if (op_table_differentiable(bench->site.node, k))
            check_backward(bench, k);
    bench_close(bench);
}

#define SHAPES(...)                                                                                \
    sizeof((struct shape[]){__VA_ARGS__}) / sizeof(struct shape), (struct shape[])                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define S net_shape

#define BENCH(op, attributes, ...) bench_of(op, attributes, SHAPES(__VA_ARGS__))

/* One operator on inputs of these shapes. */
#define CHECK_OP(op, attributes, ...) bench_check(BENCH(op, attributes, __VA_ARGS__))

/* Input k becomes these values. */
static inline void bench_set(struct bench *bench, size_t k, const float *values)
{
    memcpy(bench->x[k], values, bench->elements[k] * sizeof *values);
}

/* `count` values of got as expected, to the bit. */
static inline void expect_values(const float *got, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (got[i] != expected[i])
            fail_msg("element %zu: got %g, expected %g", i, (double)got[i], (double)expected[i]);
}
#define VALUES(...) ((const float[]){__VA_ARGS__})

#endif
