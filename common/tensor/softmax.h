/* log Σ_k exp(z_k) in double, shifted by the largest so that nothing overflows; summed in index
 * order. With it log p_k = z_k − log_normaliser for p = softmax(z). classes >= 1. */
#ifndef GRAFT_COMMON_TENSOR_SOFTMAX_H
#define GRAFT_COMMON_TENSOR_SOFTMAX_H

#include <stddef.h>

double softmax_log_normaliser(const float *logits, size_t classes);

#endif
