#include "worker/adapt/cross_entropy.h"

#include <math.h>

#include "common/data/manifest.h"
#include "common/tensor/softmax.h"

struct loss_sum cross_entropy(const float *logits, const int32_t *labels, size_t count,
                              size_t classes, double smoothing, double weight, float *dlogits)
{
    struct loss_sum total = {0};
    for (size_t i = 0; i < count; i++) {
        const float *z = logits + i * classes;
        if (labels[i] == LABEL_NONE)
            continue;
        double normaliser = softmax_log_normaliser(z, classes);
        for (size_t k = 0; k < classes; k++) {
            double target =
                smoothing / (double)classes + (k == (size_t)labels[i] ? 1.0 - smoothing : 0.0);
            double log_p = z[k] - normaliser;
            double gradient = exp(log_p) - target;
            total.loss -= target * log_p;
            total.gradient_square += gradient * gradient;
            dlogits[i * classes + k] += (float)(weight * gradient);
        }
        total.samples++;
    }
    return total;
}
