#include <string.h>

#include "common/model/shape_axes.h"
#include "common/model/shape_rules.h"

static enum status equal_inner(int64_t a, int64_t b, struct error *err)
{
    if (a != b || a < 0)
        return error_set(err, ERR_INPUT, "inner sizes %lld and %lld differ", (long long)a,
                         (long long)b);
    return OK;
}

SHAPE_RULE(shape_rule_gemm)
{
    const struct attributes *a = &node->attributes;
    const struct shape *c = node->input_count > 2 ? in[2] : NULL;
    struct shape all;
    if (in[0]->rank != 2 || in[1]->rank != 2 || shape_axes_batched(in[1]))
        return error_set(err, ERR_SUPPORT,
                         "only matrices with a right side without batch are supported");
    if (shape_axes_batched(in[0]) && a->trans_a)
        return shape_axes_refuse_batch(err);
    enum status status =
        equal_inner(in[0]->dims[a->trans_a ? 0 : 1], in[1]->dims[a->trans_b ? 1 : 0], err);
    if (status != OK)
        return status;
    *out = (struct shape){
        .rank = 2, .dims = {in[0]->dims[a->trans_a ? 1 : 0], in[1]->dims[a->trans_b ? 0 : 1]}};
    if (c == NULL)
        return OK;
    if (shape_axes_broadcast(out, c, &all, err) != OK || !shape_equal(&all, out))
        return error_set(err, ERR_INPUT, "the third input does not broadcast to the product");
    return OK;
}

/* The axes before the matrix, none for a vector. */
static struct shape lead(const struct shape *shape)
{
    struct shape axes = {.rank = shape->rank > 2 ? shape->rank - 2 : 0};
    memcpy(axes.dims, shape->dims, axes.rank * sizeof *axes.dims);
    return axes;
}

/* Matrices [m, k]·[k, n], all axes before them broadcast; a vector is a row on the left, a column on
 * the right, and its axis is not in the result. The batch may be a first axis of either side, or
 * the rows of the left one where the right side has no axes but its matrix. */
SHAPE_RULE(shape_rule_matmul)
{
    const struct shape *a = in[0], *b = in[1];
    struct shape lead_a = lead(a), lead_b = lead(b);
    (void)node;
    if (a->rank == 0 || b->rank == 0)
        return error_set(err, ERR_INPUT, "a number is no matrix");
    int64_t rows = a->rank > 1 ? a->dims[a->rank - 2] : 0;
    enum status status =
        equal_inner(a->dims[a->rank - 1], b->dims[b->rank > 1 ? b->rank - 2 : 0], err);
    if (status == OK && rows < 0 && lead_b.rank > 0)
        status = shape_axes_refuse_batch(err);
    if (status == OK)
        status = shape_axes_broadcast(&lead_a, &lead_b, out, err);
    if (status != OK)
        return status;
    if (a->rank > 1)
        out->dims[out->rank++] = rows;
    if (b->rank > 1)
        out->dims[out->rank++] = b->dims[b->rank - 1];
    return OK;
}
