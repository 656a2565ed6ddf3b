/* Fills a struct job from libconfig's tree by walking the key table: unknown keys, types, ranges,
 * defaults. Cross checks between keys are job_check's. */
#ifndef GRAFT_COMMON_CONFIG_JOB_READER_H
#define GRAFT_COMMON_CONFIG_JOB_READER_H

#include <libconfig.h>

#include "common/base/error.h"
#include "common/config/job.h"

/* `file` names the text in errors. Errors: ERR_INPUT, ERR_MEMORY. */
enum status job_reader_fill(struct job *job, const char *file, const config_t *tree,
                            struct error *err) MUST_CHECK;

#endif
