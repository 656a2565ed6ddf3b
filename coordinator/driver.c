#include "coordinator/driver.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/data/manifest.h"
#include "common/model/model.h"
#include "common/net/channel.h"
#include "common/net/endpoint.h"
#include "coordinator/cluster/launcher.h"
#include "coordinator/history.h"
#include "coordinator/job/controller.h"
#include "coordinator/journal/journal.h"
#include "coordinator/outputs.h"
#include "coordinator/watch/progress.h"
#include "coordinator/watch/status.h"

#define TICK_MS 100
#define MEMBER_GRACE_MS 5000
#define BATCH 256

/* Ctrl-C, SIGTERM and `graft stop` count alike: once, stop when the epoch is kept; twice, stop now.
 */
static volatile sig_atomic_t stop_requests;

struct driver {
    const struct job *job;
    const struct driver_options *options;
    struct manifest *manifest;
    struct model *model;
    struct channel_context *context;
    struct keys *keys;
    struct channel *channel;
    struct controller *controller;
    struct launcher launcher;
    struct journal *journal;
    struct history *history;
    struct progress progress;
    double began;
    uint64_t run;
    int64_t beaten_ms;
    int stops_seen;
    struct received received;
};

static void on_signal(int number)
{
    (void)number;
    stop_requests++;
}

static void send_message(void *context, uint64_t peer, struct message *message,
                         const struct frame *frames, size_t count)
{
    struct driver *driver = context;
    struct error why = {0};
    message->run = driver->run;
    message->sender = PEER_COORDINATOR;
    if (channel_send(driver->channel, peer, message, frames, count, &why) != OK)
        log_event(LOG_WARN, "not_sent", "to=%016llx why=\"%s\"", (unsigned long long)peer,
                  why.text);
}

/* ---- the controller's ports ---- */

static enum status keep_epoch(void *context, const struct values *values,
                              const struct epoch_report *report, struct error *err)
{
    struct driver *driver = context;
    return history_keep(driver->history, values, report, err);
}

static void keep_step(void *context, const struct values *values, uint64_t step)
{
    struct driver *driver = context;
    history_keep_step(driver->history, values, step);
}

/* What the journal cannot take is still in the log. */
static void note_event(void *context, const char *kind, const char *text)
{
    struct driver *driver = context;
    struct error why = {0};
    log_event(LOG_INFO, kind, "%s", text);
    if (journal_event(driver->journal, kind, text, &why) != OK)
        log_event(LOG_WARN, "not_noted", "why=\"%s\"", why.text);
}

static void note_member(void *context, const struct cluster_member *member)
{
    static const char *const states[] = {"joining", "ready", "leaving", "left", "dead"};
    struct driver *driver = context;
    struct error why = {0};
    struct journal_member row = {
        member->number,      member->role == ROLE_WORKER ? "worker" : "server",
        member->host,        member->pid,
        member->incarnation, states[member->state]};
    log_event(LOG_INFO, "member", "number=%u role=%s pid=%llu state=%s", row.number, row.role,
              (unsigned long long)row.pid, row.state);
    if (journal_member(driver->journal, &row, &why) != OK)
        log_event(LOG_WARN, "not_noted", "why=\"%s\"", why.text);
}

static void note_unreadable(void *context, uint32_t sample)
{
    struct driver *driver = context;
    struct error why = {0};
    const char *path = manifest_path(driver->manifest, driver->job, sample);
    log_event(LOG_WARN, "unreadable", "sample=%u path=%s", sample, path);
    if (journal_unreadable(driver->journal, sample, path, "not decoded", &why) != OK)
        log_event(LOG_WARN, "not_noted", "why=\"%s\"", why.text);
}

/* ---- members and people ---- */

static void stop_members(struct driver *driver, const char *why)
{
    struct membership *members = controller_look(driver->controller).members;
    struct message message = {.type = MESSAGE_STOP};
    snprintf(message.body.stop.text, sizeof message.body.stop.text, "%s", why);
    for (size_t i = 0; i < members->count; i++)
        if (members->members[i].state < MEMBER_LEFT)
            send_message(driver, members->members[i].incarnation, &message, NULL, 0);
}

static void beat(struct driver *driver, int64_t now_ms)
{
    if (now_ms - driver->beaten_ms < driver->job->cluster.heartbeat_ms)
        return;
    driver->beaten_ms = now_ms;
    struct membership *members = controller_look(driver->controller).members;
    struct message message = {.type = MESSAGE_HEARTBEAT};
    for (size_t i = 0; i < members->count; i++)
        if (members->members[i].state < MEMBER_LEFT)
            send_message(driver, members->members[i].incarnation, &message, NULL, 0);
}

