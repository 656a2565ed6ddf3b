/* Each operator: forward against its oracle in double precision, backward against central
 * differences of that oracle.
 *
 * Tolerances, relative to the largest element: forward 2e-6 (a sum of up to 150 products in float32
 * stays below √150·2⁻²⁴ ≈ 7e-7 typically); backward 2e-5: central differences of a smooth double
 * function with h = 1e-5 err by h²·f'''/6 ≈ 1e-10 and 2⁻⁵³/h ≈ 1e-11, so that what remains is
 * float32 rounding in longer sums. Inputs are kept away from kinks by more than h. */
#include "tests/unit/net_fixture.h"
#include "tests/unit/op_oracle.h"

#define FORWARD_TOLERANCE 2e-6
#define BACKWARD_TOLERANCE 2e-5
#define STEP 1e-5
#define INPUTS 5

struct bench {
    struct op_site site;
    struct sites sites;
    struct onednn dnn;
    size_t elements[INPUTS], outputs;
    float *x[INPUTS], *dx[INPUTS], *y, *dy, *scratch;
    double *wide[INPUTS], *wide_y;
};

/* Away from 0, ±3, 1, … where clip, relu and their kin have kinks; positive for divisors and
 * variances. */
static float draw(size_t index, bool positive)
{
    float v = net_random(index);
    if (positive)
        return 0.5f + fabsf(v);
    return roundf(v * 512) / 512 + 1 / 2048.0f;
}

static void bench_open(struct bench *bench, const struct graph *graph, const bool *needs)
{
    struct error err;
    const struct node *node = &graph->nodes[0];
    assert_int_equal(onednn_init(&bench->dnn, &err), OK);
    assert_int_equal(sites_init(&bench->sites, node, 1, graph, needs, 3, &bench->dnn, &err), OK);
    bench->site = bench->sites.at[0];
    bench->outputs = op_elements(&bench->site.y_shape);
    bench->scratch = calloc(bench->sites.scratch_elements + 1, sizeof(float));
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
        bool positive = (node->op == OP_DIV && k == 1) || (node->op == OP_BATCH_NORM && k == 4);
        for (size_t i = 0; i < n; i++) {
            bench->x[k][i] = draw(10000 * k + i, positive);
            bench->wide[k][i] = (double)bench->x[k][i];
        }
    }
}

static void bench_close(struct bench *bench)
{
    for (size_t k = 0; k < INPUTS; k++) {
        free(bench->x[k]);
        free(bench->dx[k]);
        free(bench->wide[k]);
    }
    free(bench->y);
    free(bench->dy);
    free(bench->wide_y);
    free(bench->scratch);
    sites_deinit(&bench->sites);
    onednn_deinit(&bench->dnn);
}

static void check_forward(struct bench *bench)
{
    double most = 0, scale = 1e-12;
    op_kernel(bench->site.node->op)
        ->forward(&bench->site, (const float *const *)bench->x, bench->y, bench->scratch);
    oracle_forward(&bench->site, (const double *const *)bench->wide, bench->wide_y);
    for (size_t i = 0; i < bench->outputs; i++) {
        most = fmax(most, fabs((double)bench->y[i] - bench->wide_y[i]));
        scale = fmax(scale, fabs(bench->wide_y[i]));
    }
    if (!(most / scale < FORWARD_TOLERANCE))
        fail_msg("%s forward: off by %g", op_table_row(bench->site.node->op)->type, most / scale);
}

static double loss(struct bench *bench)
{
    double sum = 0;
    oracle_forward(&bench->site, (const double *const *)bench->wide, bench->wide_y);
    for (size_t i = 0; i < bench->outputs; i++)
        sum += bench->wide_y[i] * (double)bench->dy[i];
    return sum;
}

static double difference_quotient(struct bench *bench, size_t k, size_t i)
{
    double kept = bench->wide[k][i];
    bench->wide[k][i] = kept + STEP;
    double above = loss(bench);
    bench->wide[k][i] = kept - STEP;
    double below = loss(bench);
    bench->wide[k][i] = kept;
    return (above - below) / (2 * STEP);
}

