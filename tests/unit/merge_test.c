/* Merging rules on small cases with known answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "paramserver/merge/merge.h"

#define MOST 32
#define DOMAINS 3

static float room[DOMAINS][MOST];
static float *const gradients[DOMAINS] = {room[0], room[1], room[2]};

static void assert_close(double got, double expected, double tolerance)
{
    if (!(fabs(got - expected) <= tolerance))
        fail_msg("%.17g is not %.17g", got, expected);
}

static void set(size_t domain, float x, float y)
{
    room[domain][0] = x;
    room[domain][1] = y;
}

static void merge(enum merge_kind kind, size_t domains, float x, float y)
{
    float out[2] = {99, 99};
    merge_gradients(kind, gradients, domains, 2, out);
    assert_close((double)out[0], (double)x, 1e-6);
    assert_close((double)out[1], (double)y, 1e-6);
}

static void the_sum_is_the_sum(void **state)
{
    (void)state;
    set(0, 1, -2);
    set(1, 3, 5);
    set(2, 10, 0);
    merge(MERGE_SUM, 1, 1, -2);
    merge(MERGE_SUM, 3, 14, 3);
}

static void pcgrad_leaves_gradients_that_agree(void **state)
{
    (void)state;
    set(0, 1, 0);
    set(1, 1, 1);
    merge(MERGE_PCGRAD, 2, 2, 1);
    set(1, 0, 3); /* at right angles */
    merge(MERGE_PCGRAD, 2, 1, 3);
}

/* g1 = (1,0), g2 = (-1,1): g1' = g1 + g2/2 = (1/2, 1/2), g2' = g2 + g1 = (0, 1). */
static void pcgrad_projects_gradients_that_conflict(void **state)
{
    (void)state;
    set(0, 1, 0);
    set(1, -1, 1);
    merge(MERGE_PCGRAD, 2, 0.5f, 1.5f);
}

static void pcgrad_of_opposites_is_zero(void **state)
{
    (void)state;
    set(0, 2, 1);
    set(1, -2, -1);
    merge(MERGE_PCGRAD, 2, 0, 0);
    set(1, 0, 0); /* and a zero gradient conflicts with nothing */
    merge(MERGE_PCGRAD, 2, 2, 1);
}

/* Algorithm 1 word for word. */
static void pcgrad_is_algorithm_1(void **state)
{
    double sum[MOST] = {0};
    float out[MOST];
    (void)state;
    for (uint32_t d = 0; d < DOMAINS; d++)
        for (uint32_t i = 0; i < MOST; i++)
            room[d][i] = (float)random_normal((struct random_key){.seed = 9, .index = d}, i);
    for (size_t i = 0; i < DOMAINS; i++) {
        double own[MOST];
        for (size_t k = 0; k < MOST; k++)
            own[k] = (double)room[i][k];
        for (size_t j = 0; j < DOMAINS; j++) {
            double dot = 0, square = 0;
            for (size_t k = 0; k < MOST; k++) {
                dot += own[k] * (double)room[j][k];
                square += (double)room[j][k] * (double)room[j][k];
            }
            for (size_t k = 0; k < MOST && j != i && dot < 0; k++)
                own[k] -= dot / square * (double)room[j][k];
        }
        for (size_t k = 0; k < MOST; k++)
            sum[k] += own[k];
    }
    merge_pcgrad(gradients, DOMAINS, MOST, out);
    for (size_t k = 0; k < MOST; k++)
        assert_close((double)out[k], sum[k], 1e-6); /* it leaves as float32 below 8 */
}

/* One of two coordinates agrees: the mask's mean is 1/2, so what moves is doubled. */
static void agreement_moves_only_where_all_signs_agree(void **state)
{
    (void)state;
    set(0, 1, 1);
    set(1, 2, -1);
    merge(MERGE_AGREEMENT, 2, 6, 0);
    set(1, 2, 3);
    merge(MERGE_AGREEMENT, 2, 3, 4);
    set(1, -2, -3);
    merge(MERGE_AGREEMENT, 2, 0, 0);
}

static void a_zero_agrees_with_no_sign(void **state)
{
    (void)state;
    set(0, 1, 0);
    set(1, 0, 0);
    merge(MERGE_AGREEMENT, 2, 0, 0);
    set(0, -1, -4);
    merge(MERGE_AGREEMENT, 1, -1, -4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_the_sum),
        cmocka_unit_test(pcgrad_leaves_gradients_that_agree),
        cmocka_unit_test(pcgrad_projects_gradients_that_conflict),
        cmocka_unit_test(pcgrad_of_opposites_is_zero),
        cmocka_unit_test(pcgrad_is_algorithm_1),
        cmocka_unit_test(agreement_moves_only_where_all_signs_agree),
        cmocka_unit_test(a_zero_agrees_with_no_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
