#include "worker/adapt/cross_entropy.h"

#include <math.h>

#include "common/data/manifest.h"
#include "common/tensor/softmax.h"

/* w_k·y_k */
static double target_of(int32_t label, size_t k, size_t classes, double smoothing,
                        const double *class_weights)
{
    double y = smoothing / (double)classes + (k == (size_t)label ? 1.0 - smoothing : 0.0);
    return class_weights == NULL ? y : class_weights[k] * y;
}

/* Σ_k w_k·y_k */
static double total_of(int32_t label, size_t classes, double smoothing, const double *class_weights)
{
    double total = 0;
    if (class_weights == NULL)
        return 1;
    for (size_t k = 0; k < classes; k++)
        total += target_of(label, k, classes, smoothing, class_weights);
    return total;
}

struct loss_sum cross_entropy(const float *logits, const int32_t *labels, size_t count,
                              size_t classes, double smoothing, const double *class_weights,
                              double weight, float *dlogits)
{
    struct loss_sum sum = {0};
    for (size_t i = 0; i < count; i++) {
        const float *z = logits + i * classes;
        if (labels[i] == LABEL_NONE)
            continue;
        double normaliser = softmax_log_normaliser(z, classes);
        double total = total_of(labels[i], classes, smoothing, class_weights);
        for (size_t k = 0; k < classes; k++) {
            double target = target_of(labels[i], k, classes, smoothing, class_weights);
            double log_p = z[k] - normaliser;
            double gradient = total * exp(log_p) - target;
            sum.loss -= target * log_p;
            sum.gradient_square += gradient * gradient;
            dlogits[i * classes + k] += (float)(weight * gradient);
        }
        sum.samples++;
    }
    return sum;
}
