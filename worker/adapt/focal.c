#include "worker/adapt/focal.h"

#include <math.h>

#include "common/data/manifest.h"
#include "common/tensor/softmax.h"

/* ∂L/∂z_k = slope·(δ_ky − p_k) with slope = p·∂L/∂p = γ·p·(1−p)^(γ−1)·log p − (1−p)^γ.
 * 1−p is summed from the other classes: it keeps its digits when p is nearly 1. */
static double add_sample(const float *z, size_t y, size_t classes, double gamma,
                         double class_weight, double weight, float *dz, double *square)
{
    double normaliser = softmax_log_normaliser(z, classes), rest = 0;
    for (size_t k = 0; k < classes; k++)
        rest += k == y ? 0.0 : exp(z[k] - normaliser);
    double log_p = z[y] - normaliser;
    if (rest <= 0)
        return 0;
    double slope =
        class_weight * (gamma * exp(log_p) * pow(rest, gamma - 1) * log_p - pow(rest, gamma));
    for (size_t k = 0; k < classes; k++) {
        double gradient = slope * (k == y ? rest : -exp(z[k] - normaliser));
        *square += gradient * gradient;
        dz[k] += (float)(weight * gradient);
    }
    return -class_weight * pow(rest, gamma) * log_p;
}

struct loss_sum focal(const float *logits, const int32_t *labels, size_t count, size_t classes,
                      double gamma, const double *class_weights, double weight, float *dlogits)
{
    struct loss_sum sum = {0};
    for (size_t i = 0; i < count; i++) {
        if (labels[i] == LABEL_NONE)
            continue;
        size_t y = (size_t)labels[i];
        sum.loss += add_sample(logits + i * classes, y, classes, gamma,
                               class_weights == NULL ? 1.0 : class_weights[y], weight,
                               dlogits + i * classes, &sum.gradient_square);
        sum.samples++;
    }
    return sum;
}
