#include "common/model/onnx/writer.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/onnx/external.h"
#include "common/model/onnx/metadata.h"
#include "common/model/onnx/opset.h"
#include "common/model/onnx/types.h"
#include "common/model/onnx/writing.h"

#define FILE_BYTES_MAX ((size_t)0x7fffffff)

void *onnx_writing_take(struct onnx_writing *writing, size_t count, size_t bytes)
{
    return graph_alloc(writing->arena, count, bytes);
}

enum status onnx_writing_no_memory(struct onnx_writing *writing)
{
    return error_set(writing->err, ERR_MEMORY, "no memory to write the model");
}

char *onnx_writing_text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

/* ---- tensors ---- */

enum status onnx_writing_tensor(struct onnx_writing *writing, const char *name, enum dtype dtype,
                                const struct shape *shape, const void *data)
{
    Onnx__TensorProto *tensor = onnx_writing_take(writing, 1, sizeof *tensor);
    int64_t *dims = onnx_writing_take(writing, shape->rank, sizeof *dims);
    size_t elements;
    if (tensor == NULL || dims == NULL)
        return onnx_writing_no_memory(writing);
    CHECK(shape_elements(shape, &elements));
    onnx__tensor_proto__init(tensor);
    memcpy(dims, shape->dims, shape->rank * sizeof *dims);
    tensor->n_dims = shape->rank;
    tensor->dims = dims;
    tensor->has_data_type = 1;
    tensor->data_type = onnx_types_number(dtype);
    tensor->name = onnx_writing_text(name);
    tensor->has_raw_data = 1;
    tensor->raw_data.len = elements * dtype_bytes(dtype);
    tensor->raw_data.data = (uint8_t *)(uintptr_t)data;
    CHECK(writing->proto.n_initializer < writing->initializer_room);
    writing->proto.initializer[writing->proto.n_initializer++] = tensor;
    return OK;
}

enum status onnx_writing_value(struct onnx_writing *writing, uint32_t index)
{
    const struct value *value = &writing->graph->values[index];
    if (value->data == NULL || writing->written[index])
        return OK;
    writing->written[index] = true;
    const void *data = writing->replaced != NULL && writing->replaced[index] != NULL
                           ? writing->replaced[index]
                           : value->data;
    return onnx_writing_tensor(writing, value->name, value->dtype, &value->shape, data);
}

/* ---- the graph ---- */

static enum status add_dims(struct onnx_writing *writing, const struct shape *shape,
                            Onnx__TensorShapeProto *out)
{
    out->dim = onnx_writing_take(writing, shape->rank, sizeof *out->dim);
    for (size_t i = 0; i < shape->rank; i++) {
        Onnx__TensorShapeProto__Dimension *dim = onnx_writing_take(writing, 1, sizeof *dim);
        if (out->dim == NULL || dim == NULL)
            return onnx_writing_no_memory(writing);
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = shape->dims[i] < 0 ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                                             : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (shape->dims[i] < 0)
            dim->dim_param = onnx_writing_text("N");
        else
            dim->dim_value = shape->dims[i];
        out->dim[out->n_dim++] = dim;
    }
    return OK;
}

/* Input or output of the graph: one more in a list. */
static enum status add_port(struct onnx_writing *writing, uint32_t index,
                            Onnx__ValueInfoProto **list, size_t *count)
{
    const struct value *value = &writing->graph->values[index];
    struct {
        Onnx__ValueInfoProto info;
        Onnx__TypeProto type;
        Onnx__TypeProto__Tensor tensor;
        Onnx__TensorShapeProto shape;
    } *port = onnx_writing_take(writing, 1, sizeof *port);
    if (port == NULL)
        return onnx_writing_no_memory(writing);
    onnx__value_info_proto__init(&port->info);
    onnx__type_proto__init(&port->type);
    onnx__type_proto__tensor__init(&port->tensor);
    onnx__tensor_shape_proto__init(&port->shape);
    port->info.name = onnx_writing_text(value->name);
    port->info.type = &port->type;
    port->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    port->type.tensor_type = &port->tensor;
    port->tensor.has_elem_type = 1;
    port->tensor.elem_type = onnx_types_number(value->dtype);
    port->tensor.shape = &port->shape;
    list[(*count)++] = &port->info;
    return add_dims(writing, &value->shape, &port->shape);
}

static enum status add_ports(struct onnx_writing *writing)
{
    const struct graph *graph = writing->graph;
    Onnx__GraphProto *proto = &writing->proto;
    enum status status = OK;
    proto->input = onnx_writing_take(writing, GRAPH_INPUTS_MAX, sizeof *proto->input);
    proto->output = onnx_writing_take(writing, 1, sizeof *proto->output);
    if (proto->input == NULL || proto->output == NULL)
        return onnx_writing_no_memory(writing);
    for (size_t i = 0; i < graph->input_count && status == OK; i++)
        status = add_port(writing, graph->inputs[i], proto->input, &proto->n_input);
    if (status == OK) /* it may be a constant */
        status = onnx_writing_value(writing, graph->output);
    return status == OK ? add_port(writing, graph->output, proto->output, &proto->n_output)
                        : status;
}

