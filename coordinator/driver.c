#include "coordinator/driver.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/data/manifest.h"
#include "common/model/model.h"
#include "common/net/channel.h"
#include "coordinator/cluster/launcher.h"
#include "coordinator/job/controller.h"

#define TICK_MS 100
#define MEMBER_GRACE_MS 5000
#define BATCH 256

static volatile sig_atomic_t signals_seen;

struct driver {
    const struct job *job;
    const struct driver_options *options;
    struct manifest *manifest;
    struct model *model;
    void *context;
    struct channel *channel;
    struct controller *controller;
    struct launcher launcher;
    uint64_t run;
    int64_t beaten_ms;
    int stops_seen;
    struct received received;
};

static void on_signal(int number)
{
    (void)number;
    signals_seen++;
}

static void send_message(void *context, uint64_t peer, struct message *message, const struct frame *frames,
                         size_t count)
{
    struct driver *driver = context;
    struct error why = {0};
    message->run = driver->run;
    message->sender = PEER_COORDINATOR;
    if (channel_send(driver->channel, peer, message, frames, count, &why) != OK)
        log_event(LOG_WARN, "not_sent", "to=%016llx why=\"%s\"", (unsigned long long)peer, why.text);
}

static enum status keep_epoch(void *context, const struct values *values, const struct epoch_report *report,
                              struct error *err)
{
    (void)context, (void)values, (void)err;
    printf("stage %u epoch %u %.2fs val %.4f info %.4f H %.4f score %.4f%s pseudo %.2f ce %.4f coral %g st %.4f\n",
           report->stage, report->epoch, report->seconds, report->source_validation, report->information,
           report->entropy, report->score, report->best ? " *" : "", report->pseudo_share,
           report->terms[0][0] / report->terms[0][2], report->terms[1][0],
           report->terms[2][0] / report->terms[2][2]);
    return OK;
}

static void note_event(void *context, const char *kind, const char *text)
{
    (void)context;
    log_event(LOG_INFO, kind, "%s", text);
}

static void note_member(void *context, const struct cluster_member *member)
{
    (void)context;
    log_event(LOG_INFO, "member", "number=%u state=%d", member->number, (int)member->state);
}

static void note_unreadable(void *context, uint32_t sample)
{
    struct driver *driver = context;
    log_event(LOG_WARN, "unreadable", "sample=%u path=%s", sample,
              manifest_path(driver->manifest, driver->job, sample));
}

static void stop_members(struct driver *driver, const char *why)
{
    struct membership *members = controller_look(driver->controller).members;
    struct message message = {.type = MESSAGE_STOP};
    snprintf(message.body.reason.text, sizeof message.body.reason.text, "%s", why);
    for (size_t i = 0; i < members->count; i++)
        if (members->members[i].state != MEMBER_DEAD)
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
        if (members->members[i].state != MEMBER_DEAD)
            send_message(driver, members->members[i].incarnation, &message, NULL, 0);
}

static enum status drain(struct driver *driver, struct error *err)
{
    for (int i = 0; i < BATCH && channel_receive(driver->channel, &driver->received); i++) {
        const struct message *message = &driver->received.message;
        if (message->run != driver->run && message->type != MESSAGE_HELLO && message->type != MESSAGE_ASK)
            continue;
        enum status status = controller_handle(driver->controller, clock_ms(), driver->received.peer, message,
                                               driver->received.frames, driver->received.frame_count, err);
        if (status != OK)
            return status;
    }
    return OK;
}

static enum status reap(struct driver *driver, struct error *err)
{
    pid_t pid;
    bool failed;
    while ((pid = launcher_ended(&driver->launcher, &failed)) != 0) {
        enum status status = drain(driver, err); /* its last words first */
        if (status == OK)
            status = controller_process_ended(driver->controller, clock_ms(), (uint64_t)pid, err);
        if (status != OK)
            return status;
    }
    return OK;
}

static enum status take_signals(struct driver *driver, struct error *err)
{
    if (signals_seen <= driver->stops_seen)
        return OK;
    driver->stops_seen = signals_seen;
    if (driver->stops_seen > 1)
        return error_set(err, ERR_STOPPED, "stopped at once; --resume goes on from the last epoch kept");
    controller_stop(driver->controller);
    return OK;
}

static enum status turn(struct driver *driver, struct error *err)
{
    enum status status = drain(driver, err);
    if (status == OK)
        status = reap(driver, err);
    if (status == OK)
        status = take_signals(driver, err);
    if (status == OK)
        status = controller_tick(driver->controller, clock_ms(), err);
    beat(driver, clock_ms());
    return status;
}

