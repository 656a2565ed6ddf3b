/* Element by element operators: arithmetic, choices, comparisons, activations, functions. */
#include "tests/unit/op_bench.h"

#include "worker/engine/ops/curves.h"

static void arithmetic_broadcasts_like_numpy(void **state)
{
    (void)state;
    const enum op ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_POW};
    for (size_t i = 0; i < 5; i++) {
        CHECK_OP(ops[i], NULL, S(4, -1, 4, 3, 5), S(4, -1, 4, 3, 5));
        CHECK_OP(ops[i], NULL, S(4, -1, 4, 3, 5), S(0));
        CHECK_OP(ops[i], NULL, S(1, 1), S(4, -1, 4, 3, 5));
        CHECK_OP(ops[i], NULL, S(4, -1, 4, 3, 5), S(3, 4, 1, 1));
        CHECK_OP(ops[i], NULL, S(4, -1, 4, 3, 5), S(4, -1, 4, 1, 1));
        CHECK_OP(ops[i], NULL, S(4, -1, 1, 3, 1), S(4, -1, 4, 1, 5));
        CHECK_OP(ops[i], NULL, S(2, -1, 1100), S(1, 1100));
        CHECK_OP(ops[i], NULL, S(3, -1, 1, 1), S(3, -1, 1, 1));
    }
}

/* Exponents that have loops of their own, and one that varies. */
static void powers_of_every_exponent(void **state)
{
    (void)state;
    const float exponents[] = {2, 3, 0.5f, 0, 1, -1.5f};
    for (size_t i = 0; i < 6; i++) {
        struct bench *bench = BENCH(OP_POW, NULL, S(2, -1, 40), S(0));
        bench_set(bench, 1, &exponents[i]);
        bench_check(bench);
    }
    struct bench *negative = BENCH(OP_POW, NULL, S(1, 4), S(1, 4));
    bench_set(negative, 0, VALUES(-2, -2, 0, 3));
    bench_set(negative, 1, VALUES(2, 3, 2, 0));
    bench_forward(negative);
    bench_backward(negative);
    expect_values(negative->y, VALUES(4, -8, 0, 1), 4);
    for (size_t i = 0; i < 4; i++)
        negative->dx[0][i] /= negative->dy[i];
    expect_values(negative->dx[0] + 2, VALUES(0, 0), 2);
    assert_true(fabsf(negative->dx[0][0] + 4) < 1e-5f && fabsf(negative->dx[0][1] - 12) < 1e-5f);
    assert_true(negative->dx[1][2] == 0);
    bench_close(negative);
}

static void choices_give_one_of_their_operands(void **state)
{
    (void)state;
    const enum op ops[] = {OP_MAX, OP_MIN};
    for (size_t i = 0; i < 2; i++) {
        CHECK_OP(ops[i], NULL, S(2, -1, 40));
        CHECK_OP(ops[i], NULL, S(4, -1, 4, 3, 5), S(3, 4, 1, 1));
        CHECK_OP(ops[i], NULL, S(0), S(4, -1, 4, 3, 5));
        CHECK_OP(ops[i], NULL, S(3, 4, 1, 5), S(4, -1, 1, 3, 1), S(1, 5));
        CHECK_OP(ops[i], NULL, S(2, -1, 6), S(2, -1, 6), S(1, 1), S(2, 1, 6));
    }
    CHECK_OP(OP_WHERE, NULL, S(2, -1, 40), S(2, -1, 40), S(2, -1, 40));
    CHECK_OP(OP_WHERE, NULL, S(3, -1, 1, 5), S(2, 4, 1), S(0));
    CHECK_OP(OP_WHERE, NULL, S(1, 5), S(3, -1, 4, 5), S(3, -1, 1, 5));
    CHECK_OP(OP_WHERE, NULL, S(0), S(1, 5), S(3, -1, 4, 1));
    CHECK_OP(OP_PRELU, NULL, S(4, -1, 4, 3, 5), S(3, 4, 1, 1));
    CHECK_OP(OP_PRELU, NULL, S(3, -1, 4, 5), S(1, 1));
    CHECK_OP(OP_PRELU, NULL, S(3, -1, 4, 5), S(3, -1, 4, 5));
}

/* torch.maximum gives half to each of two; so does each third of three. */
static void equal_winners_share_the_gradient(void **state)
{
    (void)state;
    struct bench *bench = BENCH(OP_MAX, NULL, S(1, 4), S(1, 4), S(1, 4));
    bench_set(bench, 0, VALUES(1, 2, 3, 7));
    bench_set(bench, 1, VALUES(1, 2, 4, 5));
    bench_set(bench, 2, VALUES(1, 0, 4, 6));
    memcpy(bench->dy, VALUES(6, 6, 6, 6), 4 * sizeof(float));
    bench_forward(bench);
    bench_backward(bench);
    expect_values(bench->y, VALUES(1, 2, 4, 7), 4);
    expect_values(bench->dx[0], VALUES(2, 3, 0, 6), 4);
    expect_values(bench->dx[1], VALUES(2, 3, 3, 0), 4);
    expect_values(bench->dx[2], VALUES(2, 0, 3, 0), 4);
    bench_close(bench);
}

