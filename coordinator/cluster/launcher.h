/* Local members as child processes: started, watched and, whatever happens, ended.
 * Each child gets its own log file and dies with its parent (PR_SET_PDEATHSIG), so that not even a
 * kill -9 of the coordinator leaves one behind. One thread. */
#ifndef GRAFT_COORDINATOR_CLUSTER_LAUNCHER_H
#define GRAFT_COORDINATOR_CLUSTER_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"

#define LAUNCHER_CHILDREN_MAX 256

struct launcher {
    pid_t pids[LAUNCHER_CHILDREN_MAX]; /* 0: ended */
    size_t count;
};

/* Path of one of graft's programs: the file beside this one, so that a build tree works without
 * installation, else the bare name, for PATH. */
void launcher_find(const char *program, char *out, size_t bytes);

/* What all local members are told. */
struct launcher_words {
    const char *coordinator;   /* its endpoint */
    const char *bind;          /* address to listen on */
    const char *keys;          /* directory, "" = none */
    const char *log_directory; /* for NAME-NUMBER.log */
};

/* Starts graft-worker or graft-server (the file beside this program, else by PATH). threads: what
 * OpenMP may use. Errors: ERR_IO, ERR_INPUT (too many). */
enum status launcher_start(struct launcher *launcher, const char *program,
                           const struct launcher_words *words, unsigned threads,
                           struct error *err) MUST_CHECK;

/* One child that has ended since the last call, or 0. *failed: other than by exit status 0. Never
 * waits. */
pid_t launcher_ended(struct launcher *launcher, bool *failed);

/* Waits up to grace_ms for the children to end by themselves, then SIGTERM, then SIGKILL; all are
 * reaped. */
void launcher_stop(struct launcher *launcher, int64_t grace_ms);

#endif
