/* Binary cross-entropy with logits: each of K labels is there or not, whatever the others are. */
#ifndef GRAFT_WORKER_ADAPT_BINARY_CROSS_ENTROPY_H
#define GRAFT_WORKER_ADAPT_BINARY_CROSS_ENTROPY_H

#include <stddef.h>

#include "worker/adapt/cross_entropy.h"

/* logits, targets (0 … 1) [count, labels]; label_weights [labels] or NULL = 1 each. Adds weight ·
 * ∂(Σ_i L_i)/∂logits to dlogits, L_i = (1/K)·Σ_k w_k·(log(1 + e^z_k) − y_k·z_k), which is
 * −y·log p − (1 − y)·log(1 − p) for p = 1/(1 + e^(−z)) (PyTorch's BCEWithLogitsLoss(weight)). In
 * double, per sample, in index order. Returns sums without `weight`. */
struct loss_sum binary_cross_entropy(const float *logits, const float *targets, size_t count,
                                     size_t labels, const double *label_weights, double weight,
                                     float *dlogits);

#endif
