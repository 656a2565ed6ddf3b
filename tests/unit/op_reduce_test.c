/* Reductions and normalisations. */
#include "tests/unit/op_bench.h"

static struct attributes over(enum op op, bool keep, size_t count, const int64_t *axes)
{
    struct attributes a = net_attributes(op);
    a.keep_dims = keep;
    a.axes_count = count;
    memcpy(a.axes, axes, count * sizeof *axes);
    return a;
}

static void reductions_take_the_named_axes(void **state)
{
    (void)state;
    const enum op ops[] = {OP_REDUCE_MEAN, OP_REDUCE_SUM, OP_REDUCE_L2, OP_REDUCE_MAX,
                           OP_REDUCE_MIN};
    for (size_t i = 0; i < 5; i++) {
        struct attributes ends = over(ops[i], true, 2, (int64_t[]){1, -1});
        struct attributes middle = over(ops[i], false, 1, (int64_t[]){2});
        struct attributes last = over(ops[i], true, 1, (int64_t[]){-1}), all = last, none = last;
        all.axes_count = none.axes_count = 0;
        none.reduce_none = true;
        CHECK_OP(ops[i], &ends, S(4, -1, 3, 4, 5));
        CHECK_OP(ops[i], &middle, S(4, -1, 3, 4, 5));
        CHECK_OP(ops[i], &last, S(3, -1, 3, 40));
        CHECK_OP(ops[i], &all, S(3, 3, 4, 5));
        CHECK_OP(ops[i], &none, S(3, -1, 4, 5));
        CHECK_OP(ops[i], &last, S(2, -1, 1));
    }
}

static void equal_extremes_share_the_gradient(void **state)
{
    (void)state;
    struct attributes last = over(OP_REDUCE_MAX, false, 1, (int64_t[]){-1});
    struct bench *bench = BENCH(OP_REDUCE_MAX, &last, S(2, 2, 4));
    bench_set(bench, 0, VALUES(1, 7, 7, 7, 5, 5, NAN, 1));
    bench->dy[0] = 6;
    bench_forward(bench);
    bench_backward(bench);
    assert_true(bench->y[0] == 7 && isnan(bench->y[1]));
    expect_values(bench->dx[0], VALUES(0, 2, 2, 2), 4);
    bench_close(bench);
}

static void the_length_of_nothing_has_no_slope(void **state)
{
    (void)state;
    struct attributes last = over(OP_REDUCE_L2, false, 1, (int64_t[]){-1});
    struct bench *bench = BENCH(OP_REDUCE_L2, &last, S(2, 2, 2));
    bench_set(bench, 0, VALUES(0, 0, 3, 4));
    bench->dy[1] = 10;
    bench_forward(bench);
    bench_backward(bench);
    expect_values(bench->y, VALUES(0, 5), 2);
    for (size_t i = 0; i < 4; i++)
        assert_true(fabsf(bench->dx[0][i] - VALUES(0, 0, 6, 8)[i]) < 1e-6f);
    bench_close(bench);
}

static void arg_max_gives_the_first_or_last_place(void **state)
{
    (void)state;
    for (int64_t axis = 1; axis < 4; axis++) {
        struct attributes a = net_attributes(OP_ARG_MAX);
        a.axis = axis;
        a.keep_dims = axis == 2;
        CHECK_OP(OP_ARG_MAX, &a, S(4, -1, 3, 4, 5));
    }
    struct attributes a = net_attributes(OP_ARG_MAX);
    a.axis = -1;
    for (int last = 0; last < 2; last++) {
        a.last_index = last == 1;
        struct bench *bench = BENCH(OP_ARG_MAX, &a, S(2, 2, 4));
        bench_set(bench, 0, VALUES(1, 7, 7, 2, 5, 3, 5, 5));
        bench_forward(bench);
        expect_values(bench->y, last ? VALUES(2, 3) : VALUES(1, 0), 2);
        assert_false(op_table_differentiable(bench->site.node, 0));
        bench_close(bench);
    }
}

