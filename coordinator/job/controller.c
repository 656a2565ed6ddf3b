#include "coordinator/job/controller.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/config/optimizer_states.h"
#include "common/data/shard.h"
#include "coordinator/cluster/placement.h"
#include "coordinator/job/loading.h"
#include "coordinator/job/pseudo_labels.h"

#define FIRST_VERSION 1 /* 0 is "no version" */
#define PARTS_MAX (JOB_DOMAINS_MAX * SPLIT_COUNT)

/* What the values in the servers are for. */
enum purpose { PURPOSE_STAGE, PURPOSE_ADAPTED, PURPOSE_SOURCE_ONLY };

/* Why predictions are asked for. */
enum predict_reason { PREDICT_GUESSES, PREDICT_SCORES, PREDICT_TEST };

struct stage_state {
    struct plan *plan;
    struct layout layout;
    struct values *best;  /* selected so far; NULL before the first epoch */
    double best_score;
    double seconds;
    float *anchor; /* [live_elements] */
};

struct controller {
    const struct job *job;
    const struct manifest *manifest;
    const struct model *model;
    struct controller_ports ports;
    struct membership members;
    int64_t now_ms, join_deadline_ms;

    enum controller_phase phase;
    enum purpose purpose;
    enum predict_reason reason;
    bool stop_asked;
    bool unscored; /* the values were trained for an epoch that is not kept yet */
    int64_t stage_began_ms, epoch_began_ms, phase_began_ms;
    double prepare_seconds, evaluate_seconds;

    /* view */
    uint32_t view;
    bool view_settled;
    uint32_t shard_owners[JOB_SHARDS_MAX];
    struct cluster_member *servers[MEMBERSHIP_MAX];
    bool server_seen[MEMBERSHIP_MAX], server_loaded[MEMBERSHIP_MAX];
    size_t server_count;
    bool worker_tasked[MEMBERSHIP_MAX + 1]; /* by member number: has the current task */

    /* values and stages */
    struct stage_state stages[JOB_STAGES_MAX];
    size_t stage;           /* in the servers or about to be */
    struct values *current; /* after the last epoch of `stage` */
    uint32_t generation;
    uint32_t *block_owners;
    struct gathering gathering;
    bool *gathering_has;
    double *metrics;

    /* the task in work */
    uint32_t task;
    struct message_task task_body;
    uint32_t task_parts[CONTROLLER_SHOWN_MAX > PARTS_MAX ? CONTROLLER_SHOWN_MAX : PARTS_MAX];
    bool task_sent;
    bool shard_done[PARTS_MAX][JOB_SHARDS_MAX]; /* by position in task_parts */
    size_t pieces_left;
    uint64_t task_samples; /* of the whole task, for progress */

    struct predictions *parts[PARTS_MAX]; /* newest predictions of each part */
    int32_t *pseudo;                      /* unlabelled domains of the stage, side by side */
    size_t pseudo_count;
    double pseudo_share;
    struct guess *guesses;

    bool *unreadable; /* per sample */
    size_t unreadable_count;
    struct epoch_report report; /* of the last epoch */

    struct predictions *adapted, *source_only;
    uint32_t shown[CONTROLLER_SHOWN_MAX];
    size_t shown_count;
    uint8_t *pixels;
    uint32_t pixels_width, pixels_height;
};

static enum status advance(struct controller *c, struct error *err);
static enum status enter_predict(struct controller *c, enum predict_reason reason, struct error *err);

static const struct stage_config *config_of(const struct controller *c, size_t stage)
{
    return &c->job->stages[stage];
}

static size_t domain_of(const struct controller *c, size_t stage, size_t slot)
{
    return (size_t)job_domain_index(c->job, config_of(c, stage)->domains[slot]);
}

static size_t part_samples(const struct controller *c, uint32_t part)
{
    return c->manifest->part_count[part / SPLIT_COUNT][part % SPLIT_COUNT];
}

/* The domain whose test split decides: the first unlabelled one, else the last. */
static size_t test_domain(const struct controller *c)
{
    for (size_t d = 0; d < c->job->data.domain_count; d++)
        if (!c->job->data.domains[d].labelled)
            return d;
    return c->job->data.domain_count - 1;
}

static uint32_t test_part(const struct controller *c)
{
    return (uint32_t)(test_domain(c) * SPLIT_COUNT + SPLIT_TEST);
}

static void send_message(struct controller *c, uint64_t peer, struct message *message,
                         const struct frame *payloads, size_t count)
{
    message->view = c->view;
    message->generation = c->generation;
    c->ports.outbox.send(c->ports.outbox.driver, peer, message, payloads, count);
}

/* Port for loading.c, which fills only type and body. */
static void send_load(void *driver, uint64_t peer, struct message *message, const struct frame *payloads,
                      size_t count)
{
    send_message(driver, peer, message, payloads, count);
}

/* ---- creation ---- */

