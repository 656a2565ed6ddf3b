/* `graft run`: sockets, files, child processes and signals around the controller. One thread. */
#ifndef GRAFT_COORDINATOR_DRIVER_H
#define GRAFT_COORDINATOR_DRIVER_H

#include <stdbool.h>

#include "common/base/error.h"
#include "common/config/job.h"

struct driver_options {
    bool resume;
    bool restart;    /* throw away an unfinished run that is in the way */
    bool quiet;      /* no progress lines */
    bool no_members; /* start no local members: they come by themselves */
};

/* Runs the job to its end: members, training, evaluation, results. Prints progress and the final
 * table to standard output. ERR_STOPPED: ended by a signal or `graft stop`; what was kept can be
 * resumed. No process is left behind. */
enum status driver_run(const struct job *job, const struct driver_options *options,
                       struct error *err) MUST_CHECK;

#endif
