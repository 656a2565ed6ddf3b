/* Files that move the batch, merge it with another axis or write it as a number: the graph keeps it
 * first, computes the same, and refuses what would mix samples. */
#include "tests/unit/net_fixture.h"
#include "tests/unit/onnx_fixture.h"

#define BATCH 3
#define PICTURE 48 /* elements of a sample of x, [3, 4, 4] */

/* Input x [batch, 3, 4, 4], output y, constants as the tests need them. */
static void open(struct onnx_fixture *f, int64_t batch)
{
    const int64_t x[] = {batch, 3, 4, 4}, w[] = {4, 4};
    onnx_fixture_open(f, 13);
    onnx_fixture_port(f, true, "x", 4, x);
    onnx_fixture_port(f, false, "y", 0, NULL);
    onnx_fixture_initializer(f, onnx_fixture_floats(f, "w", 2, w));
    onnx_fixture_number(f, "i0", 0);
    onnx_fixture_number(f, "i1", 1);
    onnx_fixture_numbers(f, "l0", 1, (const int64_t[]){0});
    onnx_fixture_numbers(f, "l1", 1, (const int64_t[]){1});
    onnx_fixture_numbers(f, "open3", 3, (const int64_t[]){-1, 4, 4});
    onnx_fixture_numbers(f, "back", 4, (const int64_t[]){-1, 3, 4, 4});
    onnx_fixture_numbers(f, "flat", 1, (const int64_t[]){-1});
}

static Onnx__NodeProto *transpose(struct onnx_fixture *f, const char *x, const char *y, size_t rank,
                                  const int64_t *order)
{
    Onnx__NodeProto *node = onnx_fixture_node(f, "Transpose", x, y);
    onnx_fixture_ints(f, node, "perm", rank, order);
    return node;
}

/* The graph's output for BATCH samples of x; element of sample n at [i, j, k] of [3, 4, 4]. */
struct outcome {
    struct net_values values;
    float *x;
    const float *y;
    struct graph *graph;
};

static struct outcome evaluate(struct onnx_fixture *f)
{
    struct outcome outcome = {.graph = onnx_fixture_accept(f, ""),
                              .x = net_inputs(BATCH * PICTURE)};
    assert_true(value_batched(&outcome.graph->values[outcome.graph->output]));
    outcome.values = net_evaluate(outcome.graph, outcome.x, BATCH, NULL);
    outcome.y = outcome.values.data[outcome.graph->output];
    return outcome;
}

static void finish(struct outcome *outcome)
{
    net_release(&outcome->values);
    free(outcome->x);
    graph_destroy(&outcome->graph);
}

static size_t at(size_t n, size_t i, size_t j, size_t k)
{
    return n * PICTURE + i * 16 + j * 4 + k;
}

static void a_moved_batch_comes_back_with_one_index(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t order[] = {1, 0, 3, 2};
    open(&f, -1);
    transpose(&f, "x", "t", 4, order);
    onnx_fixture_node(&f, "Gather", "t i1", "y");
    struct outcome o = evaluate(&f);
    for (size_t n = 0; n < BATCH; n++)
        for (size_t k = 0; k < 16; k++)
            assert_true(o.y[n * 16 + k] == o.x[at(n, 1, k % 4, k / 4)]);
    finish(&o);
}

/* q, k, v = x.permute(2, 0, 1, 3).unbind(0) */
static void a_moved_batch_comes_back_with_a_part(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t order[] = {2, 0, 1, 3};
    open(&f, -1);
    transpose(&f, "x", "t", 4, order);
    Onnx__NodeProto *split = onnx_fixture_node(&f, "Split", "t", "q");
    char *outputs[] = {split->output[0], onnx_fixture_text(&f, "k")};
    split->output = outputs;
    split->n_output = 2;
    onnx_fixture_node(&f, "Slice", "k l1 flat2 l0", "s");
    onnx_fixture_numbers(&f, "flat2", 1, (const int64_t[]){2});
    onnx_fixture_node(&f, "Squeeze", "s l0", "y");
    struct outcome o = evaluate(&f);
    for (size_t n = 0; n < BATCH; n++)
        for (size_t k = 0; k < 12; k++)
            assert_true(o.y[n * 12 + k] == o.x[at(n, k / 4, 3, k % 4)]);
    finish(&o);
}

