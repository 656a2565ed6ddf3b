#include "tests/conformance/executor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/engine/sites.h"

#define LINE_BYTES ((size_t)64)

struct run {
    const struct graph *graph;
    struct onednn dnn;
    struct sites sites;
    float **data; /* per value; all of them owned but the inputs */
    float *scratch;
};

static float *floats(size_t count)
{
    size_t bytes = (count * sizeof(float) + LINE_BYTES) / LINE_BYTES * LINE_BYTES;
    return aligned_alloc(LINE_BYTES, bytes);
}

static double number_at(enum dtype dtype, const void *data, size_t i)
{
    switch (dtype) {
    case DTYPE_F32:
        return (double)((const float *)data)[i];
    case DTYPE_F64:
        return ((const double *)data)[i];
    case DTYPE_I32:
        return ((const int32_t *)data)[i];
    case DTYPE_I64:
        return (double)((const int64_t *)data)[i];
    case DTYPE_U8:
        return ((const uint8_t *)data)[i];
    case DTYPE_I8:
        return ((const int8_t *)data)[i];
    case DTYPE_BOOL:
        return ((const uint8_t *)data)[i] != 0;
    }
    return 0;
}

enum status executor_floats(enum dtype dtype, const void *data, size_t count, float *out,
                            struct error *err)
{
    bool whole = dtype != DTYPE_F32 && dtype != DTYPE_F64;
    for (size_t i = 0; i < count; i++) {
        double number = number_at(dtype, data, i);
        out[i] = (float)number;
        if (whole && (double)out[i] != number)
            return error_set(err, ERR_INPUT, "float32 does not hold %.0f", number);
    }
    return OK;
}

static size_t elements_of(const struct run *run, uint32_t value, size_t batch)
{
    struct shape shape = sites_shape(run->graph, value, batch);
    return op_elements(&shape);
}

/* Constants that became attributes stay in the graph, and nobody takes them. */
static bool is_taken(const struct graph *graph, uint32_t value)
{
    for (size_t i = 0; i < graph->node_count; i++)
        for (size_t k = 0; k < graph->nodes[i].input_count; k++)
            if (graph->nodes[i].inputs[k] == value)
                return true;
    return value == graph->output;
}

static enum status prepare(struct run *run, const float *const *inputs, size_t batch,
                           struct error *err)
{
    const struct graph *graph = run->graph;
    enum status status = onednn_init(&run->dnn, err);
    if (status == OK)
        status = sites_init(&run->sites, graph->nodes, graph->node_count, graph, NULL, batch,
                            &run->dnn, err);
    if (status != OK)
        return status;
    run->scratch = floats(run->sites.scratch_elements);
    for (size_t i = 0; i < graph->value_count && status == OK; i++) {
        const struct value *value = &graph->values[i];
        size_t count = elements_of(run, (uint32_t)i, batch);
        run->data[i] = floats(count);
        if (run->data[i] == NULL)
            return error_set(err, ERR_MEMORY, "no memory for value %s", value->name);
        if (value->data != NULL && is_taken(graph, (uint32_t)i))
            status = executor_floats(value->dtype, value->data, count, run->data[i], err);
        for (size_t k = 0; k < graph->input_count; k++)
            if (graph->inputs[k] == i && count > 0)
                memcpy(run->data[i], inputs[k], count * sizeof(float));
    }
    return status;
}

static enum status compute(struct run *run, struct error *err)
{
    for (size_t i = 0; i < run->graph->node_count; i++) {
        const struct node *node = &run->graph->nodes[i];
        const float *x[GRAPH_PORTS_MAX];
        for (size_t k = 0; k < node->input_count; k++)
            x[k] = node->inputs[k] == GRAPH_NONE ? NULL : run->data[node->inputs[k]];
        op_kernel(node->op)->forward(&run->sites.at[i], x, run->data[node->output], run->scratch);
    }
    return sites_check(&run->sites, err);
}

static void release(struct run *run)
{
    for (size_t i = 0; i < run->graph->value_count; i++)
        free(run->data[i]);
    free(run->data);
    free(run->scratch);
    sites_deinit(&run->sites);
    onednn_deinit(&run->dnn);
}

enum status executor_run(const struct graph *graph, const float *const *inputs, size_t batch,
                         float **output, size_t *elements, struct error *err)
{
    struct run run = {.graph = graph, .data = calloc(graph->value_count + 1, sizeof *run.data)};
    if (run.data == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu values", graph->value_count);
    enum status status = prepare(&run, inputs, batch, err);
    if (status == OK)
        status = compute(&run, err);
    if (status == OK) {
        *output = run.data[graph->output];
        *elements = elements_of(&run, graph->output, batch);
        run.data[graph->output] = NULL;
    }
    release(&run);
    return status;
}
