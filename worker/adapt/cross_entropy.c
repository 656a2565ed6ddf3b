#include "worker/adapt/cross_entropy.h"

#include <math.h>

#include "common/tensor/softmax.h"

bool cross_entropy_counts(const float *target, size_t classes)
{
    for (size_t k = 0; k < classes; k++)
        if (target[k] > 0)
            return true;
    return false;
}

/* w_k·y_k */
static double weighted(const float *target, size_t k, size_t classes, double smoothing,
                       const double *class_weights)
{
    double y = smoothing / (double)classes + (1.0 - smoothing) * (double)target[k];
    return class_weights == NULL ? y : class_weights[k] * y;
}

/* Σ_k w_k·y_k */
static double total_of(const float *target, size_t classes, double smoothing,
                       const double *class_weights)
{
    double total = 0;
    if (class_weights == NULL)
        return 1;
    for (size_t k = 0; k < classes; k++)
        total += weighted(target, k, classes, smoothing, class_weights);
    return total;
}

struct loss_sum cross_entropy(const float *logits, const float *targets, size_t count,
                              size_t classes, double smoothing, const double *class_weights,
                              double weight, float *dlogits)
{
    struct loss_sum sum = {0};
    for (size_t i = 0; i < count; i++) {
        const float *z = logits + i * classes, *target = targets + i * classes;
        if (!cross_entropy_counts(target, classes))
            continue;
        double normaliser = softmax_log_normaliser(z, classes);
        double total = total_of(target, classes, smoothing, class_weights);
        for (size_t k = 0; k < classes; k++) {
            double y = weighted(target, k, classes, smoothing, class_weights);
            double log_p = z[k] - normaliser;
            double gradient = total * exp(log_p) - y;
            sum.loss -= y * log_p;
            sum.gradient_square += gradient * gradient;
            dlogits[i * classes + k] += (float)(weight * gradient);
        }
        sum.samples++;
    }
    return sum;
}
