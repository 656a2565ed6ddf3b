/* A whole cluster in one process, without sockets, clocks or threads: the real controller, servers
 * and worker cores, and between each pair of them a queue of letters. Which queue is delivered
 * next, and which worker acts next, is drawn from a seed; every message goes through the real
 * codec. Members may die, freeze, join late; letters may be lost, late, doubled, out of order; the
 * way between two members may be cut. Time is a number: a millisecond an event, and what is needed
 * when nothing else can happen. A failing run prints its seed. */
#ifndef GRAFT_TESTS_UNIT_SIM_FIXTURE_H
#define GRAFT_TESTS_UNIT_SIM_FIXTURE_H

#include "tests/unit/sim_worker.h"

/* ---- members ---- */

static void sim_hello(struct sim_member *member)
{
    struct message message = {.type = MESSAGE_HELLO};
    message.body.hello.role = member->role;
    message.body.hello.pid = member->identity;
    sim_send(member, PEER_COORDINATOR, &message, NULL, 0);
}

static struct sim_member *sim_join(struct sim *sim, enum member_role role)
{
    assert_true(sim->member_count < SIM_MEMBERS);
    struct sim_member *member = &sim->members[sim->member_count];
    struct error err;
    *member = (struct sim_member){
        .sim = sim,
        .role = role,
        .identity = role == ROLE_COORDINATOR ? PEER_COORDINATOR : SIM_IDENTITY + sim->member_count,
        .running = true};
    sim->member_count++;
    if (role == ROLE_SERVER)
        sim_check(sim,
                  server_create(sim->world->job, member->identity,
                                (struct outbox){member, sim_send}, &member->server, &err),
                  &err);
    if (role == ROLE_WORKER) {
        member->worker = calloc(1, sizeof *member->worker);
        worker_init(&member->worker->core, sim->world->job->cluster.shards);
    }
    if (role != ROLE_COORDINATOR)
        sim_hello(member);
    return member;
}

static void sim_close_member(struct sim_member *member)
{
    if (member->server != NULL) {
        struct server_counters counters = server_counters(member->server);
        member->sim->result.duplicates += counters.duplicates;
        member->sim->result.fenced += counters.fenced;
        member->sim->result.broken += counters.broken;
        member->sim->result.beyond += counters.beyond;
        if (counters.ahead_max > member->sim->result.ahead_max)
            member->sim->result.ahead_max = counters.ahead_max;
    }
    server_destroy(&member->server);
    for (size_t i = 0; member->worker != NULL && i < JOB_STAGES_MAX; i++)
        stage_close(&member->worker->stages[i]);
    if (member->worker != NULL)
        worker_deinit(&member->worker->core);
    if (member->worker != NULL)
        free(member->worker->owners), free(member->worker->partitions);
    free(member->worker);
    member->worker = NULL;
}

/* The n-th running member of a role; 0 when there are fewer than two (somebody must be left who is
 * not declared dead). */
static size_t sim_victim(struct sim *sim, enum member_role role)
{
    size_t list[SIM_MEMBERS], count = 0;
    for (size_t i = 1; i < sim->member_count; i++)
        if (sim->members[i].running && !sim->members[i].deaf && sim->members[i].role == role)
            list[count++] = i;
    return count >= 2 ? list[sim_draw(sim, (uint32_t)count)] : 0;
}

static void sim_kill(struct sim *sim, enum member_role role)
{
    size_t victim = sim_victim(sim, role);
    if (victim == 0)
        return;
    sim->members[victim].running = false;
    sim->obituaries[sim->obituary_count++] = victim;
    for (size_t to = 0; to < sim->member_count; to++)
        if (sim_draw(sim, 2) == 0)
            sim_cut_queue(&sim->queues[victim][to], sim_draw(sim, 4));
}

