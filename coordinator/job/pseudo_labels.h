/* Class-balanced self-training: which guesses become labels. */
#ifndef GRAFT_COORDINATOR_JOB_PSEUDO_LABELS_H
#define GRAFT_COORDINATOR_JOB_PSEUDO_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include "common/config/job.h"
#include "coordinator/job/scores.h"

/* Share kept in epoch `epoch` (from 0) of `epochs`: linear from fraction_first to fraction_last. */
double pseudo_labels_fraction(const struct loss_config *losses, uint32_t epoch, uint32_t epochs);

/* One sample's guess; room for pseudo_labels_choose. */
struct guess {
    int32_t label;
    uint32_t sample;
    double confidence; /* largest softmax probability */
};

/* labels[count]: the predicted class of the samples that take part, LABEL_NONE for the others. Per
 * predicted class the ceil(fraction · size) most confident ones, and of those only with confidence
 * ≥ confidence_min (class-balanced self-training, Zou 2018: the class's share is its threshold).
 * Ties: the earlier sample. room[count]. Returns how many take part. */
size_t pseudo_labels_choose(const struct predictions *predictions, double fraction,
                            double confidence_min, struct guess *room, int32_t *labels);

#endif
