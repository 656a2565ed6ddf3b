#include "worker/engine/program.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/gelu.h"
#include "worker/engine/hard_swish.h"
#include "worker/engine/layer_norm.h"

static size_t count_ports(const struct graph *graph)
{
    size_t count = 0;
    for (size_t i = 0; i < graph->node_count; i++)
        count += graph->nodes[i].input_count;
    return count;
}

static enum status allocate(struct program *program, struct error *err)
{
    const struct graph *graph = program->graph;
    program->nodes = memory_alloc(graph->node_count, sizeof *program->nodes);
    program->port_room = count_ports(graph) + PROGRAM_REWRITE_PORTS * graph->node_count;
    program->ports = memory_alloc(program->port_room, sizeof *program->ports);
    program->uses = memory_alloc(graph->value_count, sizeof *program->uses);
    program->leaves = memory_alloc(graph->value_count, sizeof *program->leaves);
    program->maker = memory_alloc(graph->value_count, sizeof *program->maker);
    if (program->nodes == NULL || program->ports == NULL || program->uses == NULL ||
        program->leaves == NULL || program->maker == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a program of %zu nodes",
                         graph->node_count);
    return OK;
}

static void copy_nodes(struct program *program, const bool *chosen)
{
    const struct graph *graph = program->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct node *from = &graph->nodes[i];
        if (!chosen[i])
            continue;
        struct node *to = &program->nodes[program->node_count++];
        *to = *from;
        uint32_t *ports = program_ports(program, from->input_count);
        memcpy(ports, from->inputs, from->input_count * sizeof *ports);
        to->inputs = ports;
    }
}

static void mark_leaves(struct program *program, enum program_side side)
{
    const struct plan_graph *split = program->plan->split;
    for (size_t i = 0; i < split->boundary_count && side == PROGRAM_TRUNK; i++)
        program->leaves[split->boundary[i]] = true;
    if (side == PROGRAM_HEAD) {
        program->leaves[program->graph->features] = true;
        program->leaves[program->graph->output] = true;
    }
}

static void count_uses(struct program *program)
{
    for (size_t i = 0; i < program->graph->value_count; i++) {
        program->uses[i] = program->leaves[i];
        program->maker[i] = GRAPH_NONE;
    }
    for (size_t i = 0; i < program->node_count; i++) {
        program->maker[program->nodes[i].output] = (uint32_t)i;
        for (size_t k = 0; k < program->nodes[i].input_count; k++)
            if (program->nodes[i].inputs[k] != GRAPH_NONE)
                program->uses[program->nodes[i].inputs[k]]++;
    }
}

void program_sweep(struct program *program)
{
    size_t kept = 0;
    count_uses(program);
    for (size_t i = program->node_count; i-- > 0;) {
        const struct node *node = &program->nodes[i];
        for (size_t k = 0; k < node->input_count && program->uses[node->output] == 0; k++)
            if (node->inputs[k] != GRAPH_NONE)
                program->uses[node->inputs[k]]--;
    }
    for (size_t i = 0; i < program->node_count; i++)
        if (program->uses[program->nodes[i].output] > 0)
            program->nodes[kept++] = program->nodes[i];
    program->node_count = kept;
    count_uses(program);
}

/* Whatever is cast to floating point is float32 already (graph.h). */
static bool changes_nothing(const struct node *node)
{
    enum dtype to = node->attributes.to;
    return node->op == OP_IDENTITY || (node->op == OP_CAST && (to == DTYPE_F32 || to == DTYPE_F64));
}

/* One pass, in order, with `maker` as the table of what each value stands for (the sweep refills
 * it). */
static void bypass_identities(struct program *program)
{
    uint32_t *stands_for = program->maker, *port = program->ports;
    for (size_t i = 0; i < program->graph->value_count; i++)
        stands_for[i] = (uint32_t)i;
    for (size_t i = 0; i < program->node_count; i++) {
        const struct node *node = &program->nodes[i];
        for (size_t k = 0; k < node->input_count; k++, port++)
            if (*port != GRAPH_NONE)
                *port = stands_for[*port];
        if (changes_nothing(node))
            stands_for[node->output] = node->inputs[0];
    }
}

static void (*const folds[])(struct program *) = {hard_swish_fold, gelu_fold, layer_norm_fold};

uint32_t *program_ports(struct program *program, size_t count)
{
    CHECK(program->port_count + count <= program->port_room);
    program->port_count += count;
    return program->ports + program->port_count - count;
}

enum status program_create(const struct plan *plan, enum program_side side, struct program **out,
                           struct error *err)
{
    struct program *program = memory_alloc(1, sizeof *program);
    if (program == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a program");
    program->plan = plan;
    program->graph = plan->model->graph;
    enum status status = allocate(program, err);
    if (status != OK) {
        program_destroy(&program);
        return status;
    }
    copy_nodes(program, side == PROGRAM_TRUNK ? plan->split->trunk : plan->split->head);
    mark_leaves(program, side);
    bypass_identities(program);
    program_sweep(program);
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        folds[i](program);
        program_sweep(program);
    }
    *out = program;
    return OK;
}

void program_destroy(struct program **program)
{
    if (*program == NULL)
        return;
    memory_free((*program)->nodes);
    memory_free((*program)->ports);
    memory_free((*program)->uses);
    memory_free((*program)->leaves);
    memory_free((*program)->maker);
    memory_free(*program);
    *program = NULL;
}

bool program_scalar(const struct program *program, uint32_t value, float *out)
{
    if (value == GRAPH_NONE || program->plan->split->tensor_of[value] != GRAPH_NONE)
        return false;
    const struct value *constant = &program->graph->values[value];
    if (constant->data == NULL || constant->dtype != DTYPE_F32 || value_elements(constant) != 1)
        return false;
    *out = *(const float *)constant->data;
    return true;
}

bool program_private(const struct program *program, uint32_t value)
{
    return value != GRAPH_NONE && program->maker[value] != GRAPH_NONE &&
           program->uses[value] == 1 && !program->leaves[value];
}
