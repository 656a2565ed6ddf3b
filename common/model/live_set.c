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

/* Added to something computed, and no longer than one axis: position embeddings are no biases. */
static bool is_bias(const struct graph *graph, const struct node *node, size_t k)
{
    const struct value *value = &graph->values[node->inputs[k]];
    size_t axes = 0;
    for (size_t i = 0; i < value->shape.rank; i++)
        axes += value->shape.dims[i] != 1;
    if (node->op == OP_ADD)
        return axes <= 1;
    return k == 2 && (node->op == OP_CONV || node->op == OP_CONV_TRANSPOSE || node->op == OP_GEMM);
}

static bool is_norm(const struct node *node, size_t k)
{
    return (k == 1 || k == 2) && (node->op == OP_BATCH_NORM || node->op == OP_LAYER_NORM ||
                                  node->op == OP_GROUP_NORM || node->op == OP_INSTANCE_NORM);
}

static bool is_of_kind(const struct graph *graph, const struct node *node, size_t k,
                       enum live_kind kind)
{
    bool norm = is_norm(node, k), bias = (norm && k == 2) || is_bias(graph, node, k);
    switch (kind) {
    case LIVE_ALL:
        return true;
    case LIVE_BIASES:
        return bias;
    case LIVE_NORMS:
        return norm;
    case LIVE_BIASES_AND_NORMS:
        return bias || norm;
    }
    check_failed("a kind of parameters", __FILE__, __LINE__);
}

/* Clears what no node uses as this kind. */
static enum status keep_kind(const struct graph *graph, enum live_kind kind, bool *live,
                             struct error *err)
{
    bool *kept = memory_alloc(graph->value_count, sizeof *kept), any = false, asked = false;
    if (kept == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu marks", graph->value_count);
    for (size_t i = 0; i + 1 < graph->node_count; i++)
        for (size_t k = 0; k < graph->nodes[i].input_count; k++) {
            uint32_t input = graph->nodes[i].inputs[k];
            if (input == GRAPH_NONE || !live[input])
                continue;
            asked = true;
            any |= kept[input] |= is_of_kind(graph, &graph->nodes[i], k, kind);
        }
    const struct node *head = &graph->nodes[graph->node_count - 1];
    for (size_t k = 1; k < head->input_count; k++)
        kept[head->inputs[k]] = live[head->inputs[k]];
    memcpy(live, kept, graph->value_count * sizeof *live);
    memory_free(kept);
    return any || !asked ? OK
                         : error_set(err, ERR_INPUT,
                                     "live_kind leaves none of the parameters that live and "
                                     "last_blocks choose");
}

static enum status mark_running(const struct graph *graph, const struct node *node, bool *live,
                                struct error *err)
{
    for (size_t k = 3; k < node->input_count; k++) {
        uint32_t input = node->inputs[k];
        if (!graph->values[input].parameter)
            return error_set(err, ERR_SUPPORT,
                             "batch_norm: the statistics of node %.100s are computed, so they "
                             "cannot follow the data",
                             node->name);
        if (live[input])
            return error_set(err, ERR_SUPPORT,
                             "batch_norm: %.100s are the statistics of two nodes, so they cannot "
                             "follow both",
                             graph->values[input].name);
        live[input] = true;
    }
    return OK;
}

static enum status choose_statistics(const struct graph *graph, enum batch_norm mode, bool *live,
                                     struct error *err)
{
    bool any = false;
    enum status status = OK;
    for (size_t i = 0; i < graph->node_count && status == OK; i++) {
        const struct node *node = &graph->nodes[i];
        if (node->op != OP_BATCH_NORM || !(live[node->inputs[1]] || live[node->inputs[2]]))
            continue;
        any = true;
        status = mark_running(graph, node, live, err);
    }
    for (size_t i = 0; i < graph->node_count && mode == BATCH_NORM_ADAPT; i++)
        if (graph->nodes[i].op == OP_BATCH_NORM)
            live[graph->nodes[i].inputs[1]] = live[graph->nodes[i].inputs[2]] = false;
    if (status == OK && !any)
        return error_set(err, ERR_INPUT,
                         "batch_norm: live and last_blocks choose no BatchNormalization");
    return status;
}

enum status live_set_mark(const struct model *model, const struct live_config *config, bool *live,
                          struct error *err)
{
    const struct graph *graph = model->graph;
    enum status status = OK;
    CHECK(graph->node_count > 0); /* the head */
    bool *trainable = memory_alloc(graph->value_count, sizeof *trainable);
    if (trainable == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu marks", graph->value_count);
    mark_trainable(graph, trainable);
    memset(live, 0, graph->value_count * sizeof *live);
    for (size_t i = 0; i < config->pattern_count && status == OK; i++)
        status = mark_pattern(graph, trainable, config->patterns[i], live, err);
    if (status == OK)
        mark_last(model, config->last_blocks, trainable, live);
    memory_free(trainable);
    if (status == OK)
        status = keep_kind(graph, config->kind, live, err);
    if (status == OK && config->batch_norm != BATCH_NORM_FROZEN)
        status = choose_statistics(graph, config->batch_norm, live, err);
    return status;
}
