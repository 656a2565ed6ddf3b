#include "worker/adapt/binary_cross_entropy.h"

#include "common/tensor/sigmoid.h"

struct loss_sum binary_cross_entropy(const float *logits, const float *targets, size_t count,
                                     size_t labels, const double *label_weights, double weight,
                                     float *dlogits)
{
    struct loss_sum sum = {.samples = count};
    for (size_t i = 0; i < count * labels; i++) {
        double z = logits[i], y = targets[i];
        double share = (label_weights == NULL ? 1.0 : label_weights[i % labels]) / (double)labels;
        double gradient = share * (sigmoid(z) - y);
        sum.loss += share * (sigmoid_log_normaliser(z) - y * z);
        sum.gradient_square += gradient * gradient;
        dlogits[i] += (float)(weight * gradient);
    }
    return sum;
}
