#include "common/model/state_dict.h"

#include <string.h>

#include "common/base/memory.h"
#include "common/tensor/safetensors.h"

#define BIAS ".bias"
#define WEIGHT ".weight"

struct state_dict {
    const struct graph *graph;
    struct graph *arena; /* names and turned weights */
    struct safetensor *tensors;
    size_t count, nameless;
    struct error *err;
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

/* Of a tensor that an exporter numbered. */
static bool is_number(const char *name)
{
    const char *digits = strncmp(name, "val_", 4) == 0 ? name + 4 : name;
    return strstr(name, "::") != NULL || strspn(digits, "0123456789") == strlen(digits);
}

static enum status no_memory(struct state_dict *dict)
{
    return error_set(dict->err, ERR_MEMORY, "no memory for the names of %zu tensors",
                     dict->graph->value_count);
}

/* `stem`[length] and what follows; NULL when memory is refused. */
static const char *joined(struct state_dict *dict, const char *stem, size_t length,
                          const char *after)
{
    char *name = graph_alloc(dict->arena, length + strlen(after) + 1, 1);
    if (name == NULL)
        return NULL;
    memcpy(name, stem, length);
    memcpy(name + length, after, strlen(after) + 1);
    return name;
}

/* "/stem/stem.0/Conv" → "stem.0": a part that repeats the one before stands for both. NULL: the node
 * is not called by its module. */
static char *module_of(struct state_dict *dict, const char *node)
{
    const char *last = strrchr(node, '/');
    if (node[0] != '/' || last == node)
        return NULL;
    char *out = graph_alloc(dict->arena, (size_t)(last - node) + 1, 1);
    size_t used = 0, before = 0;
    for (const char *at = node + 1; out != NULL && at < last; at += strcspn(at, "/") + 1) {
        size_t length = strcspn(at, "/"), previous = used - before;
        bool repeats = used > 0 && length > previous && at[previous] == '.' &&
                       strncmp(at, out + before, previous) == 0;
        if (repeats)
            used = before;
        else if (used > 0)
            out[used++] = '.';
        before = used;
        memcpy(out + used, at, length);
        used += length;
    }
    return out;
}

/* The bias [out] that is added to a node's output, or NULL. */
static const struct value *bias_after(const struct graph *graph, const struct node *product)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (node->op != OP_ADD || node->input_count != 2)
            continue;
        for (size_t k = 0; k < 2; k++) {
            const struct value *other = &graph->values[node->inputs[1 - k]];
            if (node->inputs[k] == product->output && other->parameter && other->shape.rank == 1 &&
                ends_with(other->name, BIAS))
                return other;
        }
    }
    return NULL;
}

/* The name of a numbered tensor by the node that takes it as input `k`, or NULL. */
static const char *recovered(struct state_dict *dict, const struct node *node, size_t k,
                             bool *turned)
{
    bool linear =
        node->op == OP_MATMUL && k == 1 && dict->graph->values[node->inputs[1]].shape.rank == 2;
    bool convolution = (node->op == OP_CONV || node->op == OP_CONV_TRANSPOSE) && k > 0;
    const struct value *bias = linear ? bias_after(dict->graph, node) : NULL;
    *turned = linear;
    if (bias != NULL)
        return joined(dict, bias->name, strlen(bias->name) - strlen(BIAS), WEIGHT);
    const char *module = linear || convolution ? module_of(dict, node->name) : NULL;
    return module == NULL ? NULL : joined(dict, module, strlen(module), k == 2 ? BIAS : WEIGHT);
}

/* [in, out] → [out, in] */
static enum status turn(struct state_dict *dict, struct safetensor *tensor)
{
    size_t rows = (size_t)tensor->shape.dims[0], columns = (size_t)tensor->shape.dims[1];
    const float *from = tensor->data;
    float *to = graph_alloc(dict->arena, rows * columns, sizeof *to);
    if (to == NULL)
        return no_memory(dict);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            to[j * rows + i] = from[i * columns + j];
    tensor->shape = (struct shape){.rank = 2, .dims = {(int64_t)columns, (int64_t)rows}};
    tensor->data = to;
    return OK;
}

static bool is_taken(const struct state_dict *dict, const char *name)
{
    for (size_t i = 0; i < dict->count; i++)
        if (strcmp(dict->tensors[i].name, name) == 0)
            return true;
    return graph_find(dict->graph, name) != GRAPH_NONE;
}

static enum status add_numbered(struct state_dict *dict, struct safetensor tensor,
                                const struct node *node, size_t k)
{
    bool turned = false;
    const char *name = recovered(dict, node, k, &turned);
    enum status status = OK;
    if (name == NULL || is_taken(dict, name)) {
        dict->nameless++;
    } else {
        tensor.name = name;
        status = turned ? turn(dict, &tensor) : OK;
    }
    dict->tensors[dict->count++] = tensor;
    return status;
}

static enum status add_input(struct state_dict *dict, const struct node *node, size_t k, bool *seen)
{
    uint32_t index = node->inputs[k];
    const struct value *value = &dict->graph->values[index],
                       *output = &dict->graph->values[node->output];
    struct safetensor tensor = {value->name, value->dtype, value->shape, value->data};
    bool copy = node->op == OP_IDENTITY && output->name[0] != '/' && !is_number(output->name);
    if (copy)
        dict->tensors[dict->count++] =
            (struct safetensor){output->name, value->dtype, value->shape, value->data};
    if (seen[index] || value->name[0] == '/')
        return OK;
    seen[index] = true;
    if (is_number(value->name))
        return add_numbered(dict, tensor, node, k);
    dict->tensors[dict->count++] = tensor;
    return OK;
}

static enum status collect(struct state_dict *dict)
{
    const struct graph *graph = dict->graph;
    bool *seen = graph_alloc(dict->arena, graph->value_count, sizeof *seen);
    dict->tensors =
        graph_alloc(dict->arena, graph->value_count + graph->node_count, sizeof *dict->tensors);
    enum status status = seen == NULL || dict->tensors == NULL ? no_memory(dict) : OK;
    for (size_t i = 0; i < graph->node_count; i++)
        for (size_t k = 0; k < graph->nodes[i].input_count && status == OK; k++) {
            uint32_t input = graph->nodes[i].inputs[k];
            if (input != GRAPH_NONE && graph->values[input].parameter)
                status = add_input(dict, &graph->nodes[i], k, seen);
        }
    return status;
}

enum status state_dict_write(const struct graph *graph, const char *path, size_t *nameless,
                             struct error *err)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    struct state_dict dict = {.graph = graph, .err = err};
    enum status status = graph_create(&dict.arena, err);
    if (status == OK)
        status = collect(&dict);
    if (status == OK)
        status = safetensors_write(path, dict.tensors, dict.count, metadata, err);
    if (status == OK)
        *nameless = dict.nameless;
    graph_destroy(&dict.arena);
    return status;
}
