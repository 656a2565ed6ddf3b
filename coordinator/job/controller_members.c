/* Members come, get ready and die; views. */
#include <stdio.h>
#include <string.h>

#include "common/net/endpoint.h"
#include "coordinator/cluster/placement.h"
#include "coordinator/job/controller_state.h"

/* ---- views ---- */

size_t controller_ready_workers(struct controller *c, struct cluster_member **out)
{
    return membership_list(&c->members, ROLE_WORKER, MEMBER_READY, out);
}

void controller_send_view(struct controller *c)
{
    bool to_servers = !c->view_settled;
    struct cluster_member *workers[MEMBERSHIP_MAX];
    struct view_member server_list[MEMBERSHIP_MAX], worker_list[MEMBERSHIP_MAX];
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
    struct message message = {.type = MESSAGE_VIEW};
    message.body.view =
        (struct message_view){server_list,  c->server_count, worker_list,
                              worker_count, c->shard_owners, c->job->cluster.shards};
    size_t count = to_servers ? c->server_count : worker_count;
    for (size_t i = 0; i < count; i++)
        if (!to_servers || !c->server_seen[i])
            controller_send(c, to_servers ? c->servers[i]->incarnation : workers[i]->incarnation,
                            &message, NULL, 0);
}

static enum status make_view(struct controller *c, struct error *err)
{
    struct cluster_member *workers[MEMBERSHIP_MAX];
    uint32_t numbers[MEMBERSHIP_MAX];
    size_t worker_count = controller_ready_workers(c, workers);
    if (worker_count == 0 ||
        membership_list(&c->members, ROLE_SERVER, MEMBER_READY, c->servers) == 0)
        return error_set(
            err, ERR_PEER,
            "no %s is left; start the job again with --resume to go on from the last epoch",
            worker_count == 0 ? "worker" : "server");
    for (size_t i = 0; i < worker_count; i++)
        numbers[i] = workers[i]->number;
    size_t moved = placement_shards(numbers, worker_count, c->shard_owners, c->job->cluster.shards);
    c->view++;
    c->moved++;
    c->view_settled = false;
    c->server_count = membership_list(&c->members, ROLE_SERVER, MEMBER_READY, c->servers);
    memset(c->server_seen, 0, sizeof c->server_seen);
    char text[160];
    snprintf(text, sizeof text, "view %u: %zu workers, %zu servers, %zu shards moved", c->view,
             worker_count, c->server_count, moved);
    c->ports.event(c->ports.driver, "view", text);
    controller_send_view(c);
    return OK;
}

/* All servers know the view: now the workers may. */
static enum status settle_view(struct controller *c, struct error *err)
{
    c->view_settled = true;
    controller_send_view(c);
    if (c->phase == PHASE_JOIN) {
        if (c->current == NULL)
            return controller_begin_stage(c, 0, err);
        controller_enter_prepare(c); /* resumed */
        return OK;
    }
    bool needs_servers =
        c->phase == PHASE_TRAIN || c->phase == PHASE_PREDICT || c->phase == PHASE_LOAD;
    if (needs_servers && c->servers_lost)
        return controller_enter_load(c, err);
    controller_spread_task(c);
    return controller_advance(c, err);
}

enum status controller_take_viewed(struct controller *c, uint64_t peer, uint32_t view,
                                   struct error *err)
{
    size_t i = controller_server(c, peer);
    if (view != c->view || c->view_settled || i == c->server_count)
        return OK;
    c->moved += !c->server_seen[i];
    c->server_seen[i] = true;
    return controller_all_servers(c, c->server_seen) ? settle_view(c, err) : OK;
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
    return make_view(c, err);
}

void controller_tell_stop(struct controller *c, uint64_t peer, const char *why)
{
    struct message message = {.type = MESSAGE_STOP};
    snprintf(message.body.reason.text, sizeof message.body.reason.text, "%s", why);
    controller_send(c, peer, &message, NULL, 0);
}

enum status controller_declare_dead(struct controller *c, struct cluster_member *member,
                                    const char *why, struct error *err)
{
    bool was_ready = member->state == MEMBER_READY;
    char text[256];
    snprintf(text, sizeof text, "%s %u (pid %llu on %s): %s",
             member->role == ROLE_WORKER ? "worker" : "server", member->number,
             (unsigned long long)member->pid, member->host, why);
    member->state = MEMBER_DEAD;
    c->ports.event(c->ports.driver, "death", text);
    c->ports.member(c->ports.driver, member);
    controller_tell_stop(c, member->incarnation,
                         why); /* it may live: then it must not wait for us */
    if (!was_ready)
        return c->phase == PHASE_JOIN
                   ? error_set(err, ERR_PEER,
                               "%s before it was ready; its log in the run directory tells why",
                               text)
                   : OK;
    if (member->role == ROLE_SERVER)
        c->servers_lost = true;
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
    if (membership_is_dead(&c->members, peer)) {
        controller_tell_stop(c, peer, "declared dead");
        return OK;
    }
    if (hello->role != ROLE_WORKER && hello->role != ROLE_SERVER)
        return refuse(c, peer, "only workers and servers can join");
    if (hello->role == ROLE_SERVER && c->view > 0)
        return refuse(c, peer, "the job has begun; a server cannot join it");
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
