#include "paramserver/optim/optimizer.h"

#include <math.h>

#include "common/base/check.h"

static void apply_sgd(const struct optimizer_config *config, float rate, const float *from,
                      const float *gradient, float *const *states, float *to, size_t elements)
{
    float momentum = (float)config->momentum, decay = (float)config->weight_decay;
    for (size_t i = 0; i < elements; i++) {
        float g = gradient[i] + decay * from[i];
        float step = g;
        if (momentum > 0) {
            float velocity = momentum * states[0][i] + g;
            states[0][i] = velocity;
            step = config->nesterov ? g + momentum * velocity : velocity;
        }
        to[i] = from[i] - rate * step;
    }
}

static void apply_adam(const struct optimizer_config *config, double rate, uint64_t step,
                       const float *from, const float *gradient, float *const *states, float *to,
                       size_t elements)
{
    float beta1 = (float)config->beta1, beta2 = (float)config->beta2;
    /* Not 1.0f - beta2: for 0.999 that is off by 5e-5, and the bias correction does not undo it. */
    float rest1 = (float)(1.0 - config->beta1), rest2 = (float)(1.0 - config->beta2);
    float correct1 = (float)(1.0 / (1.0 - pow(config->beta1, (double)step)));
    float correct2 = (float)(1.0 / (1.0 - pow(config->beta2, (double)step)));
    float epsilon = (float)config->epsilon, size = (float)rate;
    float l2 = config->kind == OPTIMIZER_ADAM ? (float)config->weight_decay : 0.0f;
    float keep =
        config->kind == OPTIMIZER_ADAMW ? (float)(1.0 - rate * config->weight_decay) : 1.0f;
    float *restrict means = states[0], *restrict squares = states[1];
    for (size_t i = 0; i < elements; i++) {
        float g = gradient[i] + l2 * from[i];
        float m = beta1 * means[i] + rest1 * g;
        float v = beta2 * squares[i] + rest2 * g * g;
        means[i] = m;
        squares[i] = v;
        to[i] = keep * from[i] - size * (m * correct1) / (sqrtf(v * correct2) + epsilon);
    }
}

void optimizer_apply(const struct optimizer_config *config, double rate, uint64_t step,
                     const float *from, const float *gradient, float *const *states, float *to,
                     size_t elements)
{
    CHECK(step >= 1);
    if (config->kind == OPTIMIZER_SGD)
        apply_sgd(config, (float)rate, from, gradient, states, to, elements);
    else
        apply_adam(config, rate, step, from, gradient, states, to, elements);
}
