/* The controller's inside, shared by the files named controller*.c and by nobody else: its state,
 * and the steps that one file leaves to another. All of it belongs to the coordinator's main
 * thread. */
#ifndef GRAFT_COORDINATOR_JOB_CONTROLLER_STATE_H
#define GRAFT_COORDINATOR_JOB_CONTROLLER_STATE_H

#include "common/base/retry.h"
#include "coordinator/cluster/partitions.h"
#include "coordinator/job/controller.h"
#include "coordinator/job/loading.h"
#include "coordinator/job/pseudo_labels.h"

#define PARTITIONS_LEAST 16 /* so that a few servers may become some more */
#define FIRST_VERSION 1     /* 0 is "no version" */
#define STALL_MS_MAX 300000 /* longer than any micro-batch or batch of features should take */
/* The first wait before asking again for what has not come; doubles up to the last. */
#define REMIND_MS 2000
#define REMIND_MS_LAST 32000
#define PARTS_MAX (JOB_DOMAINS_MAX * SPLIT_COUNT)

/* What the values in the servers are for. */
enum purpose { PURPOSE_STAGE, PURPOSE_ADAPTED, PURPOSE_SOURCE_ONLY };

/* Why predictions are asked for. */
enum predict_reason { PREDICT_GUESSES, PREDICT_SCORES, PREDICT_TEST };

struct stage_state {
    struct plan *plan;
    struct layout layout;
    struct values *best; /* selected so far; NULL before the first epoch */
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

    uint64_t moved; /* counts answers and whatever is begun */
    uint64_t moved_seen, samples_seen;
    int64_t still_ms; /* since when nothing has moved; 0: never looked */
    struct retry again;

    enum controller_phase phase;
    enum purpose purpose;
    enum predict_reason reason;
    bool stop_asked;
    bool unscored; /* the values were trained for an epoch that is not kept yet */
    int64_t stage_began_ms, epoch_began_ms, phase_began_ms;
    int64_t kept_ms;   /* when `current` was true last, or the epoch began */
    bool asked_sooner; /* for values within the epoch, because it was time */
    double prepare_seconds, evaluate_seconds;

    /* view */
    uint32_t view;
    bool view_settled;
    uint32_t shard_owners[JOB_SHARDS_MAX];
    struct cluster_member *servers[MEMBERSHIP_MAX];
    bool server_seen[MEMBERSHIP_MAX];
    size_t server_count;
    struct partitions partitions;
    bool loaded[WIRE_PARTITIONS_MAX];
    uint32_t load_part[WIRE_PARTITIONS_MAX]; /* next part of the LOAD that its primary waits for */
    bool must_load;      /* since the last one something was lost that nobody else holds */
    int64_t balanced_ms; /* when speeds began to be measured, in view balanced_view */
    uint32_t balanced_view;
    unsigned balanced;                      /* how often shards have moved by speed */
    bool worker_tasked[MEMBERSHIP_MAX + 1]; /* by member number: has the current task */

    /* values and stages */
    struct stage_state stages[JOB_STAGES_MAX];
    size_t stage;           /* in the servers or about to be */
    struct values *current; /* after the last epoch of `stage`, or the newest within it */
    /* What comes back next, in the epoch or after it. Not `current`: a server may die when only some
     * blocks are back, and then training goes on from `current`. */
    struct values *incoming;
    uint32_t generation;
    uint32_t *block_partitions;
    struct gathering gathering;
    uint32_t take_number; /* of what it asks for */
    bool *gathering_has;

    /* the task in work */
    uint32_t task;
    struct message_task task_body;
    uint32_t task_parts[CONTROLLER_SHOWN_MAX > PARTS_MAX ? CONTROLLER_SHOWN_MAX : PARTS_MAX];
    bool task_sent;
    bool shard_done[PARTS_MAX][JOB_SHARDS_MAX]; /* by position in task_parts */
    size_t pieces_left;
    uint64_t task_samples; /* of the whole task, for progress */