static enum status fill_graph(struct onnx_writing *writing)
{
    const struct graph *graph = writing->graph;
    Onnx__GraphProto *proto = &writing->proto;
    onnx__graph_proto__init(proto);
    proto->name = onnx_writing_text("graft");
    writing->node_room = ONNX_WRITING_NODES * (graph->node_count + 1);
    writing->initializer_room = graph->value_count + ONNX_WRITING_LIFTED * (graph->node_count + 1);
    proto->node = onnx_writing_take(writing, writing->node_room, sizeof *proto->node);
    proto->initializer =
        onnx_writing_take(writing, writing->initializer_room, sizeof *proto->initializer);
    writing->written = onnx_writing_take(writing, graph->value_count, sizeof *writing->written);
    if (proto->node == NULL || proto->initializer == NULL || writing->written == NULL)
        return onnx_writing_no_memory(writing);
    enum status status = OK;
    for (size_t i = 0; i < graph->node_count && status == OK; i++)
        status = onnx_writing_node(writing, &graph->nodes[i]);
    return status == OK ? add_ports(writing) : status;
}

/* Operators that came with a later opset, or say in it what the graph says: Resize only of 11 on
 * has all of its modes, GroupNormalization of 21 its values per channel. */
static int64_t least_opset(const struct graph *graph)
{
    static const struct {
        enum op op;
        int64_t opset;
    } first[] = {{OP_RESIZE, 11}, {OP_GROUP_NORM, 21}};
    int64_t least = graph->opset < ONNX_WRITER_OPSET_MIN ? ONNX_WRITER_OPSET_MIN : graph->opset;
    for (size_t i = 0; i < graph->node_count; i++)
        for (size_t k = 0; k < sizeof first / sizeof *first; k++)
            if (graph->nodes[i].op == first[k].op && least < first[k].opset)
                least = first[k].opset;
    return least;
}

/* One more entry of the metadata, unless there is nothing to say. */
static void add_note(Onnx__ModelProto *model, Onnx__StringStringEntryProto *note, const char *key,
                     const char *value)
{
    if (value == NULL)
        return;
    onnx__string_string_entry_proto__init(note);
    note->key = onnx_writing_text(key);
    note->value = onnx_writing_text(value);
    model->metadata_props[model->n_metadata_props++] = note;
}

static enum status pack(struct onnx_writing *writing, const struct onnx_saving *saving,
                        const char *path)
{
    Onnx__ModelProto model;
    Onnx__StringStringEntryProto entries[2], *notes[2];
    Onnx__OperatorSetIdProto opset, *opsets[] = {&opset};
    onnx__model_proto__init(&model);
    onnx__operator_set_id_proto__init(&opset);
    opset.domain = onnx_writing_text("");
    opset.has_version = 1;
    opset.version = writing->opset;
    model.has_ir_version = 1;
    model.ir_version = writing->opset >= 21 ? 10 : writing->opset >= 19 ? 9 : 8;
    model.producer_name = onnx_writing_text("graft");
    model.n_opset_import = 1;
    model.opset_import = opsets;
    model.graph = &writing->proto;
    model.metadata_props = notes;
    add_note(&model, &entries[0], ONNX_METADATA_DATA, saving->note);
    add_note(&model, &entries[1], ONNX_METADATA_VOCABULARY, saving->vocabulary);
    if (saving->external || onnx__model_proto__get_packed_size(&model) > FILE_BYTES_MAX) {
        enum status moved = onnx_external_move(writing, path);
        if (moved != OK)
            return moved;
    }
    size_t bytes = onnx__model_proto__get_packed_size(&model);
    CHECK(bytes <= FILE_BYTES_MAX);
    uint8_t *packed = memory_alloc(bytes, 1);
    if (packed == NULL)
        return onnx_writing_no_memory(writing);
    CHECK(onnx__model_proto__pack(&model, packed) == bytes);
    enum status status = file_write(path, packed, bytes, writing->err);
    memory_free(packed);
    return status;
}

enum status onnx_writer_save(const struct graph *graph, const float *const *replaced,
                             const struct onnx_saving *saving, const char *path, struct error *err)
{
    static const struct onnx_saving plain;
    struct onnx_writing writing = {.graph = graph, .replaced = replaced, .err = err};
    if (saving == NULL)
        saving = &plain;
    writing.opset = saving->opset != 0 ? saving->opset : least_opset(graph);
    enum status status = onnx_opset_check(graph, writing.opset, err);
    if (status == OK)
        status = graph_create(&writing.arena, err);
    if (status == OK)
        status = fill_graph(&writing);
    if (status == OK)
        status = pack(&writing, saving, path);
    graph_destroy(&writing.arena);
    return status;
}
