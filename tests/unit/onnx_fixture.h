/* ONNX files for tests, built in memory with protobuf-c. Memory comes from one pool that
 * onnx_fixture_close frees. */
#ifndef GRAFT_TESTS_UNIT_ONNX_FIXTURE_H
#define GRAFT_TESTS_UNIT_ONNX_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/model/onnx/reader.h"
#include "onnx.pb-c.h"

#define ONNX_FIXTURE_ROOM 64

struct onnx_fixture {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__NodeProto *nodes[ONNX_FIXTURE_ROOM];
    Onnx__TensorProto *initializers[ONNX_FIXTURE_ROOM];
    Onnx__ValueInfoProto *inputs[ONNX_FIXTURE_ROOM], *outputs[ONNX_FIXTURE_ROOM];
    void *pool[1024];
    size_t pool_count;
};

static inline void *onnx_fixture_take(struct onnx_fixture *f, size_t bytes)
{
    void *memory = calloc(1, bytes + 1);
    assert_non_null(memory);
    assert_true(f->pool_count < 1024);
    return f->pool[f->pool_count++] = memory;
}

static inline char *onnx_fixture_text(struct onnx_fixture *f, const char *text)
{
    char *copy = onnx_fixture_take(f, strlen(text));
    memcpy(copy, text, strlen(text));
    return copy;
}

static inline void onnx_fixture_open(struct onnx_fixture *f, int64_t opset)
{
    memset(f, 0, sizeof *f);
    onnx__model_proto__init(&f->model);
    onnx__graph_proto__init(&f->graph);
    onnx__operator_set_id_proto__init(&f->opset);
    f->opset.has_version = 1;
    f->opset.version = opset;
    f->opsets[0] = &f->opset;
    f->model.n_opset_import = 1;
    f->model.opset_import = f->opsets;
    f->model.graph = &f->graph;
    f->graph.node = f->nodes;
    f->graph.initializer = f->initializers;
    f->graph.input = f->inputs;
    f->graph.output = f->outputs;
}

static inline void onnx_fixture_close(struct onnx_fixture *f)
{
    for (size_t i = 0; i < f->pool_count; i++)
        free(f->pool[i]);
}

