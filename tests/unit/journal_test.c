/* The journal: one coordinator a run, what was told is there after a restart, strangers' files are
 * left alone. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/data_fixture.h"
#include "tests/unit/run_fixture.h"

#include "coordinator/journal/journal.h"

static struct job *job;

static int open_all(void **state)
{
    job = NULL;
    if (fixture_setup(state) != 0)
        return -1;
    job = run_job();
    return 0;
}

static int close_all(void **state)
{
    job_destroy(&job);
    return fixture_teardown(state);
}

static struct journal *open_run(bool resume)
{
    struct journal *journal = NULL;
    struct error err;
    if (journal_open(fixture_folder, job, resume, &journal, &err) != OK)
        fail_msg("%s", err.text);
    return journal;
}

static enum status refused(const struct job *with, bool resume, const char *part)
{
    struct journal *journal = NULL;
    struct error err = {0};
    enum status status = journal_open(fixture_folder, with, resume, &journal, &err);
    assert_null(journal);
    fixture_contains(err.text, part);
    return status;
}

static struct journal_epoch epoch_of(uint32_t stage, uint32_t epoch)
{
    struct journal_epoch made = {.stage = stage,
                                 .epoch = epoch,
                                 .stage_step = 10 * (uint64_t)epoch,
                                 .step = 100 * (uint64_t)stage + 10 * (uint64_t)epoch,
                                 .seconds = 1.5,
                                 .source_validation = 0.75,
                                 .information = NAN,
                                 .entropy = 0.25,
                                 .score = -0.75,
                                 .best = epoch == 2,
                                 .pseudo_share = 0.5,
                                 .checkpoint = "checkpoints/step"};
    for (int i = 0; i < TERM_COUNT * METRIC_COUNT; i++)
        made.terms[i / METRIC_COUNT][i % METRIC_COUNT] = i + 0.5;
    return made;
}

static void add_epoch(struct journal *journal, const struct journal_epoch *epoch)
{
    struct error err;
    if (journal_add_epoch(journal, epoch, &err) != OK)
        fail_msg("%s", err.text);
}

struct seen {
    struct journal_epoch epochs[8];
    size_t count;
};

static void see_epoch(void *context, const struct journal_epoch *epoch)
{
    struct seen *seen = context;
    assert_true(seen->count < 8);
    seen->epochs[seen->count++] = *epoch;
}

static struct seen epochs_of(struct journal *journal)
{
    struct seen seen = {0};
    struct error err;
    if (journal_epochs(journal, see_epoch, &seen, &err) != OK)
        fail_msg("%s", err.text);
    return seen;
}

static void a_second_coordinator_is_refused_and_told_who_holds_the_run(void **state)
{
    char pid[32];
    struct journal *journal = open_run(false);
    (void)state;
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_int_equal(refused(job, false, pid), ERR_STATE);
    assert_int_equal(refused(job, true, pid), ERR_STATE);
    assert_true(fixture_exists("run.db")); /* the refused one has removed nothing */
    journal_close(&journal);
    journal = open_run(true);
    journal_close(&journal);
}

/* Ends without closing anything, as kill -9 would. */
static void a_dead_coordinator_holds_nothing(void **state)
{
    int status = 0;
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct journal_epoch epoch = epoch_of(0, 1);
        add_epoch(open_run(false), &epoch);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct journal *journal = open_run(true);
    assert_int_equal(journal_state_before(journal), JOURNAL_RUNNING);
    assert_int_equal(epochs_of(journal).count, 1);
    journal_close(&journal);
}

static void epochs_are_there_after_a_restart(void **state)
{
    struct journal_epoch first = epoch_of(0, 1), second = epoch_of(0, 2), next = epoch_of(1, 1);
    struct journal *journal = open_run(false);
    uint64_t run = journal_run_id(journal);
    (void)state;
    assert_int_not_equal(run, 0);
    add_epoch(journal, &next);
    add_epoch(journal, &second);
    add_epoch(journal, &first);
    journal_close(&journal);
    journal = open_run(true);
    assert_true(journal_run_id(journal) == run);
    struct seen seen = epochs_of(journal);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.epochs[1].epoch, 2);
    assert_int_equal(seen.epochs[2].stage, 1);
    const struct journal_epoch *got = &seen.epochs[1];
    assert_int_equal(got->step, 20);
    assert_int_equal(got->stage_step, 20);
    assert_true(got->best);
    assert_true(got->seconds == 1.5 && got->source_validation == 0.75 && got->score == -0.75);
    assert_true(isnan(got->information));
    assert_memory_equal(got->terms, second.terms, sizeof second.terms);
    journal_close(&journal);
}

static void an_epoch_that_is_repeated_counts_once(void **state)
{
    struct journal *journal = open_run(false);
    struct journal_epoch epoch = epoch_of(0, 1);
    (void)state;
    add_epoch(journal, &epoch);
    epoch.seconds = 9;
    add_epoch(journal, &epoch);
    struct seen seen = epochs_of(journal);
    assert_int_equal(seen.count, 1);
    assert_true(seen.epochs[0].seconds == 9);
    journal_close(&journal);
}

