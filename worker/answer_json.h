/* The answer about one sample where it is not a class, as JSON (graft help predict). */
#ifndef GRAFT_WORKER_ANSWER_JSON_H
#define GRAFT_WORKER_ANSWER_JSON_H

#include <jansson.h>

#include "common/config/job.h"

/* multilabel: "labels": names of those with a probability of at least one half; "probabilities": of
 * each. logits[K]. */
void answer_json_labels(json_t *line, const struct data_config *data, const float *logits);

/* regression: "values": each by its name. values[K]. */
void answer_json_values(json_t *line, const struct data_config *data, const float *values);

#endif
