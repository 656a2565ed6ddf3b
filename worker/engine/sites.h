/* The operator sites of a program for one batch size: shapes with the batch filled in, kernels
 * prepared. */
#ifndef GRAFT_WORKER_ENGINE_SITES_H
#define GRAFT_WORKER_ENGINE_SITES_H

#include <stddef.h>

#include "common/base/error.h"
#include "worker/engine/onednn.h"
#include "worker/engine/ops/op.h"
#include "worker/engine/program.h"

struct sites {
    struct op_site *at; /* [count]: parallel to the program's nodes */
    size_t count;
    struct shape *shapes; /* of all inputs, back to back */
    bool *wanted;
    struct op_fault *fault;
    struct op_run *run;      /* the program's owner sets it before a run; zeroed: prediction */
    size_t scratch_elements; /* the most any kernel asks for */
};

/* `needs_gradient` per value, or NULL: inference only. Borrows the program's nodes and `dnn`.
 * On failure deinit is allowed, as on a zeroed struct. */
enum status sites_init(struct sites *sites, const struct node *nodes, size_t node_count,
                       const struct graph *graph, const bool *needs_gradient, size_t batch,
                       const struct onednn *dnn, struct error *err) MUST_CHECK;
/* After a run: did a kernel meet an index outside its axis? ERR_INPUT names node and index; the next
 * run begins afresh. */
enum status sites_check(const struct sites *sites, struct error *err) MUST_CHECK;

void sites_deinit(struct sites *sites);

/* A value's shape with the batch filled in. */
struct shape sites_shape(const struct graph *graph, uint32_t value, size_t batch);

#endif
