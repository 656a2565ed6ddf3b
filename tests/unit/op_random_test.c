/* Random nodes of every operator, most of them nonsense: either the rules refuse one with a reason, or
 * it runs and writes every element of its results. Out of bounds is for the address sanitizer to see. */
#include "tests/unit/op_bench.h"

#define TRIALS 3000
#define ELEMENTS_MAX ((size_t)20000)
#define UNWRITTEN 0x7fc12345u /* a NaN that no arithmetic makes */

static uint64_t draws;

static int64_t below(int64_t n)
{
    struct random_key key = {.seed = 99, .purpose = RANDOM_INIT, .index = draws++};
    return (int64_t)(random_bits(key, 0) % (uint64_t)n);
}

/* Mostly small, now and then absurd. */
static int64_t number(void)
{
    static const int64_t absurd[] = {INT64_MIN, INT64_MAX, INT32_MAX,
                                     -1000,     1000,      GRAPH_EXTENT_MAX};
    return below(40) == 0 ? absurd[below(6)] : below(9) - 3;
}

static struct shape random_shape(void)
{
    struct shape shape = {.rank = (size_t)(below(2) == 0 ? below(6) : 3 + below(2))};
    for (size_t i = 0; i < shape.rank; i++)
        shape.dims[i] = 1 + below(4);
    if (shape.rank > 0 && below(2) == 0)
        shape.dims[0] = -1;
    return shape;
}

static void random_windows(struct attributes *a)
{
    for (size_t i = 0; i < 2; i++) {
        a->kernel[i] = below(9) == 0 ? number() : below(3);
        a->strides[i] = below(9) == 0 ? number() : 1 + below(2);
        a->dilations[i] = below(9) == 0 ? number() : 1 + below(2);
        a->pads[i] = below(9) == 0 ? number() : below(2);
        a->pads[i + 2] = below(9) == 0 ? number() : below(2);
        a->output_pads[i] = below(9) == 0 ? number() : 0;
    }
    a->groups = below(4) == 0 ? number() : 1;
    a->auto_pad = (enum auto_pad)below(4);
}

static struct attributes random_attributes(enum op op)
{
    struct attributes a = net_attributes(op);
    random_windows(&a);
    a.axis = number();
    a.axes_count = below(2) == 0 ? 0 : (size_t)below(6);
    a.starts_count = below(4) == 0 ? (size_t)below(6) : a.axes_count;
    a.scales_count = (size_t)below(6);
    for (size_t i = 0; i < TENSOR_RANK_MAX; i++) {
        a.axes[i] = below(3) == 0 ? number() : (int64_t)i;
        a.starts[i] = number();
        a.ends[i] = number();
        a.steps[i] = number();
        a.scales[i] = (float)number() / 2;
    }
    bool *const flags[] = {&a.ceil_mode,  &a.count_include_pad, &a.trans_a,        &a.trans_b,
                           &a.keep_dims,  &a.reduce_none,       &a.allow_zero,     &a.softmax_flat,
                           &a.last_index, &a.approximate,       &a.exclude_outside};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        *flags[i] = below(2) == 0;
    a.to = (enum dtype)below(7);
    a.pad_mode = (enum pad_mode)below(4);
    a.resize_mode = (enum resize_mode)below(3);
    a.resize_origin = (enum resize_origin)below(4);
    a.resize_round = (enum resize_round)below(4);
    return a;
}

/* Shapes of the kind the operator wants are rare by chance: most follow the first. */
static struct shape random_companion(const struct shape *first)
{
    struct shape shape = *first;
    switch (below(5)) {
    case 0: /* one value per channel */
        return first->rank < 2 ? shape : (struct shape){.rank = 1, .dims = {first->dims[1]}};
    case 1: /* a weight: as many filters as channels */
        shape.dims[0] = first->rank < 2 ? 2 : first->dims[1];
        return shape;
    case 2: /* a matrix for the last axis */
        shape = (struct shape){.rank = 2, .dims = {1 + below(4), 1 + below(4)}};
        if (first->rank > 1)
            shape.dims[below(2)] = first->dims[first->rank - 1];
        return shape;
    case 3:
        return random_shape();
    default:
        return shape;
    }
}

