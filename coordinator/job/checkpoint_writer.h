/* Writes checkpoints in a thread of its own, one at a time, while the job goes on. All functions are
 * the coordinator's main thread's. */
#ifndef GRAFT_COORDINATOR_JOB_CHECKPOINT_WRITER_H
#define GRAFT_COORDINATOR_JOB_CHECKPOINT_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/config/job.h"
#include "coordinator/job/values.h"

struct checkpoint_writer;

/* `job` is borrowed. */
enum status checkpoint_writer_create(const struct job *job, struct checkpoint_writer **out,
                                     struct error *err) MUST_CHECK;
/* Waits for what is being written. */
void checkpoint_writer_destroy(struct checkpoint_writer **writer);

/* Something was begun and checkpoint_writer_end has not told its end yet. */
bool checkpoint_writer_is_busy(const struct checkpoint_writer *writer);

/* Begins to write a copy of `values`; not while busy. Errors: ERR_MEMORY. */
enum status checkpoint_writer_begin(struct checkpoint_writer *writer, const struct values *values,
                                    uint64_t step, struct error *err) MUST_CHECK;

/* True once for each checkpoint that was begun, when it is written or has failed; then *status is
 * that of checkpoint_write, and `path` or *err is set. `wait`: for that moment, if busy. */
bool checkpoint_writer_end(struct checkpoint_writer *writer, bool wait, enum status *status,
                           char path[PATH_BYTES], struct error *err);

#endif
