/* Products of matrices. */
#include "tests/unit/op_bench.h"

static void gemm_matches_its_definition(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct attributes a = net_attributes(OP_GEMM);
        a.alpha = 0.5f;
        a.beta = 2;
        a.trans_a = i / 2 == 1;
        a.trans_b = i % 2 == 1;
        struct shape left = a.trans_a ? S(2, 6, 3) : S(2, -1, 6);
        struct shape right = a.trans_b ? S(2, 5, 6) : S(2, 6, 5);
        CHECK_OP(OP_GEMM, &a, left, right);
        CHECK_OP(OP_GEMM, &a, left, right, S(1, 5));
        CHECK_OP(OP_GEMM, &a, left, right, S(1, 1));
        CHECK_OP(OP_GEMM, &a, left, right, S(0));
        CHECK_OP(OP_GEMM, &a, left, right, S(2, 1, 5));
        CHECK_OP(OP_GEMM, &a, left, right, a.trans_a ? S(2, 3, 5) : S(2, -1, 5));
        CHECK_OP(OP_GEMM, &a, left, right, a.trans_a ? S(2, 3, 1) : S(2, -1, 1));
    }
}

static void matmul_multiplies_matrices_of_the_last_axes(void **state)
{
    (void)state;
    CHECK_OP(OP_MATMUL, NULL, S(3, -1, 4, 6), S(2, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(2, -1, 6), S(2, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(3, -1, 4, 6), S(3, -1, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(4, -1, 2, 4, 6), S(4, -1, 2, 6, 5));
}

static void matmul_broadcasts_the_axes_before(void **state)
{
    (void)state;
    CHECK_OP(OP_MATMUL, NULL, S(4, -1, 2, 4, 6), S(3, 2, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(4, -1, 2, 4, 6), S(4, -1, 1, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(4, -1, 1, 4, 6), S(3, 2, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(2, 4, 6), S(3, -1, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(3, 1, 4, 6), S(4, -1, 2, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(5, -1, 2, 1, 3, 4), S(5, -1, 1, 3, 4, 2));
    CHECK_OP(OP_MATMUL, NULL, S(3, -1, 4, 6), S(3, 1, 6, 5));
}

static void matmul_takes_vectors(void **state)
{
    (void)state;
    CHECK_OP(OP_MATMUL, NULL, S(1, 6), S(1, 6));
    CHECK_OP(OP_MATMUL, NULL, S(1, 6), S(3, -1, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(1, 6), S(2, 6, 5));
    CHECK_OP(OP_MATMUL, NULL, S(3, -1, 4, 6), S(1, 6));
    CHECK_OP(OP_MATMUL, NULL, S(2, -1, 6), S(1, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemm_matches_its_definition),
        cmocka_unit_test(matmul_multiplies_matrices_of_the_last_axes),
        cmocka_unit_test(matmul_broadcasts_the_axes_before),
        cmocka_unit_test(matmul_takes_vectors),
    };
    return cmocka_run_group_tests_name("products", tests, NULL, NULL);
}
