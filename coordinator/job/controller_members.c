/* Members come, get ready and die; views. */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/net/endpoint.h"
#include "coordinator/cluster/placement.h"
#include "coordinator/job/controller_state.h"

/* ---- views ---- */

size_t controller_ready_workers(struct controller *c, struct cluster_member **out)
{
    return membership_list(&c->members, ROLE_WORKER, MEMBER_READY, out);
}

uint32_t controller_position(const struct controller *c, uint32_t number)
{
    for (uint32_t i = 0; i < c->server_count; i++)
        if (c->servers[i]->number == number)
            return i;
    return WIRE_NOBODY;
}

uint64_t controller_primary(const struct controller *c, size_t partition)
{
    uint32_t position = controller_position(c, c->partitions.primary[partition]);
    CHECK(position < c->server_count);
    return c->servers[position]->incarnation;
}

void controller_send_view(struct controller *c)
{
    bool to_servers = !c->view_settled;
    struct cluster_member *workers[MEMBERSHIP_MAX];
    struct view_member server_list[MEMBERSHIP_MAX], worker_list[MEMBERSHIP_MAX];
    struct view_partition partitions[WIRE_PARTITIONS_MAX];
    size_t worker_count = controller_ready_workers(c, workers);
    for (size_t i = 0; i < c->server_count; i++) {
        server_list[i] =
            (struct view_member){c->servers[i]->number, c->servers[i]->incarnation, ""};
        memcpy(server_list[i].endpoint, c->servers[i]->endpoint, sizeof server_list[i].endpoint);
        if (c->job->cluster.tcp_only)
            endpoint_forget_path(server_list[i].endpoint);
    }
    for (size_t i = 0; i < worker_count; i++)
        worker_list[i] = (struct view_member){workers[i]->number, workers[i]->incarnation, ""};
    for (size_t i = 0; i < c->partitions.count; i++)
        partitions[i] = (struct view_partition){controller_position(c, c->partitions.primary[i]),
                                                controller_position(c, c->partitions.backup[i])};
    struct message message = {.type = MESSAGE_VIEW};
    message.body.view = (struct message_view){
        server_list,     c->server_count,        worker_list, worker_count,
        c->shard_owners, c->job->cluster.shards, partitions,  c->partitions.count};
    if (!to_servers) /* who else there is, is nothing to a worker */
        message.body.view.worker_count = 0;
    size_t count = to_servers ? c->server_count : worker_count;
    for (size_t i = 0; i < count; i++)
        if (to_servers ? !c->server_seen[i] : workers[i]->view != c->view)
            controller_send(c, to_servers ? c->servers[i]->incarnation : workers[i]->incarnation,
                            &message, NULL, 0);
}

static bool needs_servers(const struct controller *c)
{
    return c->phase == PHASE_TRAIN || c->phase == PHASE_PREDICT || c->phase == PHASE_LOAD;
}

/* Servers by number, for the placement of partitions. */
struct server_numbers {
    uint32_t alive[MEMBERSHIP_MAX], wanted[MEMBERSHIP_MAX];
};

static struct partition_servers list_servers(const struct controller *c,
                                             struct server_numbers *numbers)
{
    struct partition_servers servers = {.alive = numbers->alive,
                                        .alive_count = c->server_count,
                                        .wanted = numbers->wanted,
                                        .replicas = c->job->cluster.replicas > 0,
                                        .fixed = job_unsynchronised(c->job)};
    for (size_t i = 0; i < c->server_count; i++) {
        numbers->alive[i] = c->servers[i]->number;
        if (c->servers[i]->state == MEMBER_READY)
            numbers->wanted[servers.wanted_count++] = c->servers[i]->number;
    }
    if (servers.wanted_count == 0) { /* the one that was to take over has died */
        servers.wanted = servers.alive;
        servers.wanted_count = servers.alive_count;
    }
    return servers;
}

static void place_partitions(struct controller *c)
{
    struct server_numbers numbers;
    struct partition_servers servers = list_servers(c, &numbers);
    bool kept = partitions_bury(&c->partitions, &servers);
    c->must_load |= !kept;
    if (c->must_load || !needs_servers(c))
        partitions_place_anew(&c->partitions, &servers);
    else
        partitions_place(&c->partitions, &servers);
}

enum status controller_take_synced(struct controller *c, uint64_t peer,
                                   const struct message *message, struct error *err)
{
    uint32_t i = message->body.synced.partition;
    struct server_numbers numbers;
    if (message->generation != c->generation || message->view != c->view || !c->view_settled ||
        i >= c->partitions.count || controller_primary(c, i) != peer)
        return OK;
    uint32_t backup = controller_position(c, c->partitions.backup[i]);
    if (backup >= c->server_count || c->servers[backup]->incarnation != message->body.synced.backup)
        return OK;
    c->partitions.synced[i] = true;
    struct partition_servers servers = list_servers(c, &numbers);
    return partitions_can_move(&c->partitions, &servers) ? controller_make_view(c, err) : OK;
}

