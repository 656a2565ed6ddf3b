/* Softmax cross-entropy with label smoothing (Szegedy 2016, section 7), on labels or pseudo labels.
 */
#ifndef GRAFT_WORKER_ADAPT_CROSS_ENTROPY_H
#define GRAFT_WORKER_ADAPT_CROSS_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

struct loss_sum {
    double loss;            /* Σ over samples */
    double gradient_square; /* Σ ‖∂L_i/∂(logits or features)‖² */
    uint64_t samples;       /* that took part */
};

/* logits [count, classes]; labels [count], LABEL_NONE = takes no part. Adds weight · ∂(Σ_i
 * CE_i)/∂logits to dlogits: p − y with y = (1−ε)·onehot + ε/K. Softmax in double, per sample, in
 * index order. Returns unweighted sums. */
struct loss_sum cross_entropy(const float *logits, const int32_t *labels, size_t count,
                              size_t classes, double smoothing, double weight, float *dlogits);

#endif
