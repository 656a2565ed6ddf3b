#include "worker/engine/constants.h"

#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/sites.h"

static enum status evaluate(struct constants *constants, const struct program *program,
                            const struct node *node, const struct onednn *dnn, struct error *err)
{
    struct sites sites = {0};
    const float *x[GRAPH_PORTS_MAX];
    enum status status = sites_init(&sites, node, 1, program->graph, NULL, 1, dnn, err);
    float *y = memory_alloc(value_elements(&program->graph->values[node->output]), sizeof *y);
    float *scratch = memory_alloc(sites.scratch_elements, sizeof *scratch);
    if (status == OK && (y == NULL || scratch == NULL))
        status = error_set(err, ERR_MEMORY, "no memory for constant %s", node->name);
    for (size_t k = 0; k < node->input_count; k++)
        x[k] = node->inputs[k] == GRAPH_NONE ? NULL : constants->data[node->inputs[k]];
    if (status == OK) {
        op_kernel(node->op)->forward(&sites.at[0], x, y, scratch);
        constants->data[node->output] = constants->owned[node->output] = y;
    } else {
        memory_free(y);
    }
    memory_free(scratch);
    sites_deinit(&sites);
    return status;
}

enum status constants_init(struct constants *constants, const struct program *program,
                           const struct onednn *dnn, struct error *err)
{
    const struct graph *graph = program->graph;
    *constants =
        (struct constants){.data = memory_alloc(graph->value_count, sizeof *constants->data),
                           .owned = memory_alloc(graph->value_count, sizeof *constants->owned),
                           .count = graph->value_count};
    if (constants->data == NULL || constants->owned == NULL)
        return error_set(err, ERR_MEMORY, "no memory for constants");
    enum status status = OK;
    for (size_t i = 0; i < graph->value_count; i++)
        if (graph->values[i].dtype == DTYPE_F32)
            constants->data[i] = graph->values[i].data;
    for (size_t i = 0; i < program->node_count && status == OK; i++)
        if (!value_batched(&graph->values[program->nodes[i].output]))
            status = evaluate(constants, program, &program->nodes[i], dnn, err);
    return status;
}

void constants_deinit(struct constants *constants)
{
    for (size_t i = 0; i < constants->count && constants->owned != NULL; i++)
        memory_free(constants->owned[i]);
    memory_free(constants->data);
    memory_free(constants->owned);
    *constants = (struct constants){0};
}
