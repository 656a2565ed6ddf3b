/* Softmax cross-entropy with label smoothing (Szegedy 2016, section 7) and weights of classes, on
 * labels or pseudo labels. */
#ifndef GRAFT_WORKER_ADAPT_CROSS_ENTROPY_H
#define GRAFT_WORKER_ADAPT_CROSS_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

struct loss_sum {
    double loss;            /* Σ over samples */
    double gradient_square; /* Σ ‖∂L_i/∂(logits or features)‖² */
    uint64_t samples;       /* that took part */
};

/* logits [count, classes]; labels [count], LABEL_NONE = takes no part; class_weights [classes] or
 * NULL = 1 each. Adds weight · ∂(Σ_i L_i)/∂logits to dlogits, L_i = −Σ_k w_k·y_k·log p_k with
 * y = (1−ε)·onehot + ε/K. (PyTorch divides by Σ w of the labels; the mean here is over samples.)
 * Softmax in double, per sample, in index order. Returns sums without `weight`. */
struct loss_sum cross_entropy(const float *logits, const int32_t *labels, size_t count,
                              size_t classes, double smoothing, const double *class_weights,
                              double weight, float *dlogits);

#endif
