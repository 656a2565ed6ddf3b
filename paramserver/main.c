/* graft-server: one parameter server. Sockets around the state machine of server.c. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/memory_sum.h"
#include "common/base/platform.h"
#include "common/net/channel.h"
#include "common/net/lines.h"
#include "common/net/member.h"
#include "paramserver/server.h"
#include "paramserver/server_memory.h"

#define IDLE_MS (SERVER_READY_MS / 2)

struct driver {
    struct member member;
    struct channel *workers; /* and what other servers send */
    struct lines servers;    /* to other servers */
    struct server *server;
    struct received received;
};

static void send_message(void *context, uint64_t peer, struct message *message,
                         const struct frame *frames, size_t count)
{
    struct driver *driver = context;
    struct error why = {0};
    message->run = driver->member.run;
    message->sender = driver->member.incarnation;
    struct channel *channel = lines_to(&driver->servers, peer);
    if (channel == NULL)
        channel = peer == PEER_COORDINATOR ? link_channel(driver->member.link) : driver->workers;
    /* A member that is gone is the coordinator's affair: the next view tells. */
    if (channel_send(channel, peer, message, frames, count, &why) != OK)
        log_event(LOG_WARN, "not_sent", "to=%016llx why=\"%s\"", (unsigned long long)peer,
                  why.text);
}

static enum status handle(struct driver *driver, uint64_t peer, struct error *err)
{
    return server_handle(driver->server, clock_ms(), peer, &driver->received.message,
                         driver->received.frames, driver->received.frame_count, err);
}

/* Do servers talk to each other in this view: about backups or norms? */
static bool need_lines(const struct job *job, const struct message_view *view)
{
    if (job_clips(job))
        return true;
    for (size_t i = 0; i < view->partition_count; i++)
        if (view->partitions[i].backup != WIRE_NOBODY)
            return true;
    return false;
}

/* True when the coordinator told us to stop. */
static enum status drain_coordinator(struct driver *driver, bool *stop, struct error *err)
{
    enum status status = OK;
    struct channel *channel = link_channel(driver->member.link);
    while (status == OK && !*stop && channel_receive(channel, &driver->received)) {
        if (driver->received.message.type == MESSAGE_STOP) {
            log_event(LOG_INFO, "stop", "why=\"%s\"", driver->received.message.body.reason.text);
            *stop = true;
        } else {
            if (driver->received.message.type == MESSAGE_VIEW &&
                need_lines(driver->member.job, &driver->received.message.body.view))
                status = lines_follow(&driver->servers, &driver->received.message.body.view, err);
            if (status == OK)
                status = handle(driver, PEER_COORDINATOR, err);
        }
    }
    return status;
}

/* What no worker of ours does. */
static void note_beyond(uint64_t before, uint64_t after, uint64_t peer)
{
    if (after > before)
        log_event(LOG_WARN, "beyond_staleness",
                  "from=%016llx refused=%llu why=\"a shard's step too far before the slowest\"",
                  (unsigned long long)peer, (unsigned long long)(after - before));
}

static enum status drain_workers(struct driver *driver, struct error *err)
{
    enum status status = OK;
    for (int batch = 0; batch < 64 && status == OK; batch++) {
        if (!channel_receive(driver->workers, &driver->received))
            break;
        if (driver->received.message.run != driver->member.run)
            continue;
        uint64_t beyond = server_counters(driver->server).beyond;
        status = handle(driver, driver->received.peer, err);
        note_beyond(beyond, server_counters(driver->server).beyond, driver->received.peer);
    }
    link_counters(driver->member.link)->dropped = channel_dropped(driver->workers);
    return status;
}

static enum status serve(struct driver *driver, struct error *err)
{
    struct channel *channels[] = {link_channel(driver->member.link), driver->workers};
    bool stop = false;
    enum status status = OK;
    while (status == OK && !stop) {
        server_tick(driver->server, clock_ms());
        status = drain_coordinator(driver, &stop, err);
        if (status == OK && !stop)
            status = drain_workers(driver, err);
        if (status == OK && !stop)
            channel_wait(channels, 2, IDLE_MS);
    }
    return status;
}

static enum status run(struct driver *driver, const struct member_options *options,
                       struct error *err)
{
    enum status status = member_open(&driver->member, options, ROLE_SERVER, err);
    driver->servers =
        (struct lines){.context = driver->member.context, .identity = driver->member.incarnation};
    if (status == OK)
        status = channel_listen(driver->member.context, options->bind, 0, &driver->workers, err);
    if (status == OK)
        status = member_join(&driver->member, options->coordinator, ROLE_SERVER,
                             channel_endpoint(driver->workers), err);
    if (status == OK && !channel_is_loopback(options->bind) && driver->member.keys == NULL &&
        !driver->member.job->cluster.security_none)
        status =
            error_set(err, ERR_INPUT,
                      "refusing to serve on %s without --keys; say cluster.security = \"none\" "
                      "if the network is yours alone",
                      options->bind);
    if (status != OK)
        return status;
    struct outbox outbox = {driver, send_message};
    status =
        server_create(driver->member.job, driver->member.incarnation, outbox, &driver->server, err);
    return status == OK ? serve(driver, err) : status;
}

int main(int argc, char **argv)
{
    struct member_options options;
    struct error err = {0};
    platform_prepare(argv);
    memory_prepare();
    if (argc > 1 && strcmp(argv[1], "--memory") == 0)
        return server_memory_main(argc, argv);
    signal(SIGINT,
           SIG_IGN); /* Ctrl-C reaches the whole group; the coordinator decides and tells us */
    enum status status = member_options_read(argc, argv, "graft-server", &options, &err);
    if (status == OK)
        status = log_open(options.log, "server", LOG_INFO, &err);
    struct driver *driver = memory_alloc(1, sizeof *driver);
    if (status == OK && driver == NULL)
        status = error_set(&err, ERR_MEMORY, "no memory");
    if (status == OK)
        status = run(driver, &options, &err);
    if (status != OK) {
        fprintf(stderr, "graft-server: %s\n", err.text);
        if (driver != NULL)
            member_fail(&driver->member, &err);
    }
    if (status == OK)
        log_event(LOG_INFO, "memory", "peak=%zu", memory_peak());
    if (driver != NULL) {
        server_destroy(&driver->server);
        lines_close(&driver->servers);
        channel_close(&driver->workers);
        member_close(&driver->member);
    }
    memory_free(driver);
    return status == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
