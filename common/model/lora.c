#include "common/model/lora.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/random.h"
#include "common/model/graph.h"
#include "common/model/live_set.h"
#include "common/model/onnx/attributes.h"
#include "common/model/shape_infer.h"

struct builder {
    struct model *model;
    const struct lora_config *config;
    struct error *err;
};

static enum status name_of(const struct builder *builder, uint32_t weight, const char *what,
                           char out[GRAPH_NAME_BYTES_MAX])
{
    const char *name = builder->model->graph->values[weight].name;
    int length = snprintf(out, GRAPH_NAME_BYTES_MAX, "%s.lora_%s", name, what);
    return length < (int)GRAPH_NAME_BYTES_MAX
               ? OK
               : error_set(builder->err, ERR_INPUT, "the name %.60s… is too long", name);
}

/* `spread` 0: zeros. */
static enum status add_factor(const struct builder *builder, uint32_t weight, const char *what,
                              size_t rows, size_t columns, double spread, uint32_t *out)
{
    struct graph *graph = builder->model->graph;
    char name[GRAPH_NAME_BYTES_MAX];
    const struct shape shape = {.rank = 2, .dims = {(int64_t)rows, (int64_t)columns}};
    const struct random_key key = {.purpose = RANDOM_INIT, .index = weight};
    enum status status = name_of(builder, weight, what, name);
    float *data = graph_alloc(graph, rows * columns, sizeof *data);
    if (status == OK && data == NULL)
        status = error_set(builder->err, ERR_MEMORY, "no memory for %s", name);
    if (status != OK)
        return status;
    for (size_t i = 0; i < rows * columns && spread > 0; i++)
        data[i] = (float)(spread * random_normal(key, (uint32_t)i));
    return graph_add_value(graph, name, DTYPE_F32, &shape, data, true, out, builder->err);
}

static enum status add_node(const struct builder *builder, enum op op, uint32_t weight,
                            const char *what, const struct attributes *attributes, uint32_t a,
                            uint32_t b, uint32_t *out)
{
    struct graph *graph = builder->model->graph;
    char name[GRAPH_NAME_BYTES_MAX];
    const uint32_t inputs[] = {a, b};
    struct attributes usual;
    onnx_attributes_default(op, graph->opset, &usual);
    enum status status = name_of(builder, weight, what, name);
    if (status == OK)
        status = graph_add_node(graph, op, name, inputs, b == GRAPH_NONE ? 1 : 2, name,
                                attributes != NULL ? attributes : &usual, out, builder->err);
    return status == OK
               ? shape_infer_node(graph, &graph->nodes[graph->node_count - 1], builder->err)
               : status;
}

static enum status add_scale(const struct builder *builder, uint32_t weight, uint32_t *out)
{
    struct graph *graph = builder->model->graph;
    char name[GRAPH_NAME_BYTES_MAX];
    float *scale = graph_alloc(graph, 1, sizeof *scale);
    enum status status = name_of(builder, weight, "scale", name);
    if (status == OK && scale == NULL)
        status = error_set(builder->err, ERR_MEMORY, "no memory for %s", name);
    if (status != OK)
        return status;
    *scale = (float)(builder->config->alpha / builder->config->rank);
    return graph_add_value(graph, name, DTYPE_F32, &(struct shape){0}, scale, false, out,
                           builder->err);
}

/* *out = W + scale·reshape(B·A, W's shape) */
static enum status add_adapter(const struct builder *builder, uint32_t weight, uint32_t *out)
{
    const struct shape shape = builder->model->graph->values[weight].shape;
    size_t p = (size_t)shape.dims[0],
           q = value_elements(&builder->model->graph->values[weight]) / p;
    uint32_t a, b, scale, at;
    struct attributes target = {.axes_count = shape.rank};
    memcpy(target.axes, shape.dims, shape.rank * sizeof *target.axes);
    enum status status =
        add_factor(builder, weight, "A", builder->config->rank, q, 1 / sqrt((double)q), &a);
    if (status == OK)
        status = add_factor(builder, weight, "B", p, builder->config->rank, 0, &b);
    if (status == OK)
        status = add_scale(builder, weight, &scale);
    if (status == OK)
        status = add_node(builder, OP_MATMUL, weight, "product", NULL, b, a, &at);
    if (status == OK)
        status = add_node(builder, OP_MUL, weight, "scaled", NULL, at, scale, &at);
    if (status == OK && shape.rank != 2)
        status = add_node(builder, OP_RESHAPE, weight, "shaped", &target, at, GRAPH_NONE, &at);
    return status == OK ? add_node(builder, OP_ADD, weight, "merged", NULL, weight, at, out)
                        : status;
}