/* The port's type, float32. */
static inline Onnx__TypeProto__Tensor *onnx_fixture_port(struct onnx_fixture *f, bool input,
                                                         const char *name, size_t rank,
                                                         const int64_t *dims)
{
    Onnx__ValueInfoProto *info = onnx_fixture_take(f, sizeof *info);
    Onnx__TypeProto *type = onnx_fixture_take(f, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = onnx_fixture_take(f, sizeof *tensor);
    Onnx__TensorShapeProto *shape = onnx_fixture_take(f, sizeof *shape);
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    info->name = onnx_fixture_text(f, name);
    info->type = type;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    tensor->has_elem_type = 1;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = shape;
    shape->dim = onnx_fixture_take(f, rank * sizeof *shape->dim);
    for (size_t i = 0; i < rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = onnx_fixture_take(f, sizeof *dim);
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = dims[i] < 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                                      : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (dims[i] < 0)
            dim->dim_param = onnx_fixture_text(f, "N");
        else
            dim->dim_value = dims[i];
        shape->dim[shape->n_dim++] = dim;
    }
    if (input)
        f->inputs[f->graph.n_input++] = info;
    else
        f->outputs[f->graph.n_output++] = info;
    return tensor;
}

/* Input x [N, 3, 4, 4] and output y. */
static inline void onnx_fixture_ports(struct onnx_fixture *f)
{
    const int64_t x[] = {-1, 3, 4, 4};
    onnx_fixture_port(f, true, "x", 4, x);
    onnx_fixture_port(f, false, "y", 0, NULL);
}

/* inputs: "a b c", "-" for one left out. */
static inline Onnx__NodeProto *onnx_fixture_node(struct onnx_fixture *f, const char *op,
                                                 const char *inputs, const char *output)
{
    Onnx__NodeProto *node = onnx_fixture_take(f, sizeof *node);
    onnx__node_proto__init(node);
    node->op_type = onnx_fixture_text(f, op);
    node->name = onnx_fixture_take(f, 64);
    snprintf(node->name, 64, "node_%s", output);
    node->input = onnx_fixture_take(f, 16 * sizeof *node->input);
    node->output = onnx_fixture_take(f, sizeof *node->output);
    node->n_output = 1;
    node->output[0] = onnx_fixture_text(f, output);
    node->attribute = onnx_fixture_take(f, 16 * sizeof *node->attribute);
    char *list = onnx_fixture_text(f, inputs), *rest = NULL;
    for (char *name = strtok_r(list, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest))
        node->input[node->n_input++] = strcmp(name, "-") == 0 ? onnx_fixture_text(f, "") : name;
    return f->nodes[f->graph.n_node++] = node;
}

static inline Onnx__AttributeProto *
onnx_fixture_attribute(struct onnx_fixture *f, Onnx__NodeProto *node, const char *name, int type)
{
    Onnx__AttributeProto *attribute = onnx_fixture_take(f, sizeof *attribute);
    onnx__attribute_proto__init(attribute);
    attribute->name = onnx_fixture_text(f, name);
    attribute->has_type = 1;
    attribute->type = (Onnx__AttributeProto__AttributeType)type;
    return node->attribute[node->n_attribute++] = attribute;
}

static inline void onnx_fixture_int(struct onnx_fixture *f, Onnx__NodeProto *node, const char *name,
                                    int64_t value)
{
    Onnx__AttributeProto *a =
        onnx_fixture_attribute(f, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = 1;
    a->i = value;
}

static inline void onnx_fixture_float(struct onnx_fixture *f, Onnx__NodeProto *node,
                                      const char *name, float value)
{
    Onnx__AttributeProto *a =
        onnx_fixture_attribute(f, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = 1;
    a->f = value;
}

static inline void onnx_fixture_ints(struct onnx_fixture *f, Onnx__NodeProto *node,
                                     const char *name, size_t count, const int64_t *values)
{
    Onnx__AttributeProto *a =
        onnx_fixture_attribute(f, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->n_ints = count;
    a->ints = onnx_fixture_take(f, count * sizeof *a->ints);
    memcpy(a->ints, values, count * sizeof *values);
}

static inline void onnx_fixture_string(struct onnx_fixture *f, Onnx__NodeProto *node,
                                       const char *name, const char *text)
{
    Onnx__AttributeProto *a =
        onnx_fixture_attribute(f, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = 1;
    a->s.data = (uint8_t *)onnx_fixture_text(f, text);
    a->s.len = strlen(text);
}

/* A tensor with raw data: floats 0.01, 0.02, … or given bytes. */
static inline Onnx__TensorProto *onnx_fixture_tensor(struct onnx_fixture *f, const char *name,
                                                     int type, size_t rank, const int64_t *dims,
                                                     const void *data, size_t bytes)
{
    Onnx__TensorProto *tensor = onnx_fixture_take(f, sizeof *tensor);
    onnx__tensor_proto__init(tensor);
    tensor->name = onnx_fixture_text(f, name);
    tensor->n_dims = rank;
    tensor->dims = onnx_fixture_take(f, rank * sizeof *tensor->dims);
    if (rank > 0)
        memcpy(tensor->dims, dims, rank * sizeof *dims);
    tensor->has_data_type = 1;
    tensor->data_type = type;
    tensor->has_raw_data = 1;
    tensor->raw_data.len = bytes;
    tensor->raw_data.data = onnx_fixture_take(f, bytes);
    if (bytes > 0)
        memcpy(tensor->raw_data.data, data, bytes);
    return tensor;
}

static inline Onnx__TensorProto *onnx_fixture_floats(struct onnx_fixture *f, const char *name,
                                                     size_t rank, const int64_t *dims)
{
    float data[4096];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++)
        count *= (size_t)dims[i];
    assert_true(count <= 4096);
    for (size_t i = 0; i < count; i++)
        data[i] = 0.01f * (float)(i % 31 + 1);
    return onnx_fixture_tensor(f, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank, dims, data,
                               count * sizeof *data);
}

static inline void onnx_fixture_initializer(struct onnx_fixture *f, Onnx__TensorProto *tensor)
{
    f->initializers[f->graph.n_initializer++] = tensor;
}

static inline void onnx_fixture_constant(struct onnx_fixture *f, Onnx__TensorProto *tensor)
{
    Onnx__NodeProto *node = onnx_fixture_node(f, "Constant", "", tensor->name);
    onnx_fixture_attribute(f, node, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t =
        tensor;
}

/* y = Relu(Conv(x, w)), w [2, 3, 3, 3] an initializer. */
static inline void onnx_fixture_small(struct onnx_fixture *f, int64_t opset)
{
    const int64_t w[] = {2, 3, 3, 3};
    onnx_fixture_open(f, opset);
    onnx_fixture_ports(f);
    onnx_fixture_initializer(f, onnx_fixture_floats(f, "w", 4, w));
    onnx_fixture_node(f, "Conv", "x w", "c");
    onnx_fixture_node(f, "Relu", "c", "y");
}

static inline uint8_t *onnx_fixture_pack(struct onnx_fixture *f, size_t *bytes)
{
    *bytes = onnx__model_proto__get_packed_size(&f->model);
    uint8_t *packed = onnx_fixture_take(f, *bytes);
    onnx__model_proto__pack(&f->model, packed);
    return packed;
}

/* Constants of whole numbers, [count]. */
static inline void onnx_fixture_numbers(struct onnx_fixture *f, const char *name, int64_t count,
                                        const int64_t *numbers)
{
    onnx_fixture_initializer(f,
                             onnx_fixture_tensor(f, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1,
                                                 &count, numbers, (size_t)count * sizeof *numbers));
}

/* … and one of rank 0. */
static inline void onnx_fixture_number(struct onnx_fixture *f, const char *name, int64_t number)
{
    onnx_fixture_initializer(f, onnx_fixture_tensor(f, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64,
                                                    0, NULL, &number, sizeof number));
}

static inline enum status onnx_fixture_parse(struct onnx_fixture *f, const char *cut,
                                             struct graph **out, struct error *err)
{
    size_t bytes;
    const uint8_t *packed = onnx_fixture_pack(f, &bytes);
    return onnx_reader_parse(packed, bytes, NULL, &(struct onnx_reading){.cut = cut}, out, err);
}

/* Reading must fail so, with both words in the sentence. Closes the fixture. */
static inline void onnx_fixture_refuse(struct onnx_fixture *f, enum status status, const char *word,
                                       const char *other)
{
    struct graph *graph = NULL;
    struct error err = {0};
    enum status got = onnx_fixture_parse(f, "", &graph, &err);
    assert_null(graph);
    if (got != status || strstr(err.text, word) == NULL || strstr(err.text, other) == NULL)
        fail_msg("status %d: %s", (int)got, err.text);
    onnx_fixture_close(f);
}

static inline struct graph *onnx_fixture_accept(struct onnx_fixture *f, const char *cut)
{
    struct graph *graph = NULL;
    struct error err;
    if (onnx_fixture_parse(f, cut, &graph, &err) != OK)
        fail_msg("%s", err.text);
    onnx_fixture_close(f);
    return graph;
}

#endif
