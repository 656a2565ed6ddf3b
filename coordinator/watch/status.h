/* A running coordinator in JSON, for `graft status`; and the note in the run directory by which it
 * is found. */
#ifndef GRAFT_COORDINATOR_WATCH_STATUS_H
#define GRAFT_COORDINATOR_WATCH_STATUS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/file.h"
#include "common/config/job.h"
#include "coordinator/job/controller.h"

#define STATUS_ENDPOINT_BYTES 128

/* One JSON object, owned by the caller (free). NULL when memory is refused. */
char *status_json(const struct job *job, const struct controller_view *view);

/* RUN/endpoint: where the coordinator listens, the run's number that every message must carry, and
 * where the keys are (a directory, "" = none). Readable by its owner only: who can read it may stop
 * the job. */
struct status_note {
    char endpoint[STATUS_ENDPOINT_BYTES];
    uint64_t run;
    char keys[PATH_BYTES];
};

enum status status_note_write(const char *run_directory, const char *endpoint, uint64_t run,
                              const char *keys, struct error *err) MUST_CHECK;
enum status status_note_read(const char *run_directory, struct status_note *out,
                             struct error *err) MUST_CHECK;
void status_note_remove(const char *run_directory);

#endif
