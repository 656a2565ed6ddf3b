/* Focal loss (Lin 2017, "Focal loss for dense object detection", equation 5): cross-entropy that
 * counts the less the surer the network already is of the label. */
#ifndef GRAFT_WORKER_ADAPT_FOCAL_H
#define GRAFT_WORKER_ADAPT_FOCAL_H

#include <stddef.h>

#include "worker/adapt/cross_entropy.h"

/* As cross_entropy, with L_i = −Σ_y target_y·w_y·(1−p_y)^γ·log p_y; γ > 0. */
struct loss_sum focal(const float *logits, const float *targets, size_t count, size_t classes,
                      double gamma, const double *class_weights, double weight, float *dlogits);

#endif
