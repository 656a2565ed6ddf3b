/* Mean squared error of K values a sample. */
#ifndef GRAFT_WORKER_ADAPT_SQUARED_ERROR_H
#define GRAFT_WORKER_ADAPT_SQUARED_ERROR_H

#include <stddef.h>

#include "worker/adapt/cross_entropy.h"

/* outputs, targets [count, values]; value_weights [values] or NULL = 1 each. Adds weight ·
 * ∂(Σ_i L_i)/∂outputs to doutputs, L_i = (1/K)·Σ_k w_k·(z_k − y_k)² (PyTorch's MSELoss). In double,
 * per sample, in index order. Returns sums without `weight`. */
struct loss_sum squared_error(const float *outputs, const float *targets, size_t count,
                              size_t values, const double *value_weights, double weight,
                              float *doutputs);

#endif
