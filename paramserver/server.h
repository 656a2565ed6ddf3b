/* The parameter server's state machine: messages and time go in, messages come out; no socket,
 * clock or file inside.
 *
 * It holds some partitions of the blocks of one stage (partition.h), as their primary or their
 * backup, as the view says. For the open step, `version`, a primary gathers pushed sums in shard
 * order:
 *   statistics complete (all blocks, all domains) → STATISTICS to all subscribers
 *   parameters and metrics complete [→ the backup has them too]
 *                                                 → version + 1, WEIGHTS to all subscribers
 * In a stage that clips, complete gradients first wait for their global norm: each primary sends the
 * squares of its blocks' norms to all servers of the view (NORMS), and who has those of all blocks of
 * the stage goes on. Who waits asks again, and is answered also by those who went on: nobody is more
 * than a step ahead.
 * In ssp and asp there are no steps of all: each shard's UPDATE is taken at once, block by block, and
 * answered with CLOCKS: the newest weights of its blocks, and how far all shards are, which is the
 * acknowledgement. No shard's step is taken twice, or, in ssp, if it is more than `staleness` steps
 * before the slowest shard. When the slowest goes on all subscribers are told.
 * A push of another version, generation or incarnation changes nothing. Subscribers are the view's
 * workers that sent PULL in this generation. A PULL is answered with what the worker lacks of the
 * previous and the current version and of their statistics, so that a late worker finds one version
 * that all servers hold and can make up for a dead one whose push reached some servers and not
 * others; and with WANTED, the shards that the open step lacks.
 *
 * Any message may be lost, doubled, late or out of order. Nothing is sent again unasked: workers ask
 * by PULL, the coordinator by VIEW, LOAD and TAKE, each of which is answered as often as it comes;
 * the server itself says READY until it has seen a view, and asks its backups, and the other servers
 * for norms. One thread. */
#ifndef GRAFT_PARAMSERVER_SERVER_H
#define GRAFT_PARAMSERVER_SERVER_H

#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/wire/message.h"
#include "common/wire/outbox.h"

struct server;

struct server_counters {
    uint64_t version;
    uint64_t pushes;
    uint64_t duplicates; /* sums that were already covered or of a finished step */
    uint64_t fenced;     /* messages of a stranger, a former incarnation or another generation */
    uint64_t broken;     /* entries that fit no block */
    uint64_t beyond; /* entries of steps too far before the slowest shard (ssp); none are taken */
    uint32_t ahead_max; /* steps that a taken one was before the slowest shard, at most */
};

/* `job` is borrowed. identity: this server's incarnation. */
enum status server_create(const struct job *job, uint64_t identity, struct outbox outbox,
                          struct server **out, struct error *err) MUST_CHECK;
void server_destroy(struct server **server);

/* Takes one message from the coordinator (peer PEER_COORDINATOR), a worker or another server. An error means that
 * this server cannot go on (memory, a poisoned gradient): the driver reports it. Broken or stray
 * messages are no error. */
enum status server_handle(struct server *server, int64_t now_ms, uint64_t peer,
                          const struct message *message, const struct frame *payloads,
                          size_t payload_count, struct error *err) MUST_CHECK;

/* To be called at least twice a second. */
#define SERVER_READY_MS 2000
void server_tick(struct server *server, int64_t now_ms);

struct server_counters server_counters(const struct server *server);

#endif