static void the_end_of_a_run_is_remembered(void **state)
{
    struct error err;
    struct journal *journal = open_run(false);
    (void)state;
    assert_int_equal(journal_state_before(journal), JOURNAL_RUNNING);
    assert_int_equal(journal_finish(journal, JOURNAL_STOPPED, &err), OK);
    journal_close(&journal);
    journal = open_run(true);
    assert_int_equal(journal_state_before(journal), JOURNAL_STOPPED);
    journal_close(&journal);
    journal = open_run(true); /* running again in between */
    assert_int_equal(journal_state_before(journal), JOURNAL_RUNNING);
    journal_close(&journal);
}

static void resuming_needs_the_same_job(void **state)
{
    struct job *other = run_other_job();
    struct journal *journal = open_run(false);
    (void)state;
    journal_close(&journal);
    assert_int_equal(refused(other, true, "the configuration is not the one"), ERR_STATE);
    journal = open_run(true); /* and the refusal has changed nothing */
    journal_close(&journal);
    job_destroy(&other);
}

static void there_must_be_something_to_resume(void **state)
{
    (void)state;
    assert_int_equal(refused(job, true, "no run to resume"), ERR_STATE);
}

static void a_new_run_takes_away_what_the_old_one_left(void **state)
{
    struct journal *journal = open_run(false);
    struct journal_epoch epoch = epoch_of(0, 1);
    uint64_t run = journal_run_id(journal);
    (void)state;
    add_epoch(journal, &epoch);
    journal_close(&journal);
    fixture_directory("checkpoints/step-1");
    fixture_directory("log");
    fixture_text("result.json", "{}");
    fixture_text("adapted.onnx", "x");
    fixture_text("notes.txt", "mine");
    journal = open_run(false);
    assert_true(journal_run_id(journal) != run);
    assert_int_equal(epochs_of(journal).count, 0);
    assert_false(fixture_exists("checkpoints"));
    assert_false(fixture_exists("result.json"));
    assert_false(fixture_exists("adapted.onnx"));
    assert_true(fixture_exists("log"));
    assert_true(fixture_exists("notes.txt"));
    journal_close(&journal);
}

static void files_of_others_are_left_alone(void **state)
{
    (void)state;
    fixture_directory("checkpoints/theirs");
    assert_int_equal(refused(job, false, "left alone"), ERR_STATE);
    assert_true(fixture_exists("checkpoints/theirs"));
    assert_false(fixture_exists("run.db"));
}

static void a_file_that_is_no_journal_is_refused(void **state)
{
    (void)state;
    fixture_text("run.db", "this is certainly not a database, and long enough to have a header "
                           "of one hundred bytes, as SQLite's files do; see its documentation.");
    assert_int_equal(refused(job, true, "run.db"), ERR_INPUT);
    fixture_text("run.db", "");
    assert_int_equal(refused(job, true, "not a journal of graft"), ERR_INPUT);
}

static void see_unreadable(void *context, uint32_t sample, const char *path, const char *reason)
{
    snprintf((char *)context + strlen(context), 200, "%u %s %s;", sample, path, reason);
}

static void unreadable_samples_are_listed_once_in_order(void **state)
{
    char text[256] = "";
    struct error err;
    struct journal *journal = open_run(false);
    (void)state;
    assert_int_equal(journal_unreadable(journal, 7, "b.png", "broken", &err), OK);
    assert_int_equal(journal_unreadable(journal, 3, "a'\".png", "missing", &err), OK);
    assert_int_equal(journal_unreadable(journal, 7, "b.png", "broken", &err), OK);
    assert_int_equal(journal_unreadables(journal, see_unreadable, text, &err), OK);
    assert_string_equal(text, "3 a'\".png missing;7 b.png broken;");
    journal_close(&journal);
}

static void members_and_events_are_taken(void **state)
{
    struct error err;
    struct journal *journal = open_run(false);
    const struct journal_member member = {1, "worker", "host", 42, UINT64_MAX, "ready"};
    (void)state;
    assert_int_equal(journal_member(journal, &member, &err), OK);
    assert_int_equal(journal_member(journal, &member, &err), OK);
    assert_int_equal(journal_event(journal, "view", "'; DROP TABLE run; --", &err), OK);
    journal_close(&journal);
    journal = open_run(true);
    journal_close(&journal);
}

/* RLIMIT_FSIZE stands for a full disk. */
static void a_full_disk_is_an_error_with_the_path(void **state)
{
    struct rlimit usual, small;
    struct error err;
    struct journal *journal = open_run(false);
    struct journal_epoch epoch = epoch_of(0, 1);
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    small = usual;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum status status = journal_add_epoch(journal, &epoch, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &usual), 0);
    assert_int_equal(status, ERR_IO);
    fixture_contains(err.text, "run.db");
    assert_int_equal(epochs_of(journal).count, 0);
    add_epoch(journal, &epoch); /* and once there is room, it goes on */
    journal_close(&journal);
}

int main(void)
{
#define RULE(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        RULE(a_second_coordinator_is_refused_and_told_who_holds_the_run),
        RULE(a_dead_coordinator_holds_nothing),
        RULE(epochs_are_there_after_a_restart),
        RULE(an_epoch_that_is_repeated_counts_once),
        RULE(the_end_of_a_run_is_remembered),
        RULE(resuming_needs_the_same_job),
        RULE(there_must_be_something_to_resume),
        RULE(a_new_run_takes_away_what_the_old_one_left),
        RULE(files_of_others_are_left_alone),
        RULE(a_file_that_is_no_journal_is_refused),
        RULE(unreadable_samples_are_listed_once_in_order),
        RULE(members_and_events_are_taken),
        RULE(a_full_disk_is_an_error_with_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
