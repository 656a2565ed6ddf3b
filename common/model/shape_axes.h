/* What the shape rules share: axes by number, and the batch (graph.h: a first dimension of -1). */
#ifndef GRAFT_COMMON_MODEL_SHAPE_AXES_H
#define GRAFT_COMMON_MODEL_SHAPE_AXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/graph.h"

/* Elements with the batch counted as one; the shape has passed shape_infer's check. */
double shape_axes_product(const struct shape *shape);

bool shape_axes_batched(const struct shape *shape);

/* ERR_SUPPORT: it moves, merges or reduces the batch axis. */
enum status shape_axes_refuse_batch(struct error *err);

/* -rank … rank-1 → 0 … rank-1 */
enum status shape_axes_wrap(int64_t axis, size_t rank, size_t *out, struct error *err) MUST_CHECK;

/* The same for node->attributes.axis, which it replaces; the batch axis is refused. */
enum status shape_axes_own(struct node *node, const struct shape *x, size_t *out,
                           struct error *err) MUST_CHECK;

/* Marks the attribute's axes; each at most once. */
enum status shape_axes_mark(const struct attributes *a, size_t rank, bool marks[TENSOR_RANK_MAX],
                            struct error *err) MUST_CHECK;

/* Numpy's rule, aligned at the end. The batch broadcasts against 1 only and stays first. */
enum status shape_axes_broadcast(const struct shape *a, const struct shape *b, struct shape *out,
                                 struct error *err) MUST_CHECK;

/* One axis of `extent` repeated or stretched to more than a tensor may have? Then ERR_INPUT. */
enum status shape_axes_fits(double extent, struct error *err) MUST_CHECK;

#endif
