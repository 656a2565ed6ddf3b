#include "coordinator/job/controller.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/config/optimizer_states.h"
#include "common/model/mix_grid.h"
#include "coordinator/cluster/placement.h"
#include "coordinator/job/controller_state.h"

const struct stage_config *controller_config(const struct controller *c, size_t stage)
{
    return &c->job->stages[stage];
}

size_t controller_domain(const struct controller *c, size_t stage, size_t slot)
{
    return (size_t)job_domain_index(c->job, controller_config(c, stage)->domains[slot]);
}

size_t controller_part_samples(const struct controller *c, uint32_t part)
{
    return c->manifest->part_count[part / SPLIT_COUNT][part % SPLIT_COUNT];
}

/* The domain whose test split decides: the first unlabelled one, else the last. */
size_t controller_test_domain(const struct controller *c)
{
    for (size_t d = 0; d < c->job->data.domain_count; d++)
        if (!c->job->data.domains[d].labelled)
            return d;
    return c->job->data.domain_count - 1;
}

uint32_t controller_test_part(const struct controller *c)
{
    return (uint32_t)(controller_test_domain(c) * SPLIT_COUNT + SPLIT_TEST);
}

void controller_send(struct controller *c, uint64_t peer, struct message *message,
                     const struct frame *payloads, size_t count)
{
    message->view = c->view;
    message->generation = c->generation;
    c->ports.outbox.send(c->ports.outbox.driver, peer, message, payloads, count);
}

static size_t partition_count(const struct job *job)
{
    size_t count = 4 * (size_t)job->cluster.servers;
    if (count < PARTITIONS_LEAST)
        return PARTITIONS_LEAST;
    return count < WIRE_PARTITIONS_MAX ? count : WIRE_PARTITIONS_MAX;
}

static enum status create_stage(struct controller *c, size_t i, struct error *err)
{
    struct stage_state *stage = &c->stages[i];
    const struct stage_config *config = controller_config(c, i);
    enum status status = plan_create(c->model, &config->live, &stage->plan, err);
    if (status == OK && i > 0)
        status = plan_check_order(stage->plan, c->stages[i - 1].plan, err);
    if (status == OK)
        status = mix_grid_of(stage->plan, config, &(struct mix_grid){0}, err);
    if (status != OK)
        return error_prefix(err, "stage '%s'", config->name);
    stage->layout = layout_of(stage->plan, config);
    stage->anchor = memory_alloc(stage->plan->live_elements, sizeof *stage->anchor);
    if (stage->anchor == NULL)
        return error_set(err, ERR_MEMORY, "no memory for stage '%s'", config->name);
    plan_initial(stage->plan, c->job->run.seed, stage->anchor);
    return OK;
}