static void batch_norm_and_softmax_match_their_definition(void **state)
{
    (void)state;
    struct attributes softmax = net_attributes(OP_SOFTMAX);
    struct shape c = S(1, 4);
    CHECK_OP(OP_BATCH_NORM, NULL, S(4, -1, 4, 3, 2), c, c, c, c);
    CHECK_OP(OP_BATCH_NORM, NULL, S(2, -1, 4), c, c, c, c);
    CHECK_OP(OP_SOFTMAX, &softmax, S(3, -1, 3, 7));
    CHECK_OP(OP_SOFTMAX, &softmax, S(2, -1, 40));
    softmax.axis = 1;
    CHECK_OP(OP_SOFTMAX, &softmax, S(3, -1, 3, 7));
    CHECK_OP(OP_LOG_SOFTMAX, &softmax, S(3, -1, 3, 7));
    softmax.softmax_flat = true;
    CHECK_OP(OP_SOFTMAX, &softmax, S(3, -1, 3, 7));
    CHECK_OP(OP_LOG_SOFTMAX, &softmax, S(3, -1, 3, 7));
    softmax.axis = -1;
    CHECK_OP(OP_LOG_SOFTMAX, &softmax, S(3, -1, 3, 7));
}

static void masked_and_large_logits_stay_finite(void **state)
{
    (void)state;
    struct attributes last = net_attributes(OP_SOFTMAX);
    last.axis = -1;
    const enum op ops[] = {OP_SOFTMAX, OP_LOG_SOFTMAX};
    for (size_t i = 0; i < 2; i++) {
        struct bench *bench = BENCH(ops[i], &last, S(1, 4));
        bench_set(bench, 0, VALUES(1000, -INFINITY, 1000, -3.4e38f));
        bench_forward(bench);
        assert_true(fabs((double)bench->y[0] - (i == 0 ? 0.5 : log(0.5))) < 1e-6);
        assert_true(bench->y[1] == (i == 0 ? 0 : -INFINITY));
        bench_close(bench);
    }
}

static void normalisations_match_their_definition(void **state)
{
    (void)state;
    struct attributes layer = net_attributes(OP_LAYER_NORM), group = net_attributes(OP_GROUP_NORM);
    layer.axis = -1;
    layer.epsilon = 1e-3f;
    CHECK_OP(OP_LAYER_NORM, &layer, S(3, -1, 4, 20), S(1, 20), S(1, 20));
    CHECK_OP(OP_LAYER_NORM, &layer, S(2, -1, 7), S(1, 7));
    layer.axis = 1;
    CHECK_OP(OP_LAYER_NORM, &layer, S(3, -1, 4, 5), S(2, 4, 5), S(2, 4, 5));
    CHECK_OP(OP_INSTANCE_NORM, NULL, S(4, -1, 4, 3, 5), S(1, 4), S(1, 4));
    CHECK_OP(OP_INSTANCE_NORM, NULL, S(3, -1, 3, 9), S(1, 3), S(1, 3));
    for (int64_t groups = 1; groups <= 4; groups *= 2) {
        group.groups = groups;
        CHECK_OP(OP_GROUP_NORM, &group, S(4, -1, 4, 3, 2), S(1, 4), S(1, 4));
    }
}

/* An offset that is large beside the spread must not cancel digits. */
static void normalising_survives_an_offset(void **state)
{
    (void)state;
    struct attributes layer = net_attributes(OP_LAYER_NORM);
    layer.axis = -1;
    struct bench *bench = BENCH(OP_LAYER_NORM, &layer, S(1, 8), S(1, 8));
    for (size_t i = 0; i < 8; i++) {
        bench->x[0][i] = 4096 + (float)(i % 2);
        bench->x[1][i] = 1;
    }
    bench_forward(bench);
    for (size_t i = 0; i < 8; i++)
        assert_true(fabsf(bench->y[i] - (i % 2 == 0 ? -1 : 1)) < 1e-4f);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions_take_the_named_axes),
        cmocka_unit_test(equal_extremes_share_the_gradient),
        cmocka_unit_test(the_length_of_nothing_has_no_slope),
        cmocka_unit_test(arg_max_gives_the_first_or_last_place),
        cmocka_unit_test(batch_norm_and_softmax_match_their_definition),
        cmocka_unit_test(masked_and_large_logits_stay_finite),
        cmocka_unit_test(normalisations_match_their_definition),
        cmocka_unit_test(normalising_survives_an_offset),
    };
    return cmocka_run_group_tests_name("reductions and normalisations", tests, NULL, NULL);
}
