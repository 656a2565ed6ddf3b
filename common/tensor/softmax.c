#include "common/tensor/softmax.h"

#include <math.h>

double softmax_log_normaliser(const float *logits, size_t classes)
{
    double most = logits[0], sum = 0;
    for (size_t k = 1; k < classes; k++)
        most = fmax(most, logits[k]);
    for (size_t k = 0; k < classes; k++)
        sum += exp(logits[k] - most);
    return most + log(sum);
}
