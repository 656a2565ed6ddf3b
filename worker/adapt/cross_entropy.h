/* Softmax cross-entropy with label smoothing (Szegedy 2016, section 7) and weights of classes, on
 * labels, mixed labels or pseudo labels. */
#ifndef GRAFT_WORKER_ADAPT_CROSS_ENTROPY_H
#define GRAFT_WORKER_ADAPT_CROSS_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loss_sum {
    double loss;            /* Σ over samples */
    double gradient_square; /* Σ ‖∂L_i/∂(logits or features)‖² */
    uint64_t samples;       /* that took part */
};

/* logits [count, classes]; targets [count, classes]: each class's share of the label (one 1, or two
 * shares of a mix); a row of zeros takes no part; class_weights [classes] or NULL = 1 each. Adds
 * weight · ∂(Σ_i L_i)/∂logits to dlogits, L_i = −Σ_k w_k·y_k·log p_k with y = (1−ε)·target + ε/K.
 * (PyTorch divides by Σ w of the labels; the mean here is over samples.) Softmax in double, per
 * sample, in index order. Returns sums without `weight`. */
struct loss_sum cross_entropy(const float *logits, const float *targets, size_t count,
                              size_t classes, double smoothing, const double *class_weights,
                              double weight, float *dlogits);

/* Whether a row of targets [classes] takes part. */
bool cross_entropy_counts(const float *target, size_t classes);

#endif
