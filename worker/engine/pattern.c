#include "worker/engine/pattern.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"

const struct node *pattern_maker(const struct program *program, uint32_t value, enum op op)
{
    if (value == GRAPH_NONE || program->maker[value] == GRAPH_NONE)
        return NULL;
    const struct node *node = &program->nodes[program->maker[value]];
    return node->op == op ? node : NULL;
}

bool pattern_is(const struct program *program, uint32_t value, double wanted)
{
    float scalar;
    return program_scalar(program, value, &scalar) && fabs((double)scalar - wanted) < 1e-5;
}

uint32_t pattern_beside(const struct program *program, const struct node *node, double wanted,
                        bool commutes)
{
    if (pattern_is(program, node->inputs[1], wanted))
        return node->inputs[0];
    if (commutes && pattern_is(program, node->inputs[0], wanted))
        return node->inputs[1];
    return GRAPH_NONE;
}

uint32_t pattern_divided(const struct program *program, uint32_t value, double divisor)
{
    const struct node *div = pattern_maker(program, value, OP_DIV);
    const struct node *mul = pattern_maker(program, value, OP_MUL);
    if (div != NULL)
        return pattern_beside(program, div, divisor, false);
    return mul == NULL ? GRAPH_NONE : pattern_beside(program, mul, 1 / divisor, true);
}

void pattern_rewrite(struct program *program, struct node *node, enum op op,
                     const struct attributes *attributes, const uint32_t *inputs, size_t count)
{
    CHECK(count <= PROGRAM_REWRITE_PORTS);
    uint32_t *ports = program_ports(program, count);
    memcpy(ports, inputs, count * sizeof *ports);
    node->op = op;
    node->attributes = *attributes;
    node->inputs = ports;
    node->input_count = count;
}