    struct predictions *parts[PARTS_MAX]; /* newest predictions of each part */
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

/* ---- controller.c ---- */
/* Configuration of a stage. */
const struct stage_config *controller_config(const struct controller *c, size_t stage);
/* Domain of a stage's slot. */
size_t controller_domain(const struct controller *c, size_t stage, size_t slot);
/* Samples of a part (domain * SPLIT_COUNT + split). */
size_t controller_part_samples(const struct controller *c, uint32_t part);
/* The domain whose test split decides: the first unlabelled one, else the last. */
size_t controller_test_domain(const struct controller *c);
/* Its test part. */
uint32_t controller_test_part(const struct controller *c);
/* Sends with view and generation filled in. */
void controller_send(struct controller *c, uint64_t peer, struct message *message,
                     const struct frame *payloads, size_t count);
/* What values of a stage hold. */
struct values_sizes controller_sizes(const struct controller *c, size_t stage);

/* ---- controller_members.c ---- */
/* The view, to whoever has not told that it knows it: servers first, then workers. */
void controller_send_view(struct controller *c);
/* A server's position in the view, by its number; WIRE_NOBODY. */
uint32_t controller_position(const struct controller *c, uint32_t number);
/* Identity of a partition's primary. */
uint64_t controller_primary(const struct controller *c, size_t partition);
enum status controller_take_synced(struct controller *c, uint64_t peer,
                                   const struct message *message, struct error *err) MUST_CHECK;
/* Places shards and partitions anew and tells the members. */
enum status controller_make_view(struct controller *c, struct error *err) MUST_CHECK;
/* Ready workers, in order of number. */
size_t controller_ready_workers(struct controller *c, struct cluster_member **out);
enum status controller_take_viewed(struct controller *c, uint64_t peer, uint32_t view,
                                   struct error *err) MUST_CHECK;
/* `again`: it may come back as a new member. */
void controller_tell_stop(struct controller *c, uint64_t peer, const char *why, bool again);
enum status controller_declare_dead(struct controller *c, struct cluster_member *member,
                                    const char *why, struct error *err) MUST_CHECK;
enum status controller_take_hello(struct controller *c, uint64_t peer,
                                  const struct message_hello *hello) MUST_CHECK;
enum status controller_take_ready(struct controller *c, struct cluster_member *member,
                                  const struct message_ready *ready, struct error *err) MUST_CHECK;

/* ---- controller_remind.c ---- */
/* Asks again for what has not come for a while, and gives up after STALL_MS_MAX. */
enum status controller_check_progress(struct controller *c, struct error *err) MUST_CHECK;
/* Samples that the workers have told of in the task in work. */
uint64_t controller_samples_done(const struct controller *c);

/* ---- controller_tasks.c ---- */
/* The task in work to one worker, with the `again_count` pieces to be done again. */
void controller_send_task(struct controller *c, struct cluster_member *worker, uint32_t *again,
                          size_t again_count);
/* The task in work to all workers of the settled view that do not have it yet. */
void controller_spread_task(struct controller *c);
/* A new task of part_count parts (task_parts), for the values in the servers; nothing is sent yet.
 */
void controller_begin_task(struct controller *c, enum task_kind kind, size_t part_count);
/* Asks for the features of the current stage. */
void controller_enter_prepare(struct controller *c);
enum status controller_take_prepared(struct controller *c, const struct message_prepared *prepared,
                                     struct error *err) MUST_CHECK;
/* Asks for predictions with the values in the servers. */
enum status controller_enter_predict(struct controller *c, enum predict_reason reason,
                                     struct error *err) MUST_CHECK;
enum status controller_take_predicted(struct controller *c, const struct message *message,
                                      const struct frame *payloads, size_t count,
                                      struct error *err) MUST_CHECK;
/* Asks for the pixels of test samples that show what changed. */
void controller_enter_show(struct controller *c);
enum status controller_take_pixels(struct controller *c, const struct message *message,
                                   const struct frame *payloads, size_t count,
                                   struct error *err) MUST_CHECK;

/* ---- controller_balance.c ---- */
/* Speeds for placement_shards, speeds[count]: as measured when shards moved last; who is new is taken
 * to be like the others. */
void controller_speeds(struct cluster_member *const *workers, size_t count, double *speeds);
/* Once in a while, in training: moves shards by measured speed if that makes steps much shorter. */
enum status controller_balance(struct controller *c, struct error *err) MUST_CHECK;

/* ---- controller_load.c ---- */
/* Loads the current values into the servers. */
enum status controller_enter_load(struct controller *c, struct error *err) MUST_CHECK;
/* What a server has loaded by now. */
enum status controller_take_loaded(struct controller *c, uint64_t peer,
                                   const struct message_loaded *loaded,
                                   struct error *err) MUST_CHECK;
/* Sends what is not loaded yet. */
void controller_send_loads(struct controller *c);
bool controller_all_loaded(const struct controller *c);

/* ---- controller_epoch.c ---- */
/* Chooses pseudo labels and begins an epoch. */
enum status controller_enter_train(struct controller *c, struct error *err) MUST_CHECK;
/* Do values, labels and totals alone say how the stage's training goes on within an epoch? Not in ssp and
 * asp, where shards are at different steps, nor where workers keep what coding left out. */
bool controller_is_in_step(const struct controller *c);
/* When it is time to keep values within the epoch, asks for a version before its last. */
void controller_ask_sooner(struct controller *c);
/* Asks servers whose blocks are not back for them. */
void controller_ask_for_snapshot(struct controller *c);
enum status controller_take_snapshot(struct controller *c, const struct message *message,
                                     const struct frame *payloads, size_t count,
                                     struct error *err) MUST_CHECK;
/* Scores the values, keeps them and, when best, selects them. */
enum status controller_finish_epoch(struct controller *c, struct error *err) MUST_CHECK;

/* ---- controller_phases.c ---- */
/* Starts a stage from what the one before has selected. */
enum status controller_begin_stage(struct controller *c, size_t stage,
                                   struct error *err) MUST_CHECK;
/* Goes to the next phase when the current one is complete. */
enum status controller_advance(struct controller *c, struct error *err) MUST_CHECK;

#endif