static void random_inputs(struct shape *shapes, size_t count)
{
    shapes[0] = random_shape();
    for (size_t k = 1; k < count; k++)
        shapes[k] = k > 1 && below(2) == 0 ? shapes[1] : random_companion(&shapes[0]);
}

static void poison(float *values, size_t n)
{
    const uint32_t bits = UNWRITTEN;
    for (size_t i = 0; i < n; i++)
        memcpy(&values[i], &bits, sizeof bits);
}

static void expect_written(const struct bench *bench, const float *values, size_t n)
{
    const uint32_t bits = UNWRITTEN;
    for (size_t i = 0; i < n; i++)
        if (memcmp(&values[i], &bits, sizeof bits) == 0)
            fail_msg("%s left element %zu of %zu", op_table_row(bench->site.node->op)->type, i, n);
}

static bool is_small(const struct graph *graph)
{
    bool small = true;
    for (size_t i = 0; i < graph->value_count; i++)
        small &= value_elements(&graph->values[i]) < ELEMENTS_MAX;
    return small;
}

static const bool needs[INPUTS + 1] = {true, true, true, true, true};

/* oneDNN may refuse a convolution that the rules take (a pad far beyond the window). */
static bool is_taken(const struct graph *graph)
{
    struct onednn dnn;
    struct sites sites;
    struct error err;
    assert_int_equal(onednn_init(&dnn, &err), OK);
    enum status status = sites_init(&sites, graph->nodes, 1, graph, needs, BATCH, &dnn, &err);
    assert_true(status == OK || status == ERR_SUPPORT);
    sites_deinit(&sites);
    onednn_deinit(&dnn);
    return status == OK;
}

static void run(struct bench *bench)
{
    bench_open(bench, needs);
    const struct node *node = bench->site.node;
    poison(bench->y, bench->outputs);
    bench_forward(bench);
    expect_written(bench, bench->y, bench->outputs);
    assert_int_equal(sites_check(&bench->sites, NULL), OK);
    for (size_t k = 0; k < node->input_count; k++)
        poison(bench->dx[k], bench->elements[k]);
    if (op_kernel(node->op)->backward != NULL)
        bench_backward(bench);
    for (size_t k = 0; k < node->input_count; k++)
        if (op_table_differentiable(node, k))
            expect_written(bench, bench->dx[k], bench->elements[k]);
}

static size_t accepted_of(enum op op)
{
    size_t accepted = 0;
    const struct op_row *row = op_table_row(op);
    size_t most = row->inputs_max < 3 || op == OP_BATCH_NORM ? row->inputs_max : 3;
    for (size_t i = 0; i < TRIALS; i++) {
        struct shape shapes[INPUTS];
        size_t count = row->inputs_min + (size_t)below((int64_t)(most - row->inputs_min) + 1);
        struct attributes attributes = random_attributes(op);
        random_inputs(shapes, count);
        struct bench *bench = bench_build(op, &attributes, count, shapes);
        enum status status = shape_infer(bench->net.graph, &bench->net.err);
        if (status != OK)
            assert_non_null(strstr(bench->net.err.text, op_table_row(op)->type));
        bool runs = status == OK && is_small(bench->net.graph) && is_taken(bench->net.graph);
        accepted += runs;
        if (runs)
            run(bench);
        bench_close(bench);
    }
    return accepted;
}

static void every_node_is_refused_or_runs(void **state)
{
    (void)state;
    for (size_t op = 0; op < OP_COUNT; op++)
        if (accepted_of((enum op)op) < 20) /* else this says nothing about its kernel */
            fail_msg("hardly any %s was accepted", op_table_row((enum op)op)->type);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_is_refused_or_runs),
    };
    return cmocka_run_group_tests_name("random nodes", tests, NULL, NULL);
}
