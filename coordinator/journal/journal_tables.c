/* The journal's tables but the run's own: epochs, events, members, unreadable samples. */
#include "common/base/check.h"
#include "coordinator/journal/journal_schema.h"

const char *const journal_schema =
    "CREATE TABLE run(id INTEGER NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, "
    "  config TEXT NOT NULL, digest TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, "
    "  state TEXT NOT NULL);"
    "CREATE TABLE epoch(stage INTEGER NOT NULL, epoch INTEGER NOT NULL, "
    "  stage_step INTEGER NOT NULL, step INTEGER NOT NULL, time TEXT NOT NULL, seconds REAL, "
    "  source_validation_accuracy REAL, information REAL, entropy REAL, score REAL, "
    "  best INTEGER NOT NULL, pseudo_share REAL, "
    "  cross_entropy_loss REAL, cross_entropy_gradient_square REAL, cross_entropy_samples REAL, "
    "  coral_loss REAL, coral_gradient_square REAL, coral_samples REAL, "
    "  information_loss REAL, information_gradient_square REAL, information_samples REAL, "
    "  self_training_loss REAL, self_training_gradient_square REAL, self_training_samples REAL, "
    "  checkpoint TEXT, PRIMARY KEY(stage, epoch)) WITHOUT ROWID;"
    "CREATE TABLE event(number INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, "
    "  text TEXT NOT NULL);"
    "CREATE TABLE member(number INTEGER NOT NULL, incarnation INTEGER NOT NULL, "
    "  role TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, state TEXT NOT NULL, "
    "  changed TEXT NOT NULL, PRIMARY KEY(number, incarnation)) WITHOUT ROWID;"
    "CREATE TABLE unreadable(sample INTEGER PRIMARY KEY, path TEXT NOT NULL, "
    "  reason TEXT NOT NULL);"
    "PRAGMA application_id = 0x67726674; PRAGMA user_version = 1";
_Static_assert(SCHEMA_VERSION == 1 && SCHEMA_APPLICATION == 0x67726674, "as in journal_schema");

#define EPOCH_TERM_COLUMNS                                                                         \
    "cross_entropy_loss, cross_entropy_gradient_square, cross_entropy_samples, "                   \
    "coral_loss, coral_gradient_square, coral_samples, "                                           \
    "information_loss, information_gradient_square, information_samples, "                         \
    "self_training_loss, self_training_gradient_square, self_training_samples"
#define EPOCH_COLUMNS                                                                              \
    "stage, epoch, stage_step, step, seconds, source_validation_accuracy, information, entropy, "  \
    "score, best, pseudo_share, checkpoint, " EPOCH_TERM_COLUMNS
#define EPOCH_FIRST_TERM 12
_Static_assert((int)TERM_LABELLED == 0 && (int)TERM_CORAL == 1 && (int)TERM_INFORMATION == 2 &&
                   (int)TERM_SELF_TRAINING == 3 && (int)TERM_COUNT == 4,
               "EPOCH_TERM_COLUMNS names each term");
_Static_assert((int)METRIC_LOSS == 0 && (int)METRIC_GRADIENT_SQUARE == 1 &&
                   (int)METRIC_SAMPLES == 2 && (int)METRIC_COUNT == 3,
               "EPOCH_TERM_COLUMNS names each metric");

enum status journal_finish_durably(struct journal *journal, struct statement *statement,
                                   struct error *err)
{
    enum status status = database_run(&journal->database, "PRAGMA synchronous=FULL", err);
    if (status != OK) {
        statement_close(statement);
        return status;
    }
    status = statement_finish(statement, err);
    enum status after =
        database_run(&journal->database, "PRAGMA synchronous=NORMAL", status == OK ? err : NULL);
    return status == OK ? after : status;
}

static void bind_epoch(struct statement *statement, const struct journal_epoch *epoch)
{
    statement_bind_whole(statement, epoch->stage);
    statement_bind_whole(statement, epoch->epoch);
    statement_bind_whole(statement, epoch->stage_step);
    statement_bind_whole(statement, epoch->step);
    statement_bind_real(statement, epoch->seconds);
    statement_bind_real(statement, epoch->source_validation);
    statement_bind_real(statement, epoch->information);
    statement_bind_real(statement, epoch->entropy);
    statement_bind_real(statement, epoch->score);
    statement_bind_whole(statement, epoch->best);
    statement_bind_real(statement, epoch->pseudo_share);
    statement_bind_text(statement, epoch->checkpoint, JOURNAL_TEXT_BYTES_MAX);
    for (size_t t = 0; t < TERM_COUNT; t++)
        for (size_t m = 0; m < METRIC_COUNT; m++)
            statement_bind_real(statement, epoch->terms[t][m]);
}