static void check_backward(struct bench *bench, size_t k)
{
    double most = 0, scale = 1e-12;
    size_t stride = 1 + bench->elements[k] / 97; /* large inputs by sample, to stay fast */
    for (size_t i = 0; i < bench->elements[k]; i += stride) {
        double expected = difference_quotient(bench, k, i);
        most = fmax(most, fabs((double)bench->dx[k][i] - expected));
        scale = fmax(scale, fabs(expected));
    }
    if (!(most / scale < BACKWARD_TOLERANCE))
        fail_msg("%s backward toward input %zu: off by %g",
                 op_table_row(bench->site.node->op)->type, k, most / scale);
}

/* One operator on inputs of these shapes (the first dimension -1: batch), all gradients but running
 * statistics. */
static void check(enum op op, const struct attributes *attributes, size_t count, ...)
{
    struct net net = {0};
    struct bench bench = {0};
    uint32_t inputs[INPUTS], output;
    const struct attributes usual = net_attributes(op);
    va_list shapes;
    NET_OK(&net, graph_create(&net.graph, &net.err));
    va_start(shapes, count);
    for (size_t k = 0; k < count; k++) {
        char name[32];
        struct shape shape = va_arg(shapes, struct shape);
        snprintf(name, sizeof name, "x%zu", k);
        NET_OK(&net, graph_add_value(net.graph, name, DTYPE_F32, &shape, NULL, false, &inputs[k],
                                     &net.err));
    }
    va_end(shapes);
    NET_OK(&net, graph_add_node(net.graph, op, "node", inputs, count, "y",
                                attributes == NULL ? &usual : attributes, &output, &net.err));
    NET_OK(&net, shape_infer(net.graph, &net.err));
    bool needs[INPUTS + 1] = {true, true, true, op != OP_BATCH_NORM, op != OP_BATCH_NORM};
    bench_open(&bench, net.graph, needs);
    check_forward(&bench);
    float *dx[INPUTS];
    memcpy(dx, bench.dx, sizeof dx);
    op_kernel(op)->backward(&bench.site, (const float *const *)bench.x, bench.y, bench.dy, dx,
                            bench.scratch);
    for (size_t k = 0; k < count; k++)
        if (needs[k])
            check_backward(&bench, k);
    bench_close(&bench);
    graph_destroy(&net.graph);
}

static void arithmetic_broadcasts_like_numpy(void **state)
{
    (void)state;
    const enum op ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_DIV};
    for (size_t i = 0; i < 4; i++) {
        check(ops[i], NULL, 2, net_shape(4, -1, 4, 3, 5), net_shape(4, -1, 4, 3, 5));
        check(ops[i], NULL, 2, net_shape(4, -1, 4, 3, 5), net_shape(0));
        check(ops[i], NULL, 2, net_shape(1, 1), net_shape(4, -1, 4, 3, 5));
        check(ops[i], NULL, 2, net_shape(4, -1, 4, 3, 5), net_shape(3, 4, 1, 1));
        check(ops[i], NULL, 2, net_shape(4, -1, 4, 3, 5), net_shape(4, -1, 4, 1, 1));
        check(ops[i], NULL, 2, net_shape(4, -1, 1, 3, 1), net_shape(4, -1, 4, 1, 5));
        check(ops[i], NULL, 2, net_shape(2, -1, 1100), net_shape(1, 1100));
        check(ops[i], NULL, 2, net_shape(3, -1, 1, 1), net_shape(3, -1, 1, 1));
    }
}

static void activations_follow_their_formulas(void **state)
{
    (void)state;
    const enum op ops[] = {OP_RELU, OP_LEAKY_RELU,   OP_SIGMOID,
                           OP_TANH, OP_HARD_SIGMOID, OP_HARD_SWISH};
    struct attributes clip = net_attributes(OP_CLIP);
    clip.low = -0.7f;
    clip.high = 0.9f;
    for (size_t i = 0; i < 6; i++)
        check(ops[i], NULL, 1, net_shape(3, -1, 7, 9));
    check(OP_CLIP, &clip, 1, net_shape(2, -1, 50));
    check(OP_IDENTITY, NULL, 1, net_shape(2, -1, 50));
}