static enum status create_stage(struct controller *c, size_t i, struct error *err)
{
    struct stage_state *stage = &c->stages[i];
    const struct stage_config *config = config_of(c, i);
    enum status status = plan_create(c->model, config->live, config->live_count, config->last_blocks,
                                     &stage->plan, err);
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
                              const struct model *model, struct controller_ports ports, int64_t now_ms,
                              struct controller **out, struct error *err)
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
    for (uint32_t s = 0; s < job->cluster.shards; s++)
        c->shard_owners[s] = PLACEMENT_NOBODY;
    c->unreadable = memory_alloc(manifest->sample_count, sizeof *c->unreadable);
    c->guesses = memory_alloc(manifest->sample_count, sizeof *c->guesses);
    c->pseudo = memory_alloc(manifest->sample_count, sizeof *c->pseudo);
    enum status status = OK;
    if (c->unreadable == NULL || c->guesses == NULL || c->pseudo == NULL)
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
    for (size_t i = 0; i < JOB_STAGES_MAX; i++) {
        values_destroy(&c->stages[i].best);
        memory_free(c->stages[i].anchor);
        plan_destroy(&c->stages[i].plan);
    }
    for (size_t i = 0; i < PARTS_MAX; i++)
        predictions_destroy(&c->parts[i]);
    predictions_destroy(&c->adapted);
    predictions_destroy(&c->source_only);
    memory_free(c->block_owners);
    memory_free(c->gathering_has);
    memory_free(c->metrics);
    memory_free(c->pseudo);
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

/* A copy of `values` into *slot, made when it is not there yet or of another stage. */
static enum status keep_values(struct values **slot, const struct values *values, struct error *err)
{
    if (*slot != NULL && (*slot)->plan != values->plan)
        values_destroy(slot);
    if (*slot == NULL) {
        enum status status = values_create(values->plan, values->stage, values->state_count, slot, err);
        if (status != OK)
            return status;
    }
    values_copy(*slot, values);
    return OK;
}

enum status controller_restore_best(struct controller *controller, const struct values *values,
                                    double score, struct error *err)
{
    CHECK(values->stage < controller->job->stage_count);
    controller->stages[values->stage].best_score = score;
    return keep_values(&controller->stages[values->stage].best, values, err);
}

enum status controller_restore_current(struct controller *controller, const struct values *values,
                                       struct error *err)
{
    CHECK(values->stage < controller->job->stage_count);
    controller->stage = values->stage;
    return keep_values(&controller->current, values, err);
}

/* ---- views ---- */

static size_t ready_workers(struct controller *c, struct cluster_member **out)
{
    return membership_list(&c->members, ROLE_WORKER, MEMBER_READY, out);
}

static void send_view(struct controller *c, bool to_servers)
{
    struct cluster_member *workers[MEMBERSHIP_MAX];
    struct view_member server_list[MEMBERSHIP_MAX], worker_list[MEMBERSHIP_MAX];
    size_t worker_count = ready_workers(c, workers);
    for (size_t i = 0; i < c->server_count; i++) {
        server_list[i] = (struct view_member){c->servers[i]->number, c->servers[i]->incarnation, ""};
        memcpy(server_list[i].endpoint, c->servers[i]->endpoint, sizeof server_list[i].endpoint);
    }
    for (size_t i = 0; i < worker_count; i++)
        worker_list[i] = (struct view_member){workers[i]->number, workers[i]->incarnation, ""};
    struct message message = {.type = MESSAGE_VIEW};
    message.body.view = (struct message_view){server_list,  c->server_count,     worker_list,
                                              worker_count, c->shard_owners, c->job->cluster.shards};
    size_t count = to_servers ? c->server_count : worker_count;
    for (size_t i = 0; i < count; i++)
        send_message(c, to_servers ? c->servers[i]->incarnation : workers[i]->incarnation, &message, NULL, 0);
}

/* Servers changed: their blocks must be loaded again, from the values after the last epoch. */
static void forget_servers(struct controller *c)
{
    c->server_count = membership_list(&c->members, ROLE_SERVER, MEMBER_READY, c->servers);
    memset(c->server_loaded, 0, sizeof c->server_loaded);
}

static enum status make_view(struct controller *c, struct error *err)
{
    struct cluster_member *workers[MEMBERSHIP_MAX];
    uint32_t numbers[MEMBERSHIP_MAX];
    size_t worker_count = ready_workers(c, workers);
    if (worker_count == 0 || membership_list(&c->members, ROLE_SERVER, MEMBER_READY, c->servers) == 0)
        return error_set(err, ERR_PEER,
                         "no %s is left; start the job again with --resume to go on from the last epoch",
                         worker_count == 0 ? "worker" : "server");
    for (size_t i = 0; i < worker_count; i++)
        numbers[i] = workers[i]->number;
    size_t moved = placement_shards(numbers, worker_count, c->shard_owners, c->job->cluster.shards);
    c->view++;
    c->view_settled = false;
    c->server_count = membership_list(&c->members, ROLE_SERVER, MEMBER_READY, c->servers);
    memset(c->server_seen, 0, sizeof c->server_seen);
    char text[160];
    snprintf(text, sizeof text, "view %u: %zu workers, %zu servers, %zu shards moved", c->view, worker_count,
             c->server_count, moved);
    c->ports.event(c->ports.driver, "view", text);
    send_view(c, true);
    return OK;
}

/* ---- tasks ---- */

static void send_task(struct controller *c, struct cluster_member *worker)
{
    struct message message = {.type = MESSAGE_TASK};
    struct frame pseudo = {c->pseudo, c->pseudo_count * sizeof *c->pseudo};
    message.body.task = c->task_body;
    bool with_labels = c->task_body.kind == TASK_TRAIN && c->pseudo_count > 0;
    send_message(c, worker->incarnation, &message, &pseudo, with_labels ? 1 : 0);
    c->worker_tasked[worker->number] = true;
}

/* To all workers of the settled view that do not have it yet. */
static void spread_task(struct controller *c)
{
    struct cluster_member *workers[MEMBERSHIP_MAX];
    size_t count = ready_workers(c, workers);
    if (!c->task_sent || !c->view_settled)
        return;
    for (size_t i = 0; i < count; i++)
        if (!c->worker_tasked[workers[i]->number])
            send_task(c, workers[i]);
}

