/* Small networks for tests: a graph built node by node with reproducible random weights, and its
 * plain evaluation (every node by its own kernel, nothing fused). A failure to build ends the test.
 */
#ifndef GRAFT_TESTS_UNIT_NET_FIXTURE_H
#define GRAFT_TESTS_UNIT_NET_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/model/graph.h"
#include "common/model/model.h"
#include "common/model/onnx/attributes.h"
#include "common/model/op_table.h"
#include "common/model/shape_infer.h"
#include "worker/engine/sites.h"

struct net {
    struct graph *graph;
    struct error err;
    uint64_t draws;
};

#define NET_OK(net, call)                                                                          \
    do {                                                                                           \
        if ((call) != OK)                                                                          \
            fail_msg("%s", (net)->err.text);                                                       \
    } while (0)

static inline float net_random(uint64_t index)
{
    struct random_key key = {.seed = 7, .purpose = RANDOM_INIT, .index = index};
    return (float)random_normal(key, 0);
}

static inline struct shape net_shape(size_t rank, ...)
{
    struct shape shape = {.rank = rank};
    va_list dims;
    va_start(dims, rank);
    for (size_t i = 0; i < rank; i++)
        shape.dims[i] = va_arg(dims, int);
    va_end(dims);
    return shape;
}

static inline struct net net_create(struct shape input)
{
    struct net net = {0};
    NET_OK(&net, graph_create(&net.graph, &net.err));
    uint32_t x = GRAPH_NONE;
    NET_OK(&net, graph_add_input(net.graph, "x", DTYPE_F32, &input, &x, &net.err));
    net.graph->opset = 13;
    return net;
}

/* A constant with values around `mean`. */
static inline uint32_t net_constant(struct net *net, const char *name, struct shape shape,
                                    double mean, double spread)
{
    size_t elements = 0;
    uint32_t value = GRAPH_NONE;
    assert_true(shape_elements(&shape, &elements));
    float *data = graph_alloc(net->graph, elements, sizeof *data);
    assert_non_null(data);
    for (size_t i = 0; i < elements; i++)
        data[i] = (float)(mean + spread * (double)net_random(net->draws++));
    NET_OK(net, graph_add_value(net->graph, name, DTYPE_F32, &shape, data, shape.rank > 0, &value,
                                &net->err));
    return value;
}

static inline struct attributes net_attributes(enum op op)
{
    struct attributes attributes;
    onnx_attributes_default(op, 13, &attributes);
    return attributes;
}

/* The type an operator takes as input `k` where it is not float32. */
static inline enum dtype net_dtype(enum op op, size_t k)
{
    if (op == OP_AND || op == OP_OR || op == OP_NOT || (op == OP_WHERE && k == 0))
        return DTYPE_BOOL;
    if ((op == OP_GATHER || op == OP_GATHER_ELEMENTS) && k == 1)
        return DTYPE_I64;
    if ((op == OP_QUANTIZE && k == 2) || (op == OP_DEQUANTIZE && k != 1))
        return DTYPE_U8;
    return DTYPE_F32;
}

static inline uint32_t net_node(struct net *net, enum op op, const char *name,
                                const struct attributes *attributes, size_t count, ...)
{
    uint32_t inputs[GRAPH_PORTS_MAX], output = GRAPH_NONE;
    const struct attributes usual = net_attributes(op);
    va_list list;
    va_start(list, count);
    for (size_t i = 0; i < count; i++)
        inputs[i] = va_arg(list, uint32_t);
    va_end(list);
    NET_OK(net, graph_add_node(net->graph, op, name, inputs, count, name,
                               attributes == NULL ? &usual : attributes, &output, &net->err));
    net->graph->output = output;
    return output;
}

