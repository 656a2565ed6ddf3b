/* Opening and closing of a run directory, and the run's own row; the other tables are in
 * journal_tables.c. */
#include "coordinator/journal/journal.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/platform.h"
#include "coordinator/journal/journal_schema.h"
#include "coordinator/journal/run_lock.h"

static const char *const state_names[] = {"running", "stopped", "failed", "done"};
#define STATE_COUNT (sizeof state_names / sizeof *state_names)

/* What a run leaves in its directory and a new one takes away, run.db last: as long as it is there,
 * the directory is known to be graft's, even if this is interrupted. log/ stays. */
static const char *const leavings[] = {
    "checkpoints",         "result.json", "adapted.onnx",
    "adapted.safetensors", "changes.png", "test.safetensors",
    "run.db-wal",          "run.db-shm",  "run.db",
};
#define LEAVINGS (sizeof leavings / sizeof *leavings)

static bool exists(const char *run_directory, const char *name)
{
    char path[PATH_BYTES];
    return file_path(path, NULL, "%s/%s", run_directory, name) == OK && access(path, F_OK) == 0;
}

static enum status clear_directory(const char *run_directory, struct error *err)
{
    bool ours = exists(run_directory, "run.db");
    enum status status = OK;
    for (size_t i = 0; i < LEAVINGS && status == OK; i++) {
        char path[PATH_BYTES];
        if (!exists(run_directory, leavings[i]))
            continue;
        if (!ours)
            return error_set(
                err, ERR_STATE,
                "%s has a %s but no run.db, so it is not a run's directory and is left "
                "alone; choose another run.name or run.directory",
                run_directory, leavings[i]);
        status = file_path(path, err, "%s/%s", run_directory, leavings[i]);
        if (status == OK)
            status = file_remove_tree(path, err);
    }
    return status;
}

/* ---- the run's row ---- */

static enum status insert_run(struct journal *journal, const struct job *job, struct error *err)
{
    struct statement statement;
    char hex[DIGEST_HEX_BYTES];
    enum status status =
        statement_open(&statement, &journal->database,
                       "INSERT INTO run(id, name, version, config, digest, started, state) "
                       "VALUES(?, ?, ?, ?, ?, " SCHEMA_NOW ", 'running')",
                       err);
    if (status != OK)
        return status;
    digest_hex(&job->digest, hex);
    statement_bind_whole(&statement, journal->run_id);
    statement_bind_text(&statement, job->run.name, JOURNAL_TEXT_BYTES_MAX);
    statement_bind_text(&statement, GRAFT_VERSION, JOURNAL_TEXT_BYTES_MAX);
    statement_bind_text(&statement, job->text, JOB_CONFIG_BYTES_MAX);
    statement_bind_text(&statement, hex, DIGEST_HEX_BYTES);
    return statement_finish(&statement, err);
}

static enum status begin_run(struct journal *journal, const struct job *job, struct error *err)
{
    do
        randombytes_buf(&journal->run_id, sizeof journal->run_id);
    while (journal->run_id == 0);
    journal->state_before = JOURNAL_RUNNING;
    enum status status = database_run(&journal->database, "BEGIN IMMEDIATE", err);
    if (status == OK)
        status = database_run(&journal->database, journal_schema, err);
    if (status == OK)
        status = insert_run(journal, job, err);
    if (status == OK)
        status = database_run(&journal->database, "COMMIT", err);
    return status;
}

static enum status parse_state(const char *text, const char *path, enum journal_state *out,
                               struct error *err)
{
    for (size_t i = 0; i < STATE_COUNT; i++)
        if (strcmp(text, state_names[i]) == 0) {
            *out = (enum journal_state)i;
            return OK;
        }
    return error_set(err, ERR_INPUT, "%s: unknown state \"%.40s\" of the run", path, text);
}

static enum status take_run(struct journal *journal, const struct statement *statement,
                            const struct job *job, struct error *err)
{
    char hex[DIGEST_HEX_BYTES];
    digest_hex(&job->digest, hex);
    const char *recorded = statement_text(statement, 1);
    if (strcmp(recorded, hex) != 0)
        return error_set(err, ERR_STATE,
                         "the configuration is not the one this run began with (digest %.12s…, now "
                         "%.12s…): resume with the same, or start anew without --resume",
                         recorded, hex);
    journal->run_id = statement_whole(statement, 0);
    return parse_state(statement_text(statement, 2), journal->database.path, &journal->state_before,
                       err);
}

static enum status read_run(struct journal *journal, const struct job *job, struct error *err)
{
    struct statement statement;
    bool row = false;
    enum status status =
        statement_open(&statement, &journal->database, "SELECT id, digest, state FROM run", err);
    if (status != OK)
        return status;
    status = statement_step(&statement, &row, err);
    if (status == OK && !row)
        status = error_set(err, ERR_INPUT, "%s: holds no run", journal->database.path);
    if (status == OK)
        status = take_run(journal, &statement, job, err);
    statement_close(&statement);
    return status;
}

static enum status check_kind(struct journal *journal, struct error *err)
{
    struct statement statement;
    bool row = false;
    enum status status = statement_open(
        &statement, &journal->database,
        "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version", err);
    if (status != OK)
        return status;
    status = statement_step(&statement, &row, err);
    if (status == OK && (!row || statement_whole(&statement, 0) != SCHEMA_APPLICATION))
        status = error_set(err, ERR_INPUT, "%s: not a journal of graft", journal->database.path);
    else if (status == OK && statement_whole(&statement, 1) != SCHEMA_VERSION)
        status = error_set(err, ERR_INPUT, "%s: written by another version of graft",
                           journal->database.path);
    statement_close(&statement);
    return status;
}

