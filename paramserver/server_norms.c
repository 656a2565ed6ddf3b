/* Clipping: the norm of the whole gradient, of which each server has its blocks'. */
#include <string.h>

#include "paramserver/server_state.h"

static void take_norms(struct server *server, const struct message_norms *norms,
                       const struct frame *frame)
{
    for (size_t i = 0; i < norms->block_count; i++) {
        double square;
        memcpy(&square, (const uint8_t *)frame->data + i * sizeof square, sizeof square);
        server->counters.broken +=
            !norms_take(&server->norms, norms->version, norms->blocks[i], square);
    }
}

/* What a partition knows of a step; to itself: into our own norms. */
static void send_norms(struct server *server, uint64_t peer, const struct partition *partition,
                       uint64_t version, bool asks)
{
    uint32_t blocks[WIRE_FRAMES_MAX];
    double squares[WIRE_FRAMES_MAX];
    struct message message = {.type = MESSAGE_NORMS};
    struct message_norms *norms = &message.body.norms;
    size_t at = 0;
    *norms = (struct message_norms){version, asks, blocks, 0};
    do {
        norms->block_count = table_norms_part(partition->table, version, &at, blocks, squares);
        const struct frame frame = {squares, norms->block_count * sizeof *squares};
        if (peer == server->identity)
            take_norms(server, norms, &frame);
        else if (norms->block_count > 0 || norms->asks)
            server_send(server, peer, &message, &frame, 1);
        norms->asks = false;
    } while (norms->block_count > 0);
}

/* What all partitions here know of a step. */
static void answer_norms(struct server *server, uint64_t peer, uint64_t version)
{
    for (size_t i = 0; i < server->partition_count; i++)
        if (server_serves(server, &server->partitions[i]))
            send_norms(server, peer, &server->partitions[i], version, false);
}

/* Of the open step, to all; ourselves we ask, too: another partition here may have gone on before it
 * was ours. */
static void share_norms(struct server *server, const struct partition *partition, bool asks)
{
    uint64_t version = table_version(partition->table);
    answer_norms(server, server->identity, version);
    for (size_t i = 0; i < server->server_count; i++)
        send_norms(server, server->servers[i], partition, version, asks);
}

static bool waits_for_norms(const struct server *server, const struct partition *partition)
{
    return server_serves(server, partition) && partition->measuring;
}

/* After whatever may have measured a step or brought a norm. */
enum status server_clip(struct server *server, int64_t now_ms, struct error *err)
{
    enum status status = OK;
    for (size_t i = 0; i < server->partition_count; i++) {
        struct partition *partition = &server->partitions[i];
        if (partition->measured && waits_for_norms(server, partition)) {
            share_norms(server, partition, false);
            retry_begin(&server->norms_again, now_ms, PARTITION_AGAIN_MS);
        }
        partition->measured = false;
    }
    for (size_t i = 0; i < server->partition_count && status == OK; i++) {
        struct partition *partition = &server->partitions[i];
        float scale;
        if (!waits_for_norms(server, partition) ||
            !norms_complete(&server->norms, table_version(partition->table)))
            continue;
        status = norms_scale(&server->norms, table_clip_norm(partition->table), &scale, err);
        if (status == OK)
            status = partition_take_scale(partition, scale, now_ms, err);
    }
    return status;
}

void server_ask_for_norms(struct server *server, int64_t now_ms)
{
    bool waits = false;
    for (size_t i = 0; i < server->partition_count; i++)
        waits |= waits_for_norms(server, &server->partitions[i]);
    if (!waits ||
        !retry_is_due(&server->norms_again, now_ms, PARTITION_AGAIN_MS, PARTITION_AGAIN_MS_LAST))
        return;
    for (size_t i = 0; i < server->partition_count; i++)
        if (waits_for_norms(server, &server->partitions[i]))
            share_norms(server, &server->partitions[i], true);
}

void server_take_norms(struct server *server, uint64_t peer, const struct message *message,
                       const struct frame *payloads, size_t count)
{
    const struct message_norms *norms = &message->body.norms;
    if (message->sender != peer || !server_lists(server->servers, server->server_count, peer) ||
        message->generation != server->generation) {
        server->counters.fenced++;
        return;
    }
    if (count != 1 || payloads[0].bytes != norms->block_count * sizeof(double)) {
        server->counters.broken++;
        return;
    }
    take_norms(server, norms, &payloads[0]);
    if (norms->asks)
        answer_norms(server, peer, norms->version);
}
