#include "coordinator/journal/database.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

static enum status failure(const struct database *database, int code, struct error *err)
{
    if (code == SQLITE_NOMEM)
        return error_set(err, ERR_MEMORY, "%s: no memory", database->path);
    enum status status = code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? ERR_INPUT : ERR_IO;
    const char *why =
        database->handle != NULL ? sqlite3_errmsg(database->handle) : sqlite3_errstr(code);
    return error_set(err, status, "%s: %s", database->path, why);
}

enum status database_run(struct database *database, const char *sql, struct error *err)
{
    int code = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? OK : failure(database, code, err);
}

enum status database_open(struct database *database, const char *path, bool create,
                          struct error *err)
{
    struct database opened = {0};
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
    enum status status = file_path(opened.path, err, "%s", path);
    if (status != OK)
        return status;
    int code = sqlite3_open_v2(path, &opened.handle, flags, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_busy_timeout(opened.handle, DATABASE_BUSY_MS);
    if (code != SQLITE_OK)
        status = failure(&opened, code, err);
    /* A file from elsewhere: nothing in its schema may run code. */
    if (status == OK)
        status = database_run(&opened,
                              "PRAGMA trusted_schema=OFF; PRAGMA journal_mode=WAL; "
                              "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON",
                              err);
    if (status != OK)
        database_close(&opened);
    else
        *database = opened;
    return status;
}

void database_close(struct database *database)
{
    CHECK(sqlite3_close(database->handle) == SQLITE_OK); /* else a statement was left open */
    database->handle = NULL;
}

enum status statement_open(struct statement *statement, struct database *database, const char *sql,
                           struct error *err)
{
    *statement = (struct statement){.database = database};
    int code = sqlite3_prepare_v2(database->handle, sql, -1, &statement->handle, NULL);
    return code == SQLITE_OK ? OK : failure(database, code, err);
}

static void note(struct statement *statement, int code)
{
    if (statement->failed == SQLITE_OK)
        statement->failed = code;
}

void statement_bind_whole(struct statement *statement, uint64_t value)
{
    note(statement,
         sqlite3_bind_int64(statement->handle, ++statement->bound, (sqlite3_int64)value));
}

void statement_bind_real(struct statement *statement, double value)
{
    note(statement, sqlite3_bind_double(statement->handle, ++statement->bound, value));
}

void statement_bind_text(struct statement *statement, const char *text, size_t bytes_max)
{
    int at = ++statement->bound;
    CHECK(bytes_max <= INT32_MAX);
    note(statement, text == NULL
                        ? sqlite3_bind_null(statement->handle, at)
                        : sqlite3_bind_text(statement->handle, at, text,
                                            (int)strnlen(text, bytes_max), SQLITE_TRANSIENT));
}

enum status statement_step(struct statement *statement, bool *row, struct error *err)
{
    int code = statement->failed != SQLITE_OK ? statement->failed : sqlite3_step(statement->handle);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return failure(statement->database, code, err);
    *row = code == SQLITE_ROW;
    return OK;
}

void statement_close(struct statement *statement)
{
    sqlite3_finalize(statement->handle);
    statement->handle = NULL;
}

enum status statement_finish(struct statement *statement, struct error *err)
{
    bool row = false;
    CHECK(statement->bound == sqlite3_bind_parameter_count(statement->handle));
    enum status status = statement_step(statement, &row, err);
    statement_close(statement);
    return status;
}

uint64_t statement_whole(const struct statement *statement, int column)
{
    return (uint64_t)sqlite3_column_int64(statement->handle, column);
}

double statement_real(const struct statement *statement, int column)
{
    if (sqlite3_column_type(statement->handle, column) == SQLITE_NULL)
        return NAN;
    return sqlite3_column_double(statement->handle, column);
}

const char *statement_text(const struct statement *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement->handle, column);
    return text == NULL ? "" : (const char *)text;
}