/* Was it an honest end: the error that the plan asks for, or members gone? */
static void sim_judge(struct sim *sim, enum status status, const struct error *err)
{
    if (status == OK)
        return;
    bool asked = sim->plan.ends_with != NULL && strstr(err->text, sim->plan.ends_with) != NULL;
    sim->result.refused = !asked && (strstr(err->text, "is left; start the job again") != NULL ||
                                     strstr(err->text, "before it was ready") != NULL);
    sim->ended = asked || sim->result.refused;
    if (!sim->ended)
        sim_check(sim, status, err);
}

/* Everybody's clock, and the heartbeats of those who are running, welcomed, not `silent` (0: none)
 * and not cut off. */
static void sim_tick(struct sim *sim, size_t silent)
{
    struct error err;
    sim->tick_ms = sim->now_ms + SIM_TICK_MS;
    for (size_t i = 1; i < sim->member_count; i++) {
        struct sim_member *member = &sim->members[i];
        struct message beat = {.type = MESSAGE_HEARTBEAT};
        if (!member->running || i == silent)
            continue;
        if (member->role == ROLE_WORKER) {
            beat.view = member->worker->core.view;
            beat.body.heartbeat.task = member->worker->core.task.task;
        }
        if (!member->welcomed)
            sim_hello(member);
        else if (sim->cut_until_ms[i][0] <= sim->now_ms)
            sim_check(sim,
                      controller_handle(sim->controller, sim->now_ms, member->identity, &beat, NULL,
                                        0, &err),
                      &err);
        if (member->welcomed && member->role == ROLE_SERVER)
            server_tick(member->server, sim->now_ms);
        if (member->role == ROLE_WORKER)
            member->worker->idle = false;
    }
    sim_judge(sim, controller_tick(sim->controller, sim->now_ms, &err), &err);
}

/* A worker hangs for so long that it is declared dead, and then goes on as if nothing had been. */
static void sim_freeze(struct sim *sim)
{
    size_t victim = sim_victim(sim, ROLE_WORKER);
    if (victim == 0)
        return;
    sim->members[victim].deaf = true;
    sim->now_ms += sim->world->job->cluster.death_ms + 1;
    sim_tick(sim, victim);
}

/* Nothing passes between two members for a while. */
static void sim_cut(struct sim *sim)
{
    size_t a = sim_draw(sim, (uint32_t)sim->member_count),
           b = sim_draw(sim, (uint32_t)sim->member_count);
    sim->cut_until_ms[a][b] = sim->now_ms + sim->plan.cut_ms;
    sim_cut_queue(&sim->queues[a][b], 0);
    if (!sim->plan.cut_one_way)
        sim->cut_until_ms[b][a] = sim->now_ms + sim->plan.cut_ms;
}

/* A push that would ruin the weights and a snapshot that would ruin the values, from nobody. */
static void sim_strangers(struct sim *sim)
{
    struct error err;
    float poison[64];
    struct push_entry entry = {.block = sim_draw(sim, 4), .domain = 0, .count = 1};
    struct frame frame = {poison, sizeof poison};
    for (size_t i = 0; i < 64; i++)
        poison[i] = 1e30f;
    for (size_t i = 1; i < sim->member_count; i++) {
        struct message push = {.type = MESSAGE_PUSH, .sender = SIM_STRANGER, .generation = 1};
        push.body.push = (struct message_push){
            .version = 1 + sim_draw(sim, 20), .entries = &entry, .entry_count = 1};
        if (sim->members[i].server != NULL)
            sim_check(sim,
                      server_handle(sim->members[i].server, sim->now_ms, SIM_STRANGER, &push,
                                    &frame, 1, &err),
                      &err);
    }
    struct snapshot_block block = {.block = 0};
    struct message snapshot = {.type = MESSAGE_SNAPSHOT, .generation = 1};
    snapshot.body.snapshot = (struct message_snapshot){
        .version = 1 + sim_draw(sim, 20), .parts = 1, .blocks = &block, .block_count = 1};
    sim_check(
        sim,
        controller_handle(sim->controller, sim->now_ms, SIM_STRANGER, &snapshot, &frame, 1, &err),
        &err);
}

/* ---- the controller's ports ---- */

