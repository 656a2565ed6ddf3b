#include "worker/engine/hard_swish.h"

#include <math.h>

#include "worker/engine/pattern.h"

static bool near(float value, double wanted)
{
    return fabs((double)value - wanted) < 1e-5;
}

/* value = Clip(Add(x, 3), 0, 6) → x */
static uint32_t clipped(const struct program *program, uint32_t value)
{
    const struct node *clip = pattern_maker(program, value, OP_CLIP);
    if (clip == NULL || !near(clip->attributes.low, 0) || !near(clip->attributes.high, 6))
        return GRAPH_NONE;
    const struct node *add = pattern_maker(program, clip->inputs[0], OP_ADD);
    return add == NULL ? GRAPH_NONE : pattern_beside(program, add, 3, true);
}

/* value = clip(x+3, 0, 6)/6 or HardSigmoid(x; 1/6, 1/2) → x */
static uint32_t gate(const struct program *program, uint32_t value)
{
    const struct node *node = pattern_maker(program, value, OP_HARD_SIGMOID);
    if (node != NULL && near(node->attributes.alpha, 1 / 6.0) && near(node->attributes.beta, 0.5))
        return node->inputs[0];
    return clipped(program, pattern_divided(program, value, 6));
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
    uint32_t product = pattern_divided(program, node->output, 6);
    const struct node *mul = pattern_maker(program, product, OP_MUL);
    uint32_t x = mul == NULL ? GRAPH_NONE : times_itself(program, mul, clipped);
    if (x == GRAPH_NONE && node->op == OP_MUL)
        x = times_itself(program, node, gate);
    return x;
}

void hard_swish_fold(struct program *program)
{
    const struct attributes none = {0};
    for (size_t i = 0; i < program->node_count; i++) {
        uint32_t x = match(program, &program->nodes[i]);
        if (x != GRAPH_NONE)
            pattern_rewrite(program, &program->nodes[i], OP_HARD_SWISH, &none, &x, 1);
    }
}
