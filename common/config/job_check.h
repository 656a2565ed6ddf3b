/* Checks that tie several keys together, after the table's checks of each key alone; and values
 * that derive from others (run.directory from run.name). */
#ifndef GRAFT_COMMON_CONFIG_JOB_CHECK_H
#define GRAFT_COMMON_CONFIG_JOB_CHECK_H

#include <libconfig.h>

#include "common/base/error.h"
#include "common/config/job.h"

/* `tree`: what the job was read from. Errors: ERR_INPUT "FILE:LINE: key: sentence" with the line of
 * the key, or of the nearest group above it that the file has; ERR_MEMORY. */
enum status job_check_all(struct job *job, const char *file, const config_t *tree,
                          struct error *err) MUST_CHECK;

#endif
