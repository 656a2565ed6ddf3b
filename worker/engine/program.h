/* A program: the nodes of one side of a plan in order, simplified without changing what they
 * compute (beyond rounding): Identity and Cast to floating point bypassed, hard swish, Gelu and layer normalisation recognised in
 * their decomposed forms, nodes nobody needs removed. Borrows the plan's graph; nodes are copies, value indexes are the
 * graph's. Built by one thread, then constant. */
#ifndef GRAFT_WORKER_ENGINE_PROGRAM_H
#define GRAFT_WORKER_ENGINE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/graph.h"
#include "common/model/plan.h"

enum program_side { PROGRAM_TRUNK, PROGRAM_HEAD };

struct program {
    const struct plan *plan;
    const struct graph *graph;
    struct node *nodes; /* inputs lie in `ports` */
    size_t node_count;
    uint32_t *ports;
    size_t port_count, port_room;
    uint32_t *uses; /* per value: how many inputs of the program read it, plus one when it leaves */
    bool *leaves;   /* per value: somebody outside reads it: the boundary; features and logits */
    uint32_t *maker; /* per value: the node of the program that makes it, or GRAPH_NONE */
};

/* Errors: ERR_MEMORY. */
enum status program_create(const struct plan *plan, enum program_side side, struct program **out,
                           struct error *err) MUST_CHECK;
void program_destroy(struct program **program);

/* Is the value one frozen constant number? */
bool program_scalar(const struct program *program, uint32_t value, float *out);

/* Inputs of a rewritten node; each node is rewritten at most once. */
#define PROGRAM_REWRITE_PORTS ((size_t)3)

/* Room for `count` more inputs: those of the nodes as copied, then of rewritten ones. */
uint32_t *program_ports(struct program *program, size_t count);

/* May a fusion swallow this value: made here, read once, never outside? */
bool program_private(const struct program *program, uint32_t value);

/* Brings `uses` and `maker` up to date after nodes changed, and removes nodes whose output nobody
 * reads. */
void program_sweep(struct program *program);

#endif
