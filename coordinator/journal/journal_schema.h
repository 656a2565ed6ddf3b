/* The journal's inside, shared by journal.c and journal_tables.c: its handle, its tables, and how a
 * change becomes durable. For this module only. */
#ifndef GRAFT_COORDINATOR_JOURNAL_JOURNAL_SCHEMA_H
#define GRAFT_COORDINATOR_JOURNAL_JOURNAL_SCHEMA_H

#include <stdint.h>

#include "coordinator/journal/database.h"
#include "coordinator/journal/journal.h"

#define SCHEMA_VERSION 1
#define SCHEMA_APPLICATION 0x67726674 /* "grft", in the file's header */
#define SCHEMA_NOW "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"

struct journal {
    struct database database;
    int lock; /* of the run directory; -1: not taken */
    uint64_t run_id;
    enum journal_state state_before;
};

/* CREATE TABLE … of all tables, and the marks in the file's header. */
extern const char *const journal_schema;

/* statement_finish, on the disk when it returns. Other changes may be lost with the power (not with
 * the process): WAL keeps them in order, so the database is sound in any case. */
enum status journal_finish_durably(struct journal *journal, struct statement *statement,
                                   struct error *err) MUST_CHECK;

#endif
