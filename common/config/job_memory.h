/* All memory of a job: pieces chained at job->owned and freed together by job_destroy. One thread.
 */
#ifndef GRAFT_COMMON_CONFIG_JOB_MEMORY_H
#define GRAFT_COMMON_CONFIG_JOB_MEMORY_H

#include <stddef.h>

#include "common/config/job.h"

/* Zeroed, aligned; lives until the job is destroyed. NULL when memory is refused. */
void *job_memory_alloc(struct job *job, size_t count, size_t bytes);
/* Copy of `text` with its terminating zero. */
char *job_memory_dup_text(struct job *job, const char *text);
void job_memory_free_all(struct job *job);

#endif
