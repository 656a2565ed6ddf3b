/* Information maximisation (Krause 2010) for many labels a sample: each label is a variable of its
 * own with two values, and what is maximised is the mean over labels of the mutual information of
 * input and label. Exact whatever the number of workers.
 *
 * Phase 1: n, Σ_i p_ik, summed over all shards by the servers; p̄ = Σp/n.
 *   L = (1/K) Σ_k [(1/n) Σ_i H(p_ik) − H(p̄_k)],  H(p) = −p·log p − (1 − p)·log(1 − p)
 * Phase 2: ∂L/∂z_ik = p(1 − p)·(log(p̄/(1 − p̄)) − z)/(nK). */
#ifndef GRAFT_WORKER_ADAPT_LABEL_INFORMATION_H
#define GRAFT_WORKER_ADAPT_LABEL_INFORMATION_H

#include <stddef.h>
#include <stdint.h>

#include "worker/adapt/cross_entropy.h"

/* Σ sigmoid(logits [count, labels]) → sums [labels], overwritten. */
void label_information_sums(const float *logits, size_t count, size_t labels, double *sums);

/* As information_gradient: adds weight · n · ∂L/∂logits; the mean of the returned loss over all
 * samples is L. */
struct loss_sum label_information_gradient(const float *logits, size_t count, size_t labels,
                                           const double *sums, uint64_t total, double weight,
                                           float *dlogits);

#endif
