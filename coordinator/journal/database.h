/* SQLite behind a few calls: one statement at a time, values bound in order, every failure one
 * sentence with the path. One thread. */
#ifndef GRAFT_COORDINATOR_JOURNAL_DATABASE_H
#define GRAFT_COORDINATOR_JOURNAL_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/file.h"

#define DATABASE_BUSY_MS 2000 /* a reader (sqlite3 in a terminal) may hold it for a moment */

struct database {
    sqlite3 *handle;
    char path[PATH_BYTES];
};

/* create false: the file must exist. WAL. Errors: ERR_IO, ERR_INPUT (no SQLite file), ERR_MEMORY.
 */
enum status database_open(struct database *database, const char *path, bool create,
                          struct error *err) MUST_CHECK;
/* Accepts one that was never opened. */
void database_close(struct database *database);

/* One or more statements without values. */
enum status database_run(struct database *database, const char *sql, struct error *err) MUST_CHECK;

/* A statement with values. Binding errors are kept and come out of the step. */
struct statement {
    struct database *database;
    sqlite3_stmt *handle;
    int bound;
    int failed; /* SQLite's code, or SQLITE_OK */
};

/* Only string constants of this module become SQL. */
enum status statement_open(struct statement *statement, struct database *database, const char *sql,
                           struct error *err) MUST_CHECK;
void statement_bind_whole(struct statement *statement, uint64_t value);
/* NAN becomes NULL. */
void statement_bind_real(struct statement *statement, double value);
/* Copied; cut at bytes_max. NULL becomes NULL. */
void statement_bind_text(struct statement *statement, const char *text, size_t bytes_max);
/* *row: there is one to be read. */
enum status statement_step(struct statement *statement, bool *row, struct error *err) MUST_CHECK;
void statement_close(struct statement *statement);

/* Runs a statement that gives no rows, and closes it whatever happens. */
enum status statement_finish(struct statement *statement, struct error *err) MUST_CHECK;

/* Of the row: NULL reads as 0, NAN, "". Text is valid until the next step. */
uint64_t statement_whole(const struct statement *statement, int column);
double statement_real(const struct statement *statement, int column);
const char *statement_text(const struct statement *statement, int column);

#endif