static enum status start_some(struct driver *driver, enum member_role role, uint32_t count,
                              struct error *err)
{
    const struct cluster_config *cluster = &driver->job->cluster;
    bool worker = role == ROLE_WORKER;
    char log[PATH_BYTES], endpoint[WIRE_TEXT_BYTES];
    snprintf(endpoint, sizeof endpoint, "%s", channel_endpoint(driver->channel));
    if (cluster->tcp_only)
        endpoint_forget_path(endpoint);
    struct launcher_words words = {endpoint, cluster->bind, cluster->keys, log};
    enum status status = file_path(log, err, "%s/log", driver->job->run.directory);
    for (uint32_t i = 0; i < count && status == OK; i++)
        status = launcher_start(&driver->launcher, worker ? "graft-worker" : "graft-server", &words,
                                worker ? cluster->threads : 1, err);
    return status;
}

/* Starts members of a role until `wanted` are there, or lets the newest leave; 0: as they are. */
static enum status scale(struct driver *driver, enum member_role role, uint32_t wanted,
                         struct error *err)
{
    struct membership *members = controller_look(driver->controller).members;
    enum status status = OK;
    uint32_t there = 0;
    for (size_t i = 0; i < members->count; i++)
        there += members->members[i].role == role && members->members[i].state <= MEMBER_READY;
    if (wanted > there)
        return start_some(driver, role, wanted - there, err);
    for (size_t i = members->count; wanted > 0 && there > wanted && status == OK && i > 0; i--) {
        if (members->members[i - 1].role != role || members->members[i - 1].state != MEMBER_READY)
            continue;
        status = controller_drain(driver->controller, members->members[i - 1].number, err);
        there--;
    }
    return status;
}

static enum status do_what_is_asked(struct driver *driver, const struct message_ask *ask,
                                    struct error *err)
{
    if (ask->what == ASK_STOP || ask->what == ASK_STOP_NOW)
        stop_requests += ask->what == ASK_STOP ? 1 : 2;
    if (ask->what == ASK_DRAIN)
        return controller_drain(driver->controller, ask->member, err);
    if (ask->what != ASK_SCALE)
        return OK;
    enum status status = scale(driver, ROLE_WORKER, ask->workers, err);
    return status == OK ? scale(driver, ROLE_SERVER, ask->servers, err) : status;
}

/* Somebody's `graft status`, `graft stop`, `graft drain` or `graft scale`. */
static void answer(struct driver *driver)
{
    struct error err = {0};
    if (do_what_is_asked(driver, &driver->received.message.body.ask, &err) != OK) {
        struct message decline = {.type = MESSAGE_DECLINE};
        snprintf(decline.body.reason.text, sizeof decline.body.reason.text, "%.*s",
                 (int)sizeof decline.body.reason.text - 1, err.text);
        send_message(driver, driver->received.peer, &decline, NULL, 0);
        return;
    }
    struct controller_view view = controller_look(driver->controller);
    struct message tell = {.type = MESSAGE_TELL};
    char *json = status_json(driver->job, &view);
    struct frame frame = {json != NULL ? json : "{}", json != NULL ? strlen(json) : 2};
    send_message(driver, driver->received.peer, &tell, &frame, 1);
    free(json);
}

static enum status drain(struct driver *driver, struct error *err)
{
    for (int i = 0; i < BATCH && channel_receive(driver->channel, &driver->received); i++) {
        const struct message *message = &driver->received.message;
        enum status status = OK;
        if (message->run != driver->run && message->type != MESSAGE_HELLO)
            continue; /* a stray of another run */
        if (message->type == MESSAGE_ASK)
            answer(driver);
        else
            status =
                controller_handle(driver->controller, clock_ms(), driver->received.peer, message,
                                  driver->received.frames, driver->received.frame_count, err);
        if (status != OK)
            return status;
    }
    return OK;
}

static enum status reap(struct driver *driver, struct error *err)
{
    char host[WIRE_TEXT_BYTES] = "";
    gethostname(host, sizeof host - 1);
    pid_t pid;
    bool failed;
    while ((pid = launcher_ended(&driver->launcher, &failed)) != 0) {
        enum status status = drain(driver, err); /* its last words first */
        if (status == OK)
            status =
                controller_process_ended(driver->controller, clock_ms(), (uint64_t)pid, host, err);
        if (status != OK)
            return status;
    }
    return OK;
}

