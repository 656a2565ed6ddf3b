/* Optimisers against their formulas, step by step in double.
 *
 * Forty steps in float32 against double: each step rounds weight and state by at most 6e-8 of
 * themselves, weights stay below 4, so 40 · 4 · 6e-8 ≈ 1e-5 bounds what can add up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "paramserver/optim/anchor.h"
#include "paramserver/optim/optimizer.h"

#define ELEMENTS 7
#define STEPS 40
#define RATE 0.05
#define TOLERANCE 1e-5

struct naive {
    double w[ELEMENTS], a[ELEMENTS], b[ELEMENTS];
};

static double gradient_of(uint32_t step, uint32_t i)
{
    return (double)(float)random_normal((struct random_key){.seed = 4, .index = step}, i);
}

static void naive_sgd(const struct optimizer_config *c, double *w, double *v, double g)
{
    g += c->weight_decay * *w;
    *v = c->momentum * *v + g;
    *w -= RATE * (c->momentum == 0 ? g : c->nesterov ? g + c->momentum * *v : *v);
}

static void naive_adam(const struct optimizer_config *c, uint32_t step, double *w, double *m,
                       double *v, double g)
{
    if (c->kind == OPTIMIZER_ADAM)
        g += c->weight_decay * *w;
    else
        *w -= RATE * c->weight_decay * *w;
    *m = c->beta1 * *m + (1 - c->beta1) * g;
    *v = c->beta2 * *v + (1 - c->beta2) * g * g;
    double m_hat = *m / (1 - pow(c->beta1, step)), v_hat = *v / (1 - pow(c->beta2, step));
    *w -= RATE * m_hat / (sqrt(v_hat) + c->epsilon);
}

static void check(const struct optimizer_config *config)
{
    struct naive naive = {0};
    float versions[2][ELEMENTS], gradient[ELEMENTS], first[ELEMENTS] = {0}, second[ELEMENTS] = {0};
    float *const states[] = {first, second};
    for (uint32_t i = 0; i < ELEMENTS; i++)
        naive.w[i] = (double)(versions[1][i] = (float)i - 3);
    for (uint32_t step = 1; step <= STEPS; step++) {
        for (uint32_t i = 0; i < ELEMENTS; i++) {
            double g = gradient_of(step, i);
            gradient[i] = (float)g;
            if (config->kind == OPTIMIZER_SGD)
                naive_sgd(config, &naive.w[i], &naive.a[i], g);
            else
                naive_adam(config, step, &naive.w[i], &naive.a[i], &naive.b[i], g);
        }
        optimizer_apply(config, RATE, step, versions[step % 2], gradient, states,
                        versions[(step + 1) % 2], ELEMENTS);
        for (size_t i = 0; i < ELEMENTS; i++)
            if (!(fabs((double)versions[(step + 1) % 2][i] - naive.w[i]) <= TOLERANCE))
                fail_msg("step %u, %zu: %.9g is not %.9g", step, i,
                         (double)versions[(step + 1) % 2][i], naive.w[i]);
    }
}

static void sgd_is_its_formula(void **state)
{
    (void)state;
    check(&(struct optimizer_config){.kind = OPTIMIZER_SGD});
    check(&(struct optimizer_config){.kind = OPTIMIZER_SGD, .weight_decay = 0.1});
    check(&(struct optimizer_config){.kind = OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 0.1});
}

static void nesterov_is_its_formula(void **state)
{
    (void)state;
    check(&(struct optimizer_config){.kind = OPTIMIZER_SGD, .momentum = 0.9, .nesterov = true});
}

static void adam_and_adamw_are_their_formulas(void **state)
{
    struct optimizer_config config = {
        .kind = OPTIMIZER_ADAM, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    (void)state;
    check(&config);
    config.weight_decay = 0.1;
    check(&config);
    config.kind = OPTIMIZER_ADAMW;
    check(&config);
}

/* torch 2: w = [1, -2, 3], g_t = [0.5, -1, 2] / t for t = 1 … 3, lr 0.05 (SGD: momentum 0.9,
 * nesterov; all: weight decay 0.1). */
static void known_values(const struct optimizer_config *config, const double *expected)
{
    float w[] = {1, -2, 3}, first[3] = {0}, second[3] = {0};
    float *const states[] = {first, second};
    for (uint32_t step = 1; step <= 3; step++) {
        const float g[] = {0.5f / (float)step, -1.0f / (float)step, 2.0f / (float)step};
        optimizer_apply(config, RATE, step, w, g, states, w, 3); /* in place */
    }
    for (size_t i = 0; i < 3; i++)
        if (!(fabs((double)w[i] - expected[i]) <= 1e-6))
            fail_msg("%zu: %.9g is not %.9g", i, (double)w[i], expected[i]);
}

static void they_agree_with_torch(void **state)
{
    const double sgd[] = {0.825927138, -1.65185428, 2.34360647};
    const double adam[] = {0.856795549, -1.85661733, 2.85717344};
    const double adamw[] = {0.845539808, -1.83061481, 2.8156898};
    struct optimizer_config config = {.kind = OPTIMIZER_SGD,
                                      .momentum = 0.9,
                                      .nesterov = true,
                                      .weight_decay = 0.1,
                                      .beta1 = 0.9,
                                      .beta2 = 0.999,
                                      .epsilon = 1e-8};
    (void)state;
    known_values(&config, sgd);
    config.kind = OPTIMIZER_ADAM;
    known_values(&config, adam);
    config.kind = OPTIMIZER_ADAMW;
    known_values(&config, adamw);
}

/* The first step of Adam is rate · sign(g), whatever the size of g. */
static void the_first_step_of_adam_has_the_size_of_the_rate(void **state)
{
    const struct optimizer_config config = {
        .kind = OPTIMIZER_ADAM, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    const float from[] = {0, 0, 0}, gradient[] = {1e-3f, -1e3f, 0};
    float first[3] = {0}, second[3] = {0}, to[3];
    float *const states[] = {first, second};
    (void)state;
    optimizer_apply(&config, RATE, 1, from, gradient, states, to, 3);
    assert_true(fabs((double)to[0] + RATE) < 1e-6 && fabs((double)to[1] - RATE) < 1e-6);
    assert_true(to[2] == 0);
}

static void the_anchor_pulls_toward_the_start(void **state)
{
    const float weights[] = {3, -1}, start[] = {1, 1};
    float gradient[] = {10, 10};
    (void)state;
    anchor_pull(0.5, weights, start, gradient, 2);
    assert_true(gradient[0] == 11 && gradient[1] == 9);
    anchor_pull(0.5, weights, NULL, gradient, 2); /* toward zero */
    assert_true(gradient[0] == 12.5f && gradient[1] == 8.5f);
    anchor_pull(0, weights, NULL, gradient, 2);
    assert_true(gradient[0] == 12.5f && gradient[1] == 8.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_is_its_formula),
        cmocka_unit_test(nesterov_is_its_formula),
        cmocka_unit_test(adam_and_adamw_are_their_formulas),
        cmocka_unit_test(they_agree_with_torch),
        cmocka_unit_test(the_first_step_of_adam_has_the_size_of_the_rate),
        cmocka_unit_test(the_anchor_pulls_toward_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