static void sim_forget(struct sim_kept *kept)
{
    for (size_t i = 0; i < 1 + VALUES_STATES_MAX; i++)
        free(kept->vectors[i]);
    *kept = (struct sim_kept){0};
}

static void sim_keep(struct sim_kept *kept, const struct values *values, double score)
{
    size_t bytes = values->plan->live_elements * sizeof(float);
    sim_forget(kept);
    *kept = (struct sim_kept){.stage = values->stage,
                              .epoch = values->epoch,
                              .stage_step = values->stage_step,
                              .elements = values->plan->live_elements,
                              .state_count = values->state_count,
                              .score = score};
    for (size_t i = 0; i < 1 + values->state_count; i++) {
        kept->vectors[i] = malloc(bytes);
        memcpy(kept->vectors[i], i == 0 ? values->live : values->states[i - 1], bytes);
    }
}

/* Hands what was kept to a new controller. */
static void sim_restore(struct sim *sim, const struct sim_kept *kept, bool best)
{
    struct values *values;
    struct error err;
    if (kept->vectors[0] == NULL)
        return;
    const struct plan *plan = controller_plan(sim->controller, kept->stage);
    sim_check(sim, values_create(plan, kept->stage, kept->state_count, &values, &err), &err);
    assert_int_equal(plan->live_elements, kept->elements);
    values->epoch = kept->epoch;
    values->stage_step = kept->stage_step;
    for (size_t i = 0; i < 1 + kept->state_count; i++)
        memcpy(i == 0 ? values->live : values->states[i - 1], kept->vectors[i],
               kept->elements * sizeof(float));
    sim_check(sim,
              best ? controller_restore_best(sim->controller, values, kept->score, &err)
                   : controller_restore_current(sim->controller, values, &err),
              &err);
    values_destroy(&values);
}

static enum status sim_keep_epoch(void *driver, const struct values *values,
                                  const struct epoch_report *report, struct error *err)
{
    struct sim_member *member = driver;
    struct sim_result *result = &member->sim->result;
    struct digest_stream stream;
    size_t bytes = values->plan->live_elements * sizeof(float);
    (void)err;
    assert_true(result->epoch_count < SIM_EPOCHS);
    digest_init(&stream);
    digest_add_u64(&stream, values->stage);
    digest_add_u64(&stream, values->epoch);
    digest_add_u64(&stream, values->stage_step);
    digest_add(&stream, values->live, bytes);
    for (size_t i = 0; i < values->state_count; i++)
        digest_add(&stream, values->states[i], bytes);
    digest_add_u64(&stream, report->step);
    digest_add(&stream, &report->source_validation, sizeof report->source_validation);
    digest_add(&stream, &report->information, sizeof report->information);
    digest_add(&stream, &report->score, sizeof report->score);
    digest_add(&stream, &report->pseudo_share, sizeof report->pseudo_share);
    digest_add(&stream, report->terms, sizeof report->terms);
    for (size_t term = 0; term < TERM_COUNT; term++)
        result->samples[result->epoch_count][term] = report->terms[term][METRIC_SAMPLES];
    result->epochs[result->epoch_count++] = digest_end(&stream);
    if (member->sim->world->look != NULL)
        member->sim->world->look(values, report);
    sim_keep(&member->sim->current, values, report->score);
    if (report->best)
        sim_keep(&member->sim->best[values->stage], values, report->score);
    return OK;
}

static void sim_note_event(void *driver, const char *kind, const char *text)
{
    (void)driver, (void)kind, (void)text;
}

static void sim_note_member(void *driver, const struct cluster_member *member)
{
    (void)driver, (void)member;
}

static void sim_note_unreadable(void *driver, uint32_t sample)
{
    struct sim_member *member = driver;
    (void)sample;
    sim_fail(member->sim, "a sample could not be read");
}

/* ---- running ---- */

/* The coordinator's answer to a letter: an error ends the job. */
static void sim_coordinate(struct sim *sim, uint64_t peer, const struct message *message,
                           const struct sim_letter *letter)
{
    struct error err;
    enum status status = controller_handle(sim->controller, sim->now_ms, peer, message,
                                           letter->frames, letter->frame_count, &err);
    sim_judge(sim, status, &err);
}

