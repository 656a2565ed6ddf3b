#include "worker/engine/affine.h"

#include <math.h>

#include "common/base/check.h"
#include "common/model/graph.h"
#include "worker/engine/constants.h"

/* Broadcasts along everything but one axis of x? */
static bool is_per_channel(const struct shape *c, const struct shape *x, size_t *out)
{
    size_t found = 0;
    for (size_t i = 0; i < c->rank && c->rank <= x->rank; i++) {
        size_t axis = i + x->rank - c->rank;
        if (c->dims[i] == 1)
            continue;
        if (c->dims[i] != x->dims[axis] || found++ > 0)
            return false;
        *out = axis;
    }
    return found == 1;
}

static bool match_norm(const struct constants *constants, const struct node *node,
                       struct affine *out)
{
    for (size_t i = 0; i < 4; i++) {
        out->norm[i] = constants->data[node->inputs[i + 1]];
        if (out->norm[i] == NULL)
            return false;
    }
    out->input = node->inputs[0];
    out->per_channel = true;
    out->axis = 1;
    return true;
}

static bool match_side(const struct graph *graph, const struct constants *constants,
                       const struct node *node, size_t side, struct affine *out)
{
    uint32_t value = node->inputs[side], other = node->inputs[1 - side];
    const float *data = constants->data[value];
    if (data == NULL || constants->data[other] != NULL)
        return false;
    const struct shape *c = &graph->values[value].shape, *x = &graph->values[other].shape;
    bool one = value_elements(&graph->values[value]) == 1 && c->rank <= x->rank;
    if (!one && !is_per_channel(c, x, &out->axis))
        return false;
    out->input = other;
    out->per_channel = !one;
    out->constant = data;
    out->constant_first = side == 0;
    return true;
}

bool affine_match(const struct graph *graph, const struct constants *constants,
                  const struct node *node, struct affine *out)
{
    struct affine affine = {.node = node};
    bool arithmetic =
        node->op == OP_ADD || node->op == OP_SUB || node->op == OP_MUL || node->op == OP_DIV;
    bool found = false;
    if (node->op == OP_BATCH_NORM)
        found = match_norm(constants, node, &affine);
    if (arithmetic)
        found = match_side(graph, constants, node, 1, &affine) ||
                (node->op != OP_DIV && match_side(graph, constants, node, 0, &affine));
    if (found)
        *out = affine;
    return found;
}

static float number(const struct affine *affine, size_t channel)
{
    return affine->constant[affine->per_channel ? channel : 0];
}

static float norm_scale(const struct affine *affine, size_t channel)
{
    return affine->norm[0][channel] /
           sqrtf(affine->norm[3][channel] + affine->node->attributes.epsilon);
}

float affine_scale(const struct affine *affine, size_t channel)
{
    if (affine->node->op == OP_BATCH_NORM)
        return norm_scale(affine, channel);
    if (affine->node->op == OP_MUL)
        return number(affine, channel);
    if (affine->node->op == OP_DIV)
        return 1 / number(affine, channel);
    return affine->node->op == OP_SUB && affine->constant_first ? -1 : 1;
}

float affine_shift(const struct affine *affine, size_t channel)
{
    if (affine->node->op == OP_BATCH_NORM)
        return affine->norm[1][channel] - affine->norm[2][channel] * norm_scale(affine, channel);
    if (affine->node->op == OP_MUL || affine->node->op == OP_DIV)
        return 0;
    return affine->node->op == OP_SUB && !affine->constant_first ? -number(affine, channel)
                                                                 : number(affine, channel);
}
