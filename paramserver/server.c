#include "paramserver/server.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "paramserver/server_state.h"

#define SUBSCRIBERS_MAX WIRE_MEMBERS_MAX

enum status server_create(const struct job *job, uint64_t identity, struct outbox outbox,
                          struct server **out, struct error *err)
{
    struct server *server = memory_alloc(1, sizeof *server);
    if (server == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the server");
    server->job = job;
    server->identity = identity;
    server->outbox = outbox;
    server->workers = memory_alloc(WIRE_MEMBERS_MAX, sizeof *server->workers);
    server->subscribers = memory_alloc(SUBSCRIBERS_MAX, sizeof *server->subscribers);
    server->servers = memory_alloc(WIRE_MEMBERS_MAX, sizeof *server->servers);
    if (server->workers == NULL || server->subscribers == NULL || server->servers == NULL) {
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
    for (size_t i = 0; i < (*server)->partition_count; i++)
        partition_deinit(&(*server)->partitions[i]);
    update_room_deinit(&(*server)->room);
    memory_free((*server)->workers);
    memory_free((*server)->subscribers);
    memory_free((*server)->servers);
    norms_deinit(&(*server)->norms);
    memory_free(*server);
    *server = NULL;
}

bool server_serves(const struct server *server, const struct partition *partition)
{
    return partition->is_primary && partition_is_loaded(partition) &&
           partition->generation == server->generation;
}

struct server_counters server_counters(const struct server *server)
{
    struct server_counters counters = server->counters;
    for (size_t i = 0; i < server->partition_count; i++)
        if (server_serves(server, &server->partitions[i]) &&
            table_version(server->partitions[i].table) > counters.version)
            counters.version = table_version(server->partitions[i].table);
    return counters;
}

/* Also the partitions' outbox, which fill in their generation. */
static void send_in_view(void *driver, uint64_t peer, struct message *message,
                         const struct frame *payloads, size_t count)
{
    struct server *server = driver;
    message->view = server->view;
    server->outbox.send(server->outbox.driver, peer, message, payloads, count);
}

void server_send(struct server *server, uint64_t peer, struct message *message,
                 const struct frame *payloads, size_t count)
{
    message->generation = server->generation;
    send_in_view(server, peer, message, payloads, count);
}

/* ---- weights and statistics out ---- */

/* A message that is being filled. */
struct parcel {
    struct message message;
    uint32_t blocks[WIRE_FRAMES_MAX];
    struct push_entry entries[WIRE_FRAMES_MAX];
    struct frame payloads[WIRE_FRAMES_MAX];
};

static void send_weights(struct server *server, uint64_t peer, const struct partition *partition,
                         uint64_t version)
{
    struct parcel parcel = {.message = {.type = MESSAGE_WEIGHTS}};
    struct message_weights *weights = &parcel.message.body.weights;
    size_t at = 0;
    weights->version = version;
    weights->blocks = parcel.blocks;
    while ((weights->block_count = table_weights_part(partition->table, version, &at, parcel.blocks,
                                                      parcel.payloads)) > 0)
        server_send(server, peer, &parcel.message, parcel.payloads, weights->block_count);
}

static void send_statistics(struct server *server, uint64_t peer, const struct partition *partition,
                            uint64_t version)
{
    struct parcel parcel = {.message = {.type = MESSAGE_STATISTICS}};
    struct message_statistics *statistics = &parcel.message.body.statistics;
    struct table_cursor at = {0};
    statistics->version = version;
    statistics->entries = parcel.entries;
    while ((statistics->entry_count = table_statistics_part(partition->table, version, &at,
                                                            parcel.entries, parcel.payloads)) > 0)
        server_send(server, peer, &parcel.message, parcel.payloads, statistics->entry_count);
}

static void send_wanted(struct server *server, uint64_t peer, const struct partition *partition)
{
    uint32_t statistics[WIRE_SHARDS_MAX], gradients[WIRE_SHARDS_MAX];
    struct message message = {.type = MESSAGE_WANTED};
    message.body.wanted = (struct message_wanted){
        .version = table_version(partition->table),
        .statistics = statistics,
        .statistic_count = table_missing(partition->table, true, statistics),
        .gradients = gradients,
        .gradient_count = table_missing(partition->table, false, gradients),
    };
    server_send(server, peer, &message, NULL, 0);
}

/* To all subscribers, what has come about in this partition. */
static void announce(struct server *server, struct partition *partition)
{
    uint64_t version = partition->table != NULL ? table_version(partition->table) : 0;
    bool clocks = partition->table != NULL && table_has_clocks(partition->table);
    for (size_t i = 0; i < server->subscriber_count; i++) {
        if (clocks) {
            server_announce_clocks(server, server->subscribers[i], partition);
            continue;
        }
        if (partition->statistics_finished)
            send_statistics(server, server->subscribers[i], partition,
                            version - partition->finished);
        if (partition->finished)
            send_weights(server, server->subscribers[i], partition, version);
    }
    partition->finished = partition->statistics_finished = false;
}

static void announce_all(struct server *server)
{
    for (size_t i = 0; i < server->partition_count; i++)
        if (server->partitions[i].finished || server->partitions[i].statistics_finished)
            announce(server, &server->partitions[i]);
}

void server_tick(struct server *server, int64_t now_ms)
{
    for (size_t i = 0; i < server->partition_count; i++)
        if (server_serves(server, &server->partitions[i]))
            partition_tick(&server->partitions[i], now_ms);
    server_ask_for_norms(server, now_ms);
    if (server->view > 0 || (server->ready_ms > 0 && now_ms - server->ready_ms < SERVER_READY_MS))
        return;
    struct message ready = {.type = MESSAGE_READY};
    server_send(server, PEER_COORDINATOR, &ready, NULL, 0);
    server->ready_ms = now_ms;
}

/* ---- from the coordinator ---- */

bool server_lists(const uint64_t *list, size_t count, uint64_t peer)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == peer)
            return true;
    return false;
}

