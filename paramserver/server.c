#include "paramserver/server.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "paramserver/table/table.h"

#define SUBSCRIBERS_MAX WIRE_MEMBERS_MAX

struct server {
    const struct job *job;
    struct outbox outbox;
    struct server_counters counters;
    struct table *table; /* NULL before the first LOAD */
    uint32_t view;
    uint32_t generation;
    uint32_t load_part, load_parts; /* of this generation's LOAD: the next one, and how many */
    int64_t ready_ms;               /* when READY was last said; 0: never */
    uint64_t *workers;              /* incarnations in the view */
    size_t worker_count;
    uint64_t *subscribers; /* workers that sent PULL in this generation */
    size_t subscriber_count;
    bool take_pending;
    uint64_t take_version;
};

enum status server_create(const struct job *job, struct outbox outbox, struct server **out,
                          struct error *err)
{
    struct server *server = memory_alloc(1, sizeof *server);
    if (server == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the server");
    server->job = job;
    server->outbox = outbox;
    server->workers = memory_alloc(WIRE_MEMBERS_MAX, sizeof *server->workers);
    server->subscribers = memory_alloc(SUBSCRIBERS_MAX, sizeof *server->subscribers);
    if (server->workers == NULL || server->subscribers == NULL) {
        server_destroy(&server);
        return error_set(err, ERR_MEMORY, "no memory for the server");
    }
    *out = server;
    return OK;
}

void server_destroy(struct server **server)
{
    if (*server == NULL)
        return;
    table_destroy(&(*server)->table);
    memory_free((*server)->workers);
    memory_free((*server)->subscribers);
    memory_free(*server);
    *server = NULL;
}

struct server_counters server_counters(const struct server *server)
{
    return server->counters;
}

static void send_to(struct server *server, uint64_t peer, struct message *message,
                    const struct frame *payloads, size_t count)
{
    message->view = server->view;
    message->generation = server->generation;
    server->outbox.send(server->outbox.driver, peer, message, payloads, count);
}

/* ---- weights and statistics out ---- */

static void send_weights(struct server *server, uint64_t peer, uint64_t version)
{
    uint32_t blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    struct message message = {.type = MESSAGE_WEIGHTS};
    struct message_weights *weights = &message.body.weights;
    size_t at = 0;
    weights->version = version;
    weights->blocks = blocks;
    while ((weights->block_count =
                table_weights_part(server->table, version, &at, blocks, payloads)) > 0)
        send_to(server, peer, &message, payloads, weights->block_count);
}

static void send_statistics(struct server *server, uint64_t peer, uint64_t version)
{
    struct push_entry entries[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    struct message message = {.type = MESSAGE_STATISTICS};
    struct message_statistics *statistics = &message.body.statistics;
    struct table_cursor at = {0};
    statistics->version = version;
    statistics->entries = entries;
    while ((statistics->entry_count =
                table_statistics_part(server->table, version, &at, entries, payloads)) > 0)
        send_to(server, peer, &message, payloads, statistics->entry_count);
}

static void send_snapshot(struct server *server)
{
    struct snapshot_block blocks[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
    struct message message = {.type = MESSAGE_SNAPSHOT};
    struct message_snapshot *snapshot = &message.body.snapshot;
    size_t at = 0, count, frames;
    snapshot->version = table_version(server->table);
    snapshot->parts = table_snapshot_parts(server->table);
    snapshot->blocks = blocks;
    while ((count = table_snapshot_part(server->table, &at, blocks, payloads, &frames)) > 0) {
        snapshot->block_count = count;
        send_to(server, PEER_COORDINATOR, &message, payloads, frames);
        snapshot->part++;
    }
    CHECK(snapshot->part == snapshot->parts);
    table_handed_out(server->table);
    server->take_pending = false;
}

static void send_wanted(struct server *server, uint64_t peer)
{
    uint32_t statistics[WIRE_SHARDS_MAX], gradients[WIRE_SHARDS_MAX];
    struct message message = {.type = MESSAGE_WANTED};
    message.body.wanted = (struct message_wanted){
        .version = table_version(server->table),
        .statistics = statistics,
        .statistic_count = table_missing(server->table, true, statistics),
        .gradients = gradients,
        .gradient_count = table_missing(server->table, false, gradients),
    };
    send_to(server, peer, &message, NULL, 0);
}

void server_tick(struct server *server, int64_t now_ms)
{
    if (server->view > 0 || (server->ready_ms > 0 && now_ms - server->ready_ms < SERVER_READY_MS))
        return;
    struct message ready = {.type = MESSAGE_READY};
    send_to(server, PEER_COORDINATOR, &ready, NULL, 0);
    server->ready_ms = now_ms;
}

/* ---- what comes in ---- */

static bool is_listed(const uint64_t *list, size_t count, uint64_t peer)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == peer)
            return true;
    return false;
}

static void take_view(struct server *server, const struct message *message)
{
    const struct message_view *view = &message->body.view;
    if (message->view < server->view)
        return;
    server->view = message->view;
    server->worker_count = view->worker_count;
    for (size_t i = 0; i < view->worker_count; i++)
        server->workers[i] = view->workers[i].incarnation;
    size_t kept = 0;
    for (size_t i = 0; i < server->subscriber_count; i++)
        if (is_listed(server->workers, server->worker_count, server->subscribers[i]))
            server->subscribers[kept++] = server->subscribers[i];
    server->subscriber_count = kept;
    struct message seen = {.type = MESSAGE_VIEWED};
    send_to(server, PEER_COORDINATOR, &seen, NULL, 0);
}

static enum status begin_load(struct server *server, const struct message *message,
                              struct error *err)
{
    const struct message_load *load = &message->body.load;
    if (load->stage >= server->job->stage_count)
        return error_set(err, ERR_PEER, "a LOAD for stage %u, the job has %zu", load->stage,
                         server->job->stage_count);
    table_destroy(&server->table);
    server->generation = message->generation;
    server->load_part = 0;
    server->load_parts = load->parts;
    server->subscriber_count = 0;
    server->take_pending = false;
    server->take_version = 0;
    return table_create(&server->job->stages[load->stage], load, &server->table, err);
}

/* Parts are taken in their order; LOADED says which one is next. */
static enum status take_load(struct server *server, const struct message *message,
                             const struct frame *payloads, size_t count, struct error *err)
{
    const struct message_load *load = &message->body.load;
    enum status status = OK;
    if (message->generation > server->generation && load->part == 0)
        status = begin_load(server, message, err);
    if (status != OK || message->generation != server->generation || server->table == NULL)
        return status;
    if (load->part == server->load_part && server->load_part < server->load_parts) {
        status = table_load_part(server->table, load, payloads, count, err);
        if (status == OK && ++server->load_part == server->load_parts)
            status = table_ready(server->table, err);
    }
    struct message loaded = {.type = MESSAGE_LOADED};
    loaded.body.loaded = (struct message_loaded){server->load_part, server->load_parts};
    if (status == OK)
        send_to(server, PEER_COORDINATOR, &loaded, NULL, 0);
    return status;
}

/* The table can be used: its LOAD is complete. */
static bool is_loaded(const struct server *server)
{
    return server->table != NULL && server->load_part == server->load_parts;
}

static void take_take(struct server *server, uint64_t version)
{
    if (version < table_version(server->table) || version < server->take_version)
        return; /* of an epoch that is over */
    server->take_pending = true;
    server->take_version = version;
}

static void answer_take(struct server *server)
{
    if (server->take_pending && table_version(server->table) == server->take_version)
        send_snapshot(server);
}

static void take_pull(struct server *server, uint64_t peer, const struct message_pull *pull)
{
    if (!is_listed(server->subscribers, server->subscriber_count, peer)) {
        CHECK(server->subscriber_count < SUBSCRIBERS_MAX);
        server->subscribers[server->subscriber_count++] = peer;
    }
    uint64_t version = table_version(server->table);
    for (uint64_t v = version - table_has_previous(server->table); v <= version; v++) {
        bool finished = v < version || table_statistics_complete(server->table);
        if (pull->version < v)
            send_weights(server, peer, v);
        if (finished && (pull->version < v || (pull->version == v && !pull->statistics)))
            send_statistics(server, peer, v);
    }
    send_wanted(server, peer);
}

static enum status finish_step(struct server *server, struct error *err)
{
    enum status status = table_advance(server->table, err);
    if (status != OK)
        return status;
    server->counters.version = table_version(server->table);
    for (size_t i = 0; i < server->subscriber_count; i++)
        send_weights(server, server->subscribers[i], server->counters.version);
    answer_take(server);
    return OK;
}

static enum status take_push(struct server *server, const struct message *message,
                             const struct frame *payloads, size_t count, struct error *err)
{
    const struct message_push *push = &message->body.push;
    server->counters.pushes++;
    if (push->version != table_version(server->table)) {
        server->counters.duplicates++;
        return OK;
    }
    if (push->entry_count != count) {
        server->counters.broken++;
        return OK;
    }
    bool had_statistics = table_statistics_complete(server->table);
    for (size_t i = 0; i < count; i++) {
        enum reduction_result result = table_add(server->table, &push->entries[i],
                                                 push->range_first, push->range_log2, &payloads[i]);
        server->counters.duplicates += result == REDUCTION_DUPLICATE;
        server->counters.broken += result == REDUCTION_REFUSED;
    }
    if (!had_statistics && table_statistics_complete(server->table))
        for (size_t i = 0; i < server->subscriber_count; i++)
            send_statistics(server, server->subscribers[i], push->version);
    return table_step_complete(server->table) ? finish_step(server, err) : OK;
}

static enum status handle_coordinator(struct server *server, const struct message *message,
                                      const struct frame *payloads, size_t count, struct error *err)
{
    if (message->type == MESSAGE_VIEW)
        take_view(server, message);
    else if (message->type == MESSAGE_LOAD)
        return take_load(server, message, payloads, count, err);
    else if (message->type == MESSAGE_TAKE && is_loaded(server) &&
             message->generation == server->generation) {
        take_take(server, message->body.take.version);
        answer_take(server);
    }
    return OK;
}

enum status server_handle(struct server *server, uint64_t peer, const struct message *message,
                          const struct frame *payloads, size_t payload_count, struct error *err)
{
    if (peer == PEER_COORDINATOR)
        return handle_coordinator(server, message, payloads, payload_count, err);
    bool known = is_listed(server->workers, server->worker_count, peer) && message->sender == peer;
    if (!known || !is_loaded(server) || message->generation != server->generation) {
        server->counters.fenced++;
        return OK;
    }
    if (message->type == MESSAGE_PULL)
        take_pull(server, peer, &message->body.pull);
    else if (message->type == MESSAGE_PUSH)
        return take_push(server, message, payloads, payload_count, err);
    else
        server->counters.broken++;
    return OK;
}