static void no_choice_hides_a_nan(void **state)
{
    (void)state;
    const enum op ops[] = {OP_MAX, OP_MIN, OP_PRELU, OP_RELU};
    for (size_t i = 0; i < 3; i++) {
        struct bench *bench = BENCH(ops[i], NULL, S(1, 2), S(1, 2));
        bench_set(bench, 0, VALUES(NAN, 1));
        bench_set(bench, 1, VALUES(1, NAN));
        bench_forward(bench);
        assert_true(isnan(bench->y[0]));
        assert_true(ops[i] == OP_PRELU || isnan(bench->y[1]));
        bench_close(bench);
    }
}

static void comparisons_give_zero_and_one(void **state)
{
    (void)state;
    const enum op ops[] = {OP_EQUAL, OP_GREATER, OP_GREATER_OR_EQUAL, OP_LESS, OP_LESS_OR_EQUAL,
                           OP_AND,   OP_OR};
    for (size_t i = 0; i < 7; i++) {
        CHECK_OP(ops[i], NULL, S(3, -1, 4, 5), S(3, -1, 4, 5));
        CHECK_OP(ops[i], NULL, S(3, -1, 4, 5), S(0));
        CHECK_OP(ops[i], NULL, S(2, 4, 1), S(3, -1, 1, 5));
        struct node node = {.op = ops[i]};
        assert_false(op_table_differentiable(&node, 0));
    }
    CHECK_OP(OP_NOT, NULL, S(2, -1, 40));
}

static void activations_follow_their_formulas(void **state)
{
    (void)state;
    const enum op ops[] = {OP_ABS,        OP_ERF,  OP_EXP, OP_HARD_SIGMOID, OP_HARD_SWISH,
                           OP_LEAKY_RELU, OP_LOG,  OP_NEG, OP_RELU,         OP_SIGMOID,
                           OP_SOFTPLUS,   OP_SQRT, OP_TANH};
    struct attributes elu = net_attributes(OP_ELU), gelu = net_attributes(OP_GELU);
    struct attributes clip = net_attributes(OP_CLIP);
    clip.low = -0.7f;
    clip.high = 0.9f;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        CHECK_OP(ops[i], NULL, S(3, -1, 7, 9));
    CHECK_OP(OP_CLIP, &clip, S(2, -1, 50));
    elu.alpha = 0.7f;
    CHECK_OP(OP_ELU, &elu, S(2, -1, 50));
    struct bench *far = BENCH(OP_SOFTPLUS, NULL, S(1, 4));
    bench_set(far, 0, VALUES(-200, 200, -INFINITY, INFINITY));
    bench_forward(far);
    expect_values(far->y, VALUES(0, 200, 0, INFINITY), 4);
    bench_close(far);
    CHECK_OP(OP_GELU, &gelu, S(2, -1, 50));
    gelu.approximate = true;
    CHECK_OP(OP_GELU, &gelu, S(2, -1, 50));
    CHECK_OP(OP_IDENTITY, NULL, S(2, -1, 50));
}

/* Over all magnitudes: the largest relative error. */
static double worst(float (*curve)(float), double (*exact)(double), float low, float high)
{
    double most = 0;
    for (float size = 1e-30f; size < fmaxf(-low, high); size *= 1.0003f)
        for (float x = -size; x <= size; x += 2 * size) {
            if (x < low || x > high)
                continue;
            double expected = exact((double)x);
            most = fmax(most, fabs((double)curve(x) - expected) / fabs(expected));
        }
    return most;
}

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void curves_are_as_accurate_as_they_say(void **state)
{
    (void)state;
    assert_true(worst(curve_exp, exp, -87, 88.7f) < 2e-7);
    assert_true(worst(curve_tanh, tanh, -20, 20) < 2e-7);
    assert_true(worst(curve_erf, erf, -6, 6) < 2e-7);
    assert_true(worst(curve_sigmoid, exact_sigmoid, -80, 80) < 2e-7);
    assert_true(worst(curve_log1p, log1p, 0, 1) < 2e-7);
    assert_true(worst(curve_expm1, expm1, -90, 0) < 2e-7);
}

static void curves_end_where_they_should(void **state)
{
    (void)state;
    assert_true(curve_exp(0) == 1 && curve_exp(-INFINITY) == 0 && curve_exp(INFINITY) == INFINITY);
    assert_true(curve_exp(-103.0f) > 0 && curve_exp(-104.0f) == 0);
    assert_true(isfinite(curve_exp(88.72f)) && curve_exp(88.73f) == INFINITY);
    assert_true(curve_tanh(0) == 0 && curve_tanh(INFINITY) == 1 && curve_tanh(-INFINITY) == -1);
    assert_true(curve_erf(0) == 0 && curve_erf(INFINITY) == 1 && curve_erf(-INFINITY) == -1);
    assert_true(curve_sigmoid(INFINITY) == 1 && curve_sigmoid(-INFINITY) == 0);
    assert_true(isnan(curve_exp(NAN)) && isnan(curve_tanh(NAN)) && isnan(curve_erf(NAN)));
}