static void begin_task(struct controller *c, enum task_kind kind, size_t part_count)
{
    CHECK(part_count <= sizeof c->task_parts / sizeof *c->task_parts);
    uint64_t version = FIRST_VERSION + (c->current != NULL ? c->current->stage_step : 0);
    const struct layout *layout = &c->stages[c->stage].layout;
    c->task_body = (struct message_task){
        .task = ++c->task,
        .kind = kind,
        .stage = (uint32_t)c->stage,
        .epoch = c->current != NULL ? c->current->epoch : 0,
        .version = version,
        .stage_version = FIRST_VERSION,
        .parts = c->task_parts,
        .part_count = part_count,
        .owners = c->block_owners,
        .owner_count = c->block_owners != NULL ? layout->block_count : 0,
    };
    memset(c->worker_tasked, 0, sizeof c->worker_tasked);
    memset(c->shard_done, 0, sizeof c->shard_done);
    c->task_samples = 0;
    for (size_t i = 0; kind != TASK_SHOW && i < part_count; i++)
        c->task_samples += part_samples(c, c->task_parts[i]);
    c->task_sent = true;
    c->phase_began_ms = c->now_ms;
}

static void add_part(struct controller *c, size_t *count, size_t domain, enum split split)
{
    uint32_t part = (uint32_t)(domain * SPLIT_COUNT + (size_t)split);
    for (size_t i = 0; i < *count; i++)
        if (c->task_parts[i] == part)
            return;
    if (part_samples(c, part) > 0)
        c->task_parts[(*count)++] = part;
}

/* Validation of labelled domains and the unlabelled training data: what an epoch is judged by without target labels. */
static void add_score_parts(struct controller *c, size_t *count)
{
    const struct stage_config *config = config_of(c, c->stage);
    for (size_t slot = 0; slot < config->domain_count; slot++) {
        size_t domain = domain_of(c, c->stage, slot);
        bool labelled = c->job->data.domains[domain].labelled;
        add_part(c, count, domain, labelled ? SPLIT_VALIDATION : SPLIT_TRAIN);
    }
}

/* ---- prepare ---- */

static enum status enter_prepare(struct controller *c)
{
    size_t count = 0;
    const struct stage_config *config = config_of(c, c->stage);
    for (size_t slot = 0; slot < config->domain_count; slot++)
        add_part(c, &count, domain_of(c, c->stage, slot), SPLIT_TRAIN);
    add_score_parts(c, &count);
    if (c->stage == 0 || c->stage + 1 == c->job->stage_count)
        add_part(c, &count, test_domain(c), SPLIT_TEST);
    c->phase = PHASE_PREPARE;
    c->stage_began_ms = c->now_ms;
    begin_task(c, TASK_PREPARE, count);
    c->pieces_left = c->job->cluster.shards;
    spread_task(c);
    return OK;
}

static enum status take_prepared(struct controller *c, const struct message_prepared *prepared,
                                 struct error *err)
{
    if (c->phase != PHASE_PREPARE || prepared->task != c->task || prepared->shard >= c->job->cluster.shards)
        return OK;
    for (size_t i = 0; i < prepared->unreadable_count; i++) {
        uint32_t sample = prepared->unreadable[i];
        if (sample >= c->manifest->sample_count || c->unreadable[sample])
            continue;
        c->unreadable[sample] = true;
        c->unreadable_count++;
        c->ports.unreadable(c->ports.driver, sample);
    }
    double share = (double)c->unreadable_count / (double)c->manifest->sample_count;
    if (share > c->job->data.unreadable_share_max)
        return error_set(err, ERR_INPUT,
                         "%zu of %zu samples cannot be read, more than data.unreadable_share_max = %g allows; "
                         "the log names them",
                         c->unreadable_count, c->manifest->sample_count, c->job->data.unreadable_share_max);
    if (!c->shard_done[0][prepared->shard]) {
        c->shard_done[0][prepared->shard] = true;
        c->pieces_left--;
    }
    return advance(c, err);
}

/* ---- load ---- */

static enum status place_blocks(struct controller *c, struct error *err)
{
    struct stage_state *stage = &c->stages[c->stage];
    size_t domains = config_of(c, c->stage)->domain_count, blocks = stage->layout.block_count;
    memory_free(c->block_owners);
    memory_free(c->gathering_has);
    memory_free(c->metrics);
    size_t *bytes = memory_alloc(blocks, sizeof *bytes);
    c->block_owners = memory_alloc(blocks, sizeof *c->block_owners);
    c->gathering_has = memory_alloc(blocks, sizeof *c->gathering_has);
    c->metrics = memory_alloc(domains * stage->layout.metric_elements, sizeof *c->metrics);
    if (bytes == NULL || c->block_owners == NULL || c->gathering_has == NULL || c->metrics == NULL) {
        memory_free(bytes);
        return error_set(err, ERR_MEMORY, "no memory for %zu blocks", blocks);
    }
    loading_block_bytes(stage->plan, &stage->layout, domains, bytes);
    placement_blocks(bytes, stage->layout.parameter_count, blocks, c->server_count, c->block_owners);
    memory_free(bytes);
    return OK;
}

