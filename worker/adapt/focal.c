#include "worker/adapt/focal.h"

#include <math.h>

#include "common/tensor/softmax.h"

/* 1 − p_y, summed from the other classes: it keeps its digits when p is nearly 1. */
static double rest_of(const float *z, size_t y, size_t classes, double normaliser)
{
    double rest = 0;
    for (size_t k = 0; k < classes; k++)
        rest += k == y ? 0.0 : exp(z[k] - normaliser);
    return rest;
}

/* p·∂L/∂p = γ·p·(1−p)^(γ−1)·log p − (1−p)^γ */
static double slope_of(double log_p, double rest, double gamma)
{
    return rest > 0 ? gamma * exp(log_p) * pow(rest, gamma - 1) * log_p - pow(rest, gamma) : 0;
}

/* ∂L/∂z_k = Σ_y q_y·slope_y·(δ_ky − p_k), where 1 − p_k is rest_k. */
static void add_sample(const float *z, const float *target, size_t classes, double gamma,
                       const double *class_weights, double weight, float *dz, struct loss_sum *sum)
{
    double normaliser = softmax_log_normaliser(z, classes), slopes = 0;
    for (size_t y = 0; y < classes; y++) {
        if (!(target[y] > 0))
            continue;
        double share = (class_weights == NULL ? 1.0 : class_weights[y]) * (double)target[y];
        double log_p = z[y] - normaliser, rest = rest_of(z, y, classes, normaliser);
        slopes += share * slope_of(log_p, rest, gamma);
        sum->loss -= rest > 0 ? share * pow(rest, gamma) * log_p : 0;
    }
    for (size_t k = 0; k < classes; k++) {
        double log_p = z[k] - normaliser, own = 0, rest = 0;
        if (target[k] > 0) {
            rest = rest_of(z, k, classes, normaliser);
            own = (class_weights == NULL ? 1.0 : class_weights[k]) * (double)target[k] *
                  slope_of(log_p, rest, gamma);
        }
        double gradient = own * rest - (slopes - own) * exp(log_p);
        sum->gradient_square += gradient * gradient;
        dz[k] += (float)(weight * gradient);
    }
}

struct loss_sum focal(const float *logits, const float *targets, size_t count, size_t classes,
                      double gamma, const double *class_weights, double weight, float *dlogits)
{
    struct loss_sum sum = {0};
    for (size_t i = 0; i < count; i++) {
        const float *target = targets + i * classes;
        if (!cross_entropy_counts(target, classes))
            continue;
        add_sample(logits + i * classes, target, classes, gamma, class_weights, weight,
                   dlogits + i * classes, &sum);
        sum.samples++;
    }
    return sum;
}
