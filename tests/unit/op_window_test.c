/* Operators with a sliding window. */
#include "tests/unit/op_bench.h"

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

static struct attributes line(enum op op, int kernel, int stride, int pad, int dilation, int groups)
{
    struct attributes a = window(op, kernel, stride, pad, dilation, groups);
    a.kernel[0] = a.strides[0] = a.dilations[0] = 1;
    a.pads[0] = a.pads[2] = 0;
    return a;
}

static void convolution_matches_its_definition(void **state)
{
    (void)state;
    struct attributes plain = window(OP_CONV, 3, 1, 1, 1, 1), far = window(OP_CONV, 3, 2, 2, 2, 1);
    struct attributes one = window(OP_CONV, 1, 1, 0, 1, 1),
                      grouped = window(OP_CONV, 3, 1, 1, 1, 2);
    CHECK_OP(OP_CONV, &plain, S(4, -1, 3, 5, 6), S(4, 4, 3, 3, 3), S(1, 4));
    CHECK_OP(OP_CONV, &plain, S(4, -1, 3, 5, 6), S(4, 4, 3, 3, 3));
    CHECK_OP(OP_CONV, &far, S(4, -1, 3, 7, 8), S(4, 4, 3, 3, 3), S(1, 4));
    CHECK_OP(OP_CONV, &one, S(4, -1, 17, 3, 4), S(4, 18, 17, 1, 1), S(1, 18));
    CHECK_OP(OP_CONV, &grouped, S(4, -1, 4, 5, 5), S(4, 6, 2, 3, 3), S(1, 6));
    far.pads[0] = 0;
    far.pads[3] = 1;
    far.strides[1] = 1;
    CHECK_OP(OP_CONV, &far, S(4, -1, 3, 7, 8), S(4, 4, 3, 3, 3), S(1, 4));
}

/* Of so many channels the library takes to Winograd's transforms (onednn.c). */
static void transformed_convolution_matches_its_definition(void **state)
{
    (void)state;
    struct attributes same = window(OP_CONV, 3, 1, 1, 1, 1), inner = window(OP_CONV, 3, 1, 0, 1, 1);
    CHECK_OP(OP_CONV, &same, S(4, -1, 32, 9, 8), S(4, 16, 32, 3, 3), S(1, 16));
    CHECK_OP(OP_CONV, &same, S(4, -1, 16, 5, 6), S(4, 32, 16, 3, 3));
    CHECK_OP(OP_CONV, &inner, S(4, -1, 16, 8, 7), S(4, 16, 16, 3, 3), S(1, 16));
}

static void depthwise_convolution_matches_its_definition(void **state)
{
    (void)state;
    struct attributes five = window(OP_CONV, 5, 1, 2, 1, 18),
                      strided = window(OP_CONV, 3, 2, 1, 1, 16);
    struct attributes wide = window(OP_CONV, 3, 1, 2, 2, 4),
                      uneven = window(OP_CONV, 3, 2, 0, 1, 5);
    CHECK_OP(OP_CONV, &five, S(4, -1, 18, 3, 6), S(4, 18, 1, 5, 5), S(1, 18));
    CHECK_OP(OP_CONV, &strided, S(4, -1, 16, 6, 5), S(4, 16, 1, 3, 3), S(1, 16));
    CHECK_OP(OP_CONV, &wide, S(4, -1, 4, 5, 6), S(4, 4, 1, 3, 3));
    uneven.pads[1] = 1;
    uneven.strides[0] = 1;
    CHECK_OP(OP_CONV, &uneven, S(4, -1, 5, 4, 7), S(4, 5, 1, 3, 3), S(1, 5));
}

static void transposed_convolution_matches_its_definition(void **state)
{
    (void)state;
    struct attributes plain = window(OP_CONV_TRANSPOSE, 3, 1, 0, 1, 1);
    struct attributes strided = window(OP_CONV_TRANSPOSE, 3, 2, 1, 1, 1);
    struct attributes far = window(OP_CONV_TRANSPOSE, 2, 3, 1, 2, 1);
    struct attributes grouped = window(OP_CONV_TRANSPOSE, 2, 2, 0, 1, 2);
    struct attributes one = line(OP_CONV_TRANSPOSE, 4, 2, 1, 1, 1);
    CHECK_OP(OP_CONV_TRANSPOSE, &plain, S(4, -1, 3, 4, 5), S(4, 3, 2, 3, 3), S(1, 2));
    strided.output_pads[1] = 1;
    strided.pads[2] = 0;
    CHECK_OP(OP_CONV_TRANSPOSE, &strided, S(4, -1, 3, 4, 5), S(4, 3, 2, 3, 3));
    CHECK_OP(OP_CONV_TRANSPOSE, &far, S(4, -1, 3, 4, 5), S(4, 3, 2, 2, 2), S(1, 2));
    far.dilations[0] = 1;
    far.strides[1] = 1;
    CHECK_OP(OP_CONV_TRANSPOSE, &far, S(4, -1, 3, 4, 5), S(4, 3, 2, 2, 2), S(1, 2));
    CHECK_OP(OP_CONV_TRANSPOSE, &grouped, S(4, -1, 4, 3, 2), S(4, 4, 3, 2, 2), S(1, 6));
    CHECK_OP(OP_CONV_TRANSPOSE, &one, S(3, -1, 3, 7), S(3, 3, 2, 4), S(1, 2));
    struct attributes same = window(OP_CONV_TRANSPOSE, 3, 2, 0, 1, 1);
    same.auto_pad = PAD_SAME_LOWER;
    CHECK_OP(OP_CONV_TRANSPOSE, &same, S(4, -1, 2, 3, 4), S(4, 2, 2, 3, 3));
    struct attributes told =
        window(OP_CONV_TRANSPOSE, 3, 2, 0, 1, 1); /* less and more than it reaches */
    told.axes_count = 2;
    told.axes[0] = 5;
    told.axes[1] = 11;
    CHECK_OP(OP_CONV_TRANSPOSE, &told, S(4, -1, 2, 3, 4), S(4, 2, 2, 3, 3), S(1, 2));
    struct attributes wide = window(OP_CONV_TRANSPOSE, 2, 4, 0, 1, 1); /* windows do not meet */
    CHECK_OP(OP_CONV_TRANSPOSE, &wide, S(4, -1, 2, 2, 3), S(4, 2, 2, 2, 2), S(1, 2));
}