/* Loads c->current into the servers. */
static enum status enter_load(struct controller *c, struct error *err)
{
    enum status status = place_blocks(c, err);
    if (status != OK)
        return status;
    struct stage_state *stage = &c->stages[c->stage];
    struct loading loading = {
        .values = c->current,
        .anchor = stage->anchor,
        .layout = &stage->layout,
        .owners = c->block_owners,
        .shards = c->job->cluster.shards,
        .domains = (uint32_t)config_of(c, c->stage)->domain_count,
        .steps_per_epoch = shard_steps_per_epoch(c->job, c->manifest, c->stage),
        .version = FIRST_VERSION + c->current->stage_step,
        .stage_version = FIRST_VERSION,
    };
    struct outbox outbox = {c, send_load};
    c->generation++;
    c->phase = PHASE_LOAD;
    c->phase_began_ms = c->now_ms;
    c->task_sent = false;
    memset(c->server_loaded, 0, sizeof c->server_loaded);
    for (uint32_t i = 0; i < c->server_count; i++)
        loading_send(&loading, i, c->servers[i]->incarnation, outbox);
    return OK;
}

static bool all_servers(const struct controller *c, const bool *flags)
{
    for (size_t i = 0; i < c->server_count; i++)
        if (!flags[i])
            return false;
    return c->server_count > 0;
}

static void mark_server(struct controller *c, bool *flags, uint64_t peer)
{
    for (size_t i = 0; i < c->server_count; i++)
        if (c->servers[i]->incarnation == peer)
            flags[i] = true;
}

/* ---- predict ---- */

static enum status enter_predict(struct controller *c, enum predict_reason reason, struct error *err)
{
    size_t count = 0;
    const struct stage_config *config = config_of(c, c->stage);
    c->reason = reason;
    c->phase = PHASE_PREDICT;
    if (reason == PREDICT_TEST)
        c->task_parts[count++] = test_part(c);
    if (reason == PREDICT_SCORES)
        add_score_parts(c, &count);
    for (size_t slot = 0; reason == PREDICT_GUESSES && slot < config->domain_count; slot++)
        if (!c->job->data.domains[domain_of(c, c->stage, slot)].labelled)
            add_part(c, &count, domain_of(c, c->stage, slot), SPLIT_TRAIN);
    begin_task(c, TASK_PREDICT, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t part = c->task_parts[i];
        predictions_destroy(&c->parts[part]);
        enum status status =
            predictions_create(part_samples(c, part), c->job->data.class_count, &c->parts[part], err);
        if (status != OK)
            return status;
    }
    c->pieces_left = count * c->job->cluster.shards;
    spread_task(c);
    return c->pieces_left == 0 ? advance(c, err) : OK;
}

/* Sample number k of shard s is number s + k·S of its part. */
static void place_predictions(struct predictions *to, uint32_t shard, uint32_t shards, const float *logits,
                              const uint8_t *readable, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        size_t position = shard + k * shards;
        memcpy(to->logits + position * to->classes, logits + k * to->classes, to->classes * sizeof *logits);
        to->readable[position] = readable[k];
    }
}

static enum status take_predicted(struct controller *c, const struct message *message,
                                  const struct frame *payloads, size_t count, struct error *err)
{
    const struct message_predicted *predicted = &message->body.predicted;
    uint32_t shards = c->job->cluster.shards;
    size_t at = 0;
    if (c->phase != PHASE_PREDICT || predicted->task != c->task || predicted->shard >= shards)
        return OK;
    while (at < c->task_body.part_count && c->task_parts[at] != predicted->part)
        at++;
    if (at == c->task_body.part_count || c->shard_done[at][predicted->shard])
        return OK;
    uint32_t part = predicted->part;
    size_t expected = shard_count(c->manifest, part / SPLIT_COUNT, (enum split)(part % SPLIT_COUNT), shards,
                                  predicted->shard);
    size_t classes = c->job->data.class_count;
    if (count != 2 || predicted->count != expected || payloads[0].bytes != expected * classes * sizeof(float) ||
        payloads[1].bytes != expected)
        return error_set(err, ERR_PEER, "predictions for shard %u do not fit the manifest", predicted->shard);
    place_predictions(c->parts[part], predicted->shard, shards, payloads[0].data, payloads[1].data, expected);
    c->shard_done[at][predicted->shard] = true;
    c->pieces_left--;
    return c->pieces_left == 0 ? advance(c, err) : OK;
}

/* ---- train ---- */

static void choose_pseudo_labels(struct controller *c)
{
    const struct stage_config *config = config_of(c, c->stage);
    size_t chosen = 0;
    double fraction = pseudo_labels_fraction(&config->losses, c->current->epoch, config->epochs);
    c->pseudo_count = 0;
    for (size_t slot = 0; slot < config->domain_count; slot++) {
        size_t domain = domain_of(c, c->stage, slot);
        if (c->job->data.domains[domain].labelled)
            continue;
        const struct predictions *guesses = c->parts[domain * SPLIT_COUNT + SPLIT_TRAIN];
        size_t samples = c->manifest->part_count[domain][SPLIT_TRAIN];
        if (guesses != NULL)
            chosen += pseudo_labels_choose(guesses, fraction, config->losses.confidence_min, c->guesses,
                                           c->pseudo + c->pseudo_count);
        c->pseudo_count += samples;
    }
    c->pseudo_share = c->pseudo_count > 0 ? (double)chosen / (double)c->pseudo_count : 0.0;
}

static enum status enter_train(struct controller *c, struct error *err)
{
    (void)err;
    struct stage_state *stage = &c->stages[c->stage];
    uint32_t steps = shard_steps_per_epoch(c->job, c->manifest, c->stage);
    c->pseudo_count = 0;
    c->pseudo_share = 0;
    if (config_of(c, c->stage)->losses.self_training > 0)
        choose_pseudo_labels(c);
    c->phase = PHASE_TRAIN;
    c->epoch_began_ms = c->now_ms;
    begin_task(c, TASK_TRAIN, 0);
    c->task_body.steps = steps;
    c->task_samples = (uint64_t)steps * config_of(c, c->stage)->micro_batch *
                      config_of(c, c->stage)->domain_count * c->job->cluster.shards;
    c->gathering = (struct gathering){
        .values = c->current,
        .metrics = c->metrics,
        .layout = &stage->layout,
        .domains = config_of(c, c->stage)->domain_count,
        .has = c->gathering_has,
    };
    gathering_begin(&c->gathering, c->task_body.version + steps);
    struct message take = {.type = MESSAGE_TAKE};
    take.body.take.version = c->task_body.version + steps;
    for (size_t i = 0; i < c->server_count; i++)
        send_message(c, c->servers[i]->incarnation, &take, NULL, 0);
    spread_task(c);
    return OK;
}

