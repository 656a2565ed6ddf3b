/* Numbers of all blocks of a stage, the same for coordinator, workers and servers: the plan's
 * parameter blocks first, then the statistics that losses need over the whole step, then one block
 * of metrics. */
#ifndef GRAFT_COMMON_MODEL_LAYOUT_H
#define GRAFT_COMMON_MODEL_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "common/config/job.h"
#include "common/model/plan.h"

/* Statistics of one domain, side by side: for CORAL the sums of features (d) and the upper triangle
 * of the sums of products, row by row (d(d+1)/2); for information maximisation the sums of
 * predicted probabilities (K), of classes or of labels. */
#define LAYOUT_STATISTIC_ELEMENTS ((size_t)131072) /* of one block: 1 MiB of doubles */

/* One metric triple per loss term, summed over samples. */
enum layout_term {
    TERM_LABELLED, /* cross-entropy, focal, binary cross-entropy or squared error: as the job says */
    TERM_CORAL,
    TERM_INFORMATION,
    TERM_SELF_TRAINING,
    TERM_COUNT
};
enum layout_metric { METRIC_LOSS, METRIC_GRADIENT_SQUARE, METRIC_SAMPLES, METRIC_COUNT };

struct layout {
    size_t parameter_count;    /* blocks 0 … parameter_count - 1 */
    size_t statistic_count;    /* then these; 0 when no loss needs statistics */
    size_t statistic_elements; /* of all of them together */
    size_t coral_elements;     /* of those, at the front; the rest is information's */
    uint32_t metric_block;     /* the last */
    size_t metric_elements;    /* TERM_COUNT * METRIC_COUNT */
    size_t block_count;
};

struct layout layout_of(const struct plan *plan, const struct stage_config *stage);

/* Slice of statistic block number `i` (0 … statistic_count - 1) in the statistics vector. */
size_t layout_statistic_offset(size_t i);
size_t layout_statistic_size(const struct layout *layout, size_t i);

#endif