/* This file is compiled for the plainest instruction set, the kernel runs the best one. */
static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    static const struct {
        enum op op;
        float (*curve)(float);
    } cases[] = {{OP_EXP, curve_exp},
                 {OP_TANH, curve_tanh},
                 {OP_ERF, curve_erf},
                 {OP_SIGMOID, curve_sigmoid}};
    for (size_t i = 0; i < 4; i++) {
        struct bench *bench = BENCH(cases[i].op, NULL, S(1, 3001));
        for (size_t k = 0; k < bench->elements[0]; k++)
            bench->x[0][k] *= 10;
        bench_forward(bench);
        for (size_t k = 0; k < bench->outputs; k++)
            assert_true(bench->y[k] == cases[i].curve(bench->x[0][k]));
        bench_close(bench);
    }
}

static void casts_truncate(void **state)
{
    (void)state;
    const enum dtype types[] = {DTYPE_F32, DTYPE_I64, DTYPE_U8, DTYPE_BOOL};
    for (size_t i = 0; i < 4; i++) {
        struct attributes a = net_attributes(OP_CAST);
        struct node node = {.op = OP_CAST};
        node.attributes.to = a.to = types[i];
        CHECK_OP(OP_CAST, &a, S(2, -1, 40));
        assert_true(op_table_differentiable(&node, 0) == (types[i] == DTYPE_F32));
    }
    struct attributes whole = net_attributes(OP_CAST), truth = whole;
    whole.to = DTYPE_I32;
    truth.to = DTYPE_BOOL;
    struct bench *to_whole = BENCH(OP_CAST, &whole, S(1, 5)),
                 *to_truth = BENCH(OP_CAST, &truth, S(1, 5));
    bench_set(to_whole, 0, VALUES(1.9f, -1.9f, -0.5f, 0, 16777216));
    bench_set(to_truth, 0, VALUES(1.9f, -1.9f, -0.5f, 0, 16777216));
    bench_forward(to_whole);
    bench_forward(to_truth);
    expect_values(to_whole->y, VALUES(1, -1, 0, 0, 16777216), 5);
    expect_values(to_truth->y, VALUES(1, 1, 1, 0, 1), 5);
    bench_close(to_whole);
    bench_close(to_truth);
}

static void quantising_rounds_half_to_even_and_saturates(void **state)
{
    (void)state;
    struct attributes a = net_attributes(OP_QUANTIZE);
    a.to = DTYPE_U8;
    a.axis = 1;
    CHECK_OP(OP_QUANTIZE, &a, S(3, -1, 4, 5), S(0));
    CHECK_OP(OP_QUANTIZE, &a, S(3, -1, 4, 5), S(1, 4), S(1, 4));
    CHECK_OP(OP_DEQUANTIZE, &a, S(3, -1, 4, 5), S(1, 4), S(1, 4));
    a.axis = -1;
    CHECK_OP(OP_DEQUANTIZE, &a, S(3, -1, 4, 5), S(1, 5), S(1, 5));
    CHECK_OP(OP_DEQUANTIZE, &a, S(3, -1, 4, 5), S(1, 1));
    a.to = DTYPE_I8;
    struct bench *bench = BENCH(OP_QUANTIZE, &a, S(1, 6), S(0));
    bench_set(bench, 0, VALUES(1, 3, 5, -1, 1000, -1000));
    bench_set(bench, 1, VALUES(2));
    bench_forward(bench);
    expect_values(bench->y, VALUES(0, 2, 2, 0, 127, -128), 6);
    bench_close(bench);
}

/* Of all operators: the table and the kernels agree. */
static void every_gradient_that_passes_has_a_kernel(void **state)
{
    (void)state;
    for (size_t op = 0; op < OP_COUNT; op++) {
        const struct node node = {.op = (enum op)op};
        bool passes = false;
        for (size_t k = 0; k < op_table_row(node.op)->inputs_max; k++)
            passes |= op_table_differentiable(&node, k);
        assert_non_null(op_kernel(node.op)->forward);
        assert_true(passes == (op_kernel(node.op)->backward != NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gradient_that_passes_has_a_kernel),
        cmocka_unit_test(arithmetic_broadcasts_like_numpy),
        cmocka_unit_test(powers_of_every_exponent),
        cmocka_unit_test(choices_give_one_of_their_operands),
        cmocka_unit_test(equal_winners_share_the_gradient),
        cmocka_unit_test(no_choice_hides_a_nan),
        cmocka_unit_test(comparisons_give_zero_and_one),
        cmocka_unit_test(activations_follow_their_formulas),
        cmocka_unit_test(curves_are_as_accurate_as_they_say),
        cmocka_unit_test(curves_end_where_they_should),
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(casts_truncate),
        cmocka_unit_test(quantising_rounds_half_to_even_and_saturates),
    };
    return cmocka_run_group_tests_name("element by element operators", tests, NULL, NULL);
}