static void take_workers(struct server *server, const struct message_view *view)
{
    server->worker_count = view->worker_count;
    for (size_t i = 0; i < view->worker_count; i++)
        server->workers[i] = view->workers[i].incarnation;
    size_t kept = 0;
    for (size_t i = 0; i < server->subscriber_count; i++)
        if (server_lists(server->workers, server->worker_count, server->subscribers[i]))
            server->subscribers[kept++] = server->subscribers[i];
    server->subscriber_count = kept;
    for (size_t i = 0; i < server->partition_count; i++)
        if (server->partitions[i].table != NULL)
            table_keep_peers(server->partitions[i].table, server->workers, server->worker_count);
}

static void take_servers(struct server *server, const struct message_view *view)
{
    server->server_count = 0;
    for (size_t i = 0; i < view->server_count; i++)
        if (view->servers[i].incarnation != server->identity)
            server->servers[server->server_count++] = view->servers[i].incarnation;
}

static struct partition *partition_of(struct server *server, uint32_t id)
{
    while (server->partition_count <= id) {
        uint32_t next = (uint32_t)server->partition_count++;
        partition_init(&server->partitions[next], next, server->job, &server->room,
                       (struct outbox){server, send_in_view});
    }
    return &server->partitions[id];
}

static uint64_t incarnation_of(const struct message_view *view, uint32_t position)
{
    return position < view->server_count ? view->servers[position].incarnation : 0;
}

static enum status take_view(struct server *server, const struct message *message, int64_t now_ms,
                             struct error *err)
{
    const struct message_view *view = &message->body.view;
    enum status status = OK;
    if (message->view < server->view)
        return OK;
    server->view = message->view;
    take_workers(server, view);
    take_servers(server, view);
    for (uint32_t i = 0; status == OK && i < view->partition_count; i++)
        status = partition_set_roles(partition_of(server, i), server->identity,
                                     incarnation_of(view, view->partitions[i].primary),
                                     incarnation_of(view, view->partitions[i].backup), now_ms, err);
    struct message seen = {.type = MESSAGE_VIEWED};
    if (status == OK)
        server_send(server, PEER_COORDINATOR, &seen, NULL, 0);
    return status;
}

/* A LOAD of a newer generation: nothing of the old one counts any more. */
static enum status follow_generation(struct server *server, const struct message *message,
                                     struct error *err)
{
    if (message->generation <= server->generation)
        return OK;
    server->generation = message->generation;
    server->subscriber_count = 0;
    return norms_reset(&server->norms, message->body.load.parameters, err);
}

static enum status take_load(struct server *server, const struct message *message,
                             const struct frame *payloads, size_t count, int64_t now_ms,
                             struct error *err)
{
    struct partition *partition = partition_of(server, message->body.load.partition);
    if (message->generation < server->generation || !partition->is_primary)
        return OK;
    enum status status = follow_generation(server, message, err);
    return status == OK ? partition_take_load(partition, PEER_COORDINATOR, message, payloads, count,
                                              now_ms, err)
                        : status;
}

static enum status handle_coordinator(struct server *server, const struct message *message,
                                      const struct frame *payloads, size_t count, int64_t now_ms,
                                      struct error *err)
{
    if (message->type == MESSAGE_VIEW)
        return take_view(server, message, now_ms, err);
    if (message->type == MESSAGE_LOAD && message->body.load.partition < WIRE_PARTITIONS_MAX)
        return take_load(server, message, payloads, count, now_ms, err);
    if (message->type != MESSAGE_TAKE || message->generation != server->generation ||
        message->body.take.partition >= WIRE_PARTITIONS_MAX)
        return OK;
    struct partition *partition = partition_of(server, message->body.take.partition);
    if (server_serves(server, partition))
        partition_take_take(partition, message->body.take.version);
    return OK;
}

/* ---- from other servers ---- */