static bool matches(const struct lora_config *config, const char *name)
{
    for (size_t i = 0; i < config->layer_count; i++)
        if (fnmatch(config->layers[i], name, 0) == 0)
            return true;
    return false;
}

/* Nodes 0 … count - 1 read the merged weight in place of the loaded one. */
static void redirect(struct graph *graph, size_t count, uint32_t weight, uint32_t merged)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < graph->nodes[i].input_count; k++)
            if (graph->nodes[i].inputs[k] == weight)
                ((uint32_t *)(uintptr_t)graph->nodes[i].inputs)[k] = merged; /* the graph is ours */
}

enum status lora_add(struct model *model, const struct lora_config *config, struct error *err)
{
    const struct builder builder = {model, config, err};
    struct graph *graph = model->graph;
    size_t loaded = graph->node_count;
    enum status status = OK;
    for (size_t i = 0; i < loaded && status == OK; i++) {
        uint32_t merged, weight;
        if (!live_set_weighted(model, &graph->nodes[i]))
            continue;
        weight = graph->nodes[i].inputs[1];
        if (graph->values[weight].shape.rank < 2 || !matches(config, graph->values[weight].name))
            continue;
        status = add_adapter(&builder, weight, &merged);
        if (status == OK)
            redirect(graph, loaded, weight, merged);
    }
    if (status == OK && graph->node_count == loaded)
        return error_set(err, ERR_INPUT,
                         "model.lora.layers matches no weight of a Conv, Gemm or MatMul");
    model->adapter_nodes = graph->node_count - loaded;
    graph_rotate(graph, model->adapter_nodes);
    return status;
}

/* ---- merging ---- */

static const float *data_of(const struct graph *graph, const float *const *replaced, uint32_t value)
{
    return replaced[value] != NULL ? replaced[value] : graph->values[value].data;
}

/* The nodes of one adapter end with its Add; its product comes first. */
static enum status merge_one(const struct graph *graph, const float *const *replaced,
                             const struct node *product, const struct node *add,
                             struct graph *arena, struct graph *out, struct error *err)
{
    uint32_t weight = add->inputs[0];
    const float *b = data_of(graph, replaced, product->inputs[0]);
    const float *a = data_of(graph, replaced, product->inputs[1]);
    const float *w = data_of(graph, replaced, weight);
    double scale = (double)*(const float *)graph->values[product[1].inputs[1]].data;
    size_t elements = value_elements(&graph->values[weight]);
    size_t rank = (size_t)graph->values[product->inputs[0]].shape.dims[1];
    size_t q = (size_t)graph->values[product->inputs[1]].shape.dims[1];
    float *merged = graph_alloc(arena, elements, sizeof *merged);
    if (merged == NULL)
        return error_set(err, ERR_MEMORY, "no memory to merge adapters");
    for (size_t i = 0; i < elements; i++) {
        double sum = 0;
        for (size_t r = 0; r < rank; r++)
            sum += (double)b[i / q * rank + r] * (double)a[r * q + i % q];
        merged[i] = (float)((double)w[i] + scale * sum);
    }
    out->values[add->output].data = merged;
    out->values[add->output].parameter = true;
    out->values[add->output].producer = GRAPH_NONE;
    out->values[add->output].name = graph->values[weight].name;
    return OK;
}

enum status lora_merge(const struct model *model, const float *const *replaced, struct graph *arena,
                       struct graph *out, struct error *err)
{
    const struct graph *graph = model->graph;
    const struct node *product = graph->nodes;
    enum status status = OK;
    *out = *graph;
    out->values = graph_alloc(arena, graph->value_count, sizeof *out->values);
    if (out->values == NULL)
        return error_set(err, ERR_MEMORY, "no memory to merge adapters");
    memcpy(out->values, graph->values, graph->value_count * sizeof *out->values);
    for (size_t i = 0; i < model->adapter_nodes && status == OK; i++)
        if (graph->nodes[i].op == OP_ADD) {
            status = merge_one(graph, replaced, product, &graph->nodes[i], arena, out, err);
            product = &graph->nodes[i + 1];
        }
    out->nodes += model->adapter_nodes;
    out->node_count -= model->adapter_nodes;
    return status;
}
