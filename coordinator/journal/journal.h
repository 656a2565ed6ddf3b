/* The journal: everything that a restart or a person asks of a run, in RUN/run.db (SQLite, WAL).
 *
 * One coordinator a run directory: RUN/run.lock is held (flock) from journal_open to journal_close
 * and by the kernel given back when the process dies. Epochs and the end of the run are on the disk
 * when their function returns; events, members and unreadable samples survive the process at once
 * and a power cut a little later. Owner: the coordinator's main thread; all functions block on the
 * disk. SQLite appears in this module only.
 *
 * Tables: run, epoch, event, member, unreadable (journal_tables.c). Texts longer than
 * JOURNAL_TEXT_BYTES_MAX are cut. */
#ifndef GRAFT_COORDINATOR_JOURNAL_JOURNAL_H
#define GRAFT_COORDINATOR_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/model/layout.h"

#define JOURNAL_TEXT_BYTES_MAX 4096

struct journal;

/* NEW refuses to throw away epochs of a run that has not ended; RESTART does it; RESUME goes on. */
enum journal_start { JOURNAL_NEW, JOURNAL_RESUME, JOURNAL_RESTART };

enum journal_state { JOURNAL_RUNNING, JOURNAL_STOPPED, JOURNAL_FAILED, JOURNAL_DONE };

/* One finished epoch. NAN: not measured (NULL in the table). */
struct journal_epoch {
    uint32_t stage, epoch; /* epoch counts from 1 */
    uint64_t stage_step, step;
    double seconds;
    double source_validation, information, entropy;
    double score; /* the stage's criterion; lower is better */
    bool best;    /* best of its stage so far */
    double pseudo_share;
    double terms[TERM_COUNT][METRIC_COUNT];
    const char *checkpoint; /* path, or NULL */
};

struct journal_member {
    uint32_t number;
    const char *role;
    const char *host;
    uint64_t pid, incarnation;
    const char *state;
};

/* Takes the run directory (made if need be).
 * NEW, RESTART: a new run. What an old run left there (checkpoints/, run.db, result.json,
 * adapted.*, changes.png) is removed, if there is a run.db to show that it was graft's. RESUME:
 * the run that is there goes on; its job must have the same digest. Errors: ERR_STATE:
 * another process holds it (names its pid); things in the way that are not graft's; nothing to
 * resume; another configuration. ERR_IO, ERR_MEMORY, ERR_INPUT (run.db is damaged or not a
 * journal). */
enum status journal_open(const char *run_directory, const struct job *job, enum journal_start start,
                         struct journal **out, struct error *err) MUST_CHECK;
/* Gives the directory back; the run stays as last recorded (RUNNING: to be resumed). */
void journal_close(struct journal **journal);

/* The configuration of the run in this directory, as libconfig text; owned by the caller
 * (memory_free). Takes nothing. Errors: ERR_STATE (no run there), ERR_IO, ERR_MEMORY, ERR_INPUT. */
enum status journal_config(const char *run_directory, char **text, struct error *err) MUST_CHECK;

/* Random, not 0, the same after a resume. */
uint64_t journal_run_id(const struct journal *journal);
/* How the run stood when it was opened; JOURNAL_RUNNING for a new one and after a crash. */
enum journal_state journal_state_before(const struct journal *journal);

/* Errors of all below: ERR_IO with the path and SQLite's reason. An epoch, member or sample that is
 * already there is replaced. */
enum status journal_add_epoch(struct journal *journal, const struct journal_epoch *epoch,
                              struct error *err) MUST_CHECK;
enum status journal_event(struct journal *journal, const char *kind, const char *text,
                          struct error *err) MUST_CHECK;
enum status journal_member(struct journal *journal, const struct journal_member *member,
                           struct error *err) MUST_CHECK;
enum status journal_unreadable(struct journal *journal, uint32_t sample, const char *path,
                               const char *reason, struct error *err) MUST_CHECK;
enum status journal_finish(struct journal *journal, enum journal_state state,
                           struct error *err) MUST_CHECK;

/* Calls `visit` for every epoch by stage and epoch, and for every unreadable sample by number; what
 * it is shown is valid during the call. */
enum status journal_epochs(struct journal *journal,
                           void (*visit)(void *context, const struct journal_epoch *epoch),
                           void *context, struct error *err) MUST_CHECK;
enum status journal_unreadables(struct journal *journal,
                                void (*visit)(void *context, uint32_t sample, const char *path,
                                              const char *reason),
                                void *context, struct error *err) MUST_CHECK;

#endif