static enum status take_stops(struct driver *driver, struct error *err)
{
    if (stop_requests <= driver->stops_seen)
        return OK;
    driver->stops_seen = stop_requests;
    if (driver->stops_seen > 1)
        return error_set(err, ERR_STOPPED,
                         "stopped at once; `--resume` goes on from the newest checkpoint");
    progress_clear(&driver->progress, stdout);
    printf("Stopping when this epoch is kept; once more stops now.\n");
    fflush(stdout);
    controller_stop(driver->controller);
    return OK;
}

static void show_progress(struct driver *driver)
{
    struct controller_view view = controller_look(driver->controller);
    bool training = view.phase == PHASE_TRAIN;
    if (driver->options->quiet || (!training && view.phase != PHASE_PREPARE))
        return;
    struct progress_state state = {
        .stage = view.stage,
        .what = training ? "train" : "features",
        .done = training ? (view.epoch - 1) * view.total + view.done : view.done,
        .total = training ? view.epochs * view.total : view.total,
        .epoch = training ? view.epoch : 0,
        .epochs = training ? view.epochs : 0,
        .loss = training ? view.loss : NAN,
    };
    progress_show(&driver->progress, stdout, clock_seconds(), &state);
}

/* Checkpoints that have been written; a failure within an epoch is told once. */
static enum status settle(struct driver *driver, bool wait, struct error *err)
{
    bool warned = driver->history->warning[0] != '\0';
    enum status status = history_settle(driver->history, wait, err);
    if (warned || driver->history->warning[0] == '\0')
        return status;
    progress_clear(&driver->progress, stdout);
    fflush(stdout);
    fprintf(stderr, "warning: %s; training goes on, and tries again\n", driver->history->warning);
    return status;
}

static enum status turn(struct driver *driver, struct error *err)
{
    enum status status = drain(driver, err);
    if (status == OK)
        status = settle(driver, false, err);
    if (status == OK)
        status = reap(driver, err);
    if (status == OK)
        status = take_stops(driver, err);
    if (status == OK)
        status = controller_tick(driver->controller, clock_ms(), err);
    beat(driver, clock_ms());
    show_progress(driver);
    return status;
}

static enum status loop(struct driver *driver, struct error *err)
{
    for (;;) {
        enum status status = turn(driver, err);
        enum controller_phase phase = controller_look(driver->controller).phase;
        if (status == OK && (phase == PHASE_DONE || phase == PHASE_STOPPED))
            status = settle(driver, true, err);
        if (status != OK || phase == PHASE_DONE)
            return status;
        if (phase == PHASE_STOPPED)
            return error_set(err, ERR_STOPPED, "stopped; `--resume` goes on from here");
        channel_wait(&driver->channel, 1, TICK_MS);
    }
}

/* Takes the run directory: journal, log. */
static enum status open_run(struct driver *driver, struct error *err)
{
    char path[PATH_BYTES];
    const char *directory = driver->job->run.directory;
    enum journal_start start = driver->options->resume    ? JOURNAL_RESUME
                               : driver->options->restart ? JOURNAL_RESTART
                                                          : JOURNAL_NEW;
    enum status status = journal_open(directory, driver->job, start, &driver->journal, err);
    if (status == OK)
        status = history_create(driver->job, driver->journal, &driver->history, err);
    if (status == OK)
        status = file_path(path, err, "%s/log", directory);
    if (status == OK)
        status = file_make_directory(path, err);
    if (status == OK)
        status = file_path(path, err, "%s/log/coordinator.log", directory);
    if (status == OK)
        status = log_open(path, "coordinator", LOG_INFO, err);
    driver->run = status == OK ? journal_run_id(driver->journal) : 0;
    return status;
}

static enum status open_job(struct driver *driver, struct error *err)
{
    const struct job *job = driver->job;
    enum status status = open_run(driver, err);
    if (status == OK)
        status = manifest_build(job, MANIFEST_COORDINATOR, &driver->manifest, err);
    if (status == OK)
        status = model_open(&job->model, &job->data.preprocess, job->data.class_count,
                            &driver->model, err);
    struct controller_ports ports = {
        .driver = driver,
        .outbox = {driver, send_message},
        .keep_epoch = keep_epoch,
        .keep_step = keep_step,
        .event = note_event,
        .member = note_member,
        .unreadable = note_unreadable,
    };
    if (status == OK)
        status = controller_create(job, driver->manifest, driver->model, ports, clock_ms(),
                                   &driver->controller, err);
    if (status == OK && driver->options->resume)
        status = history_restore(driver->history, driver->controller, err);
    return status;
}

