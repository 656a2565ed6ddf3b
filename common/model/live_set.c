#include "common/model/live_set.h"

#include <fnmatch.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/config/nearest.h"
#include "common/model/graph.h"
#include "common/model/op_table.h"

bool live_set_weighted(const struct model *model, const struct node *node)
{
    if (node->op != OP_CONV && node->op != OP_CONV_TRANSPOSE && node->op != OP_GEMM &&
        node->op != OP_MATMUL)
        return false;
    return model->graph->values[node->inputs[1]].parameter;
}

static void mark_trainable(const struct graph *graph, bool *trainable)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        for (size_t k = 0; k < node->input_count; k++)
            if (node->inputs[k] != GRAPH_NONE && graph->values[node->inputs[k]].parameter)
                trainable[node->inputs[k]] |= op_table_differentiable(node, k);
    }
}

static enum status unmatched(const struct graph *graph, const bool *trainable, const char *pattern,
                             struct error *err)
{
    const char *nearest = "(none)";
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < graph->value_count; i++) {
        size_t far = trainable[i] ? nearest_distance(pattern, graph->values[i].name) : SIZE_MAX;
        if (far < best) {
            best = far;
            nearest = graph->values[i].name;
        }
    }
    return error_set(err, ERR_INPUT,
                     "the pattern \"%.100s\" matches no parameter; the nearest is %.100s", pattern,
                     nearest);
}

static enum status mark_pattern(const struct graph *graph, const bool *trainable,
                                const char *pattern, bool *live, struct error *err)
{
    bool found = false;
    for (size_t i = 0; i < graph->value_count; i++)
        if (trainable[i] && fnmatch(pattern, graph->values[i].name, 0) == 0)
            live[i] = found = true;
    return found ? OK : unmatched(graph, trainable, pattern, err);
}

/* In graph order, everything from the Nth last weighted layer on (the new head, the last node, does
 * not count). */
static void mark_last(const struct model *model, uint32_t last_blocks, const bool *trainable,
                      bool *live)
{
    const struct graph *graph = model->graph;
    size_t first = graph->node_count - 1;
    for (uint32_t left = last_blocks; left > 0 && first > 0;) {
        first--;
        left -= live_set_weighted(model, &graph->nodes[first]);
    }
    for (size_t i = first; i < graph->node_count; i++)
        for (size_t k = 0; k < graph->nodes[i].input_count; k++) {
            uint32_t input = graph->nodes[i].inputs[k];
            if (input != GRAPH_NONE && trainable[input])
                live[input] = true;
        }
}

enum status live_set_mark(const struct model *model, const char *const *patterns,
                          size_t pattern_count, uint32_t last_blocks, bool *live, struct error *err)
{
    const struct graph *graph = model->graph;
    enum status status = OK;
    CHECK(graph->node_count > 0); /* the head */
    bool *trainable = memory_alloc(graph->value_count, sizeof *trainable);
    if (trainable == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu marks", graph->value_count);
    mark_trainable(graph, trainable);
    memset(live, 0, graph->value_count * sizeof *live);
    for (size_t i = 0; i < pattern_count && status == OK; i++)
        status = mark_pattern(graph, trainable, patterns[i], live, err);
    if (status == OK)
        mark_last(model, last_blocks, trainable, live);
    memory_free(trainable);
    return status;
}