enum status controller_make_view(struct controller *c, struct error *err)
{
    struct cluster_member *workers[MEMBERSHIP_MAX];
    uint32_t numbers[MEMBERSHIP_MAX];
    double speeds[MEMBERSHIP_MAX];
    size_t worker_count = controller_ready_workers(c, workers);
    c->server_count = membership_serving(&c->members, c->servers);
    if (worker_count == 0 || c->server_count == 0)
        return error_set(
            err, ERR_PEER,
            "no %s is left; start the job again with --resume to go on from the newest checkpoint",
            worker_count == 0 ? "worker" : "server");
    for (size_t i = 0; i < worker_count; i++)
        numbers[i] = workers[i]->number;
    controller_speeds(workers, worker_count, speeds);
    size_t moved =
        placement_shards(numbers, speeds, worker_count, c->shard_owners, c->job->cluster.shards);
    /* What coding left out of a shard's gradients only its worker knew. */
    c->must_load |= moved > 0 && c->phase == PHASE_TRAIN &&
                    job_feeds_back_errors(controller_config(c, c->stage));
    c->view++;
    c->moved++;
    c->view_settled = false;
    memset(c->server_seen, 0, sizeof c->server_seen);
    place_partitions(c);
    char text[160];
    snprintf(text, sizeof text, "view %u: %zu workers, %zu servers, %zu shards moved", c->view,
             worker_count, c->server_count, moved);
    c->ports.event(c->ports.driver, "view", text);
    controller_send_view(c);
    return OK;
}

/* Whoever was to leave and holds nothing any more goes. */
static void release(struct controller *c)
{
    for (size_t i = 0; i < c->members.count; i++) {
        struct cluster_member *member = &c->members.members[i];
        if (member->state != MEMBER_LEAVING ||
            (member->role == ROLE_SERVER && partitions_holds(&c->partitions, member->number)))
            continue;
        member->state = MEMBER_LEFT;
        controller_tell_stop(c, member->incarnation, "drained", false);
        c->ports.member(c->ports.driver, member);
    }
}

/* All servers know the view: now the workers may. */
static enum status settle_view(struct controller *c, struct error *err)
{
    c->view_settled = true;
    controller_send_view(c);
    release(c);
    if (c->phase == PHASE_JOIN) {
        if (c->current == NULL)
            return controller_begin_stage(c, 0, err);
        controller_enter_prepare(c); /* resumed */
        return OK;
    }
    if (needs_servers(c) && c->must_load)
        return controller_enter_load(c, err);
    if (c->phase == PHASE_TRAIN)
        controller_ask_for_snapshot(c); /* of whoever has the blocks now */
    controller_spread_task(c);
    return controller_advance(c, err);
}

enum status controller_take_viewed(struct controller *c, uint64_t peer, uint32_t view,
                                   struct error *err)
{
    size_t i = 0;
    while (i < c->server_count && c->servers[i]->incarnation != peer)
        i++;
    if (view != c->view || c->view_settled || i == c->server_count)
        return OK;
    c->moved += !c->server_seen[i];
    c->server_seen[i] = true;
    for (i = 0; i < c->server_count; i++)
        if (!c->server_seen[i])
            return OK;
    return settle_view(c, err);
}

static enum status members_changed(struct controller *c, struct error *err)
{
    struct cluster_member *list[MEMBERSHIP_MAX];
    if (c->phase == PHASE_JOIN && c->view == 0 &&
        (controller_ready_workers(c, list) < c->job->cluster.workers ||
         membership_list(&c->members, ROLE_SERVER, MEMBER_READY, list) < c->job->cluster.servers))
        return OK;
    if (c->phase == PHASE_DONE || c->phase == PHASE_STOPPED)
        return OK;
    return controller_make_view(c, err);
}

void controller_tell_stop(struct controller *c, uint64_t peer, const char *why, bool again)
{
    struct message message = {.type = MESSAGE_STOP};
    message.body.stop.again = again;
    snprintf(message.body.stop.text, sizeof message.body.stop.text, "%s", why);
    controller_send(c, peer, &message, NULL, 0);
}