static void two_moves_are_one(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t there[] = {1, 2, 0, 3}, back[] = {2, 1, 3, 0};
    open(&f, -1);
    transpose(&f, "x", "t", 4, there);
    transpose(&f, "t", "y", 4, back);
    struct outcome o = evaluate(&f);
    assert_int_equal(o.graph->node_count, 1);
    for (size_t n = 0; n < BATCH; n++)
        for (size_t k = 0; k < PICTURE; k++)
            assert_true(o.y[n * PICTURE + k] == o.x[at(n, k % 3, k / 12, k / 3 % 4)]);
    finish(&o);
}

static void a_moved_batch_may_not_be_used_otherwise(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t order[] = {1, 0, 2, 3};
    open(&f, -1);
    transpose(&f, "x", "t", 4, order);
    onnx_fixture_node(&f, "GlobalMaxPool", "t", "y");
    onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "the batch in another place");
    open(&f, -1);
    transpose(&f, "x", "t", 4, order);
    onnx_fixture_node(&f, "Relu", "t", "y");
    onnx_fixture_refuse(&f, ERR_SUPPORT, "tensor y", "the batch in another place");
    open(&f, -1);
    transpose(&f, "x", "t", 4, order);
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Gather", "t i0", "y"), "axis", 1);
    onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "which is the batch");
}

static void merged_rows_are_worked_on_apart(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t turn[] = {0, 2, 1};
    open(&f, -1);
    onnx_fixture_node(&f, "Reshape", "x open3", "r");
    transpose(&f, "r", "t", 3, turn);
    onnx_fixture_node(&f, "MatMul", "t w", "m");
    onnx_fixture_node(&f, "Mul", "m r", "p");
    onnx_fixture_node(&f, "Reshape", "p back", "y");
    struct outcome o = evaluate(&f);
    const float *w = o.graph->values[graph_find(o.graph, "w")].data;
    for (size_t e = 0; e < BATCH * PICTURE; e++) {
        size_t n = e / PICTURE, i = e / 16 % 3, j = e / 4 % 4, k = e % 4;
        float sum = 0;
        for (size_t l = 0; l < 4; l++)
            sum += o.x[at(n, i, l, j)] * w[l * 4 + k];
        assert_float_equal(o.y[e], sum * o.x[e], 1e-6);
    }
    finish(&o);
}

static void merged_rows_may_not_be_summed(void **state)
{
    (void)state;
    struct onnx_fixture f;
    open(&f, -1);
    onnx_fixture_node(&f, "Reshape", "x open3", "r");
    onnx_fixture_node(&f, "ReduceSum", "r l0", "y");
    onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "merged");
    open(&f, -1);
    onnx_fixture_node(&f, "Reshape", "x open3", "r");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Softmax", "r", "y"), "axis", 0);
    onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "along axis 0");
    open(&f, -1); /* samples of 48 do not make rows of 5 */
    onnx_fixture_numbers(&f, "fives", 2, (const int64_t[]){-1, 5});
    onnx_fixture_node(&f, "Reshape", "x fives", "y");
    onnx_fixture_refuse(&f, ERR_INPUT, "node_y", "number of elements");
}

/* x.reshape(-1)[n · 48 + (45, 0, 7)], as masks are looked up; `beyond` is added to the indexes. */
static void look_up(struct onnx_fixture *f, int64_t beyond)
{
    open(f, -1);
    onnx_fixture_numbers(f, "extent", 1, (const int64_t[]){PICTURE});
    onnx_fixture_numbers(f, "own", 3, (const int64_t[]){45 + beyond, beyond, 7 + beyond});
    onnx_fixture_node(f, "Shape", "x", "s");
    onnx_fixture_node(f, "Gather", "s i0", "n");
    onnx_fixture_node(f, "Range", "i0 n i1", "samples");
    onnx_fixture_node(f, "Unsqueeze", "samples l1", "column");
    onnx_fixture_node(f, "Mul", "column extent", "rows");
    onnx_fixture_node(f, "Add", "rows own", "indexes");
    onnx_fixture_node(f, "Reshape", "x flat", "r");
    onnx_fixture_node(f, "Gather", "r indexes", "y");
}

static void a_lookup_stays_in_its_sample(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const size_t own[] = {45, 0, 7};
    look_up(&f, 0);
    struct outcome o = evaluate(&f);
    for (size_t n = 0; n < BATCH; n++)
        for (size_t k = 0; k < 3; k++)
            assert_true(o.y[n * 3 + k] == o.x[n * PICTURE + own[k]]);
    finish(&o);
    look_up(&f, 3);
    onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "from one sample into another");
    look_up(&f, -1);
    onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "from one sample into another");
}