enum status journal_add_epoch(struct journal *journal, const struct journal_epoch *epoch,
                              struct error *err)
{
    struct statement statement;
    CHECK(epoch->stage < JOB_STAGES_MAX && epoch->epoch >= 1);
    enum status status =
        statement_open(&statement, &journal->database,
                       "INSERT OR REPLACE INTO epoch(time, " EPOCH_COLUMNS ") VALUES(" SCHEMA_NOW
                       ", ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                       err);
    if (status != OK)
        return status;
    bind_epoch(&statement, epoch);
    return journal_finish_durably(journal, &statement, err);
}

static void read_epoch(const struct statement *statement, struct journal_epoch *out)
{
    *out = (struct journal_epoch){
        .stage = (uint32_t)statement_whole(statement, 0),
        .epoch = (uint32_t)statement_whole(statement, 1),
        .stage_step = statement_whole(statement, 2),
        .step = statement_whole(statement, 3),
        .seconds = statement_real(statement, 4),
        .source_validation = statement_real(statement, 5),
        .information = statement_real(statement, 6),
        .entropy = statement_real(statement, 7),
        .score = statement_real(statement, 8),
        .best = statement_whole(statement, 9) != 0,
        .pseudo_share = statement_real(statement, 10),
        .checkpoint = statement_text(statement, 11),
    };
    if (out->checkpoint[0] == '\0')
        out->checkpoint = NULL;
    for (int i = 0; i < (int)TERM_COUNT * (int)METRIC_COUNT; i++)
        out->terms[i / METRIC_COUNT][i % METRIC_COUNT] =
            statement_real(statement, EPOCH_FIRST_TERM + i);
}

/* A row that is outside the limits of a job was not written by journal_add_epoch. */
static bool epoch_plausible(const struct statement *statement)
{
    return statement_whole(statement, 0) < JOB_STAGES_MAX && statement_whole(statement, 1) >= 1 &&
           statement_whole(statement, 1) <= UINT32_MAX;
}

enum status journal_epochs(struct journal *journal,
                           void (*visit)(void *context, const struct journal_epoch *epoch),
                           void *context, struct error *err)
{
    struct statement statement;
    bool row = true;
    enum status status =
        statement_open(&statement, &journal->database,
                       "SELECT " EPOCH_COLUMNS " FROM epoch ORDER BY stage, epoch", err);
    if (status != OK)
        return status;
    while ((status = statement_step(&statement, &row, err)) == OK && row) {
        struct journal_epoch epoch;
        if (!epoch_plausible(&statement)) {
            status = error_set(err, ERR_INPUT, "%s: an epoch that no job can have",
                               journal->database.path);
            break;
        }
        read_epoch(&statement, &epoch);
        visit(context, &epoch);
    }
    statement_close(&statement);
    return status;
}

enum status journal_event(struct journal *journal, const char *kind, const char *text,
                          struct error *err)
{
    struct statement statement;
    enum status status =
        statement_open(&statement, &journal->database,
                       "INSERT INTO event(time, kind, text) VALUES(" SCHEMA_NOW ", ?, ?)", err);
    if (status != OK)
        return status;
    statement_bind_text(&statement, kind, JOURNAL_TEXT_BYTES_MAX);
    statement_bind_text(&statement, text, JOURNAL_TEXT_BYTES_MAX);
    return statement_finish(&statement, err);
}

enum status journal_member(struct journal *journal, const struct journal_member *member,
                           struct error *err)
{
    struct statement statement;
    enum status status = statement_open(
        &statement, &journal->database,
        "INSERT OR REPLACE INTO member(number, incarnation, role, host, pid, state, changed) "
        "VALUES(?, ?, ?, ?, ?, ?, " SCHEMA_NOW ")",
        err);
    if (status != OK)
        return status;
    statement_bind_whole(&statement, member->number);
    statement_bind_whole(&statement, member->incarnation);
    statement_bind_text(&statement, member->role, JOURNAL_TEXT_BYTES_MAX);
    statement_bind_text(&statement, member->host, JOURNAL_TEXT_BYTES_MAX);
    statement_bind_whole(&statement, member->pid);
    statement_bind_text(&statement, member->state, JOURNAL_TEXT_BYTES_MAX);
    return statement_finish(&statement, err);
}

enum status journal_unreadable(struct journal *journal, uint32_t sample, const char *path,
                               const char *reason, struct error *err)
{
    struct statement statement;
    enum status status = statement_open(
        &statement, &journal->database,
        "INSERT OR REPLACE INTO unreadable(sample, path, reason) VALUES(?, ?, ?)", err);
    if (status != OK)
        return status;
    statement_bind_whole(&statement, sample);
    statement_bind_text(&statement, path, JOURNAL_TEXT_BYTES_MAX);
    statement_bind_text(&statement, reason, JOURNAL_TEXT_BYTES_MAX);
    return statement_finish(&statement, err);
}

enum status journal_unreadables(struct journal *journal,
                                void (*visit)(void *context, uint32_t sample, const char *path,
                                              const char *reason),
                                void *context, struct error *err)
{
    struct statement statement;
    bool row = true;
    enum status status =
        statement_open(&statement, &journal->database,
                       "SELECT sample, path, reason FROM unreadable ORDER BY sample", err);
    if (status != OK)
        return status;
    while ((status = statement_step(&statement, &row, err)) == OK && row)
        visit(context, (uint32_t)statement_whole(&statement, 0), statement_text(&statement, 1),
              statement_text(&statement, 2));
    statement_close(&statement);
    return status;
}