static void one_dimension_is_a_picture_of_height_one(void **state)
{
    (void)state;
    struct attributes plain = line(OP_CONV, 3, 1, 1, 1, 1), far = line(OP_CONV, 3, 2, 2, 2, 2);
    struct attributes deep = line(OP_CONV, 5, 1, 2, 1, 18), one = line(OP_CONV, 1, 1, 0, 1, 1);
    struct attributes most = line(OP_MAX_POOL, 3, 2, 1, 1, 1);
    struct attributes mean = line(OP_AVERAGE_POOL, 2, 2, 0, 1, 1);
    CHECK_OP(OP_CONV, &plain, S(3, -1, 3, 9), S(3, 4, 3, 3), S(1, 4));
    CHECK_OP(OP_CONV, &far, S(3, -1, 4, 11), S(3, 6, 2, 3));
    CHECK_OP(OP_CONV, &deep, S(3, -1, 18, 7), S(3, 18, 1, 5), S(1, 18));
    CHECK_OP(OP_CONV, &one, S(3, -1, 17, 5), S(3, 18, 17, 1), S(1, 18));
    CHECK_OP(OP_MAX_POOL, &most, S(3, -1, 3, 9));
    CHECK_OP(OP_AVERAGE_POOL, &mean, S(3, -1, 3, 8));
}

static void pooling_matches_its_definition(void **state)
{
    (void)state;
    for (int include = 0; include < 2; include++) {
        struct attributes a = window(OP_AVERAGE_POOL, 3, 2, 1, 1, 1);
        a.count_include_pad = include == 1;
        CHECK_OP(OP_AVERAGE_POOL, &a, S(4, -1, 2, 6, 7));
        a.ceil_mode = true;
        CHECK_OP(OP_AVERAGE_POOL, &a, S(4, -1, 2, 6, 8));
    }
    struct attributes most = window(OP_MAX_POOL, 2, 2, 0, 1, 1),
                      far = window(OP_MAX_POOL, 2, 1, 1, 2, 1);
    CHECK_OP(OP_MAX_POOL, &most, S(4, -1, 2, 6, 7));
    CHECK_OP(OP_MAX_POOL, &far, S(4, -1, 2, 5, 6));
}

static void global_pooling_takes_whole_planes(void **state)
{
    (void)state;
    const enum op ops[] = {OP_GLOBAL_AVERAGE_POOL, OP_GLOBAL_MAX_POOL};
    for (size_t i = 0; i < 2; i++) {
        CHECK_OP(ops[i], NULL, S(4, -1, 3, 5, 6));
        CHECK_OP(ops[i], NULL, S(3, -1, 3, 7));
        CHECK_OP(ops[i], NULL, S(4, -1, 2, 1, 1));
    }
    struct bench *bench = BENCH(OP_GLOBAL_MAX_POOL, NULL, S(3, 1, 2, 4));
    bench_set(bench, 0, VALUES(1, 5, 5, 2, 3, NAN, 9, NAN));
    bench_forward(bench);
    bench_backward(bench);
    assert_true(bench->y[0] == 5 && isnan(bench->y[1]));
    expect_values(bench->dx[0], VALUES(0, bench->dy[0], 0, 0, 0, bench->dy[1], 0, 0), 8);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution_matches_its_definition),
        cmocka_unit_test(transformed_convolution_matches_its_definition),
        cmocka_unit_test(depthwise_convolution_matches_its_definition),
        cmocka_unit_test(transposed_convolution_matches_its_definition),
        cmocka_unit_test(one_dimension_is_a_picture_of_height_one),
        cmocka_unit_test(pooling_matches_its_definition),
        cmocka_unit_test(global_pooling_takes_whole_planes),
    };
    return cmocka_run_group_tests_name("operators with windows", tests, NULL, NULL);
}