static void a_fixed_batch_is_the_batch(void **state)
{
    (void)state;
    static const int64_t batches[] = {1, 2, 7};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        struct onnx_fixture f;
        const int64_t target[] = {batches[i], 12, 4};
        open(&f, batches[i]);
        onnx_fixture_numbers(&f, "target", 3, target);
        onnx_fixture_node(&f, "Reshape", "x target", "y");
        struct outcome o = evaluate(&f);
        assert_memory_equal(o.y, o.x, BATCH * PICTURE * sizeof *o.x);
        assert_int_equal(o.graph->nodes[0].attributes.axes[0], 0);
        finish(&o);
    }
    struct onnx_fixture f;
    open(&f, 7);
    onnx_fixture_numbers(&f, "other", 3, (const int64_t[]){12, 7, 4});
    onnx_fixture_node(&f, "Reshape", "x other", "y");
    onnx_fixture_refuse(&f, ERR_SUPPORT, "node_y", "batch");
}

/* A class token written for the file's one sample joins every sample. */
static void parts_of_a_fixed_batch_join_each_sample(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t token[] = {1, 1, 4, 4};
    open(&f, 1);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "token", 4, token));
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Concat", "token x", "y"), "axis", 1);
    struct outcome o = evaluate(&f);
    const float *from = o.graph->values[graph_find(o.graph, "token")].data;
    for (size_t n = 0; n < BATCH; n++) {
        assert_memory_equal(o.y + n * 64, from, 16 * sizeof *from);
        assert_memory_equal(o.y + n * 64 + 16, o.x + n * PICTURE, PICTURE * sizeof *from);
    }
    assert_true(o.graph->values[graph_find(o.graph, "token")].parameter);
    finish(&o);
}

/* What PyTorch's attention does to [N, L, d]: the length first, heads merged into the batch, rows
 * merged for a last product, and back. x is [N, 12, 4]: two heads of 2. */
static void rows_of_heads_come_back(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t swap[] = {1, 0, 2}, out[] = {0, 2, 1};
    const int64_t x[] = {-1, 12, 4}, w[] = {4, 4};
    onnx_fixture_open(&f, 13);
    onnx_fixture_port(&f, true, "x", 3, x);
    onnx_fixture_port(&f, false, "y", 0, NULL);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "w", 2, w));
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "b", 1, w));
    onnx_fixture_number(&f, "i0", 0);
    onnx_fixture_numbers(&f, "l0", 1, (const int64_t[]){0});
    onnx_fixture_numbers(&f, "l2", 1, (const int64_t[]){2});
    onnx_fixture_numbers(&f, "l4", 1, (const int64_t[]){4});
    onnx_fixture_numbers(&f, "l12", 1, (const int64_t[]){12});
    onnx_fixture_numbers(&f, "rows", 2, (const int64_t[]){-1, 4});
    onnx_fixture_node(&f, "Shape", "x", "s");
    onnx_fixture_node(&f, "Gather", "s i0", "n");
    onnx_fixture_node(&f, "Unsqueeze", "n l0", "n1");
    onnx_fixture_node(&f, "Mul", "n1 l2", "heads");
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Concat", "l12 heads l2", "apart"), "axis", 0);
    onnx_fixture_int(&f, onnx_fixture_node(&f, "Concat", "l12 n1 l4", "together"), "axis", 0);
    transpose(&f, "x", "t", 3, swap); /* [12, N, 4] */
    onnx_fixture_node(&f, "MatMul", "t w", "m");
    onnx_fixture_node(&f, "Add", "m b", "a");
    onnx_fixture_node(&f, "Reshape", "a apart", "r"); /* [12, N·2, 2] */
    transpose(&f, "r", "q", 3, swap);                 /* [N·2, 12, 2] */
    transpose(&f, "q", "k", 3, out);                  /* [N·2, 2, 12] */
    onnx_fixture_node(&f, "MatMul", "q k", "p");      /* [N·2, 12, 12] */
    onnx_fixture_node(&f, "Softmax", "p", "o");
    onnx_fixture_node(&f, "MatMul", "o q", "v");
    transpose(&f, "v", "u", 3, swap);                /* [12, N·2, 2] */
    onnx_fixture_node(&f, "Reshape", "u rows", "z"); /* [12·N, 4] */
    Onnx__NodeProto *gemm = onnx_fixture_node(&f, "Gemm", "z w b", "g");
    onnx_fixture_int(&f, gemm, "transB", 1);
    onnx_fixture_node(&f, "Reshape", "g together", "h");
    transpose(&f, "h", "y", 3, swap);
    struct outcome o = evaluate(&f);
    const float *weight = o.graph->values[graph_find(o.graph, "w")].data;
    const float *bias = o.graph->values[graph_find(o.graph, "b")].data;
    for (size_t n = 0; n < BATCH; n++) {
        double a[12][4] = {{0}}, v[12][4] = {{0}};
        for (size_t l = 0; l < 12; l++)
            for (size_t c = 0; c < 4; c++) {
                a[l][c] = (double)bias[c];
                for (size_t e = 0; e < 4; e++)
                    a[l][c] += (double)o.x[(n * 12 + l) * 4 + e] * (double)weight[e * 4 + c];
            }
        for (size_t head = 0; head < 4; head += 2)
            for (size_t l = 0; l < 12; l++) {
                double total = 0;
                for (size_t m = 0; m < 12; m++) {
                    double score = exp(a[l][head] * a[m][head] + a[l][head + 1] * a[m][head + 1]);
                    total += score;
                    v[l][head] += score * a[m][head];
                    v[l][head + 1] += score * a[m][head + 1];
                }
                v[l][head] /= total;
                v[l][head + 1] /= total;
            }
        for (size_t l = 0; l < 12; l++)
            for (size_t c = 0; c < 4; c++) {
                double expected = (double)bias[c];
                for (size_t e = 0; e < 4; e++)
                    expected += v[l][e] * (double)weight[c * 4 + e];
                assert_float_equal(o.y[(n * 12 + l) * 4 + c], (float)expected, 1e-5);
            }
    }
    finish(&o);
}

