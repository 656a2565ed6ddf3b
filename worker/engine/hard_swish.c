#include "worker/engine/hard_swish.h"

#include <math.h>

#include "worker/engine/program.h"

static bool near(float value, double wanted)
{
    return fabs((double)value - wanted) < 1e-5;
}

/* The node that makes `value` if nobody else reads it and it is `op`; NULL else. */
static const struct node *inner(const struct program *program, uint32_t value, enum op op)
{
    if (!program_private(program, value))
        return NULL;
    const struct node *node = &program->nodes[program->maker[value]];
    return node->op == op ? node : NULL;
}

/* For a node of two inputs, one of which is the scalar `wanted`: the other input. */
static uint32_t beside(const struct program *program, const struct node *node, double wanted,
                       bool commutes)
{
    float scalar;
    if (program_scalar(program, node->inputs[1], &scalar) && near(scalar, wanted))
        return node->inputs[0];
    if (commutes && program_scalar(program, node->inputs[0], &scalar) && near(scalar, wanted))
        return node->inputs[1];
    return GRAPH_NONE;
}

/* value = Clip(Add(x, 3), 0, 6) → x */
static uint32_t clipped(const struct program *program, uint32_t value)
{
    const struct node *clip = inner(program, value, OP_CLIP);
    if (clip == NULL || !near(clip->attributes.low, 0) || !near(clip->attributes.high, 6))
        return GRAPH_NONE;
    const struct node *add = inner(program, clip->inputs[0], OP_ADD);
    return add == NULL ? GRAPH_NONE : beside(program, add, 3, true);
}

/* value = v/6 or v·(1/6) → v */
static uint32_t sixth(const struct program *program, const struct node *node)
{
    if (node->op == OP_DIV)
        return beside(program, node, 6, false);
    return node->op == OP_MUL ? beside(program, node, 1 / 6.0, true) : GRAPH_NONE;
}

/* value = clip(x+3, 0, 6)/6 or HardSigmoid(x; 1/6, 1/2) → x */
static uint32_t gate(const struct program *program, uint32_t value)
{
    if (!program_private(program, value))
        return GRAPH_NONE;
    const struct node *node = &program->nodes[program->maker[value]];
    if (node->op == OP_HARD_SIGMOID && near(node->attributes.alpha, 1 / 6.0) &&
        near(node->attributes.beta, 0.5))
        return node->inputs[0];
    uint32_t six = sixth(program, node);
    return six == GRAPH_NONE ? GRAPH_NONE : clipped(program, six);
}

/* node = Mul(x, f(x)) in either order, f as `part` recognises it → x */
static uint32_t times_itself(const struct program *program, const struct node *node,
                             uint32_t (*part)(const struct program *, uint32_t))
{
    for (size_t side = 0; side < 2; side++) {
        uint32_t x = node->inputs[side];
        if (x != GRAPH_NONE && part(program, node->inputs[1 - side]) == x)
            return x;
    }
    return GRAPH_NONE;
}

static uint32_t match(const struct program *program, const struct node *node)
{
    uint32_t product = sixth(program, node);
    const struct node *mul = product == GRAPH_NONE ? NULL : inner(program, product, OP_MUL);
    if (mul != NULL)
        return times_itself(program, mul, clipped);
    return node->op == OP_MUL ? times_itself(program, node, gate) : GRAPH_NONE;
}

void hard_swish_fold(struct program *program)
{
    for (size_t i = 0; i < program->node_count; i++) {
        struct node *node = &program->nodes[i];
        uint32_t x = match(program, node);
        if (x == GRAPH_NONE)
            continue;
        uint32_t *port = program->ports + (node->inputs - program->ports);
        port[0] = x;
        node->op = OP_HARD_SWISH;
        node->input_count = 1;
    }
}
