/* The numbers of one CSV line, scaled to 0 … 255. Pure; no allocation. */
#ifndef GRAFT_WORKER_DATA_CSV_SAMPLE_H
#define GRAFT_WORKER_DATA_CSV_SAMPLE_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/config/job.h"

/* Parses all columns of line[length] but the label's (job_label_columns) into out[width * height * channels], each
 * times 255 / value_max. Errors, one sentence without the file's name: ERR_INPUT for something that
 * isn't a finite number, ERR_STATE for a wrong number of columns (the manifest had counted them).
 */
enum status csv_sample_parse(const struct source_config *source, size_t label_columns,
                             const char *line, size_t length, float *out,
                             struct error *err) MUST_CHECK;

#endif