enum status controller_declare_dead(struct controller *c, struct cluster_member *member,
                                    const char *why, struct error *err)
{
    bool was_ready = member->state == MEMBER_READY || member->state == MEMBER_LEAVING;
    char text[256];
    snprintf(text, sizeof text, "%s %u (pid %llu on %s): %s",
             member->role == ROLE_WORKER ? "worker" : "server", member->number,
             (unsigned long long)member->pid, member->host, why);
    member->state = MEMBER_DEAD;
    member->may_return = was_ready;
    c->ports.event(c->ports.driver, "death", text);
    c->ports.member(c->ports.driver, member);
    /* It may live: then it must not wait for us. */
    controller_tell_stop(c, member->incarnation, why, was_ready);
    if (!was_ready)
        return c->phase == PHASE_JOIN
                   ? error_set(err, ERR_PEER,
                               "%s before it was ready; its log in the run directory tells why",
                               text)
                   : OK;
    return members_changed(c, err);
}

static enum status refuse(struct controller *c, uint64_t peer, const char *why)
{
    struct message message = {.type = MESSAGE_REFUSE};
    snprintf(message.body.reason.text, sizeof message.body.reason.text, "%s", why);
    controller_send(c, peer, &message, NULL, 0);
    c->ports.event(c->ports.driver, "refused", why);
    return OK;
}

static void welcome(struct controller *c, const struct cluster_member *member)
{
    struct message message = {.type = MESSAGE_WELCOME};
    message.body.welcome = (struct message_welcome){member->number, c->job->cluster.heartbeat_ms,
                                                    10 * c->job->cluster.death_ms};
    struct frame text = {c->job->text, c->job->text_bytes};
    controller_send(c, member->incarnation, &message, &text, 1);
}

enum status controller_take_hello(struct controller *c, uint64_t peer,
                                  const struct message_hello *hello)
{
    struct cluster_member *member = membership_find(&c->members, peer);
    if (member != NULL) {
        welcome(c, member); /* the first one was lost, or is still under way */
        return OK;
    }
    if (membership_is_gone(&c->members, peer)) {
        controller_tell_stop(c, peer, "declared dead", false);
        return OK;
    }
    if (hello->role != ROLE_WORKER && hello->role != ROLE_SERVER)
        return refuse(c, peer, "only workers and servers can join");
    for (size_t i = 0; i < c->members.count; i++)
        if (c->members.members[i].role == (enum member_role)hello->role &&
            strcmp(c->members.members[i].platform, hello->platform) != 0) {
            char text[WIRE_REASON_BYTES];
            snprintf(text, sizeof text,
                     "this machine computes otherwise than the others ('%s' here, '%s' there): the "
                     "result "
                     "would not be reproducible",
                     hello->platform, c->members.members[i].platform);
            return refuse(c, peer, text);
        }
    member = membership_join(&c->members, peer, hello, c->now_ms);
    if (member == NULL)
        return refuse(c, peer, "the cluster is full");
    welcome(c, member);
    c->ports.member(c->ports.driver, member);
    return OK;
}

enum status controller_take_ready(struct controller *c, struct cluster_member *member,
                                  const struct message_ready *ready, struct error *err)
{
    if (member->state != MEMBER_JOINED)
        return OK;
    if (member->role == ROLE_WORKER &&
        memcmp(&ready->manifest, &c->manifest->digest, sizeof ready->manifest) != 0)
        return controller_declare_dead(
            c, member, "its data differ from the coordinator's: the same files must lie there",
            err);
    if (member->role == ROLE_WORKER &&
        memcmp(&ready->model, &c->model->digest, sizeof ready->model) != 0)
        return controller_declare_dead(c, member, "its model file differs from the coordinator's",
                                       err);
    member->state = MEMBER_READY;
    c->ports.member(c->ports.driver, member);
    return members_changed(c, err);
}

enum status controller_drain(struct controller *controller, uint32_t number, struct error *err)
{
    struct controller *c = controller;
    struct cluster_member *list[MEMBERSHIP_MAX], *member = NULL;
    if (number >= 1 && number <= c->members.count)
        member = &c->members.members[number - 1];
    if (member == NULL || member->state != MEMBER_READY)
        return error_set(err, ERR_INPUT, "no member %u is ready; graft status lists them", number);
    if (membership_list(&c->members, member->role, MEMBER_READY, list) < 2)
        return error_set(err, ERR_INPUT, "member %u is the last %s", number,
                         member->role == ROLE_WORKER ? "worker" : "server");
    if (member->role == ROLE_SERVER && job_unsynchronised(c->job))
        return error_set(err, ERR_INPUT,
                         "server %u stays: a job with a stage of ssp or asp does not move "
                         "parameters",
                         number);
    if (c->view == 0)
        return error_set(err, ERR_STATE, "the job has not begun");
    member->state = MEMBER_LEAVING;
    c->ports.member(c->ports.driver, member);
    return members_changed(c, err);
}