static enum status take_snapshot(struct controller *c, const struct message *message,
                                 const struct frame *payloads, size_t count, struct error *err)
{
    if (c->phase != PHASE_TRAIN || message->generation != c->generation)
        return OK;
    if (!gathering_take(&c->gathering, &message->body.snapshot, payloads, count))
        return error_set(err, ERR_PEER, "a snapshot does not fit the stage's blocks");
    return c->gathering.missing == 0 ? advance(c, err) : OK;
}

/* ---- the end of an epoch ---- */

static double validation_accuracy(const struct controller *c, size_t slot)
{
    size_t domain = domain_of(c, c->stage, slot);
    const struct predictions *predictions = c->parts[domain * SPLIT_COUNT + SPLIT_VALIDATION];
    if (predictions == NULL || predictions->count == 0)
        return NAN;
    size_t right = 0, seen = 0;
    for (size_t i = 0; i < predictions->count; i++) {
        uint32_t id = c->manifest->part[domain][SPLIT_VALIDATION][i];
        if (!predictions->readable[i])
            continue;
        seen++;
        right += (int32_t)predictions_class(predictions, i) == c->manifest->samples[id].label;
    }
    return seen > 0 ? (double)right / (double)seen : NAN;
}

static void collect_terms(const struct controller *c, struct epoch_report *report)
{
    size_t domains = config_of(c, c->stage)->domain_count, n = (size_t)TERM_COUNT * METRIC_COUNT;
    memset(report->terms, 0, sizeof report->terms);
    for (size_t d = 0; d < domains; d++)
        for (size_t i = 0; i < n; i++)
            report->terms[i / METRIC_COUNT][i % METRIC_COUNT] += c->metrics[d * n + i];
}

/* Lower is better. */
static double criterion(const struct controller *c, const struct epoch_report *report)
{
    switch (config_of(c, c->stage)->select) {
    case SELECT_LAST:
        return -(double)report->epoch;
    case SELECT_SOURCE_VALIDATION:
        return isnan(report->source_validation) ? -(double)report->epoch : -report->source_validation;
    case SELECT_INFORMATION:
        return isnan(report->information) ? -(double)report->epoch : report->information;
    case SELECT_ENTROPY:
        return isnan(report->entropy) ? -(double)report->epoch : report->entropy;
    }
    return 0;
}

/* A term that is switched on but moves nothing is the most common silent bug of adaptation code. */
static enum status check_terms(const struct controller *c, const struct epoch_report *report, struct error *err)
{
    static const char *const names[] = {"cross-entropy", "CORAL", "information", "self-training"};
    const struct loss_config *losses = &config_of(c, c->stage)->losses;
    const double weights[] = {losses->cross_entropy, losses->coral, losses->information, losses->self_training};
    for (size_t t = 0; t < TERM_COUNT; t++)
        if (weights[t] > 0 && report->terms[t][METRIC_SAMPLES] > 0 &&
            !(report->terms[t][METRIC_GRADIENT_SQUARE] > 0))
            return error_set(err, ERR_STATE,
                             "the gradient of the %s term was zero through epoch %u of stage '%s': it does "
                             "nothing; set its weight to 0 or find out why",
                             names[t], report->epoch, config_of(c, c->stage)->name);
    return OK;
}

static void fill_report(struct controller *c, struct epoch_report *report)
{
    const struct stage_config *config = config_of(c, c->stage);
    *report = (struct epoch_report){
        .stage = (uint32_t)c->stage,
        .epoch = c->current->epoch,
        .stage_step = c->current->stage_step,
        .step = c->current->stage_step,
        .seconds = (double)(c->now_ms - c->epoch_began_ms) / 1000.0,
        .source_validation = NAN,
        .information = NAN,
        .entropy = NAN,
        .pseudo_share = c->pseudo_share,
    };
    for (size_t i = 0; i < c->stage; i++)
        report->step += (uint64_t)config_of(c, i)->epochs * shard_steps_per_epoch(c->job, c->manifest, i);
    for (size_t slot = 0; slot < config->domain_count; slot++) {
        size_t domain = domain_of(c, c->stage, slot);
        const struct predictions *target = c->parts[domain * SPLIT_COUNT + SPLIT_TRAIN];
        if (c->job->data.domains[domain].labelled) {
            if (isnan(report->source_validation))
                report->source_validation = validation_accuracy(c, slot);
        } else if (target != NULL && isnan(report->entropy)) {
            report->entropy = score_entropy(target);
            report->information = score_information(target);
        }
    }
    collect_terms(c, report);
    report->score = criterion(c, report);
}

static enum status finish_epoch(struct controller *c, struct error *err)
{
    struct stage_state *stage = &c->stages[c->stage];
    fill_report(c, &c->report);
    enum status status = check_terms(c, &c->report, err);
    if (status != OK)
        return status;
    /* Equal scores: the later epoch, which has seen more. */
    c->report.best = stage->best == NULL || c->report.score <= stage->best_score;
    if (c->report.best) {
        stage->best_score = c->report.score;
        status = keep_values(&stage->best, c->current, err);
    }
    if (status == OK)
        status = c->ports.keep_epoch(c->ports.driver, c->current, &c->report, err);
    c->unscored = false;
    return status;
}