static enum status handle_server(struct server *server, struct partition *partition, uint64_t peer,
                                 const struct message *message, const struct frame *payloads,
                                 size_t count, int64_t now_ms, struct error *err)
{
    bool from_primary = partition->is_backup && peer == partition->primary;
    bool from_backup = server_serves(server, partition) && peer == partition->backup;
    if (message->type == MESSAGE_LOAD && from_primary &&
        message->generation >= server->generation) {
        enum status status = follow_generation(server, message, err);
        return status == OK
                   ? partition_take_load(partition, peer, message, payloads, count, now_ms, err)
                   : status;
    }
    if (message->generation != server->generation)
        return OK;
    if (message->type == MESSAGE_REPLICATE && from_primary && partition_is_loaded(partition) &&
        partition->generation == server->generation)
        return partition_take_replicate(partition, &message->body.replicate, payloads, count, err);
    if (message->type == MESSAGE_LOADED && from_backup)
        partition_take_filled(partition, &message->body.loaded, now_ms);
    else if (message->type == MESSAGE_ACK && from_backup)
        return partition_take_ack(partition, &message->body.ack, now_ms, err);
    return OK;
}

/* The partition that a message between servers is about; NULL: it is none of these. */
static struct partition *partition_named(struct server *server, const struct message *message)
{
    uint32_t id = WIRE_PARTITIONS_MAX;
    if (message->type == MESSAGE_LOAD)
        id = message->body.load.partition;
    else if (message->type == MESSAGE_LOADED)
        id = message->body.loaded.partition;
    else if (message->type == MESSAGE_REPLICATE)
        id = message->body.replicate.partition;
    else if (message->type == MESSAGE_ACK)
        id = message->body.ack.partition;
    return id < server->partition_count ? &server->partitions[id] : NULL;
}

/* ---- from workers ---- */

static void pull_partition(struct server *server, const struct partition *partition, uint64_t peer,
                           const struct message_pull *pull)
{
    uint64_t version = table_version(partition->table);
    if (table_has_clocks(partition->table)) {
        server_send_clocks(server, peer, partition);
        return;
    }
    for (uint64_t v = version - table_has_previous(partition->table); v <= version; v++) {
        bool finished = v < version || table_statistics_complete(partition->table);
        if (pull->version < v)
            send_weights(server, peer, partition, v);
        if (finished && (pull->version < v || (pull->version == v && !pull->statistics)))
            send_statistics(server, peer, partition, v);
    }
    send_wanted(server, peer, partition);
}

static void take_pull(struct server *server, uint64_t peer, const struct message_pull *pull)
{
    if (!server_lists(server->subscribers, server->subscriber_count, peer)) {
        CHECK(server->subscriber_count < SUBSCRIBERS_MAX);
        server->subscribers[server->subscriber_count++] = peer;
    }
    for (size_t i = 0; i < server->partition_count; i++)
        if (server_serves(server, &server->partitions[i]))
            pull_partition(server, &server->partitions[i], peer, pull);
}

static enum status take_push(struct server *server, const struct message *message,
                             const struct frame *payloads, size_t count, int64_t now_ms,
                             struct error *err)
{
    const struct message_push *push = &message->body.push;
    uint64_t results[REDUCTION_REFUSED + 1] = {0}, used = 0;
    enum status status = OK;
    server->counters.pushes++;
    if (push->entry_count != count) {
        server->counters.broken++;
        return OK;
    }
    for (size_t i = 0; status == OK && i < server->partition_count; i++)
        if (server_serves(server, &server->partitions[i]))
            status =
                partition_take_push(&server->partitions[i], push, payloads, now_ms, results, err);
    for (size_t i = 0; i <= REDUCTION_REFUSED; i++)
        used += results[i];
    server->counters.duplicates += results[REDUCTION_DUPLICATE];
    server->counters.broken += results[REDUCTION_REFUSED] + (count - used);
    return status;
}

static enum status handle_worker(struct server *server, uint64_t peer,
                                 const struct message *message, const struct frame *payloads,
                                 size_t count, int64_t now_ms, struct error *err)
{
    bool known =
        server_lists(server->workers, server->worker_count, peer) && message->sender == peer;
    if (!known || server->generation == 0 || message->generation != server->generation) {
        server->counters.fenced++;
        return OK;
    }
    if (message->type == MESSAGE_PULL)
        take_pull(server, peer, &message->body.pull);
    else if (message->type == MESSAGE_PUSH)
        return take_push(server, message, payloads, count, now_ms, err);
    else if (message->type == MESSAGE_UPDATE)
        return server_take_update(server, peer, message, payloads, count, err);
    else
        server->counters.broken++;
    return OK;
}

enum status server_handle(struct server *server, int64_t now_ms, uint64_t peer,
                          const struct message *message, const struct frame *payloads,
                          size_t payload_count, struct error *err)
{
    enum status status = OK;
    struct partition *partition = partition_named(server, message);
    if (peer == PEER_COORDINATOR)
        status = handle_coordinator(server, message, payloads, payload_count, now_ms, err);
    else if (partition != NULL && message->sender == peer)
        status =
            handle_server(server, partition, peer, message, payloads, payload_count, now_ms, err);
    else if (message->type == MESSAGE_NORMS)
        server_take_norms(server, peer, message, payloads, payload_count);
    else
        status = handle_worker(server, peer, message, payloads, payload_count, now_ms, err);
    if (status == OK)
        status = server_clip(server, now_ms, err);
    announce_all(server);
    return status;
}
