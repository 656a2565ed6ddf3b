#include "common/model/graph.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

#define CHUNK_BYTES ((size_t)1 << 16)
#define NAME_SLOTS_FIRST ((size_t)256)

/* Chunks in a list; big requests get a chunk of their own. */
struct chunk {
    struct chunk *next;
    size_t used, bytes;
};

struct names {
    uint32_t *slots; /* value index + 1; 0 = free */
    size_t slot_count;
};

static size_t chunk_header(void)
{
    return (sizeof(struct chunk) + MEMORY_ALIGN - 1) / MEMORY_ALIGN * MEMORY_ALIGN;
}

enum status graph_create(struct graph **out, struct error *err)
{
    struct graph *graph = memory_alloc(1, sizeof *graph);
    struct names *names = memory_alloc(1, sizeof *names);
    if (graph != NULL)
        graph->names = names;
    if (graph == NULL || names == NULL) {
        memory_free(names);
        memory_free(graph);
        return error_set(err, ERR_MEMORY, "no memory for a graph");
    }
    graph->input = graph->output = graph->features = GRAPH_NONE;
    *out = graph;
    return OK;
}

void graph_destroy(struct graph **graph)
{
    if (*graph == NULL)
        return;
    for (struct chunk *chunk = (*graph)->arena, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        memory_free(chunk);
    }
    struct names *names = (*graph)->names;
    memory_free(names->slots);
    memory_free(names);
    memory_free((*graph)->values);
    memory_free((*graph)->nodes);
    memory_free(*graph);
    *graph = NULL;
}

static struct chunk *chunk_add(struct graph *graph, size_t bytes)
{
    size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES, total;
    if (!size_add(room, chunk_header(), &total))
        return NULL;
    struct chunk *chunk = memory_alloc(total, 1);
    if (chunk == NULL)
        return NULL;
    chunk->bytes = room;
    chunk->next = graph->arena;
    graph->arena = chunk;
    return chunk;
}

void *graph_alloc(struct graph *graph, size_t count, size_t bytes)
{
    size_t total;
    if (!size_mul(count, bytes, &total) || !size_add(total, MEMORY_ALIGN - 1, &total))
        return NULL;
    total = total / MEMORY_ALIGN * MEMORY_ALIGN;
    struct chunk *chunk = graph->arena;
    if (chunk == NULL || chunk->bytes - chunk->used < total)
        chunk = chunk_add(graph, total);
    if (chunk == NULL)
        return NULL;
    void *memory = (char *)chunk + chunk_header() + chunk->used;
    chunk->used += total;
    return memory;
}

/* Doubles an array of the graph; all-or-nothing. */
static bool grow(void **array, size_t *room, size_t bytes)
{
    size_t wanted = *room == 0 ? 64 : 2 * *room;
    void *larger = memory_alloc(wanted, bytes);
    if (larger == NULL)
        return false;
    if (*room > 0)
        memcpy(larger, *array, *room * bytes);
    memory_free(*array);
    *array = larger;
    *room = wanted;
    return true;
}

/* FNV-1a (Fowler, Noll, Vo). Hostile names can only cost time, bounded by GRAPH_VALUES_MAX. */
static size_t name_hash(const char *name)
{
    uint64_t hash = 14695981039346656037u;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 1099511628211u;
    return (size_t)hash;
}

static uint32_t *name_slot(const struct graph *graph, const char *name)
{
    const struct names *names = graph->names;
    size_t at = name_hash(name) & (names->slot_count - 1);
    while (names->slots[at] != 0 && strcmp(graph->values[names->slots[at] - 1].name, name) != 0)
        at = (at + 1) & (names->slot_count - 1);
    return &names->slots[at];
}

static bool names_grow(struct graph *graph)
{
    struct names *names = graph->names;
    size_t wanted = names->slot_count == 0 ? NAME_SLOTS_FIRST : 2 * names->slot_count;
    uint32_t *slots = memory_alloc(wanted, sizeof *slots);
    if (slots == NULL)
        return false;
    memory_free(names->slots);
    *names = (struct names){slots, wanted};
    for (size_t i = 0; i < graph->value_count; i++)
        *name_slot(graph, graph->values[i].name) = (uint32_t)i + 1;
    return true;
}

uint32_t graph_find(const struct graph *graph, const char *name)
{
    const struct names *names = graph->names;
    return names->slot_count == 0 ? GRAPH_NONE : *name_slot(graph, name) - 1;
}

static char *copy_name(struct graph *graph, const char *name)
{
    size_t length = strlen(name);
    char *copy = graph_alloc(graph, length + 1, 1);
    if (copy != NULL)
        memcpy(copy, name, length);
    return copy;
}

