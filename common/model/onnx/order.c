#include "common/model/onnx/order.h"

#include <string.h>

#include "common/base/memory.h"

struct walk {
    const Onnx__GraphProto *graph;
    const struct onnx_names *names;
    uint8_t *marks;   /* per node: 0 unseen, 1 open, 2 done */
    uint32_t *stack;  /* open nodes */
    size_t *progress; /* next input of each open node */
    size_t depth;
    struct onnx_order *order;
};

const char *onnx_order_node_name(const Onnx__NodeProto *node)
{
    if (node->name != NULL && node->name[0] != '\0')
        return node->name;
    return node->n_output > 0 && node->output[0] != NULL ? node->output[0] : "(without name)";
}

/* Of the other operators only the first output is computed. */
static bool has_several_outputs(const Onnx__NodeProto *node)
{
    return node->op_type != NULL && strcmp(node->op_type, "Split") == 0;
}

static enum status push(struct walk *walk, const char *tensor, const char *user, struct error *err)
{
    struct onnx_name *name = onnx_names_find(walk->names, tensor);
    if (name == NULL)
        return error_set(err, ERR_INPUT,
                         "%.100s needs tensor %.100s, which nothing in the file makes", user,
                         tensor);
    name->used = true;
    bool further = name->maker == MAKER_SECOND_OUTPUT;
    if (further && !has_several_outputs(walk->graph->node[name->index]))
        return error_set(err, ERR_SUPPORT,
                         "%.100s needs tensor %.100s, a further output of node %.100s", user,
                         tensor, onnx_order_node_name(walk->graph->node[name->index]));
    if ((name->maker != MAKER_NODE && !further) || walk->marks[name->index] == 2)
        return OK;
    if (walk->marks[name->index] == 1)
        return error_set(err, ERR_INPUT, "the graph has a cycle through node %.100s",
                         onnx_order_node_name(walk->graph->node[name->index]));
    walk->marks[name->index] = 1;
    walk->progress[walk->depth] = 0;
    walk->stack[walk->depth++] = name->index;
    return OK;
}

static enum status run(struct walk *walk, const char *cut, struct error *err)
{
    enum status status = push(walk, cut, "the cut", err);
    while (status == OK && walk->depth > 0) {
        uint32_t index = walk->stack[walk->depth - 1];
        const Onnx__NodeProto *node = walk->graph->node[index];
        size_t *next = &walk->progress[walk->depth - 1];
        if (*next == node->n_input) {
            walk->marks[index] = 2;
            walk->order->nodes[walk->order->count++] = index;
            walk->depth--;
            continue;
        }
        const char *input = node->input[(*next)++];
        if (input != NULL && input[0] != '\0')
            status = push(walk, input, onnx_order_node_name(node), err);
    }
    return status;
}

enum status onnx_order_init(struct onnx_order *order, const Onnx__GraphProto *graph,
                            const struct onnx_names *names, const char *cut, struct error *err)
{
    struct walk walk = {.graph = graph,
                        .names = names,
                        .marks = memory_alloc(graph->n_node, 1),
                        .stack = memory_alloc(graph->n_node, sizeof *walk.stack),
                        .progress = memory_alloc(graph->n_node, sizeof *walk.progress),
                        .order = order};
    *order = (struct onnx_order){.nodes = memory_alloc(graph->n_node, sizeof *order->nodes)};
    enum status status = OK;
    if (walk.marks == NULL || walk.stack == NULL || walk.progress == NULL || order->nodes == NULL)
        status = error_set(err, ERR_MEMORY, "no memory for %zu nodes", graph->n_node);
    if (status == OK)
        status = run(&walk, cut, err);
    memory_free(walk.marks);
    memory_free(walk.stack);
    memory_free(walk.progress);
    return status;
}

void onnx_order_deinit(struct onnx_order *order)
{
    memory_free(order->nodes);
    *order = (struct onnx_order){0};
}