enum status controller_create(const struct job *job, const struct manifest *manifest,
                              const struct model *model, struct controller_ports ports,
                              int64_t now_ms, struct controller **out, struct error *err)
{
    struct controller *c = memory_alloc(1, sizeof *c);
    if (c == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the coordinator");
    c->job = job;
    c->manifest = manifest;
    c->model = model;
    c->ports = ports;
    c->now_ms = now_ms;
    c->join_deadline_ms = now_ms + (int64_t)job->cluster.join_seconds * 1000;
    membership_init(&c->members, job->cluster.death_ms);
    partitions_init(&c->partitions, partition_count(job));
    for (uint32_t s = 0; s < job->cluster.shards; s++)
        c->shard_owners[s] = PLACEMENT_NOBODY;
    c->unreadable = memory_alloc(manifest->sample_count, sizeof *c->unreadable);
    c->guesses = memory_alloc(manifest->sample_count, sizeof *c->guesses);
    enum status status = OK;
    if (c->unreadable == NULL || c->guesses == NULL)
        status = error_set(err, ERR_MEMORY, "no memory for %zu samples", manifest->sample_count);
    for (size_t i = 0; status == OK && i < job->stage_count; i++)
        status = create_stage(c, i, err);
    if (status != OK) {
        controller_destroy(&c);
        return status;
    }
    *out = c;
    return OK;
}

void controller_destroy(struct controller **controller)
{
    struct controller *c = *controller;
    if (c == NULL)
        return;
    values_destroy(&c->current);
    values_destroy(&c->incoming);
    for (size_t i = 0; i < JOB_STAGES_MAX; i++) {
        values_destroy(&c->stages[i].best);
        memory_free(c->stages[i].anchor);
        plan_destroy(&c->stages[i].plan);
    }
    for (size_t i = 0; i < PARTS_MAX; i++)
        predictions_destroy(&c->parts[i]);
    predictions_destroy(&c->adapted);
    predictions_destroy(&c->source_only);
    memory_free(c->block_partitions);
    memory_free(c->gathering_has);
    memory_free(c->guesses);
    memory_free(c->unreadable);
    memory_free(c->pixels);
    memory_free(c);
    *controller = NULL;
}

const struct plan *controller_plan(const struct controller *controller, size_t stage)
{
    CHECK(stage < controller->job->stage_count);
    return controller->stages[stage].plan;
}

struct values_sizes controller_sizes(const struct controller *c, size_t stage)
{
    const struct stage_config *config = controller_config(c, stage);
    struct values_sizes sizes = {.states = optimizer_states(&config->optimizer),
                                 .metrics = config->domain_count *
                                            c->stages[stage].layout.metric_elements};
    for (size_t slot = 0; config->losses.self_training > 0 && slot < config->domain_count; slot++) {
        size_t domain = controller_domain(c, stage, slot);
        if (!c->job->data.domains[domain].labelled)
            sizes.labels += c->manifest->part_count[domain][SPLIT_TRAIN];
    }
    return sizes;
}

/* The plan and the job agree already; the data may have changed. */
static enum status check_sizes(const struct controller *c, const struct values *values,
                               struct error *err)
{
    CHECK(values->stage < c->job->stage_count);
    struct values_sizes sizes = controller_sizes(c, values->stage);
    if (values->metric_count != sizes.metrics || values->label_count != sizes.labels)
        return error_set(err, ERR_STATE,
                         "the checkpoint has labels of %zu samples where the data have %zu: they "
                         "have changed since; --restart begins anew",
                         values->label_count, sizes.labels);
    return OK;
}

enum status controller_restore_best(struct controller *controller, const struct values *values,
                                    double score, struct error *err)
{
    enum status status = check_sizes(controller, values, err);
    if (status != OK)
        return status;
    controller->stages[values->stage].best_score = score;
    return values_keep(&controller->stages[values->stage].best, values, err);
}

enum status controller_restore_current(struct controller *controller, const struct values *values,
                                       struct error *err)
{
    enum status status = check_sizes(controller, values, err);
    if (status != OK)
        return status;
    controller->stage = values->stage;
    return values_keep(&controller->current, values, err);
}

/* It was a member whose data do not fit, or that was drained: it must not come again. */
static bool was_refused(const struct controller *c, uint64_t peer)
{
    for (size_t i = 0; i < c->members.count; i++)
        if (c->members.members[i].incarnation == peer)
            return !c->members.members[i].may_return;
    return false;
}

enum status controller_handle(struct controller *controller, int64_t now_ms, uint64_t peer,
                              const struct message *message, const struct frame *payloads,
                              size_t count, struct error *err)
{
    struct controller *c = controller;
    c->now_ms = now_ms;
    if (message->type == MESSAGE_HELLO)
        return controller_take_hello(c, peer, &message->body.hello);
    struct cluster_member *member = membership_find(&c->members, peer);
    if (member == NULL) {
        /* Of the coordinator before this one, or declared dead and back again: fenced off, and told
         * so. */
        controller_tell_stop(c, peer, "not a member (any more)", !was_refused(c, peer));
        return OK;
    }
    membership_heard(member, now_ms);
    switch ((uint32_t)message->type) {
    case MESSAGE_READY:
        return controller_take_ready(c, member, &message->body.ready, err);
    case MESSAGE_HEARTBEAT:
        member->progress = message->body.heartbeat;
        member->view = message->view;
        return OK;
    case MESSAGE_FAILED:
        return error_set(err, ERR_PEER, "%s %u: %s",
                         member->role == ROLE_WORKER ? "worker" : "server", member->number,
                         message->body.reason.text);
    case MESSAGE_VIEWED:
        return controller_take_viewed(c, peer, message->view, err);
    case MESSAGE_SYNCED:
        return controller_take_synced(c, peer, message, err);
    case MESSAGE_LOADED:
        return message->generation == c->generation
                   ? controller_take_loaded(c, peer, &message->body.loaded, err)
                   : OK;
    case MESSAGE_SNAPSHOT:
        return controller_take_snapshot(c, message, payloads, count, err);
    case MESSAGE_PREPARED:
        return controller_take_prepared(c, &message->body.prepared, err);
    case MESSAGE_PREDICTED:
        return controller_take_predicted(c, message, payloads, count, err);
    case MESSAGE_PIXELS:
        return controller_take_pixels(c, message, payloads, count, err);
    default:
        return OK; /* not for a coordinator */
    }
}

enum status controller_tick(struct controller *controller, int64_t now_ms, struct error *err)
{
    struct controller *c = controller;
    struct cluster_member *silent;
    c->now_ms = now_ms;
    while ((silent = membership_silent(&c->members, now_ms)) != NULL) {
        char why[96];
        snprintf(why, sizeof why, "silent for %lld ms", (long long)(now_ms - silent->heard_ms));
        enum status status = controller_declare_dead(c, silent, why, err);
        if (status != OK)
            return status;
    }
    if (c->phase == PHASE_JOIN && c->view == 0 && now_ms > c->join_deadline_ms) {
        struct cluster_member *list[MEMBERSHIP_MAX];
        return error_set(
            err, ERR_PEER, "after %u s only %zu of %u workers and %zu of %u servers have joined",
            c->job->cluster.join_seconds, controller_ready_workers(c, list),
            c->job->cluster.workers, membership_list(&c->members, ROLE_SERVER, MEMBER_READY, list),
            c->job->cluster.servers);
    }
    controller_ask_sooner(c);
    enum status status = controller_balance(c, err);
    if (status != OK)
        return status;
    return controller_check_progress(c, err);
}

enum status controller_process_ended(struct controller *controller, int64_t now_ms, uint64_t pid,
                                     const char *host, struct error *err)
{
    controller->now_ms = now_ms;
    struct cluster_member *member = membership_by_pid(&controller->members, pid, host);
    if (member != NULL)
        return controller_declare_dead(controller, member, "its process ended", err);
    if (controller->phase == PHASE_JOIN && controller->view == 0)
        return error_set(
            err, ERR_PEER,
            "process %llu ended before it had joined; its log in the run directory tells why",
            (unsigned long long)pid);
    return OK;
}

void controller_stop(struct controller *controller)
{
    controller->stop_asked = true;
    if (controller->phase == PHASE_JOIN || controller->phase == PHASE_PREPARE)
        controller->phase = PHASE_STOPPED; /* nothing is trained that could be lost */
}

struct controller_view controller_look(const struct controller *controller)
{
    const struct controller *c = controller;
    bool evaluating = c->purpose != PURPOSE_STAGE;
    return (struct controller_view){
        .phase = c->phase,
        .stage = evaluating ? "evaluate" : controller_config(c, c->stage)->name,
        .epoch = c->current != NULL ? c->current->epoch + (c->phase == PHASE_TRAIN ? 1 : 0) : 0,
        .epochs = controller_config(c, c->stage)->epochs,
        .done = controller_samples_done(c),
        .total = c->task_samples,
        .view = c->view,
        .loss = c->report.terms[TERM_LABELLED][METRIC_SAMPLES] > 0
                    ? c->report.terms[TERM_LABELLED][METRIC_LOSS] /
                          c->report.terms[TERM_LABELLED][METRIC_SAMPLES]
                    : NAN,
        .members = (struct membership *)(uintptr_t)&c->members,
        .shard_owners = c->shard_owners,
        .shards = c->job->cluster.shards,
    };
}

struct controller_outcome controller_outcome(const struct controller *controller)
{
    const struct controller *c = controller;
    CHECK(c->phase == PHASE_DONE);
    struct controller_outcome outcome = {
        .source_only = c->source_only,
        .adapted = c->adapted,
        .domain = controller_test_domain(c),
        .first = c->stages[0].best,
        .last = c->stages[c->job->stage_count - 1].best,
        .prepare_seconds = c->prepare_seconds,
        .evaluate_seconds = c->evaluate_seconds,
        .shown = c->shown,
        .shown_count = c->shown_count,
        .pixels = c->pixels,
        .pixels_width = c->pixels_width,
        .pixels_height = c->pixels_height,
        .unreadable = c->unreadable_count,
    };
    for (size_t i = 0; i < c->job->stage_count; i++) {
        outcome.selected[i] = c->stages[i].best->epoch;
        outcome.selected_score[i] = c->stages[i].best_score;
        outcome.stage_seconds[i] = c->stages[i].seconds;
    }
    return outcome;
}