static enum status loop(struct driver *driver, struct error *err)
{
    for (;;) {
        enum status status = turn(driver, err);
        enum controller_phase phase = controller_look(driver->controller).phase;
        if (status != OK || phase == PHASE_DONE)
            return status;
        if (phase == PHASE_STOPPED)
            return error_set(err, ERR_STOPPED, "stopped; --resume goes on from here");
        channel_wait(&driver->channel, 1, TICK_MS);
    }
}

static enum status start_members(struct driver *driver, struct error *err)
{
    const struct cluster_config *cluster = &driver->job->cluster;
    char log[PATH_BYTES];
    enum status status = file_path(log, err, "%s/log", driver->job->run.directory);
    if (status == OK)
        status = file_make_directory(log, err);
    for (uint32_t i = 0; i < cluster->servers && status == OK; i++)
        status = launcher_start(&driver->launcher, "graft-server", channel_endpoint(driver->channel),
                                cluster->bind, log, 1, err);
    for (uint32_t i = 0; i < cluster->workers && status == OK; i++)
        status = launcher_start(&driver->launcher, "graft-worker", channel_endpoint(driver->channel),
                                cluster->bind, log, cluster->threads, err);
    return status;
}

static enum status open_job(struct driver *driver, struct error *err)
{
    const struct job *job = driver->job;
    enum status status = manifest_build(job, MANIFEST_COORDINATOR, &driver->manifest, err);
    if (status == OK)
        status = model_open(&job->model, &job->data.preprocess, job->data.class_count, &driver->model, err);
    struct controller_ports ports = {
        .driver = driver,
        .outbox = {driver, send_message},
        .keep_epoch = keep_epoch,
        .event = note_event,
        .member = note_member,
        .unreadable = note_unreadable,
    };
    if (status == OK)
        status = controller_create(job, driver->manifest, driver->model, ports, clock_ms(), &driver->controller,
                                   err);
    return status;
}

static enum status open_socket(struct driver *driver, struct error *err)
{
    const struct cluster_config *cluster = &driver->job->cluster;
    driver->context = zmq_ctx_new();
    if (driver->context == NULL)
        return error_set(err, ERR_MEMORY, "no memory for ZeroMQ");
    randombytes_buf(&driver->run, sizeof driver->run);
    return channel_listen(driver->context, cluster->bind, cluster->port, &driver->channel, err);
}

static enum status report(struct driver *driver, struct error *err)
{
    struct controller_outcome outcome = controller_outcome(driver->controller);
    const struct predictions *both[] = {outcome.source_only, outcome.adapted};
    for (int i = 0; i < 2; i++) {
        int32_t *labels = memory_alloc(both[i]->count, sizeof *labels);
        for (size_t k = 0; k < both[i]->count; k++)
            labels[k] = driver->manifest->samples[driver->manifest->part[outcome.domain][SPLIT_TEST][k]].label;
        struct score *score;
        enum status status = score_create(both[i], labels, &score, err);
        if (status != OK)
            return status;
        printf("%s accuracy %.4f\n", i ? "adapted" : "source_only", score->accuracy);
        score_destroy(&score);
        memory_free(labels);
    }
    struct digest digest = digest_of(outcome.last->live, outcome.last->plan->live_elements * 4);
    char hex[DIGEST_HEX_BYTES];
    digest_hex(&digest, hex);
    printf("weights %s\n", hex);
    return OK;
}

static void close_driver(struct driver *driver)
{
    controller_destroy(&driver->controller);
    channel_close(&driver->channel);
    if (driver->context != NULL)
        zmq_ctx_term(driver->context);
    model_destroy(&driver->model);
    manifest_destroy(&driver->manifest);
    memory_free(driver);
}

enum status driver_run(const struct job *job, const struct driver_options *options, struct error *err)
{
    struct driver *driver = memory_alloc(1, sizeof *driver);
    if (driver == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the coordinator");
    driver->job = job;
    driver->options = options;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    enum status status = open_job(driver, err);
    if (status == OK)
        status = open_socket(driver, err);
    if (status == OK && !options->no_members)
        status = start_members(driver, err);
    if (status == OK)
        status = loop(driver, err);
    if (status == OK)
        status = report(driver, err);
    if (driver->controller != NULL && driver->channel != NULL)
        stop_members(driver, status == OK ? "the job is done" : err->text);
    launcher_stop(&driver->launcher, MEMBER_GRACE_MS);
    close_driver(driver);
    return status;
}