/* The queue's first letter or, in disorder, any that is ready. */
static struct sim_letter *sim_unlink(struct sim *sim, struct sim_queue *queue)
{
    struct sim_letter **at = &queue->first, *last = NULL;
    for (uint32_t skip = sim->plan.disordered ? sim_draw(sim, 4) : 0;
         skip > 0 && (*at)->next != NULL && (*at)->next->ready_ms <= sim->now_ms; skip--) {
        last = *at;
        at = &last->next;
    }
    struct sim_letter *letter = *at;
    *at = letter->next;
    if (queue->last == letter)
        queue->last = last;
    return letter;
}

static void sim_welcome(struct sim_member *member)
{
    bool first = !member->welcomed;
    member->welcomed = true;
    if (member->role == ROLE_SERVER && first)
        server_tick(member->server, member->sim->now_ms);
}

static void sim_deliver(struct sim *sim, size_t from, size_t to)
{
    struct sim_letter *letter = sim_unlink(sim, &sim->queues[from][to]);
    struct sim_member *member = &sim->members[to];
    struct message message;
    size_t sizes[WIRE_FRAMES_MAX], count;
    struct error err;
    uint64_t peer = sim->members[from].identity;
    if (member->running) {
        sim_check(sim,
                  codec_decode(sim->codec, letter->header, letter->header_bytes, &message, sizes,
                               &count, &err),
                  &err);
        assert_int_equal(count, letter->frame_count);
        if (message.type == MESSAGE_WELCOME)
            sim_welcome(member);
        if (to == 0)
            sim_coordinate(sim, peer, &message, letter);
        else if (message.type == MESSAGE_STOP)
            member->running = member->deaf;
        else if (member->role == ROLE_WORKER)
            sim_worker_handle(member, &message, letter->frames, count);
        else if (message.type != MESSAGE_WELCOME)
            sim_check(sim,
                      server_handle(member->server, sim->now_ms, peer, &message, letter->frames,
                                    count, &err),
                      &err);
    }
    sim_letter_free(letter);
}

/* Everything that could happen next; `from == to` stands for a worker's own action, (0, 0) for the
 * obituary. */
struct sim_choice {
    size_t from, to;
};

static size_t sim_choices(const struct sim *sim, struct sim_choice *out)
{
    size_t count = 0;
    for (size_t from = 0; from < sim->member_count; from++)
        for (size_t to = 0; to < sim->member_count; to++)
            if (sim->queues[from][to].first != NULL &&
                sim->queues[from][to].first->ready_ms <= sim->now_ms)
                out[count++] = (struct sim_choice){from, to};
    for (size_t i = 1; i < sim->member_count; i++)
        if (sim->members[i].running && sim->members[i].welcomed &&
            sim->members[i].role == ROLE_WORKER && !sim->members[i].worker->idle)
            out[count++] = (struct sim_choice){i, i};
    if (sim->obituary_count > 0)
        out[count++] = (struct sim_choice){0, 0};
    return count;
}

static bool sim_under_way(const struct sim *sim)
{
    for (size_t from = 0; from < sim->member_count; from++)
        for (size_t to = 0; to < sim->member_count; to++)
            if (sim->queues[from][to].first != NULL)
                return true;
    return false;
}

/* Nobody has anything to do now: time passes. Where nothing can be lost somebody must. */
static bool sim_wait(struct sim *sim)
{
    bool may_be_lost =
        sim->plan.lost_in_1000 > 0 || sim->plan.cut_at != SIM_NEVER || sim->plan.disordered;
    if (!may_be_lost && !sim_under_way(sim))
        return false;
    sim->now_ms = sim->tick_ms;
    sim_tick(sim, 0);
    return true;
}

