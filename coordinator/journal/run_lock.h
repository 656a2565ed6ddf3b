/* The right to write into a run directory: an flock on RUN/run.lock, which holds the owner's pid.
 * The kernel releases it when the process dies, so nothing has to be cleaned up by hand. */
#ifndef GRAFT_COORDINATOR_JOURNAL_RUN_LOCK_H
#define GRAFT_COORDINATOR_JOURNAL_RUN_LOCK_H

#include "common/base/error.h"

/* *fd: to be given to run_lock_release. Never waits. Errors: ERR_STATE naming the pid that holds
 * it; ERR_IO. */
enum status run_lock_take(const char *run_directory, int *fd, struct error *err) MUST_CHECK;
/* The file stays (removing it would race with whoever waits for it). */
void run_lock_release(int fd);

#endif
