/* The resolved configuration as text: every key of the table, in its order, with its value. Parsing
 * it again gives the same values bit for bit (numbers are written with as many digits as that
 * takes). */
#ifndef GRAFT_COMMON_CONFIG_JOB_TEXT_H
#define GRAFT_COMMON_CONFIG_JOB_TEXT_H

#include "common/base/error.h"
#include "common/config/job.h"

/* Sets job->text, text_bytes and digest. Errors: ERR_MEMORY, ERR_INPUT when longer than
 * JOB_CONFIG_BYTES_MAX. */
enum status job_text_resolve(struct job *job, struct error *err) MUST_CHECK;

#endif
