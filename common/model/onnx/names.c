#include "common/model/onnx/names.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/model/graph.h"

static int by_name(const void *a, const void *b)
{
    const struct onnx_name *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order != 0 ? order : (int)left->maker - (int)right->maker;
}

static void add(struct onnx_names *names, const char *name, enum onnx_maker maker, size_t index)
{
    if (name != NULL && name[0] != '\0')
        names->sorted[names->count++] = (struct onnx_name){name, maker, (uint32_t)index, false};
}

static enum status count_names(const Onnx__GraphProto *graph, size_t *out, struct error *err)
{
    size_t count = graph->n_input + graph->n_initializer;
    if (graph->n_node > GRAPH_NODES_MAX)
        return error_set(err, ERR_INPUT, "%zu nodes, the limit is %zu", graph->n_node,
                         GRAPH_NODES_MAX);
    for (size_t i = 0; i < graph->n_node; i++)
        count += graph->node[i]->n_output;
    if (count > GRAPH_VALUES_MAX)
        return error_set(err, ERR_INPUT, "%zu tensors, the limit is %zu", count, GRAPH_VALUES_MAX);
    *out = count;
    return OK;
}

/* Sorted, an input stands right before the initializer of the same name: the input goes. */
static enum status drop_doubles(struct onnx_names *names, struct error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < names->count; i++) {
        struct onnx_name *last = kept > 0 ? &names->sorted[kept - 1] : NULL;
        if (last == NULL || strcmp(last->name, names->sorted[i].name) != 0) {
            names->sorted[kept++] = names->sorted[i];
        } else if (last->maker == MAKER_INPUT && names->sorted[i].maker == MAKER_INITIALIZER) {
            *last = names->sorted[i];
        } else {
            return error_set(err, ERR_INPUT, "tensor %.200s is made twice", last->name);
        }
    }
    names->count = kept;
    return OK;
}

enum status onnx_names_init(const Onnx__GraphProto *graph, struct onnx_names *out,
                            struct error *err)
{
    struct onnx_names names = {0};
    size_t room = 0;
    enum status status = count_names(graph, &room, err);
    if (status != OK)
        return status;
    names.sorted = memory_alloc(room, sizeof *names.sorted);
    if (names.sorted == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu names", room);
    for (size_t i = 0; i < graph->n_input; i++)
        add(&names, graph->input[i]->name, MAKER_INPUT, i);
    for (size_t i = 0; i < graph->n_initializer; i++)
        add(&names, graph->initializer[i]->name, MAKER_INITIALIZER, i);
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_output; k++)
            add(&names, graph->node[i]->output[k], k == 0 ? MAKER_NODE : MAKER_SECOND_OUTPUT, i);
    qsort(names.sorted, names.count, sizeof *names.sorted, by_name);
    status = drop_doubles(&names, err);
    if (status == OK)
        *out = names;
    else
        onnx_names_deinit(&names);
    return status;
}

void onnx_names_deinit(struct onnx_names *names)
{
    memory_free(names->sorted);
    *names = (struct onnx_names){0};
}

struct onnx_name *onnx_names_find(const struct onnx_names *names, const char *name)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(names->sorted[middle].name, name);
        if (order == 0)
            return &names->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
