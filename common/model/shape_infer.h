/* Shape and type inference over a whole graph. Input: shapes and types of the graph's inputs and
 * constants. After OK every value has a known shape (the batch, -1, only as first dimension) and its
 * type, every node's attributes are complete and every size fits: nothing about shapes can fail later.
 * May run again on the same graph (a node was added). */
#ifndef GRAFT_COMMON_MODEL_SHAPE_INFER_H
#define GRAFT_COMMON_MODEL_SHAPE_INFER_H

#include "common/base/error.h"
#include "common/model/graph.h"

/* Errors: ERR_INPUT or ERR_SUPPORT, naming the node. */
enum status shape_infer(struct graph *graph, struct error *err) MUST_CHECK;

/* The same for one node whose inputs' shapes are known; it may be asked again. The caller
 * names the node. */
enum status shape_infer_node(struct graph *graph, struct node *node, struct error *err) MUST_CHECK;

/* Multiplications and additions of one node for one sample. */
double shape_infer_flops(const struct graph *graph, const struct node *node);

#endif