/* Somebody asks a member to leave; the last of its role may not. */
static void sim_drain(struct sim *sim, enum member_role role)
{
    struct error err;
    size_t victim = sim_victim(sim, role);
    if (victim == 0)
        return;
    struct membership *members = controller_look(sim->controller).members;
    struct cluster_member *member = membership_find(members, sim->members[victim].identity);
    enum status status = OK;
    if (member != NULL)
        status = controller_drain(sim->controller, member->number, &err);
    if (status != ERR_INPUT)
        sim_judge(sim, status, &err);
}

static void sim_faults(struct sim *sim)
{
    uint64_t event = sim->result.events;
    if (event == sim->plan.kill_worker_at)
        sim_kill(sim, ROLE_WORKER);
    if (event == sim->plan.kill_server_at)
        sim_kill(sim, ROLE_SERVER);
    if (event == sim->plan.freeze_worker_at)
        sim_freeze(sim);
    if (event == sim->plan.join_worker_at)
        sim_join(sim, ROLE_WORKER);
    if (event == sim->plan.join_server_at)
        sim_join(sim, ROLE_SERVER);
    if (event == sim->plan.drain_worker_at)
        sim_drain(sim, ROLE_WORKER);
    if (event == sim->plan.drain_server_at)
        sim_drain(sim, ROLE_SERVER);
    if (event == sim->plan.cut_at)
        sim_cut(sim);
    if (sim->plan.strangers && event % 50 == 0)
        sim_strangers(sim);
}

/* Does this worker let its chance pass? */
static bool sim_is_slow(struct sim *sim, size_t member)
{
    return sim->plan.slow > 0 && member == sim->plan.servers + 1 &&
           sim_draw(sim, sim->plan.slow) > 0;
}

/* False when nothing can happen any more. */
static bool sim_step(struct sim *sim)
{
    struct sim_choice choices[SIM_MEMBERS * SIM_MEMBERS + SIM_MEMBERS + 1];
    struct error err;
    if (controller_look(sim->controller).view > 0)
        sim_faults(sim);
    size_t count = sim_choices(sim, choices);
    if (count == 0)
        return sim_wait(sim);
    struct sim_choice choice = choices[sim_draw(sim, (uint32_t)count)];
    if (++sim->now_ms >= sim->tick_ms)
        sim_tick(sim, 0);
    if (choice.from != choice.to)
        sim_deliver(sim, choice.from, choice.to);
    else if (choice.from != 0 && !sim_is_slow(sim, choice.from))
        sim_worker_act(&sim->members[choice.from]);
    else if (choice.from != 0)
        return true;
    else {
        uint64_t pid = sim->members[sim->obituaries[--sim->obituary_count]].identity;
        sim_judge(sim, controller_process_ended(sim->controller, sim->now_ms, pid, "", &err), &err);
    }
    if (controller_look(sim->controller).view > 0)
        sim->result.events++;
    return true;
}

static void sim_record(struct sim *sim)
{
    struct controller_outcome outcome = controller_outcome(sim->controller);
    struct digest_stream stream;
    const struct predictions *const tables[] = {outcome.adapted, outcome.source_only};
    const struct values *const values[] = {outcome.first, outcome.last};
    digest_init(&stream);
    for (int i = 0; i < 2; i++) {
        digest_add(&stream, tables[i]->logits,
                   tables[i]->count * tables[i]->classes * sizeof(float));
        digest_add(&stream, values[i]->live, values[i]->plan->live_elements * sizeof(float));
    }
    digest_add(&stream, outcome.selected, sizeof outcome.selected);
    digest_add(&stream, outcome.selected_score, sizeof outcome.selected_score);
    digest_add(&stream, outcome.shown, outcome.shown_count * sizeof *outcome.shown);
    sim->result.outcome = digest_end(&stream);
    sim->result.views = controller_look(sim->controller).view;
}

