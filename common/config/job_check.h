/* Checks that tie several keys together, after the table's checks of each key alone; and values
 * that derive from others (run.directory from run.name). */
#ifndef GRAFT_COMMON_CONFIG_JOB_CHECK_H
#define GRAFT_COMMON_CONFIG_JOB_CHECK_H

#include "common/base/error.h"
#include "common/config/job.h"

/* Errors: ERR_INPUT "FILE: key: sentence", ERR_MEMORY. */
enum status job_check_all(struct job *job, const char *file, struct error *err) MUST_CHECK;

#endif
