/* The result of a run, RUN/result.json: what was reached, by which weights, in what time. JSON with
 * sorted keys; numbers that do not exist (no labels, not measured) are null. Blocks on the disk. */
#ifndef GRAFT_COORDINATOR_JOB_RESULT_H
#define GRAFT_COORDINATOR_JOB_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/config/job.h"
#include "common/config/key_table.h"
#include "coordinator/job/scores.h"
#include "coordinator/journal/journal.h"

#define RESULT_FILE "result.json"
#define RESULT_BYTES_MAX ((size_t)256 << 20)

struct result_unreadable {
    const char *path;
    const char *reason;
};

/* All borrowed for the call. Name, seed, config digest, class and stage names, shards and threads
 * come from the job. */
struct result {
    const struct job *job;
    struct digest weights, model;
    size_t domain;                             /* evaluated, of job->data.domains */
    const struct score *source_only, *adapted; /* NULL: no labels to compare with */

    double stage_seconds[JOB_STAGES_MAX];
    double prepare_seconds, evaluate_seconds, export_seconds, total_seconds;

    uint32_t selected[JOB_STAGES_MAX]; /* epoch of each stage */
    double selected_score[JOB_STAGES_MAX];

    const struct journal_epoch *epochs;
    size_t epoch_count;
    const struct result_unreadable *unreadable;
    size_t unreadable_count;

    size_t workers, servers; /* that took part */
    const char *platform;
    uint64_t dropped; /* messages refused */
};

/* Writes RUN/result.json aside and renames. Errors: ERR_IO, ERR_MEMORY, ERR_INPUT. */
enum status result_write(const char *run_directory, const struct result *result,
                         struct error *err) MUST_CHECK;

/* One score as result.json states it. Errors: ERR_INPUT (a class name is not UTF-8), ERR_IO. */
enum status result_print_score(FILE *to, const struct job *job, const struct score *score,
                               struct error *err) MUST_CHECK;

/* What `graft compare` shows of one result. */
struct result_summary {
    char name[KEY_NAME_BYTES];
    uint64_t seed;
    char config_hex[DIGEST_HEX_BYTES], weights_hex[DIGEST_HEX_BYTES];
    bool regression;             /* then in place of accuracy MAE, of macro F1 R² */
    double source_only, adapted; /* accuracy; NAN: none */
    double source_only_f1, adapted_f1;
    double total_seconds;
    size_t samples;
};

/* `path`: a run directory or a result file. Errors: ERR_IO, ERR_INPUT (not a result; names the
 * key). */
enum status result_read_summary(const char *path, struct result_summary *out,
                                struct error *err) MUST_CHECK;

#endif
