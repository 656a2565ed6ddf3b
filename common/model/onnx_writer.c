#include "common/model/onnx_writer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/onnx_attributes.h"
#include "common/model/op_table.h"

#define FILE_BYTES_MAX ((size_t)0x7fffffff)
#define ATTRIBUTES_MAX 8
#define LIFTED_MAX 2

/* `arena` is a graph only for its memory: every protobuf structure lies there, so that there is one
 * thing to free. */
struct writer {
    const struct graph *graph;
    const float *const *replaced;
    struct graph *arena;
    int64_t opset;
    Onnx__GraphProto proto;
    bool *written; /* per value: its initializer is there */
    struct error *err;
};

static void *take(struct writer *writer, size_t count, size_t bytes)
{
    return graph_alloc(writer->arena, count, bytes);
}

static enum status no_memory(struct writer *writer)
{
    return error_set(writer->err, ERR_MEMORY, "no memory to write the model");
}

/* protobuf-c declares its strings mutable but does not change them. */
static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

/* ---- tensors ---- */

static enum status add_initializer(struct writer *writer, const char *name, enum dtype dtype,
                                   const struct shape *shape, const void *data)
{
    Onnx__TensorProto *tensor = take(writer, 1, sizeof *tensor);
    int64_t *dims = take(writer, shape->rank, sizeof *dims);
    size_t elements;
    if (tensor == NULL || dims == NULL)
        return no_memory(writer);
    CHECK(shape_elements(shape, &elements) && (dtype == DTYPE_F32 || dtype == DTYPE_I64));
    onnx__tensor_proto__init(tensor);
    memcpy(dims, shape->dims, shape->rank * sizeof *dims);
    tensor->n_dims = shape->rank;
    tensor->dims = dims;
    tensor->has_data_type = 1;
    tensor->data_type = dtype == DTYPE_F32 ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
                                           : ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    tensor->name = text(name);
    tensor->has_raw_data = 1;
    tensor->raw_data.len = elements * dtype_bytes(dtype);
    tensor->raw_data.data = (uint8_t *)(uintptr_t)data;
    writer->proto.initializer[writer->proto.n_initializer++] = tensor;
    return OK;
}

static enum status need_value(struct writer *writer, uint32_t index)
{
    const struct value *value = &writer->graph->values[index];
    if (value->data == NULL || writer->written[index])
        return OK;
    writer->written[index] = true;
    const void *data = writer->replaced != NULL && writer->replaced[index] != NULL
                           ? writer->replaced[index]
                           : value->data;
    return add_initializer(writer, value->name, value->dtype, &value->shape, data);
}

/* ---- nodes ---- */

/* An attribute that the opset keeps in an input: a constant named after the node's output. */
static enum status add_lifted(struct writer *writer, const struct node *node,
                              const struct input_row *row, char **name)
{
    const struct attributes *a = &node->attributes;
    const void *field = (const char *)a + row->offset;
    bool number = row->kind == ATTRIBUTE_FLOAT;
    struct shape shape = {.rank = number ? 0 : 1, .dims = {(int64_t)a->axes_count}};
    if (row->kind == ATTRIBUTE_IGNORED || (number && isinf(*(const float *)field)) ||
        (!number && a->axes_count == 0 && row->op != OP_RESHAPE)) {
        *name = text("");
        return OK;
    }
    size_t bytes = GRAPH_NAME_BYTES_MAX + 16;
    char *made = take(writer, bytes, 1);
    if (made == NULL)
        return no_memory(writer);
    snprintf(made, bytes, "%s.input%zu", writer->graph->values[node->output].name, row->input);
    *name = made;
    return add_initializer(writer, made, number ? DTYPE_F32 : DTYPE_I64, &shape, field);
}

static enum status fill_inputs(struct writer *writer, const struct node *node, Onnx__NodeProto *out)
{
    enum status status = OK;
    out->input = take(writer, node->input_count + LIFTED_MAX, sizeof *out->input);
    if (out->input == NULL)
        return no_memory(writer);
    for (size_t k = 0; k < node->input_count && status == OK; k++) {
        uint32_t input = node->inputs[k];
        out->input[out->n_input++] =
            text(input == GRAPH_NONE ? "" : writer->graph->values[input].name);
        if (input != GRAPH_NONE)
            status = need_value(writer, input);
    }
    const struct input_row *row = NULL;
    while (status == OK && (row = onnx_attributes_next_input(node->op, row)) != NULL)
        if (writer->opset >= row->opset_first) {
            CHECK(out->n_input == row->input);
            status = add_lifted(writer, node, row, &out->input[out->n_input++]);
        }
    while (out->n_input > 0 && out->input[out->n_input - 1][0] == '\0')
        out->n_input--;
    return status;
}