/* Windows of a picture, [N·4, 4, 3] of 2×2 each, with a bias and a sum in each, and back. */
static void windows_come_back(void **state)
{
    (void)state;
    struct onnx_fixture f;
    const int64_t cut[] = {0, 2, 4, 3, 5, 1}, bias[] = {1, 4, 3};
    open(&f, -1);
    onnx_fixture_initializer(&f, onnx_fixture_floats(&f, "bias", 3, bias));
    onnx_fixture_numbers(&f, "split", 6, (const int64_t[]){0, 3, 2, 2, 2, 2});
    onnx_fixture_numbers(&f, "windows", 3, (const int64_t[]){-1, 4, 3});
    onnx_fixture_numbers(&f, "again", 2, (const int64_t[]){-1, 4});
    onnx_fixture_node(&f, "Reshape", "x split", "s");
    transpose(&f, "s", "t", 6, cut);
    onnx_fixture_node(&f, "Reshape", "t windows", "w1");
    onnx_fixture_node(&f, "Add", "w1 bias", "w2");
    Onnx__NodeProto *sum = onnx_fixture_node(&f, "ReduceSum", "w2 l1", "w3"); /* [N·4, 3] */
    onnx_fixture_int(&f, sum, "keepdims", 0);
    Onnx__NodeProto *most = onnx_fixture_node(&f, "ReduceMax", "w3", "w4"); /* [N·4] */
    onnx_fixture_ints(&f, most, "axes", 1, (const int64_t[]){1});
    onnx_fixture_int(&f, most, "keepdims", 0);
    onnx_fixture_node(&f, "Reshape", "w4 again", "y");
    struct outcome o = evaluate(&f);
    const float *b = o.graph->values[graph_find(o.graph, "bias")].data;
    for (size_t n = 0; n < BATCH; n++)
        for (size_t w = 0; w < 4; w++) {
            float best = -INFINITY;
            for (size_t c = 0; c < 3; c++) {
                float total = 0;
                for (size_t p = 0; p < 4; p++)
                    total += o.x[at(n, c, w / 2 * 2 + p / 2, w % 2 * 2 + p % 2)] + b[p * 3 + c];
                best = total > best ? total : best;
            }
            assert_float_equal(o.y[n * 4 + w], best, 1e-5);
        }
    finish(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moved_batch_comes_back_with_one_index),
        cmocka_unit_test(a_moved_batch_comes_back_with_a_part),
        cmocka_unit_test(two_moves_are_one),
        cmocka_unit_test(a_moved_batch_may_not_be_used_otherwise),
        cmocka_unit_test(merged_rows_are_worked_on_apart),
        cmocka_unit_test(merged_rows_may_not_be_summed),
        cmocka_unit_test(rows_of_heads_come_back),
        cmocka_unit_test(windows_come_back),
        cmocka_unit_test(a_lookup_stays_in_its_sample),
        cmocka_unit_test(a_fixed_batch_is_the_batch),
        cmocka_unit_test(parts_of_a_fixed_batch_join_each_sample),
    };
    return cmocka_run_group_tests_name("onnx_batch", tests, NULL, NULL);
}