/* The text may differ in what does not change the result: members, name, folder. */
static enum status continue_run(struct journal *journal, const struct job *job, struct error *err)
{
    struct statement statement;
    enum status status = check_kind(journal, err);
    if (status == OK)
        status = read_run(journal, job, err);
    if (status == OK)
        status = statement_open(&statement, &journal->database,
                                "UPDATE run SET state = 'running', ended = NULL, config = ?", err);
    if (status != OK)
        return status;
    statement_bind_text(&statement, job->text, JOB_CONFIG_BYTES_MAX);
    return statement_finish(&statement, err);
}

/* ---- opening ---- */

static enum status open_new(struct journal *journal, const char *run_directory, const char *path,
                            const struct job *job, bool restart, struct error *err)
{
    if (!restart && exists(run_directory, "run.db") && exists(run_directory, "checkpoints") &&
        !exists(run_directory, "result.json"))
        return error_set(err, ERR_STATE,
                         "%s holds a run that has not ended; --resume goes on with it, --restart "
                         "throws it away, another run.directory keeps it",
                         run_directory);
    enum status status = clear_directory(run_directory, err);
    if (status == OK)
        status = database_open(&journal->database, path, true, err);
    return status == OK ? begin_run(journal, job, err) : status;
}

static enum status open_again(struct journal *journal, const char *run_directory, const char *path,
                              const struct job *job, struct error *err)
{
    if (!exists(run_directory, "run.db"))
        return error_set(err, ERR_STATE, "%s has no run to resume; start one without --resume",
                         run_directory);
    enum status status = database_open(&journal->database, path, false, err);
    return status == OK ? continue_run(journal, job, err) : status;
}

static enum status open_locked(struct journal *journal, const char *run_directory,
                               const struct job *job, enum journal_start start, struct error *err)
{
    char path[PATH_BYTES];
    enum status status = file_path(path, err, "%s/run.db", run_directory);
    if (status == OK)
        status = run_lock_take(run_directory, &journal->lock, err);
    if (status != OK)
        return status;
    if (start == JOURNAL_RESUME)
        return open_again(journal, run_directory, path, job, err);
    return open_new(journal, run_directory, path, job, start == JOURNAL_RESTART, err);
}

enum status journal_open(const char *run_directory, const struct job *job, enum journal_start start,
                         struct journal **out, struct error *err)
{
    enum status status = file_make_directory(run_directory, err);
    if (status != OK)
        return status;
    struct journal *journal = memory_alloc(1, sizeof *journal);
    if (journal == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the journal");
    journal->lock = -1;
    status = open_locked(journal, run_directory, job, start, err);
    if (status == OK)
        *out = journal;
    else
        journal_close(&journal);
    return status;
}

static enum status read_config(struct database *database, char **text, struct error *err)
{
    struct statement statement;
    bool row = false;
    enum status status = statement_open(&statement, database, "SELECT config FROM run", err);
    if (status == OK)
        status = statement_step(&statement, &row, err);
    if (status == OK && !row)
        status = error_set(err, ERR_INPUT, "%s: no run in it", database->path);
    if (status == OK) {
        const char *config = statement_text(&statement, 0);
        *text = memory_dup_text(config, strlen(config));
        if (*text == NULL)
            status = error_set(err, ERR_MEMORY, "no memory for the run's configuration");
    }
    statement_close(&statement);
    return status;
}

enum status journal_config(const char *run_directory, char **text, struct error *err)
{
    struct journal *journal;
    char path[PATH_BYTES];
    enum status status = file_path(path, err, "%s/run.db", run_directory);
    if (status == OK && !exists(run_directory, "run.db"))
        status = error_set(err, ERR_STATE, "%s: no run of graft is there", run_directory);
    if (status != OK)
        return status;
    journal = memory_alloc(1, sizeof *journal);
    if (journal == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the journal");
    status = database_open(&journal->database, path, false, err);
    if (status == OK)
        status = check_kind(journal, err);
    if (status == OK)
        status = read_config(&journal->database, text, err);
    database_close(&journal->database);
    memory_free(journal);
    return status;
}

void journal_close(struct journal **journal)
{
    if (*journal == NULL)
        return;
    database_close(&(*journal)->database);
    run_lock_release((*journal)->lock); /* after the database: the next owner finds it closed */
    memory_free(*journal);
    *journal = NULL;
}

uint64_t journal_run_id(const struct journal *journal)
{
    return journal->run_id;
}

enum journal_state journal_state_before(const struct journal *journal)
{
    return journal->state_before;
}

enum status journal_finish(struct journal *journal, enum journal_state state, struct error *err)
{
    struct statement statement;
    CHECK((size_t)state < STATE_COUNT);
    enum status status = statement_open(&statement, &journal->database,
                                        "UPDATE run SET state = ?, ended = " SCHEMA_NOW, err);
    if (status != OK)
        return status;
    statement_bind_text(&statement, state_names[state], JOURNAL_TEXT_BYTES_MAX);
    return journal_finish_durably(journal, &statement, err);
}
