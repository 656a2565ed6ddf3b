/* model_inspect (model.h): the graph as a table a person can choose a freeze boundary from. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/model/graph.h"
#include "common/model/live_set.h"
#include "common/model/model.h"
#include "common/model/op_table.h"
#include "common/model/shape_infer.h"

struct totals {
    size_t parameters;
    double flops;
};

static size_t node_parameters(const struct graph *graph, const struct node *node)
{
    size_t count = 0;
    for (size_t k = 0; k < node->input_count; k++)
        if (node->inputs[k] != GRAPH_NONE && graph->values[node->inputs[k]].parameter)
            count += value_elements(&graph->values[node->inputs[k]]);
    return count;
}

/* Moves the boundary before `node`: its output no longer crosses, its inputs do. `crosses` per
 * value. */
static void move_boundary(const struct graph *graph, const struct node *node, bool *crosses,
                          size_t *elements)
{
    if (crosses[node->output])
        *elements -= value_elements(&graph->values[node->output]);
    for (size_t k = 0; k < node->input_count; k++) {
        uint32_t input = node->inputs[k];
        if (input == GRAPH_NONE || crosses[input] || !value_batched(&graph->values[input]))
            continue;
        crosses[input] = true;
        *elements += value_elements(&graph->values[input]);
    }
}

static void print_node(FILE *out, const struct graph *graph, const struct node *node,
                       struct totals *totals)
{
    char shape[128];
    const struct value *output = &graph->values[node->output];
    double flops = shape_infer_flops(graph, node);
    size_t parameters = node_parameters(graph, node);
    shape_text(&output->shape, shape, sizeof shape);
    totals->parameters += parameters;
    totals->flops += flops;
    fprintf(out, "%-20s %-34.34s %-20s %10zu %12.0f %10zu\n", op_table_row(node->op)->type,
            output->name, shape, parameters, flops,
            value_batched(output) ? value_elements(output) * sizeof(float) : 0);
}

static void print_nodes(FILE *out, const struct model *model)
{
    struct totals totals = {0};
    fprintf(out, "%-20s %-34s %-20s %10s %12s %10s\n", "operator", "output", "shape", "parameters",
            "flops/sample", "bytes/sample");
    for (size_t i = 0; i < model->graph->node_count; i++)
        print_node(out, model->graph, &model->graph->nodes[i], &totals);
    fprintf(out, "\ntotal: %zu parameters, %.1f MFLOP per sample, %zu features, %zu classes\n",
            totals.parameters, totals.flops / 1e6, model->feature_count, model->class_count);
}

/* One line a weighted layer, from the head backwards: what freezing everything before it would
 * mean. */
static void print_boundaries(FILE *out, const struct model *model, bool *crosses)
{
    const struct graph *graph = model->graph;
    size_t parameters = 0, blocks = 0, crossing = 0;
    double flops = 0;
    fprintf(out,
            "\nfreeze boundaries (last_blocks = N trains the layer in line N and all after it):\n");
    fprintf(out, "%6s %-34s %12s %16s %14s\n", "N", "first live weight", "parameters",
            "features/sample", "flops/sample");
    for (size_t i = graph->node_count; i-- > 0;) {
        const struct node *node = &graph->nodes[i];
        parameters += node_parameters(graph, node);
        flops += shape_infer_flops(graph, node);
        move_boundary(graph, node, crosses, &crossing);
        if (!live_set_weighted(model, node))
            continue;
        fprintf(out, "%6zu %-34.34s %12zu %16zu %14.0f\n", blocks++,
                graph->values[node->inputs[1]].name, parameters, crossing, flops);
    }
}

enum status model_inspect(const struct model *model, int fd, struct error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    bool *crosses = memory_alloc(model->graph->value_count, sizeof *crosses);
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL || crosses == NULL) {
        memory_free(crosses);
        if (out != NULL)
            fclose(out);
        free(text);
        return error_set(err, ERR_MEMORY, "no memory to describe the model");
    }
    print_nodes(out, model);
    print_boundaries(out, model, crosses);
    memory_free(crosses);
    enum status status = OK;
    if (fclose(out) != 0)
        status = error_set(err, ERR_MEMORY, "no memory to describe the model");
    for (size_t done = 0; done < bytes && status == OK;) {
        ssize_t wrote = write(fd, text + done, bytes - done);
        if (wrote < 0 && errno != EINTR)
            status =
                error_set(err, ERR_IO, "the description cannot be written: %s", strerror(errno));
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    free(text);
    return status;
}