static void set_ints(Onnx__AttributeProto *to, const int64_t *values, size_t count)
{
    to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    to->n_ints = count;
    to->ints = (int64_t *)(uintptr_t)values;
}

static void set_int(Onnx__AttributeProto *to, int64_t value)
{
    to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    to->has_i = 1;
    to->i = value;
}

/* False: the node need not say it (the default, or nothing to say). */
static bool set_attribute(Onnx__AttributeProto *to, const struct attribute_row *row,
                          const struct attributes *a, const struct attributes *usual)
{
    const void *field = (const char *)a + row->offset,
               *standard = (const char *)usual + row->offset;
    switch (row->kind) {
    case ATTRIBUTE_FLOAT:
        to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        to->has_f = 1;
        to->f = *(const float *)field;
        return isfinite(to->f) != 0;
    case ATTRIBUTE_INT:
        set_int(to, *(const int64_t *)field);
        return true;
    case ATTRIBUTE_BOOL:
        set_int(to, *(const bool *)field);
        return *(const bool *)field != *(const bool *)standard;
    case ATTRIBUTE_PAIR:
        set_ints(to, field, 2);
        return memcmp(field, standard, 2 * sizeof(int64_t)) != 0;
    case ATTRIBUTE_PADS:
        set_ints(to, field, 4);
        return memcmp(field, standard, 4 * sizeof(int64_t)) != 0;
    case ATTRIBUTE_AXES:
        set_ints(to, field, a->axes_count);
        return a->axes_count > 0;
    case ATTRIBUTE_PAD: /* shape inference made the pads explicit */
    case ATTRIBUTE_FIXED:
    case ATTRIBUTE_IGNORED:
        return false;
    }
    return false;
}

static enum status fill_attributes(struct writer *writer, const struct node *node,
                                   Onnx__NodeProto *out)
{
    struct attributes usual;
    onnx_attributes_default(node->op, writer->opset, &usual);
    out->attribute = take(writer, ATTRIBUTES_MAX, sizeof *out->attribute);
    if (out->attribute == NULL)
        return no_memory(writer);
    const struct attribute_row *row = NULL;
    while ((row = onnx_attributes_next(node->op, row)) != NULL) {
        Onnx__AttributeProto *to = take(writer, 1, sizeof *to);
        if (to == NULL)
            return no_memory(writer);
        onnx__attribute_proto__init(to);
        to->name = text(row->name);
        to->has_type = 1;
        if ((row->opset_last != 0 && writer->opset > row->opset_last) ||
            !set_attribute(to, row, &node->attributes, &usual))
            continue;
        CHECK(out->n_attribute < ATTRIBUTES_MAX);
        out->attribute[out->n_attribute++] = to;
    }
    return OK;
}

static enum status add_node(struct writer *writer, const struct node *node)
{
    Onnx__NodeProto *out = take(writer, 1, sizeof *out);
    if (out == NULL)
        return no_memory(writer);
    onnx__node_proto__init(out);
    out->output = take(writer, 1, sizeof *out->output);
    if (out->output == NULL)
        return no_memory(writer);
    out->name = text(node->name);
    out->op_type = text(op_table_row(node->op)->type);
    out->n_output = 1;
    out->output[0] = text(writer->graph->values[node->output].name);
    writer->proto.node[writer->proto.n_node++] = out;
    enum status status = fill_inputs(writer, node, out);
    return status == OK ? fill_attributes(writer, node, out) : status;
}

/* ---- the graph ---- */