/* x·clip(x+3, 0, 6)/6 in single nodes, as exporters write it. */
static inline uint32_t net_hard_swish(struct net *net, const char *name, uint32_t x)
{
    char names[6][64];
    for (int i = 0; i < 6; i++)
        snprintf(names[i], sizeof names[i], "%s.%d", name, i);
    struct attributes clip = net_attributes(OP_CLIP);
    clip.low = 0;
    clip.high = 6;
    uint32_t three = net_constant(net, names[0], net_shape(0), 3, 0);
    uint32_t six = net_constant(net, names[1], net_shape(0), 6, 0);
    uint32_t sum = net_node(net, OP_ADD, names[2], NULL, 2, x, three);
    uint32_t clipped = net_node(net, OP_CLIP, names[3], &clip, 1, sum);
    uint32_t product = net_node(net, OP_MUL, names[4], NULL, 2, x, clipped);
    return net_node(net, OP_DIV, names[5], NULL, 2, product, six);
}

/* Pools a [N, C, H, W] tensor, flattens, appends the head; takes the graph. */
static inline struct model *net_model(struct net *net, uint32_t cut, int classes)
{
    NET_OK(net, shape_infer(net->graph, &net->err));
    uint32_t at = cut;
    if (net->graph->values[cut].shape.rank == 4)
        at = net_node(net, OP_GLOBAL_AVERAGE_POOL, "pooled", NULL, 1, at);
    if (net->graph->values[cut].shape.rank > 2)
        at = net_node(net, OP_FLATTEN, "features", NULL, 1, at);
    net->graph->features = at;
    NET_OK(net, shape_infer(net->graph, &net->err));
    struct model *model = memory_alloc(1, sizeof *model);
    assert_non_null(model);
    model->feature_count = value_elements(&net->graph->values[at]);
    struct attributes gemm = net_attributes(OP_GEMM);
    gemm.trans_b = true;
    uint32_t weight =
        net_constant(net, "head.weight", net_shape(2, classes, (int)model->feature_count), 0, 0.5);
    uint32_t bias = net_constant(net, "head.bias", net_shape(1, classes), 0, 0.5);
    net_node(net, OP_GEMM, "logits", &gemm, 3, at, weight, bias);
    NET_OK(net, shape_infer(net->graph, &net->err));
    model->graph = net->graph;
    model->class_count = (size_t)classes;
    model->input = net->graph->values[net->graph->input].shape;
    for (size_t k = 0; k < net->graph->input_count; k++)
        model->input_elements += value_elements(&net->graph->values[net->graph->inputs[k]]);
    net->graph = NULL;
    return model;
}

/* Input k of the graph for a batch of samples, whose inputs lie side by side; the caller frees it. */
static inline float *net_feed(const struct graph *graph, const float *inputs, size_t batch,
                              size_t k)
{
    size_t row = 0, column = 0, width = value_elements(&graph->values[graph->inputs[k]]);
    for (size_t i = 0; i < graph->input_count; i++) {
        column += i < k ? value_elements(&graph->values[graph->inputs[i]]) : 0;
        row += value_elements(&graph->values[graph->inputs[i]]);
    }
    float *fed = calloc(batch * width, sizeof *fed);
    for (size_t s = 0; s < batch; s++)
        memcpy(fed + s * width, inputs + s * row + column, width * sizeof *fed);
    return fed;
}

static inline float net_float(const struct value *value, size_t i)
{
    switch (value->dtype) {
    case DTYPE_F32:
        return ((const float *)value->data)[i];
    case DTYPE_F64:
        return (float)((const double *)value->data)[i];
    case DTYPE_I32:
        return (float)((const int32_t *)value->data)[i];
    case DTYPE_I64:
        return (float)((const int64_t *)value->data)[i];
    case DTYPE_I8:
        return ((const int8_t *)value->data)[i];
    case DTYPE_U8:
        return ((const uint8_t *)value->data)[i];
    case DTYPE_BOOL:
        break;
    }
    return ((const uint8_t *)value->data)[i] != 0;
}

/* A constant as float32; the caller frees it. */
static inline float *net_floats(const struct value *value)
{
    float *floats = calloc(value_elements(value), sizeof *floats);
    for (size_t i = 0; i < value_elements(value); i++)
        floats[i] = net_float(value, i);
    return floats;
}

