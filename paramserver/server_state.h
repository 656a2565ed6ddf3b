/* What the files of the server's state machine share: server.c, server_norms.c, server_clocks.c. */
#ifndef GRAFT_PARAMSERVER_SERVER_STATE_H
#define GRAFT_PARAMSERVER_SERVER_STATE_H

#include "paramserver/partition.h"
#include "paramserver/server.h"
#include "paramserver/table/norms.h"

struct server {
    const struct job *job;
    struct outbox outbox;
    struct server_counters counters;
    uint64_t identity;
    uint32_t view;
    uint32_t generation;
    int64_t ready_ms; /* when READY was last said; 0: never */
    struct partition partitions[WIRE_PARTITIONS_MAX];
    size_t partition_count;
    struct update_room room; /* of all partitions */
    uint64_t *workers;       /* incarnations in the view */
    size_t worker_count;
    uint64_t *subscribers; /* workers that sent PULL in this generation */
    size_t subscriber_count;
    uint64_t *servers; /* the others of the view */
    size_t server_count;
    struct norms norms; /* of the step that is open or was the last */
    struct retry norms_again;
};

/* Is this server the partition's primary, with its values in the open generation? */
bool server_serves(const struct server *server, const struct partition *partition);
/* Is the peer among these? */
bool server_lists(const uint64_t *list, size_t count, uint64_t peer);
/* Fills in view and generation. */
void server_send(struct server *server, uint64_t peer, struct message *message,
                 const struct frame *payloads, size_t count);

/* ---- server_norms.c ---- */

/* After whatever may have measured a step or brought a norm: shares what was measured, and lets steps go
 * on whose norm is complete. Errors: those of partition_take_scale; ERR_INPUT: not finite. */
enum status server_clip(struct server *server, int64_t now_ms, struct error *err) MUST_CHECK;
void server_ask_for_norms(struct server *server, int64_t now_ms);
/* A NORMS message. */
void server_take_norms(struct server *server, uint64_t peer, const struct message *message,
                       const struct frame *payloads, size_t count);

/* ---- server_clocks.c ---- */

/* CLOCKS with the newest weights of all blocks. */
void server_send_clocks(struct server *server, uint64_t peer, const struct partition *partition);
/* CLOCKS without weights, where they bound who may go on. */
void server_announce_clocks(struct server *server, uint64_t peer,
                            const struct partition *partition);
/* An UPDATE message; answers it. Errors: those of partition_take_update. */
enum status server_take_update(struct server *server, uint64_t peer, const struct message *message,
                               const struct frame *payloads, size_t count,
                               struct error *err) MUST_CHECK;

#endif
