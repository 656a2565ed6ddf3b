/* A row of texts to the network's inputs: of each sample `length` token ids, the mask (1 at tokens, 0
 * at padding) and the types (all 0), those that the model has, in its order, as float32. One thread.
 * No heap call but for rows longer than all before. */
#ifndef GRAFT_WORKER_DATA_TEXT_SAMPLE_H
#define GRAFT_WORKER_DATA_TEXT_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/text_row.h"
#include "common/model/model.h"

struct text_sample;

/* Reads the vocabulary. Errors: those of vocabulary_read and wordpiece_create. */
enum status text_sample_create(const struct text_config *config, const struct model *model,
                               struct text_sample **out, struct error *err) MUST_CHECK;
void text_sample_destroy(struct text_sample **maker);

/* Floats of one sample. */
size_t text_sample_elements(const struct text_sample *maker);

/* Of the row's field `column`. Errors: ERR_STATE when there is none (the manifest had found it),
 * ERR_MEMORY. */
enum status text_sample_make(struct text_sample *maker, enum text_form form,
                             const struct text_row *row, size_t column, float *out,
                             struct error *err) MUST_CHECK;

#endif