static struct attributes window(enum op op, int kernel, int stride, int pad, int dilation,
                                int groups)
{
    struct attributes a = net_attributes(op);
    a.groups = groups;
    for (size_t i = 0; i < 2; i++) {
        a.kernel[i] = kernel;
        a.strides[i] = stride;
        a.dilations[i] = dilation;
        a.pads[i] = a.pads[i + 2] = pad;
    }
    return a;
}

static void convolution_matches_its_definition(void **state)
{
    (void)state;
    struct attributes plain = window(OP_CONV, 3, 1, 1, 1, 1), far = window(OP_CONV, 3, 2, 2, 2, 1);
    struct attributes one = window(OP_CONV, 1, 1, 0, 1, 1),
                      grouped = window(OP_CONV, 3, 1, 1, 1, 2);
    check(OP_CONV, &plain, 3, net_shape(4, -1, 3, 5, 6), net_shape(4, 4, 3, 3, 3), net_shape(1, 4));
    check(OP_CONV, &plain, 2, net_shape(4, -1, 3, 5, 6), net_shape(4, 4, 3, 3, 3));
    check(OP_CONV, &far, 3, net_shape(4, -1, 3, 7, 8), net_shape(4, 4, 3, 3, 3), net_shape(1, 4));
    check(OP_CONV, &one, 3, net_shape(4, -1, 17, 3, 4), net_shape(4, 18, 17, 1, 1),
          net_shape(1, 18));
    check(OP_CONV, &grouped, 3, net_shape(4, -1, 4, 5, 5), net_shape(4, 6, 2, 3, 3),
          net_shape(1, 6));
    far.pads[0] = 0;
    far.pads[3] = 1;
    far.strides[1] = 1;
    check(OP_CONV, &far, 3, net_shape(4, -1, 3, 7, 8), net_shape(4, 4, 3, 3, 3), net_shape(1, 4));
}

static void depthwise_convolution_matches_its_definition(void **state)
{
    (void)state;
    struct attributes five = window(OP_CONV, 5, 1, 2, 1, 18),
                      strided = window(OP_CONV, 3, 2, 1, 1, 16);
    struct attributes wide = window(OP_CONV, 3, 1, 2, 2, 4),
                      uneven = window(OP_CONV, 3, 2, 0, 1, 5);
    check(OP_CONV, &five, 3, net_shape(4, -1, 18, 3, 6), net_shape(4, 18, 1, 5, 5),
          net_shape(1, 18));
    check(OP_CONV, &strided, 3, net_shape(4, -1, 16, 6, 5), net_shape(4, 16, 1, 3, 3),
          net_shape(1, 16));
    check(OP_CONV, &wide, 2, net_shape(4, -1, 4, 5, 6), net_shape(4, 4, 1, 3, 3));
    uneven.pads[1] = 1;
    uneven.strides[0] = 1;
    check(OP_CONV, &uneven, 3, net_shape(4, -1, 5, 4, 7), net_shape(4, 5, 1, 3, 3),
          net_shape(1, 5));
}

static void pooling_matches_its_definition(void **state)
{
    (void)state;
    for (int include = 0; include < 2; include++) {
        struct attributes a = window(OP_AVERAGE_POOL, 3, 2, 1, 1, 1);
        a.count_include_pad = include == 1;
        check(OP_AVERAGE_POOL, &a, 1, net_shape(4, -1, 2, 6, 7));
        a.ceil_mode = true;
        check(OP_AVERAGE_POOL, &a, 1, net_shape(4, -1, 2, 6, 8));
    }
    struct attributes most = window(OP_MAX_POOL, 2, 2, 0, 1, 1),
                      far = window(OP_MAX_POOL, 2, 1, 1, 2, 1);
    check(OP_MAX_POOL, &most, 1, net_shape(4, -1, 2, 6, 7));
    check(OP_MAX_POOL, &far, 1, net_shape(4, -1, 2, 5, 6));
    check(OP_GLOBAL_AVERAGE_POOL, NULL, 1, net_shape(4, -1, 3, 5, 6));
}