static enum status add_dims(struct writer *writer, const struct shape *shape,
                            Onnx__TensorShapeProto *out)
{
    out->dim = take(writer, shape->rank, sizeof *out->dim);
    for (size_t i = 0; i < shape->rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = take(writer, 1, sizeof *dim);
        if (out->dim == NULL || dim == NULL)
            return no_memory(writer);
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = shape->dims[i] < 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                                             : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (shape->dims[i] < 0)
            dim->dim_param = text("N");
        else
            dim->dim_value = shape->dims[i];
        out->dim[out->n_dim++] = dim;
    }
    return OK;
}

/* Input or output of the graph: a list of one. */
static enum status add_port(struct writer *writer, uint32_t index, Onnx__ValueInfoProto ***list,
                            size_t *count)
{
    struct {
        Onnx__ValueInfoProto info;
        Onnx__TypeProto type;
        Onnx__TypeProto__Tensor tensor;
        Onnx__TensorShapeProto shape;
    } *port = take(writer, 1, sizeof *port);
    *list = take(writer, 1, sizeof **list);
    if (port == NULL || *list == NULL)
        return no_memory(writer);
    onnx__value_info_proto__init(&port->info);
    onnx__type_proto__init(&port->type);
    onnx__type_proto__tensor__init(&port->tensor);
    onnx__tensor_shape_proto__init(&port->shape);
    port->info.name = text(writer->graph->values[index].name);
    port->info.type = &port->type;
    port->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    port->type.tensor_type = &port->tensor;
    port->tensor.has_elem_type = 1;
    port->tensor.elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    port->tensor.shape = &port->shape;
    (*list)[0] = &port->info;
    *count = 1;
    return add_dims(writer, &writer->graph->values[index].shape, &port->shape);
}

static enum status fill_graph(struct writer *writer)
{
    const struct graph *graph = writer->graph;
    Onnx__GraphProto *proto = &writer->proto;
    onnx__graph_proto__init(proto);
    proto->name = text("graft");
    proto->node = take(writer, graph->node_count, sizeof *proto->node);
    proto->initializer = take(writer, graph->value_count + LIFTED_MAX * graph->node_count,
                              sizeof *proto->initializer);
    writer->written = take(writer, graph->value_count, sizeof *writer->written);
    if (proto->node == NULL || proto->initializer == NULL || writer->written == NULL)
        return no_memory(writer);
    enum status status = OK;
    for (size_t i = 0; i < graph->node_count && status == OK; i++)
        status = add_node(writer, &graph->nodes[i]);
    if (status == OK)
        status = add_port(writer, graph->input, &proto->input, &proto->n_input);
    return status == OK ? add_port(writer, graph->output, &proto->output, &proto->n_output)
                        : status;
}

static enum status pack(struct writer *writer, const char *path)
{
    Onnx__ModelProto model;
    Onnx__OperatorSetIdProto opset, *opsets[] = {&opset};
    onnx__model_proto__init(&model);
    onnx__operator_set_id_proto__init(&opset);
    opset.domain = text("");
    opset.has_version = 1;
    opset.version = writer->opset;
    model.has_ir_version = 1;
    model.ir_version = writer->opset >= 21 ? 10 : writer->opset >= 19 ? 9 : 8;
    model.producer_name = text("graft");
    model.n_opset_import = 1;
    model.opset_import = opsets;
    model.graph = &writer->proto;
    size_t bytes = onnx__model_proto__get_packed_size(&model);
    if (bytes > FILE_BYTES_MAX)
        return error_set(writer->err, ERR_SUPPORT,
                         "%s: %zu bytes exceed what one ONNX file may hold", path, bytes);
    uint8_t *packed = memory_alloc(bytes, 1);
    if (packed == NULL)
        return no_memory(writer);
    CHECK(onnx__model_proto__pack(&model, packed) == bytes);
    enum status status = file_write(path, packed, bytes, writer->err);
    memory_free(packed);
    return status;
}

enum status onnx_writer_save(const struct graph *graph, const float *const *replaced,
                             const char *path, struct error *err)
{
    int64_t opset = graph->opset < ONNX_WRITER_OPSET_MIN ? ONNX_WRITER_OPSET_MIN : graph->opset;
    struct writer writer = {.graph = graph, .replaced = replaced, .opset = opset, .err = err};
    enum status status = graph_create(&writer.arena, err);
    if (status == OK)
        status = fill_graph(&writer);
    if (status == OK)
        status = pack(&writer, path);
    graph_destroy(&writer.arena);
    return status;
}