static enum status open_socket(struct driver *driver, struct error *err)
{
    const struct cluster_config *cluster = &driver->job->cluster;
    bool keyless = cluster->keys[0] == '\0';
    if (!channel_is_loopback(cluster->bind) && !cluster->security_none && keyless)
        return error_set(err, ERR_INPUT,
                         "refusing to listen on %s without keys: `graft keygen` and cluster.keys "
                         "(docs/SECURITY.md), or cluster.security = \"none\" if the network is "
                         "yours alone",
                         cluster->bind);
    driver->context = channel_context_create();
    if (driver->context == NULL)
        return error_set(err, ERR_MEMORY, "no memory for ZeroMQ");
    enum status status = keyless ? OK : keys_load(cluster->keys, "coordinator", &driver->keys, err);
    if (status == OK && !keyless)
        status = channel_context_secure(driver->context, driver->keys, err);
    if (status == OK)
        status =
            channel_listen(driver->context, cluster->bind, cluster->port, &driver->channel, err);
    return status == OK
               ? status_note_write(driver->job->run.directory, channel_endpoint(driver->channel),
                                   driver->run, cluster->keys, err)
               : status;
}

static uint64_t count_dropped(const struct driver *driver)
{
    const struct membership *members = controller_look(driver->controller).members;
    uint64_t dropped = channel_dropped(driver->channel);
    for (size_t i = 0; i < members->count; i++)
        dropped += members->members[i].progress.dropped;
    return dropped;
}

static enum status write_outputs(struct driver *driver, struct error *err)
{
    struct outputs outputs = {
        .job = driver->job,
        .manifest = driver->manifest,
        .model = driver->model,
        .history = driver->history,
        .journal = driver->journal,
        .controller = driver->controller,
        .total_seconds = clock_seconds() - driver->began,
        .dropped = count_dropped(driver),
    };
    return outputs_write(&outputs, stdout, err);
}

/* How the run stands now, for `--resume` and for people. */
static void record_end(struct driver *driver, enum status status, const char *why)
{
    enum journal_state state = status == OK            ? JOURNAL_DONE
                               : status == ERR_STOPPED ? JOURNAL_STOPPED
                                                       : JOURNAL_FAILED;
    if (driver->journal == NULL)
        return;
    note_event(driver, state == JOURNAL_DONE ? "done" : "ended", status == OK ? "" : why);
    struct error ignored = {0};
    if (journal_finish(driver->journal, state, &ignored) != OK)
        log_event(LOG_WARN, "not_noted", "why=\"%s\"", ignored.text);
    status_note_remove(driver->job->run.directory);
}

static void close_driver(struct driver *driver)
{
    controller_destroy(&driver->controller);
    channel_close(&driver->channel);
    channel_context_destroy(driver->context);
    keys_destroy(&driver->keys);
    model_destroy(&driver->model);
    manifest_destroy(&driver->manifest);
    history_destroy(&driver->history);
    journal_close(&driver->journal);
    log_close();
    memory_free(driver);
}

enum status driver_run(const struct job *job, const struct driver_options *options,
                       struct error *err)
{
    struct driver *driver = memory_alloc(1, sizeof *driver);
    if (driver == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the coordinator");
    driver->job = job;
    driver->options = options;
    driver->began = clock_seconds();
    progress_init(&driver->progress, isatty(STDOUT_FILENO));
    struct sigaction action = {.sa_handler = on_signal}; /* signal() would serve only once */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    enum status status = open_job(driver, err);
    if (status == OK)
        status = open_socket(driver, err);
    if (status == OK && !options->no_members)
        status = start_some(driver, ROLE_SERVER, driver->job->cluster.servers, err);
    if (status == OK && !options->no_members)
        status = start_some(driver, ROLE_WORKER, driver->job->cluster.workers, err);
    if (status == OK && options->no_members && !options->quiet)
        printf("Waiting %u s for %u workers and %u servers at %s\n", job->cluster.join_seconds,
               job->cluster.workers, job->cluster.servers, channel_endpoint(driver->channel));
    fflush(stdout);
    if (status == OK)
        status = loop(driver, err);
    progress_clear(&driver->progress, stdout);
    if (status == OK)
        status = write_outputs(driver, err);
    if (driver->controller != NULL && driver->channel != NULL)
        stop_members(driver, status == OK ? "the job is done" : err->text);
    launcher_stop(&driver->launcher, MEMBER_GRACE_MS);
    struct error unkept = {0}; /* an epoch that was being kept when the job ended otherwise */
    if (driver->history != NULL && settle(driver, true, &unkept) != OK)
        log_event(LOG_WARN, "not_kept", "why=\"%s\"", unkept.text);
    record_end(driver, status, err->text);
    close_driver(driver);
    return status;
}