static void means_reduce_the_named_axes(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_REDUCE_MEAN);
    a.axes_count = 2;
    a.axes[0] = 1;
    a.axes[1] = -1;
    check(OP_REDUCE_MEAN, &a, 1, net_shape(4, -1, 3, 4, 5));
    a.keep_dims = false;
    a.axes_count = 1;
    a.axes[0] = 2;
    check(OP_REDUCE_MEAN, &a, 1, net_shape(4, -1, 3, 4, 5));
}

static void products_match_their_definition(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct attributes a = net_attributes(OP_GEMM);
        a.alpha = 0.5f;
        a.beta = 2;
        a.trans_a = i / 2 == 1;
        a.trans_b = i % 2 == 1;
        struct shape left = a.trans_a ? net_shape(2, 6, 3) : net_shape(2, -1, 6);
        struct shape right = a.trans_b ? net_shape(2, 5, 6) : net_shape(2, 6, 5);
        check(OP_GEMM, &a, 3, left, right, net_shape(1, 5));
        check(OP_GEMM, &a, 3, left, right, net_shape(0));
        check(OP_GEMM, &a, 2, left, right);
    }
    check(OP_MATMUL, NULL, 2, net_shape(3, -1, 4, 6), net_shape(2, 6, 5));
    check(OP_MATMUL, NULL, 2, net_shape(2, -1, 6), net_shape(2, 6, 5));
}

static void normalisation_matches_its_definition(void **state)
{
    (void)state;
    struct attributes softmax = net_attributes(OP_SOFTMAX);
    struct shape c = net_shape(1, 4);
    check(OP_BATCH_NORM, NULL, 5, net_shape(4, -1, 4, 3, 2), c, c, c, c);
    check(OP_BATCH_NORM, NULL, 5, net_shape(2, -1, 4), c, c, c, c);
    check(OP_SOFTMAX, &softmax, 1, net_shape(3, -1, 3, 7));
    softmax.axis = 1;
    check(OP_SOFTMAX, &softmax, 1, net_shape(3, -1, 3, 7));
    softmax.softmax_flat = true;
    check(OP_SOFTMAX, &softmax, 1, net_shape(3, -1, 3, 7));
}

static void moving_data_moves_gradients_back(void **state)
{
    (void)state;
    struct attributes turn = net_attributes(OP_TRANSPOSE), join = net_attributes(OP_CONCAT);
    const int64_t order[] = {0, 3, 1, 2};
    memcpy(turn.axes, order, sizeof order);
    turn.axes_count = 4;
    check(OP_TRANSPOSE, &turn, 1, net_shape(4, -1, 3, 4, 5));
    check(OP_CONCAT, &join, 3, net_shape(3, -1, 2, 4), net_shape(3, -1, 3, 4),
          net_shape(3, -1, 1, 4));
    join.axis = -1;
    check(OP_CONCAT, &join, 2, net_shape(3, -1, 2, 4), net_shape(3, -1, 2, 3));
    check(OP_FLATTEN, NULL, 1, net_shape(4, -1, 3, 2, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_broadcasts_like_numpy),
        cmocka_unit_test(activations_follow_their_formulas),
        cmocka_unit_test(convolution_matches_its_definition),
        cmocka_unit_test(depthwise_convolution_matches_its_definition),
        cmocka_unit_test(pooling_matches_its_definition),
        cmocka_unit_test(means_reduce_the_named_axes),
        cmocka_unit_test(products_match_their_definition),
        cmocka_unit_test(normalisation_matches_its_definition),
        cmocka_unit_test(moving_data_moves_gradients_back),
    };
    return cmocka_run_group_tests_name("head operators", tests, NULL, NULL);
}
