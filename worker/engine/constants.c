#include "worker/engine/constants.h"

#include <float.h>
#include <math.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "worker/engine/sites.h"

/* ---- other types ---- */

static float narrow(double v)
{
    bool finite = isfinite(v);
    return (float)(finite && v > (double)FLT_MAX    ? (double)FLT_MAX
                   : finite && v < -(double)FLT_MAX ? -(double)FLT_MAX
                                                    : v);
}

static int64_t whole_at(const struct value *value, size_t i)
{
    switch (value->dtype) {
    case DTYPE_I64:
        return ((const int64_t *)value->data)[i];
    case DTYPE_I32:
        return ((const int32_t *)value->data)[i];
    case DTYPE_I8:
        return ((const int8_t *)value->data)[i];
    case DTYPE_U8:
        return ((const uint8_t *)value->data)[i];
    case DTYPE_BOOL:
        return ((const uint8_t *)value->data)[i] != 0;
    case DTYPE_F32:
    case DTYPE_F64:
        break;
    }
    CHECK(false);
    return 0;
}

/* 2⁶³ itself is no int64. */
static bool holds(float f, int64_t whole)
{
    return f < 0x1p63f && (int64_t)f == whole;
}

static enum status convert(const struct value *value, float *to, struct error *err)
{
    size_t n = value_elements(value);
    for (size_t i = 0; i < n && value->dtype == DTYPE_F64; i++)
        to[i] = narrow(((const double *)value->data)[i]);
    for (size_t i = 0; i < n && value->dtype != DTYPE_F64; i++) {
        int64_t whole = whole_at(value, i);
        to[i] = (float)whole;
        if (!holds(to[i], whole))
            return error_set(err, ERR_INPUT, "constant %s holds %lld, which float32 cannot",
                             value->name, (long long)whole);
    }
    return OK;
}

static enum status take_constant(struct constants *constants, const struct graph *graph,
                                 size_t index, struct error *err)
{
    const struct value *value = &graph->values[index];
    if (value->dtype == DTYPE_F32) {
        constants->data[index] = value->data;
        return OK;
    }
    constants->owned[index] = memory_alloc(value_elements(value), sizeof(float));
    if (constants->owned[index] == NULL)
        return error_set(err, ERR_MEMORY, "no memory for constant %s", value->name);
    constants->data[index] = constants->owned[index];
    return convert(value, constants->owned[index], err);
}

/* ---- constant nodes ---- */

static bool is_constant(const struct constants *constants, const struct graph *graph,
                        const struct node *node)
{
    bool constant = !value_batched(&graph->values[node->output]);
    for (size_t k = 0; k < node->input_count && constant; k++)
        constant = node->inputs[k] == GRAPH_NONE || constants->data[node->inputs[k]] != NULL;
    return constant;
}

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
        status = sites_check(&sites, err);
    }
    if (status == OK)
        constants->data[node->output] = constants->owned[node->output] = y;
    else
        memory_free(y);
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
    for (size_t i = 0; i < graph->value_count && status == OK; i++)
        if (graph->values[i].data != NULL && program->uses[i] > 0 &&
            program->plan->split->tensor_of[i] == GRAPH_NONE)
            status = take_constant(constants, graph, i, err);
    for (size_t i = 0; i < program->node_count && status == OK; i++)
        if (is_constant(constants, graph, &program->nodes[i]))
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