static enum status check_name(const struct graph *graph, const char *name, struct error *err)
{
    if (strnlen(name, GRAPH_NAME_BYTES_MAX) == GRAPH_NAME_BYTES_MAX)
        return error_set(err, ERR_INPUT, "a name is longer than %zu bytes: %.60s…",
                         GRAPH_NAME_BYTES_MAX - 1, name);
    if (graph_find(graph, name) != GRAPH_NONE)
        return error_set(err, ERR_INPUT, "the name %s is used for two tensors", name);
    return OK;
}

enum status graph_add_value(struct graph *graph, const char *name, enum dtype dtype,
                            const struct shape *shape, const void *data, bool parameter,
                            uint32_t *out, struct error *err)
{
    struct names *names = graph->names;
    enum status status = check_name(graph, name, err);
    if (status != OK)
        return status;
    if (graph->value_count >= GRAPH_VALUES_MAX)
        return error_set(err, ERR_INPUT, "more than %zu tensors", GRAPH_VALUES_MAX);
    char *copy = copy_name(graph, name);
    if (copy == NULL ||
        (graph->value_count == graph->value_room &&
         !grow((void **)&graph->values, &graph->value_room, sizeof *graph->values)) ||
        (2 * (graph->value_count + 1) > names->slot_count && !names_grow(graph)))
        return error_set(err, ERR_MEMORY, "no memory for tensor %s", name);
    *name_slot(graph, name) = (uint32_t)graph->value_count + 1;
    graph->values[graph->value_count] = (struct value){.name = copy,
                                                       .dtype = dtype,
                                                       .shape = *shape,
                                                       .data = data,
                                                       .parameter = parameter,
                                                       .producer = GRAPH_NONE};
    *out = (uint32_t)graph->value_count++;
    return OK;
}

enum status graph_add_input(struct graph *graph, const char *name, enum dtype dtype,
                            const struct shape *shape, uint32_t *out, struct error *err)
{
    uint32_t value = GRAPH_NONE;
    if (graph->input_count == GRAPH_INPUTS_MAX)
        return error_set(err, ERR_SUPPORT, "%.100s is one input more than the %zu supported", name,
                         GRAPH_INPUTS_MAX);
    enum status status = graph_add_value(graph, name, dtype, shape, NULL, false, &value, err);
    if (status != OK)
        return status;
    graph->inputs[graph->input_count++] = value;
    graph->input = graph->inputs[0];
    *out = value;
    return OK;
}

enum status graph_add_node(struct graph *graph, enum op op, const char *name,
                           const uint32_t *inputs, size_t input_count, const char *output,
                           const struct attributes *attributes, uint32_t *out, struct error *err)
{
    static const struct shape unknown = {0};
    uint32_t value = GRAPH_NONE;
    CHECK((size_t)op < OP_COUNT);
    if (graph->node_count >= GRAPH_NODES_MAX || input_count > GRAPH_PORTS_MAX)
        return error_set(err, ERR_INPUT, "node %.100s: more than %zu nodes or %zu inputs", name,
                         GRAPH_NODES_MAX, GRAPH_PORTS_MAX);
    for (size_t i = 0; i < input_count; i++)
        CHECK(inputs[i] == GRAPH_NONE || inputs[i] < graph->value_count);
    enum status status =
        graph_add_value(graph, output, DTYPE_F32, &unknown, NULL, false, &value, err);
    if (status != OK)
        return status;
    char *copy = copy_name(graph, name);
    uint32_t *ports = graph_alloc(graph, input_count, sizeof *ports);
    if (copy == NULL || ports == NULL ||
        (graph->node_count == graph->node_room &&
         !grow((void **)&graph->nodes, &graph->node_room, sizeof *graph->nodes)))
        return error_set(err, ERR_MEMORY, "no memory for node %s", name);
    if (input_count > 0)
        memcpy(ports, inputs, input_count * sizeof *ports);
    graph->values[value].producer = (uint32_t)graph->node_count;
    graph->nodes[graph->node_count++] = (struct node){.op = op,
                                                      .name = copy,
                                                      .attributes = *attributes,
                                                      .inputs = ports,
                                                      .input_count = input_count,
                                                      .output = value};
    *out = value;
    return OK;
}

bool value_batched(const struct value *value)
{
    return value->shape.rank > 0 && value->shape.dims[0] == -1;
}

size_t value_elements(const struct value *value)
{
    size_t elements = 0;
    struct shape one = value->shape;
    if (value_batched(value))
        one.dims[0] = 1;
    CHECK(shape_elements(&one, &elements));
    return elements;
}

static void reverse(struct node *nodes, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct node kept = nodes[i];
        nodes[i] = nodes[count - 1 - i];
        nodes[count - 1 - i] = kept;
    }
}

void graph_rotate(struct graph *graph, size_t count)
{
    CHECK(count <= graph->node_count);
    reverse(graph->nodes, graph->node_count);
    reverse(graph->nodes, count);
    reverse(graph->nodes + count, graph->node_count - count);
    for (size_t i = 0; i < graph->node_count; i++)
        graph->values[graph->nodes[i].output].producer = (uint32_t)i;
}
