/* The coordinator's state machine: members' messages, time and signals go in; messages, saved
 * values and reports come out. No socket, clock, file or database inside: those are the ports,
 * which the driver (coordinator/driver.c) gives.
 *
 * A job is, for each stage:  prepare features → load the servers → [guess labels] → train an epoch
 * → validate → keep the values → … → select an epoch;  and at the end: evaluate the last and the
 * first stage on the test split → done. Views are made whenever members change: servers learn a
 * view before workers do. A dead worker's shards go to the others, in the middle of a step if need
 * be; a dead server's blocks are loaded again from the values after the last epoch. */
#ifndef GRAFT_COORDINATOR_JOB_CONTROLLER_H
#define GRAFT_COORDINATOR_JOB_CONTROLLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/manifest.h"
#include "common/model/layout.h"
#include "common/model/model.h"
#include "common/wire/outbox.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/job/scores.h"
#include "coordinator/job/values.h"

#define CONTROLLER_SHOWN_MAX 40

enum controller_phase {
    PHASE_JOIN,
    PHASE_PREPARE,
    PHASE_LOAD,
    PHASE_PREDICT,
    PHASE_TRAIN,
    PHASE_SHOW,
    PHASE_DONE,
    PHASE_STOPPED, /* asked for: the values of the last epoch are saved */
};

/* One finished epoch. */
struct epoch_report {
    uint32_t stage, epoch;
    uint64_t stage_step;
    uint64_t step; /* over all stages */
    double seconds;
    double source_validation; /* score_main; NAN when there is no such split */
    double information; /* mean entropy − entropy of the mean on unlabelled training data; NAN when
                           none */
    double entropy;
    double score;        /* the stage's criterion; lower is better */
    bool best;           /* best of its stage so far */
    double pseudo_share; /* share of the unlabelled samples that had a pseudo label in this epoch */
    double terms[TERM_COUNT][METRIC_COUNT]; /* over the epoch, all domains: loss per sample,
                                               gradient norm², samples */
};

struct controller_ports {
    void *driver;
    struct outbox outbox;
    /* Keeps the values after an epoch (checkpoint, journal) or refuses: then the job ends with that
     * error. */
    enum status (*keep_epoch)(void *driver, const struct values *values,
                              const struct epoch_report *report, struct error *err);
    /* Keeps values within an epoch, if it can; `step` counts updates over all stages. Copied. */
    void (*keep_step)(void *driver, const struct values *values, uint64_t step);
    /* Something that a person may want to read later. */
    void (*event)(void *driver, const char *kind, const char *text);
    void (*member)(void *driver, const struct cluster_member *member);
    void (*unreadable)(void *driver, uint32_t sample);
};

struct controller;

/* What there is to see while it runs. */
struct controller_view {
    enum controller_phase phase;
    const char *stage;      /* name, or "evaluate" */
    uint32_t epoch, epochs; /* in work (from 1) */
    uint64_t done, total;   /* samples of the phase */
    uint32_t view;
    double loss; /* of the last epoch */
    struct membership *members;
    const uint32_t *shard_owners; /* member numbers, [shards] */
    uint32_t shards;
};

/* The outcome, once PHASE_DONE. */
struct controller_outcome {
    const struct predictions *source_only, *adapted; /* of the evaluated domain's test split */
    size_t domain;
    const struct values *first, *last; /* selected values of the first and the last stage */
    uint32_t selected[JOB_STAGES_MAX]; /* epoch of each stage */
    double selected_score[JOB_STAGES_MAX];
    double stage_seconds[JOB_STAGES_MAX];
    double prepare_seconds, evaluate_seconds;
    const uint32_t *shown; /* sample ids of the pictures */
    size_t shown_count;
    const uint8_t *pixels; /* RGB [shown_count, height, width, 3] */
    uint32_t pixels_width, pixels_height;
    size_t unreadable;
};

/* job, manifest, model are borrowed. Opens the plans of all stages. */
enum status controller_create(const struct job *job, const struct manifest *manifest,
                              const struct model *model, struct controller_ports ports,
                              int64_t now_ms, struct controller **out,
                              struct error *err) MUST_CHECK;
void controller_destroy(struct controller **controller);

const struct plan *controller_plan(const struct controller *controller, size_t stage);

/* Before the first message, for --resume: what an earlier coordinator had kept. Best values of a
 * stage, and the values to go on from. Copied. */
enum status controller_restore_best(struct controller *controller, const struct values *values,
                                    double score, struct error *err) MUST_CHECK;
enum status controller_restore_current(struct controller *controller, const struct values *values,
                                       struct error *err) MUST_CHECK;

/* An error ends the job; the driver then stops the members. */
enum status controller_handle(struct controller *controller, int64_t now_ms, uint64_t peer,
                              const struct message *message, const struct frame *payloads,
                              size_t count, struct error *err) MUST_CHECK;
/* To be called at least every heartbeat: finds the silent. */
enum status controller_tick(struct controller *controller, int64_t now_ms,
                            struct error *err) MUST_CHECK;
/* A member's process on this host ended. */
enum status controller_process_ended(struct controller *controller, int64_t now_ms, uint64_t pid,
                                     const char *host, struct error *err) MUST_CHECK;
/* A member shall go: what it has moves to others, then it is told to stop. Errors: ERR_INPUT when it
 * is not ready or the last of its role; nothing has changed then. */
enum status controller_drain(struct controller *controller, uint32_t number,
                             struct error *err) MUST_CHECK;
/* Stop after the epoch in work has been kept. */
void controller_stop(struct controller *controller);

struct controller_view controller_look(const struct controller *controller);
struct controller_outcome controller_outcome(const struct controller *controller);

#endif
