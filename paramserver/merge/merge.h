/* How the gradients of several domains become one, per parameter block. One rule a file.
 * Inputs: gradients[d][elements], each the MEAN gradient of its domain (sum / samples), already
 * scaled by the domain's weight; they may be overwritten. Output: out[elements], overwritten. Sums
 * run in index order, in double. */
#ifndef GRAFT_PARAMSERVER_MERGE_MERGE_H
#define GRAFT_PARAMSERVER_MERGE_MERGE_H

#include <stddef.h>

#include "common/config/job.h"

void merge_gradients(enum merge_kind kind, float *const *gradients, size_t domains, size_t elements,
                     float *out);

/* g = Σ_d g_d */
void merge_sum(float *const *gradients, size_t domains, size_t elements, float *out);

/* PCGrad (Yu 2020, algorithm 1, with the domains in their configured order instead of a random one,
 * so that the result is a function of its inputs): g_i −= min(0, ⟨g_i,g_j⟩/‖g_j‖²)·g_j with the
 * original g_j; then the sum. */
void merge_pcgrad(float *const *gradients, size_t domains, size_t elements, float *out);

/* AND-mask (Parascandolo 2021) with τ = 1: a coordinate moves only where all signs agree;
 * g = m ⊙ Σ g_d / (mean(m) + 1e-10). */
void merge_agreement(float *const *gradients, size_t domains, size_t elements, float *out);

#endif