/* Every value of the graph for one batch, each node by its own kernel. `live[v]` replaces constant
 * v. */
struct net_values {
    float **data; /* per value; owned where computed */
    bool *owned;
    size_t count;
};

static inline struct net_values net_evaluate(const struct graph *graph, const float *inputs,
                                             size_t batch, const float *const *live)
{
    struct net_values values = {.data = calloc(graph->value_count, sizeof *values.data),
                                .owned = calloc(graph->value_count, sizeof *values.owned),
                                .count = graph->value_count};
    struct onednn dnn;
    struct sites sites;
    struct error err;
    assert_int_equal(onednn_init(&dnn, &err), OK);
    assert_int_equal(
        sites_init(&sites, graph->nodes, graph->node_count, graph, NULL, batch, &dnn, &err), OK);
    float *scratch = calloc(sites.scratch_elements + 1, sizeof *scratch);
    for (size_t i = 0; i < graph->value_count; i++) {
        bool replaced = live != NULL && live[i] != NULL;
        values.owned[i] = !replaced && graph->values[i].data != NULL;
        values.data[i] = values.owned[i] ? net_floats(&graph->values[i])
                                         : (float *)(uintptr_t)(replaced ? live[i] : NULL);
    }
    for (size_t k = 0; k < graph->input_count; k++) {
        values.data[graph->inputs[k]] = net_feed(graph, inputs, batch, k);
        values.owned[graph->inputs[k]] = true;
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        const float *x[GRAPH_PORTS_MAX];
        for (size_t k = 0; k < node->input_count; k++)
            x[k] = node->inputs[k] == GRAPH_NONE ? NULL : values.data[node->inputs[k]];
        size_t elements = op_elements(&sites.at[i].y_shape);
        values.data[node->output] = aligned_alloc(64, (elements * sizeof(float) + 63) / 64 * 64);
        values.owned[node->output] = true;
        op_kernel(node->op)->forward(&sites.at[i], x, values.data[node->output], scratch);
    }
    sites_deinit(&sites);
    onednn_deinit(&dnn);
    free(scratch);
    return values;
}

static inline void net_release(struct net_values *values)
{
    for (size_t i = 0; i < values->count; i++)
        if (values->owned[i])
            free(values->data[i]);
    free(values->data);
    free(values->owned);
}

/* Largest difference relative to the largest expected magnitude. */
static inline double net_difference(const float *got, const float *expected, size_t count)
{
    double most = 0, scale = 1e-12;
    for (size_t i = 0; i < count; i++) {
        assert_true(isfinite(got[i]));
        most = fmax(most, fabs((double)got[i] - (double)expected[i]));
        scale = fmax(scale, fabs((double)expected[i]));
    }
    return most / scale;
}

/* Values of every element type a model is fed: whole numbers 0 to 4, truth values, else normal. */
static inline float *net_samples(const struct graph *graph, size_t batch)
{
    size_t count = 0, at = 0;
    for (size_t k = 0; k < graph->input_count; k++)
        count += value_elements(&graph->values[graph->inputs[k]]);
    float *inputs = aligned_alloc(64, (batch * count * sizeof *inputs + 63) / 64 * 64);
    for (size_t s = 0; s < batch; s++)
        for (size_t k = 0; k < graph->input_count; k++) {
            const struct value *value = &graph->values[graph->inputs[k]];
            for (size_t i = 0; i < value_elements(value); i++, at++)
                inputs[at] = value->dtype == DTYPE_I64    ? (float)((at * 7 + 2) % 5)
                             : value->dtype == DTYPE_BOOL ? (float)(at % 3 > 0)
                                                          : net_random(1000000 + at);
        }
    return inputs;
}

static inline float *net_inputs(size_t count)
{
    float *inputs = aligned_alloc(64, (count * sizeof *inputs + 63) / 64 * 64);
    for (size_t i = 0; i < count; i++)
        inputs[i] = net_random(1000000 + i);
    return inputs;
}

#endif