/* ---- stages ---- */

/* Makes c->current the start of stage `stage`. */
static enum status start_values(struct controller *c, size_t stage, struct error *err)
{
    struct values *values;
    size_t states = optimizer_states(&config_of(c, stage)->optimizer);
    enum status status = values_create(c->stages[stage].plan, (uint32_t)stage, states, &values, err);
    if (status != OK)
        return status;
    values_start(values, c->job->run.seed, stage > 0 ? c->stages[stage - 1].best : NULL);
    values_destroy(&c->current);
    c->current = values;
    c->stage = stage;
    return OK;
}

static enum status begin_stage(struct controller *c, size_t stage, struct error *err)
{
    enum status status = start_values(c, stage, err);
    for (size_t i = 0; i < PARTS_MAX; i++)
        predictions_destroy(&c->parts[i]);
    return status == OK ? enter_prepare(c) : status;
}

static enum status begin_evaluation(struct controller *c, enum purpose purpose, struct error *err)
{
    size_t stage = purpose == PURPOSE_ADAPTED ? c->job->stage_count - 1 : 0;
    c->purpose = purpose;
    c->stage = stage;
    values_destroy(&c->current);
    enum status status = keep_values(&c->current, c->stages[stage].best, err);
    return status == OK ? enter_load(c, err) : status;
}

static enum status end_stage(struct controller *c, struct error *err)
{
    c->stages[c->stage].seconds = (double)(c->now_ms - c->stage_began_ms) / 1000.0;
    if (c->stage + 1 < c->job->stage_count)
        return begin_stage(c, c->stage + 1, err);
    c->stage_began_ms = c->now_ms;
    return begin_evaluation(c, PURPOSE_ADAPTED, err);
}

/* The servers hold c->current, and what is known about it is known: what next? */
static enum status go_on(struct controller *c, struct error *err)
{
    const struct stage_config *config = config_of(c, c->stage);
    if (c->stop_asked) {
        c->phase = PHASE_STOPPED;
        return OK;
    }
    return c->current->epoch < config->epochs ? enter_train(c, err) : end_stage(c, err);
}

/* ---- evaluation ---- */

static enum status enter_show(struct controller *c, struct error *err)
{
    size_t domain = test_domain(c), count = c->adapted->count, same = 0;
    c->shown_count = 0;
    for (int changed = 1; changed >= 0; changed--)
        for (size_t i = 0; i < count && c->shown_count < CONTROLLER_SHOWN_MAX; i++) {
            bool differs = predictions_class(c->adapted, i) != predictions_class(c->source_only, i);
            /* Three quarters for changes where there are enough, the rest for what stayed. */
            if (differs != (changed == 1) || (changed && c->shown_count >= CONTROLLER_SHOWN_MAX * 3 / 4))
                continue;
            same += !differs;
            c->shown[c->shown_count] = c->manifest->part[domain][SPLIT_TEST][i];
            c->task_parts[c->shown_count] = c->shown[c->shown_count];
            c->shown_count++;
        }
    if (c->shown_count == 0) {
        c->phase = PHASE_DONE;
        return OK;
    }
    (void)err, (void)same;
    c->phase = PHASE_SHOW;
    begin_task(c, TASK_SHOW, c->shown_count);
    spread_task(c);
    return OK;
}

static enum status take_pixels(struct controller *c, const struct message *message,
                               const struct frame *payloads, size_t count, struct error *err)
{
    const struct message_pixels *pixels = &message->body.pixels;
    if (c->phase != PHASE_SHOW || pixels->task != c->task)
        return OK;
    size_t bytes = (size_t)pixels->width * pixels->height * 3 * pixels->count;
    if (pixels->width != c->job->data.preprocess.width || pixels->height != c->job->data.preprocess.height ||
        pixels->count != c->shown_count || count != 1 || payloads[0].bytes != bytes)
        return error_set(err, ERR_PEER, "pictures that do not fit what was asked for");
    c->pixels = memory_alloc(bytes, 1);
    if (c->pixels == NULL)
        return error_set(err, ERR_MEMORY, "no memory for pictures");
    memcpy(c->pixels, payloads[0].data, bytes);
    c->pixels_width = pixels->width;
    c->pixels_height = pixels->height;
    c->phase = PHASE_DONE;
    return OK;
}

static enum status finish_evaluation(struct controller *c, struct error *err)
{
    struct predictions **kept = c->purpose == PURPOSE_ADAPTED ? &c->adapted : &c->source_only;
    predictions_destroy(kept);
    *kept = c->parts[test_part(c)];
    c->parts[test_part(c)] = NULL;
    if (c->purpose == PURPOSE_ADAPTED)
        return begin_evaluation(c, PURPOSE_SOURCE_ONLY, err);
    c->evaluate_seconds = (double)(c->now_ms - c->stage_began_ms) / 1000.0;
    return enter_show(c, err);
}

/* ---- the order of phases ---- */

static enum status after_load(struct controller *c, struct error *err)
{
    if (c->purpose != PURPOSE_STAGE)
        return enter_predict(c, PREDICT_TEST, err);
    if (c->unscored)
        return enter_predict(c, PREDICT_SCORES, err);
    if (config_of(c, c->stage)->losses.self_training > 0 && c->current->epoch < config_of(c, c->stage)->epochs)
        return enter_predict(c, PREDICT_GUESSES, err);
    return go_on(c, err);
}