static void sim_set_flavour(struct job *job, enum sim_flavour flavour)
{
    for (size_t i = 0; i < job->stage_count; i++) {
        job->stages[i].clip_norm = flavour == SIM_CLIPS ? SIM_CLIP_NORM : 0;
        job->stages[i].accumulate = flavour == SIM_ACCUMULATES ? 2 : 1;
        job->stages[i].mode = flavour == SIM_SSP   ? MODE_SSP
                              : flavour == SIM_ASP ? MODE_ASP
                                                   : MODE_BSP;
        job->stages[i].micro_batch = job->stages[i].mode != MODE_BSP ? 2 : i == 0 ? 4 : 3;
        job->stages[i].staleness = SIM_STALENESS;
        job->stages[i].staleness_scaling = job->stages[i].mode != MODE_BSP;
        job->stages[i].delay_compensation = flavour == SIM_ASP ? 1 : 0;
    }
}

/* A coordinator and its members; with `kept` epochs it goes on from there. */
static void sim_open(struct sim *sim)
{
    struct error err;
    const struct sim_world *world = sim->world;
    struct sim_member *coordinator = sim_join(sim, ROLE_COORDINATOR);
    struct controller_ports ports = {.driver = coordinator,
                                     .outbox = {coordinator, sim_send},
                                     .keep_epoch = sim_keep_epoch,
                                     .event = sim_note_event,
                                     .member = sim_note_member,
                                     .unreadable = sim_note_unreadable};
    world->job->cluster.workers = sim->plan.workers;
    world->job->cluster.servers = sim->plan.servers;
    world->job->cluster.replicas = sim->plan.replicas;
    sim_set_flavour(world->job, sim->plan.flavour);
    sim_check(sim,
              controller_create(world->job, world->manifest, world->model, ports, sim->now_ms,
                                &sim->controller, &err),
              &err);
    for (size_t i = 0; i < JOB_STAGES_MAX; i++)
        sim_restore(sim, &sim->best[i], true);
    sim_restore(sim, &sim->current, false);
    for (uint32_t i = 0; i < sim->plan.servers; i++)
        sim_join(sim, ROLE_SERVER);
    for (uint32_t i = 0; i < sim->plan.workers; i++)
        sim_join(sim, ROLE_WORKER);
}

static void sim_close(struct sim *sim)
{
    for (size_t i = 0; i < sim->member_count; i++)
        sim_close_member(&sim->members[i]);
    sim->member_count = sim->obituary_count = 0;
    for (size_t from = 0; from < SIM_MEMBERS; from++)
        for (size_t to = 0; to < SIM_MEMBERS; to++) {
            sim_cut_queue(&sim->queues[from][to], 0);
            sim_letter_free(sim->held[from][to]);
            sim->held[from][to] = NULL;
        }
    controller_destroy(&sim->controller);
}

static void sim_restart_when_asked(struct sim *sim)
{
    if (sim->restarted || sim->plan.restart_after == 0 ||
        sim->result.epoch_count < sim->plan.restart_after)
        return;
    sim->restarted = true;
    sim->plan.servers++;
    sim->plan.workers++;
    sim_close(sim);
    sim_open(sim);
}

/* Runs a job to its end. */
static struct sim_result sim_run(const struct sim_world *world, const struct sim_plan *plan)
{
    struct sim *sim = calloc(1, sizeof *sim);
    assert_non_null(sim);
    struct error err;
    sim->world = world;
    sim->plan = *plan;
    sim_check(sim, codec_create(&sim->codec, &err), &err);
    sim_open(sim);
    while (!sim->ended && controller_look(sim->controller).phase != PHASE_DONE) {
        if (!sim_step(sim))
            sim_fail(sim, "the cluster waits for ever");
        if (sim->result.events > SIM_EVENTS_MAX)
            sim_fail(sim, "the job does not end");
        sim_restart_when_asked(sim);
    }
    if (plan->ends_with != NULL && !sim->ended)
        sim_fail(sim, "the job should have ended with an error");
    if (!sim->ended)
        sim_record(sim);
    sim_close(sim);
    codec_destroy(&sim->codec);
    sim_forget(&sim->current);
    for (size_t i = 0; i < JOB_STAGES_MAX; i++)
        sim_forget(&sim->best[i]);
    struct sim_result result = sim->result;
    free(sim);
    return result;
}

#endif
