/* What a head does for one micro-batch, step by step, and where each value lies meanwhile: forward, the
 * turn (losses look at the results and give their gradients), backward. A value is kept until its last
 * reader (op_reads says what backward reads), a gradient until its node has passed it on, a live
 * parameter's until it is complete; buffers whose lives do not meet share bytes (arena.h).
 *
 * Checkpointing (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, algorithm 3): the
 * program is cut into segments of about `segment_bytes` of values that backward needs; what lies inside
 * a segment is dropped and computed again before its backward. The same kernels on the same values: the
 * same bits.
 *
 * Pure: the same program, batch and policy give the same plan. */
#ifndef GRAFT_WORKER_ENGINE_TAPE_PLAN_H
#define GRAFT_WORKER_ENGINE_TAPE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "worker/engine/arena.h"
#include "worker/engine/constants.h"
#include "worker/engine/program.h"
#include "worker/engine/sites.h"

#define TAPE_NONE UINT32_MAX

struct tape_plan_policy {
    bool overlap; /* other micro-batches go forward between this one's forward and its backward */
    bool again;   /* overlap: nothing but the results is kept over the turn; forward runs twice */
    size_t segment_bytes; /* 0: one segment, nothing is computed again */
};

enum tape_plan_kind {
    TAPE_STAGE, /* the boundary's values are laid out */
    TAPE_FORWARD,
    TAPE_TURN,
    TAPE_BACKWARD,
};

/* Indexes of buffers, or TAPE_NONE. */
struct tape_plan_step {
    enum tape_plan_kind kind;
    uint32_t node;    /* of the program */
    uint32_t output;  /* forward: its value; stage: the first of the boundary's, in their order */
    uint32_t scratch; /* the kernel's */
    uint32_t spare;   /* backward: contributions to gradients that hold something already */
};

struct tape_plan {
    struct tape_plan_step *steps;
    size_t step_count, turn;
    size_t forward_count; /* steps that compute a value, those that do so again among them */
    struct arena_buffer *buffers;
    bool *kept; /* per buffer: it lives over the turn of an overlap, in memory of the micro-batch */
    size_t buffer_count;
    uint32_t *gradient; /* per value: buffer of its gradient */
    bool *passes;       /* per node: its output's gradient is its input's, as it lies */
    uint32_t *harvest; /* per value: a live one's gradient is complete after this node's backward */
    size_t work_bytes; /* memory that all micro-batches share … */
    size_t kept_bytes; /* … and memory of each that is between forward and backward */
};

/* Borrowed while the plan is made. */
struct tape_plan_input {
    const struct program *program;
    const struct sites *sites;
    const struct constants *constants;
    const bool *needs; /* per value: its gradient is needed */
    size_t batch;
};

/* Errors: ERR_MEMORY. On failure deinit is allowed, as on a zeroed struct. */
enum status tape_plan_init(struct tape_plan *plan, const struct tape_plan_input *input,
                           struct tape_plan_policy policy, struct error *err) MUST_CHECK;
void tape_plan_deinit(struct tape_plan *plan);

/* Bytes of the values that backward needs, all kept: where segments begin to matter. */
enum status tape_plan_value_bytes(const struct tape_plan_input *input, size_t *out,
                                  struct error *err) MUST_CHECK;

/* The one input of a node whose gradient is the output's own, unchanged. */
bool tape_plan_passes(const struct op_site *site, const struct graph *graph, size_t batch,
                      uint32_t *input);

#endif