static enum status after_predict(struct controller *c, struct error *err)
{
    if (c->reason == PREDICT_TEST)
        return finish_evaluation(c, err);
    if (c->reason == PREDICT_SCORES) {
        enum status status = finish_epoch(c, err);
        if (status != OK)
            return status;
    }
    return go_on(c, err);
}

static enum status after_train(struct controller *c, struct error *err)
{
    c->current->epoch++;
    c->current->stage_step += c->task_body.steps;
    c->unscored = true;
    return enter_predict(c, PREDICT_SCORES, err);
}

/* Goes to the next phase when the current one is complete. */
static enum status advance(struct controller *c, struct error *err)
{
    switch (c->phase) {
    case PHASE_PREPARE:
        if (c->pieces_left > 0)
            return OK;
        c->prepare_seconds += (double)(c->now_ms - c->phase_began_ms) / 1000.0;
        return enter_load(c, err);
    case PHASE_LOAD:
        return all_servers(c, c->server_loaded) && c->view_settled ? after_load(c, err) : OK;
    case PHASE_PREDICT:
        return c->pieces_left == 0 ? after_predict(c, err) : OK;
    case PHASE_TRAIN:
        return c->gathering.missing == 0 ? after_train(c, err) : OK;
    case PHASE_JOIN:
    case PHASE_SHOW:
    case PHASE_DONE:
    case PHASE_STOPPED:
        return OK;
    }
    return OK;
}

/* ---- members ---- */

/* All servers know the view: now the workers may. */
static enum status settle_view(struct controller *c, struct error *err)
{
    c->view_settled = true;
    send_view(c, false);
    if (c->phase == PHASE_JOIN) {
        bool resumed = c->current != NULL;
        return resumed ? enter_prepare(c) : begin_stage(c, 0, err);
    }
    bool needs_servers = c->phase == PHASE_TRAIN || c->phase == PHASE_PREDICT || c->phase == PHASE_LOAD;
    if (needs_servers && !all_servers(c, c->server_loaded))
        return enter_load(c, err);
    spread_task(c);
    return OK;
}

static enum status take_viewed(struct controller *c, uint64_t peer, uint32_t view, struct error *err)
{
    if (view != c->view || c->view_settled)
        return OK;
    mark_server(c, c->server_seen, peer);
    return all_servers(c, c->server_seen) ? settle_view(c, err) : OK;
}

static enum status members_changed(struct controller *c, struct error *err)
{
    struct cluster_member *list[MEMBERSHIP_MAX];
    if (c->phase == PHASE_JOIN && c->view == 0 &&
        (ready_workers(c, list) < c->job->cluster.workers ||
         membership_list(&c->members, ROLE_SERVER, MEMBER_READY, list) < c->job->cluster.servers))
        return OK;
    if (c->phase == PHASE_DONE || c->phase == PHASE_STOPPED)
        return OK;
    return make_view(c, err);
}

static void tell_stop(struct controller *c, uint64_t peer, const char *why)
{
    struct message message = {.type = MESSAGE_STOP};
    snprintf(message.body.reason.text, sizeof message.body.reason.text, "%s", why);
    send_message(c, peer, &message, NULL, 0);
}

static enum status declare_dead(struct controller *c, struct cluster_member *member, const char *why,
                                struct error *err)
{
    bool was_ready = member->state == MEMBER_READY;
    char text[256];
    snprintf(text, sizeof text, "%s %u (pid %llu on %s): %s",
             member->role == ROLE_WORKER ? "worker" : "server", member->number,
             (unsigned long long)member->pid, member->host, why);
    member->state = MEMBER_DEAD;
    c->ports.event(c->ports.driver, "death", text);
    c->ports.member(c->ports.driver, member);
    tell_stop(c, member->incarnation, why); /* it may live: then it must not wait for us */
    if (!was_ready)
        return c->phase == PHASE_JOIN
                   ? error_set(err, ERR_PEER, "%s before it was ready; its log in the run directory tells why", text)
                   : OK;
    if (member->role == ROLE_SERVER)
        forget_servers(c);
    return members_changed(c, err);
}

static enum status refuse(struct controller *c, uint64_t peer, const char *why)
{
    struct message message = {.type = MESSAGE_REFUSE};
    snprintf(message.body.reason.text, sizeof message.body.reason.text, "%s", why);
    send_message(c, peer, &message, NULL, 0);
    c->ports.event(c->ports.driver, "refused", why);
    return OK;
}

static enum status take_hello(struct controller *c, uint64_t peer, const struct message_hello *hello)
{
    if (hello->role != ROLE_WORKER && hello->role != ROLE_SERVER)
        return refuse(c, peer, "only workers and servers can join");
    if (hello->role == ROLE_SERVER && c->view > 0)
        return refuse(c, peer, "the job has begun; a server cannot join it");
    for (size_t i = 0; i < c->members.count; i++)
        if (c->members.members[i].role == (enum member_role)hello->role &&
            strcmp(c->members.members[i].platform, hello->platform) != 0) {
            char text[WIRE_REASON_BYTES];
            snprintf(text, sizeof text,
                     "this machine computes otherwise than the others ('%s' here, '%s' there): the result "
                     "would not be reproducible",
                     hello->platform, c->members.members[i].platform);
            return refuse(c, peer, text);
        }
    struct cluster_member *member = membership_join(&c->members, peer, hello, c->now_ms);
    if (member == NULL)
        return refuse(c, peer, "the cluster is full");
    struct message message = {.type = MESSAGE_WELCOME};
    message.body.welcome = (struct message_welcome){member->number, c->job->cluster.heartbeat_ms,
                                                    10 * c->job->cluster.death_ms};
    struct frame text = {c->job->text, c->job->text_bytes};
    send_message(c, peer, &message, &text, 1);
    c->ports.member(c->ports.driver, member);
    return OK;
}

