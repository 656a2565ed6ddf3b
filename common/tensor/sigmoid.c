#include "common/tensor/sigmoid.h"

#include <math.h>

double sigmoid(double z)
{
    double e = exp(-fabs(z));
    return (z < 0 ? e : 1) / (1 + e);
}

double sigmoid_log_normaliser(double z)
{
    return fmax(z, 0) + log1p(exp(-fabs(z)));
}
