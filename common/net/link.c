#include "common/net/link.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"

#define HEARTBEAT_MS_FIRST 500
#define LOST_MS_FIRST UINT32_MAX /* who waits for WELCOME has a deadline of its own */

struct link {
    pthread_t thread;
    bool running;
    _Atomic bool stop;
    struct channel *control; /* the thread's */
    struct channel *inner;   /* the thread's end of the mailbox */
    struct channel *outer;   /* the member's end */
    struct link_progress progress;
    _Atomic uint64_t run;
    uint64_t identity;
    char coordinator[WIRE_TEXT_BYTES];
    _Atomic uint32_t heartbeat_ms;
    _Atomic uint32_t lost_ms;
};

static void beat(struct link *link)
{
    struct message message = {.type = MESSAGE_HEARTBEAT,
                              .run = link->run,
                              .sender = link->identity,
                              .view = link->progress.view};
    message.body.heartbeat = (struct message_heartbeat){
        .task = link->progress.task,
        .samples = link->progress.samples,
        .dropped = link->progress.dropped,
        .trained = link->progress.trained,
        .busy_us = link->progress.busy_us,
    };
    /* A full queue means that the coordinator is away: silence is noticed by its own limit below.
     */
    enum status ignored = channel_send(link->control, 0, &message, NULL, 0, NULL);
    (void)ignored;
}

static void report_lost(struct link *link, int64_t silence_ms)
{
    struct message message = {.type = MESSAGE_STOP};
    message.body.stop.again = 1; /* it may be started again */
    snprintf(message.body.stop.text, sizeof message.body.stop.text,
             "nothing heard from the coordinator at %s for %lld ms", link->coordinator,
             (long long)silence_ms);
    enum status ignored = channel_send(link->inner, 0, &message, NULL, 0, NULL);
    (void)ignored;
}

static void *link_thread(void *argument)
{
    struct link *link = argument;
    struct channel *const channels[] = {link->control, link->inner};
    int64_t heard = clock_ms(), beaten = 0;
    bool lost = false;
    while (!link->stop) {
        uint32_t type;
        int64_t now = clock_ms();
        if (link->run != 0 && now - beaten >= link->heartbeat_ms) {
            beat(link);
            beaten = now;
        }
        if (!lost && now - heard > link->lost_ms) {
            report_lost(link, now - heard);
            lost = true;
        }
        channel_wait(channels, 2, link->run == 0 ? 50 : link->heartbeat_ms / 2);
        while (channel_pass(link->control, link->inner, MESSAGE_HEARTBEAT, &type))
            heard = clock_ms();
        while (channel_pass(link->inner, link->control, 0, &type))
            ;
    }
    /* Last words of the member (FAILED) still leave. */
    uint32_t type;
    while (channel_pass(link->inner, link->control, 0, &type))
        ;
    return NULL;
}

static enum status start_thread(struct link *link, struct error *err)
{
    if (pthread_create(&link->thread, NULL, link_thread, link) != 0)
        return error_set(err, ERR_MEMORY, "the link thread could not be started");
    link->running = true;
    return OK;
}

enum status link_start(struct channel_context *context, const char *coordinator, uint64_t identity,
                       struct link **out, struct error *err)
{
    struct link *link = memory_alloc(1, sizeof *link);
    if (link == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the link");
    link->identity = identity;
    link->heartbeat_ms = HEARTBEAT_MS_FIRST;
    link->lost_ms = LOST_MS_FIRST;
    snprintf(link->coordinator, sizeof link->coordinator, "%s", coordinator);
    enum status status = channel_connect(context, coordinator, identity, &link->control, err);
    if (status == OK)
        status = channel_mailbox(context, "link", true, &link->inner, err);
    if (status == OK)
        status = channel_mailbox(context, "link", false, &link->outer, err);
    if (status == OK)
        status = start_thread(link, err);
    if (status != OK) {
        link_stop(&link);
        return status;
    }
    *out = link;
    return OK;
}

void link_stop(struct link **link)
{
    if (*link == NULL)
        return;
    (*link)->stop = true;
    if ((*link)->running)
        pthread_join((*link)->thread, NULL);
    channel_close(&(*link)->outer);
    channel_close(&(*link)->inner);
    channel_close(&(*link)->control);
    memory_free(*link);
    *link = NULL;
}

struct channel *link_channel(struct link *link)
{
    return link->outer;
}

struct link_progress *link_counters(struct link *link)
{
    return &link->progress;
}

void link_limits(struct link *link, uint64_t run, uint32_t heartbeat_ms, uint32_t lost_ms)
{
    link->heartbeat_ms = heartbeat_ms;
    link->lost_ms = lost_ms;
    link->run = run;
}