static enum status take_ready(struct controller *c, struct cluster_member *member,
                              const struct message_ready *ready, struct error *err)
{
    if (member->state != MEMBER_JOINED)
        return OK;
    if (member->role == ROLE_WORKER &&
        memcmp(&ready->manifest, &c->manifest->digest, sizeof ready->manifest) != 0)
        return declare_dead(c, member, "its data differ from the coordinator's: the same files must lie there", err);
    if (member->role == ROLE_WORKER && memcmp(&ready->model, &c->model->digest, sizeof ready->model) != 0)
        return declare_dead(c, member, "its model file differs from the coordinator's", err);
    member->state = MEMBER_READY;
    c->ports.member(c->ports.driver, member);
    return members_changed(c, err);
}

enum status controller_handle(struct controller *controller, int64_t now_ms, uint64_t peer,
                              const struct message *message, const struct frame *payloads, size_t count,
                              struct error *err)
{
    struct controller *c = controller;
    c->now_ms = now_ms;
    if (message->type == MESSAGE_HELLO)
        return take_hello(c, peer, &message->body.hello);
    struct cluster_member *member = membership_find(&c->members, peer);
    if (member == NULL) {
        /* A stranger, or one that was declared dead and has come back: fenced off, and told so. */
        tell_stop(c, peer, "not a member (any more)");
        return OK;
    }
    membership_heard(member, now_ms);
    switch ((uint32_t)message->type) {
    case MESSAGE_READY:
        return take_ready(c, member, &message->body.ready, err);
    case MESSAGE_HEARTBEAT:
        member->progress = message->body.heartbeat;
        return OK;
    case MESSAGE_FAILED:
        return error_set(err, ERR_PEER, "%s %u: %s", member->role == ROLE_WORKER ? "worker" : "server",
                         member->number, message->body.reason.text);
    case MESSAGE_VIEWED:
        return take_viewed(c, peer, message->view, err);
    case MESSAGE_LOADED:
        if (c->phase == PHASE_LOAD && message->generation == c->generation)
            mark_server(c, c->server_loaded, peer);
        return advance(c, err);
    case MESSAGE_SNAPSHOT:
        return take_snapshot(c, message, payloads, count, err);
    case MESSAGE_PREPARED:
        return take_prepared(c, &message->body.prepared, err);
    case MESSAGE_PREDICTED:
        return take_predicted(c, message, payloads, count, err);
    case MESSAGE_PIXELS:
        return take_pixels(c, message, payloads, count, err);
    default:
        return OK; /* TRAINED and what is not for a coordinator */
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
        enum status status = declare_dead(c, silent, why, err);
        if (status != OK)
            return status;
    }
    if (c->phase == PHASE_JOIN && c->view == 0 && now_ms > c->join_deadline_ms) {
        struct cluster_member *list[MEMBERSHIP_MAX];
        return error_set(err, ERR_PEER, "after %u s only %zu of %u workers and %zu of %u servers have joined",
                         c->job->cluster.join_seconds, ready_workers(c, list), c->job->cluster.workers,
                         membership_list(&c->members, ROLE_SERVER, MEMBER_READY, list), c->job->cluster.servers);
    }
    return OK;
}

enum status controller_process_ended(struct controller *controller, int64_t now_ms, uint64_t pid,
                                     struct error *err)
{
    controller->now_ms = now_ms;
    struct cluster_member *member = membership_by_pid(&controller->members, pid);
    return member == NULL ? OK : declare_dead(controller, member, "its process ended", err);
}

void controller_stop(struct controller *controller)
{
    controller->stop_asked = true;
    if (controller->phase == PHASE_JOIN || controller->phase == PHASE_PREPARE)
        controller->phase = PHASE_STOPPED; /* nothing is trained that could be lost */
}

/* ---- what others see ---- */

static uint64_t samples_done(const struct controller *c)
{
    uint64_t done = 0;
    for (size_t i = 0; i < c->members.count; i++)
        if (c->members.members[i].role == ROLE_WORKER && c->members.members[i].progress.task == c->task)
            done += c->members.members[i].progress.samples;
    return done < c->task_samples ? done : c->task_samples;
}

struct controller_view controller_look(const struct controller *controller)
{
    const struct controller *c = controller;
    bool evaluating = c->purpose != PURPOSE_STAGE;
    return (struct controller_view){
        .phase = c->phase,
        .stage = evaluating ? "evaluate" : config_of(c, c->stage)->name,
        .epoch = c->current != NULL ? c->current->epoch + (c->phase == PHASE_TRAIN ? 1 : 0) : 0,
        .epochs = config_of(c, c->stage)->epochs,
        .done = samples_done(c),
        .total = c->task_samples,
        .view = c->view,
        .loss = c->report.terms[TERM_CROSS_ENTROPY][METRIC_SAMPLES] > 0
                    ? c->report.terms[TERM_CROSS_ENTROPY][METRIC_LOSS] /
                          c->report.terms[TERM_CROSS_ENTROPY][METRIC_SAMPLES]
                    : NAN,
        .members = (struct membership *)(uintptr_t)&c->members,
    };
}

struct controller_outcome controller_outcome(const struct controller *controller)
{
    const struct controller *c = controller;
    CHECK(c->phase == PHASE_DONE);
    struct controller_outcome outcome = {
        .source_only = c->source_only,
        .adapted = c->adapted,
        .domain = test_domain(c),
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
