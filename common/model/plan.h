/* The freeze plan of one stage: which parameters are live, where the freeze boundary lies, and the
 * blocks.
 *
 * trunk: every node that no live parameter feeds. head: the rest.
 * boundary: the tensors that cross from trunk to head; their elements, concatenated per sample in
 *   plan order, are the *features* that the cache holds.
 * live vector: all live parameters, concatenated flat as float32 in plan order (the order in which
 *   the graph uses them); gradients have the same layout.
 * block: a slice of one live tensor of at most PLAN_BLOCK_ELEMENTS (1 MiB); it does not depend on
 * the cluster. */
#ifndef GRAFT_COMMON_MODEL_PLAN_H
#define GRAFT_COMMON_MODEL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/config/job.h"
#include "common/model/model.h"

#define PLAN_BLOCK_ELEMENTS ((size_t)262144)

struct live_tensor {
    const char *name; /* borrowed from the model */
    struct shape shape;
    size_t offset; /* into the live vector */
    size_t elements;
    bool pretrained; /* false: part of the new head */
    bool running;    /* a statistic that follows the data instead of a gradient */
};

struct plan_block {
    uint32_t tensor; /* index of its live tensor */
    size_t offset;   /* into the live vector */
    size_t elements;
};

/* Which nodes and values are trunk, head and boundary: for worker/engine. Indexes are those of
 * model->graph. */
struct plan_graph {
    bool *head;         /* per node: true = head, false = trunk (or, feeding neither, nothing) */
    bool *trunk;        /* per node: the boundary needs it */
    uint32_t *boundary; /* batched values in graph order: a sample's features, side by side */
    size_t boundary_count;
    uint32_t *live;      /* per live tensor: its value */
    uint32_t *tensor_of; /* per value: its live tensor, or GRAPH_NONE */
};

struct plan {
    const struct model *model; /* borrowed */
    struct live_tensor *tensors;
    size_t tensor_count;
    size_t live_elements;
    struct plan_block *blocks;
    size_t block_count;
    size_t boundary_elements; /* floats per sample that cross the boundary = what the cache keeps */
    struct digest trunk; /* of the trunk's nodes, attributes and weights: part of the cache key */
    struct plan_graph *split;
};

/* `config->patterns` are fnmatch(3) patterns over parameter names; `config->last_blocks` adds the last N
 * weighted layers with the scalars and biases between them; of all these `config->kind` are trained;
 * `config->batch_norm` says what of BatchNormalizations is live (ERR_INPUT when there is none to choose,
 * ERR_SUPPORT for statistics that two nodes share). A pattern that matches nothing is ERR_INPUT and
 * names the nearest parameter. */
enum status plan_create(const struct model *model, const struct live_config *config,
                        struct plan **out, struct error *err) MUST_CHECK;
void plan_destroy(struct plan **plan);

/* A stage goes on from where the one before it stopped: what that one trained must stay live, since
 * the trunk of a frozen parameter is the file's. ERR_INPUT names what `plan` freezes of `before`. */
enum status plan_check_order(const struct plan *plan, const struct plan *before,
                             struct error *err) MUST_CHECK;

/* Starting values into live[live_elements]: pretrained tensors as loaded; head.weight from N(0,
 * 1/d) keyed by (seed, RANDOM_INIT, tensor), head.bias zero. */
void plan_initial(const struct plan *plan, uint64_t seed, float *live);

#endif
