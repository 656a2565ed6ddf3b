/* A job made of a trained model and what a person wants answered: classes and preprocessing from
 * the model's own note (onnx/metadata.h), one domain "input" whose sources are the arguments. */
#ifndef GRAFT_WORKER_PREDICT_JOB_H
#define GRAFT_WORKER_PREDICT_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/config/job.h"

/* A directory is a `folder` source, NAME.csv and NAME.tsv are `csv` (a header line or not, by
 * `header`), NAME.list is `list`, NAME-ubyte and NAME.idx are `idx`, all else is a picture. For a
 * model of texts every input is `text`.
 *
 * `labelled`: the inputs carry labels: folders by class, lists, CSV in column `label_column` (or as
 * many from it on as there are labels or values). A CSV row is one picture of width x height x channels numbers, `value_max` = white; 0: as the network's input,
 * 255. */
struct predict_inputs {
    char **paths;
    size_t count; /* ≤ JOB_SOURCES_MAX */
    bool labelled, header;
    int label_column; /* negative: none */
    uint32_t text_column;
    uint32_t width, height, channels;
    double value_max;
};

/* `note` is that of the file `model`, which has the vocabulary too. The job borrows the paths.
 * Errors: ERR_INPUT (the note is no configuration, an input does not exist), ERR_MEMORY. */
enum status predict_job_create(const char *model, const char *note,
                               const struct predict_inputs *inputs, struct job **out,
                               struct error *err) MUST_CHECK;

#endif
