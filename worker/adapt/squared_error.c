#include "worker/adapt/squared_error.h"

struct loss_sum squared_error(const float *outputs, const float *targets, size_t count,
                              size_t values, const double *value_weights, double weight,
                              float *doutputs)
{
    struct loss_sum sum = {.samples = count};
    for (size_t i = 0; i < count * values; i++) {
        double error = (double)outputs[i] - (double)targets[i];
        double share = (value_weights == NULL ? 1.0 : value_weights[i % values]) / (double)values;
        double gradient = 2 * share * error;
        sum.loss += share * error * error;
        sum.gradient_square += gradient * gradient;
        doutputs[i] += (float)(weight * gradient);
    }
    return sum;
}
