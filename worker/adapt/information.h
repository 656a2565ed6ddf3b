/* Information maximisation (Krause 2010; SHOT, Liang 2020, equation 3) on unlabelled samples, with
 * the mean prediction over the whole step, exact whatever the number of workers: each answer sure,
 * all answers together diverse.
 *
 * Phase 1: n, Σ p_i, summed over all shards by the servers; p̄ = Σp/n.   L = (1/n)Σ H(p_i) + Σ_k p̄_k
 * log p̄_k Phase 2: ∂L/∂p_ik = (log p̄_k − log p_ik)/n, then the softmax Jacobian. */
#ifndef GRAFT_WORKER_ADAPT_INFORMATION_H
#define GRAFT_WORKER_ADAPT_INFORMATION_H

#include <stddef.h>
#include <stdint.h>

#include "worker/adapt/cross_entropy.h"

/* Σ softmax(logits [count, classes]) → sums [classes], overwritten. */
void information_sums(const float *logits, size_t count, size_t classes, double *sums);

/* Adds weight · n · ∂L/∂logits to dlogits [count, classes] (the server divides by n). sums and
 * total: the finished phase 1. The returned loss is Σ H(p_i) + count·Σ_k p̄_k log p̄_k, so that the
 * mean over all samples is L. */
struct loss_sum information_gradient(const float *logits, size_t count, size_t classes,
                                     const double *sums, uint64_t total, double weight,
                                     float *dlogits);

#endif
