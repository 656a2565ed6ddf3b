/* Checkpoints: all numbers of a run after an epoch or within it, on disk, whole or not at all.
 *
 *     RUN/checkpoints/step-N/model.safetensors      the live tensors of the stage, by name
 *                            optimizer.safetensors  the optimiser's vectors: "exp_avg.NAME", …
 *                            epoch.safetensors      metric totals and pseudo labels of the epoch
 *                            run.json               counters, config digest, SHA-256 of the files
 *     RUN/checkpoints/step-N.tmp-PID                being written; left only by a process that died
 *
 * N counts updates over all stages. A directory is written aside, synced and renamed. What is read
 * back is checked against its hashes, the job and the plan: a torn or foreign checkpoint is an
 * error, never wrong numbers. All functions block on the disk; one at a time of a run directory. */
#ifndef GRAFT_COORDINATOR_JOB_CHECKPOINT_H
#define GRAFT_COORDINATOR_JOB_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/file.h"
#include "common/config/job.h"
#include "common/model/plan.h"
#include "coordinator/job/values.h"

#define CHECKPOINT_MODEL_FILE "model.safetensors"
#define CHECKPOINT_OPTIMIZER_FILE "optimizer.safetensors"
#define CHECKPOINT_HEAD_FILE "run.json"
#define CHECKPOINT_EPOCH_FILE "epoch.safetensors"
#define CHECKPOINT_METRICS "metrics"
#define CHECKPOINT_LABELS "labels"
#define CHECKPOINT_FORMAT 2
#define CHECKPOINT_NAME_BYTES ((size_t)576) /* GRAPH_NAME_BYTES_MAX and the state's */
#define CHECKPOINT_COUNT_MAX ((size_t)65536)

/* What run.json says of the numbers beside it. */
struct checkpoint_head {
    uint32_t stage;      /* < job->stage_count */
    uint32_t epoch;      /* finished epochs of the stage */
    uint32_t epoch_step; /* updates since then; 0: an epoch's end */
    uint64_t stage_step; /* updates since the stage began */
    uint64_t step;       /* over all stages */
    struct digest weights;
};

/* SHA-256 over (name, bytes) of the live tensors in plan order: the weights_sha256 of results. */
struct digest checkpoint_weights_digest(const struct plan *plan, const float *live);

/* Writes RUN/checkpoints/step-N, N = `step`, over an existing one of that number; `path_out` (or
 * NULL) receives its path. After an error nothing half-written remains and an older step-N is as it
 * was. Errors: ERR_IO with path and reason (a full disk says so), ERR_MEMORY, ERR_INPUT (path too
 * long). */
enum status checkpoint_write(const char *run_directory, const struct job *job,
                             const struct values *values, uint64_t step, char path_out[PATH_BYTES],
                             struct error *err) MUST_CHECK;

/* Reads run.json alone. Errors: ERR_IO, ERR_INPUT (not a checkpoint), ERR_STATE (of another job).
 */
enum status checkpoint_peek(const char *path, const struct job *job, struct checkpoint_head *out,
                            struct error *err) MUST_CHECK;

/* Everything, checked: `plan` is that of the stage that checkpoint_peek named. The caller owns
 * *out (values_destroy); `head` may be NULL. Errors: ERR_IO, ERR_MEMORY, ERR_INPUT (a file is
 * missing, damaged or does not fit the plan), ERR_STATE (of another job or stage). */
enum status checkpoint_read(const char *path, const struct job *job, const struct plan *plan,
                            struct values **out, struct checkpoint_head *head,
                            struct error *err) MUST_CHECK;

/* Step numbers of RUN's checkpoints, the newest first; owned by the caller (memory_free). No
 * directory yet: none. Errors: ERR_IO, ERR_MEMORY. */
enum status checkpoint_list(const char *run_directory, uint64_t **steps, size_t *count,
                            struct error *err) MUST_CHECK;

/* RUN's checkpoint of this step, read as by checkpoint_read with the plan of its stage;
 * plans[job->stage_count]. Also ERR_INPUT when it holds another step. */
enum status checkpoint_at(const char *run_directory, uint64_t step, const struct job *job,
                          const struct plan *const *plans, struct values **out,
                          struct checkpoint_head *head, struct error *err) MUST_CHECK;

/* The newest sound checkpoint whose head `accept` (NULL: any) takes; damaged ones are passed over with a
 * warning in the log. *out is NULL, and `head` untouched, when there is none. Errors: ERR_STATE (of
 * another job), ERR_IO, ERR_MEMORY. */
enum status
checkpoint_latest(const char *run_directory, const struct job *job, const struct plan *const *plans,
                  bool (*accept)(const void *context, const struct checkpoint_head *head),
                  const void *context, struct values **out, struct checkpoint_head *head,
                  struct error *err) MUST_CHECK;

/* Removes all but the newest `kept` and those of keep_steps[count], and what dead processes left.
 * Errors: ERR_IO, ERR_MEMORY. */
enum status checkpoint_prune(const char *run_directory, size_t kept, const uint64_t *keep_steps,
                             size_t count, struct error *err) MUST_CHECK;

/* Name of a tensor in the optimiser's file: "exp_avg.head.weight". False when it is too long. */
bool checkpoint_state_name(char out[CHECKPOINT_NAME_BYTES], const char *state, const char *tensor);

/* RUN/checkpoints/step-N. Errors: ERR_INPUT (too long). */
enum status checkpoint_path(char out[PATH_BYTES], const char *run_directory, uint64_t step,
                            struct error *err) MUST_CHECK;

#endif
