/* What a finished run leaves and shows: adapted.onnx, adapted.safetensors, test.safetensors,
 * changes.png, result.json, the table. */
#ifndef GRAFT_COORDINATOR_OUTPUTS_H
#define GRAFT_COORDINATOR_OUTPUTS_H

#include <stdbool.h>
#include <stdio.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/model/model.h"
#include "coordinator/history.h"
#include "coordinator/job/controller.h"

struct outputs {
    const struct job *job;
    const struct manifest *manifest;
    const struct model *model;
    const struct history *history;
    struct journal *journal;
    const struct controller *controller; /* done */
    double total_seconds;
    size_t dropped; /* messages refused */
};

/* Writes the files and prints the table and where the files are to `to`. Blocks on the disk. */
enum status outputs_write(const struct outputs *outputs, FILE *to, struct error *err) MUST_CHECK;

#endif
