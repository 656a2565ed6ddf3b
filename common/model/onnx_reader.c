#include "common/model/onnx_reader.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/onnx_attributes.h"
#include "common/model/onnx_names.h"
#include "common/model/onnx_order.h"
#include "common/model/onnx_scan.h"
#include "common/model/onnx_tensor.h"
#include "common/model/op_table.h"

struct reader {
    const Onnx__GraphProto *proto;
    const char *directory;
    struct onnx_names names;
    struct graph *graph;
    struct digest_stream digest;
};

static enum status prefix_node(const Onnx__NodeProto *node, enum status status, struct error *err)
{
    if (status != OK)
        error_prefix(err, "node %.100s (%.40s)", onnx_order_node_name(node),
                     node->op_type == NULL ? "?" : node->op_type);
    return status;
}

/* ---- constants ---- */

static enum status add_constant(struct reader *reader, const char *name,
                                const struct onnx_tensor *tensor, uint32_t *out, struct error *err)
{
    bool parameter = tensor->dtype == DTYPE_F32 && tensor->shape.rank >= 1;
    return graph_add_value(reader->graph, name, tensor->dtype, &tensor->shape, tensor->data,
                           parameter, out, err);
}

static enum status add_tensor(struct reader *reader, const char *name,
                              const Onnx__TensorProto *proto, uint32_t *out, struct error *err)
{
    struct onnx_tensor tensor = {0};
    enum status status =
        onnx_tensor_read(proto, reader->directory, reader->graph, &reader->digest, &tensor, err);
    if (status == OK)
        return add_constant(reader, name, &tensor, out, err);
    error_prefix(err, "tensor %.100s", name);
    return status;
}

/* value_float, value_int and their lists (opset 12). */
static enum status add_numbers(struct reader *reader, const char *name,
                               const Onnx__AttributeProto *from, uint32_t *out, struct error *err)
{
    bool list = from->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS ||
                from->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    bool real = from->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT ||
                from->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
    if (!list && !real && from->type != ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT)
        return error_set(err, ERR_SUPPORT, "attribute %.60s is not supported", from->name);
    size_t count = !list ? 1 : real ? from->n_floats : from->n_ints;
    const void *source = !list ? (real ? (const void *)&from->f : (const void *)&from->i)
                               : (real ? (const void *)from->floats : (const void *)from->ints);
    struct onnx_tensor tensor = {.dtype = real ? DTYPE_F32 : DTYPE_I64,
                                 .shape = {.rank = list ? 1 : 0, .dims = {(int64_t)count}}};
    size_t bytes = count * dtype_bytes(tensor.dtype);
    void *data = graph_alloc(reader->graph, bytes, 1);
    if (data == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu bytes", bytes);
    if (bytes > 0)
        memcpy(data, source, bytes);
    tensor.data = data;
    return add_constant(reader, name, &tensor, out, err);
}

static enum status add_constant_node(struct reader *reader, const Onnx__NodeProto *node,
                                     uint32_t *out, struct error *err)
{
    if (node->n_attribute != 1 || node->attribute[0]->name == NULL)
        return error_set(err, ERR_INPUT, "a Constant needs exactly one attribute");
    const Onnx__AttributeProto *from = node->attribute[0];
    if (from->t != NULL)
        return add_tensor(reader, node->output[0], from->t, out, err);
    return add_numbers(reader, node->output[0], from, out, err);
}

/* ---- nodes ---- */

static enum status add_input(struct reader *reader, const Onnx__ValueInfoProto *info, uint32_t *out,
                             struct error *err)
{
    struct graph *graph = reader->graph;
    struct shape shape = {0};
    const Onnx__TypeProto__Tensor *type = NULL;
    if (graph->input != GRAPH_NONE)
        return error_set(err, ERR_SUPPORT,
                         "the network has two inputs, %.100s and %.100s; only one is supported",
                         graph->values[graph->input].name, info->name);
    if (info->type != NULL && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        type = info->type->tensor_type;
    if (type != NULL && type->has_elem_type &&
        type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return error_set(err, ERR_SUPPORT, "input %.100s is not float32", info->name);
    if (type != NULL && type->shape != NULL) {
        shape.rank = type->shape->n_dim;
        if (shape.rank > TENSOR_RANK_MAX)
            return error_set(err, ERR_SUPPORT, "input %.100s has rank %zu", info->name, shape.rank);
        for (size_t i = 0; i < shape.rank; i++) {
            const Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[i];
            bool known = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            shape.dims[i] = known && dim->dim_value > 0 ? dim->dim_value : -1;
        }
    }
    return graph_add_input(graph, info->name, DTYPE_F32, &shape, out, err);
}

/* Value of a tensor that earlier nodes, an initializer or the input make. */
static enum status use_tensor(struct reader *reader, const char *tensor, uint32_t *out,
                              struct error *err)
{
    uint32_t found = graph_find(reader->graph, tensor);
    if (found != GRAPH_NONE) {
        *out = found;
        return OK;
    }
    const struct onnx_name *name = onnx_names_find(&reader->names, tensor);
    CHECK(name != NULL &&
          name->maker != MAKER_NODE); /* the walk found every node before its users */
    if (name->maker == MAKER_INITIALIZER)
        return add_tensor(reader, tensor, reader->proto->initializer[name->index], out, err);
    return add_input(reader, reader->proto->input[name->index], out, err);
}

static enum status lift_number(const struct value *value, float *out, struct error *err)
{
    size_t elements;
    if (value->data == NULL || value->dtype != DTYPE_F32 ||
        !shape_elements(&value->shape, &elements) || elements != 1 ||
        isnan(*(const float *)value->data))
        return error_set(err, ERR_SUPPORT, "input %.100s must be one constant float32",
                         value->name);
    *out = *(const float *)value->data;
    return OK;
}

static enum status lift_axes(const struct value *value, struct attributes *out, struct error *err)
{
    size_t elements;
    if (value->data == NULL || value->dtype != DTYPE_I64 ||
        !shape_elements(&value->shape, &elements) || elements > TENSOR_RANK_MAX)
        return error_set(err, ERR_SUPPORT, "input %.100s must be a constant of up to %d int64",
                         value->name, TENSOR_RANK_MAX);
    memcpy(out->axes, value->data, elements * sizeof *out->axes);
    out->axes_count = elements;
    return OK;
}

/* Constant inputs that are attributes in struct attributes. */
static enum status lift_inputs(struct reader *reader, const Onnx__NodeProto *node, enum op op,
                               struct attributes *out, struct error *err)
{
    const struct input_row *row = NULL;
    enum status status = OK;
    while (status == OK && (row = onnx_attributes_next_input(op, row)) != NULL) {
        const char *tensor = row->input < node->n_input ? node->input[row->input] : NULL;
        uint32_t value;
        if (tensor == NULL || tensor[0] == '\0' || row->kind == ATTRIBUTE_IGNORED)
            continue;
        status = use_tensor(reader, tensor, &value, err);
        if (status == OK && row->kind == ATTRIBUTE_FLOAT)
            status = lift_number(&reader->graph->values[value],
                                 (float *)((char *)out + row->offset), err);
        else if (status == OK)
            status = lift_axes(&reader->graph->values[value], out, err);
    }
    return status;
}

static bool is_lifted(enum op op, size_t input)
{
    const struct input_row *row = NULL;
    while ((row = onnx_attributes_next_input(op, row)) != NULL)
        if (row->input == input)
            return true;
    return false;
}

static enum status gather_inputs(struct reader *reader, const Onnx__NodeProto *node, enum op op,
                                 uint32_t inputs[GRAPH_PORTS_MAX], size_t *count, struct error *err)
{
    *count = 0;
    if (node->n_input > GRAPH_PORTS_MAX)
        return error_set(err, ERR_INPUT, "%zu inputs, the limit is %zu", node->n_input,
                         GRAPH_PORTS_MAX);
    for (size_t i = 0; i < node->n_input; i++) {
        if (is_lifted(op, i))
            continue;
        inputs[*count] = GRAPH_NONE;
        if (node->input[i] != NULL && node->input[i][0] != '\0') {
            enum status status = use_tensor(reader, node->input[i], &inputs[*count], err);
            if (status != OK)
                return status;
        }
        (*count)++;
    }
    return OK;
}

static enum status add_operator(struct reader *reader, const Onnx__NodeProto *node,
                                struct error *err)
{
    uint32_t inputs[GRAPH_PORTS_MAX], output;
    struct attributes attributes = {0};
    size_t count = 0;
    enum op op = OP_IDENTITY;
    bool ours =
        node->domain == NULL || node->domain[0] == '\0' || strcmp(node->domain, "ai.onnx") == 0;
    if (!ours || !op_table_find(node->op_type, &op))
        return error_set(err, ERR_SUPPORT, "graft does not have this operator%s",
                         ours ? "" : "'s domain");
    enum status status = onnx_attributes_read(node, op, reader->graph->opset, &attributes, err);
    if (status == OK)
        status = lift_inputs(reader, node, op, &attributes, err);
    if (status == OK)
        status = gather_inputs(reader, node, op, inputs, &count, err);
    if (status == OK)
        status = graph_add_node(reader->graph, op, onnx_order_node_name(node), inputs, count,
                                node->output[0], &attributes, &output, err);
    return status;
}

static enum status add_node(struct reader *reader, const Onnx__NodeProto *node, struct error *err)
{
    uint32_t value;
    CHECK(node->n_output > 0); /* found by its output's name */
    if (node->op_type == NULL)
        return error_set(err, ERR_INPUT, "a node has no operator");
    if (strcmp(node->op_type, "Constant") == 0)
        return add_constant_node(reader, node, &value, err);
    return add_operator(reader, node, err);
}

static enum status add_nodes(struct reader *reader, const char *cut, struct error *err)
{
    struct onnx_order order = {0};
    enum status status = onnx_order_init(&order, reader->proto, &reader->names, cut, err);
    for (size_t i = 0; i < order.count && status == OK; i++) {
        const Onnx__NodeProto *node = reader->proto->node[order.nodes[i]];
        status = prefix_node(node, add_node(reader, node, err), err);
    }
    onnx_order_deinit(&order);
    return status;
}

/* ---- files ---- */

static enum status read_opset(const Onnx__ModelProto *model, struct graph *graph, struct error *err)
{
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *opset = model->opset_import[i];
        if (opset->domain == NULL || opset->domain[0] == '\0' ||
            strcmp(opset->domain, "ai.onnx") == 0)
            graph->opset = opset->version;
    }
    if (graph->opset < ONNX_OPSET_MIN || graph->opset > ONNX_OPSET_MAX)
        return error_set(err, ERR_SUPPORT, "opset %lld; supported are %d to %d",
                         (long long)graph->opset, ONNX_OPSET_MIN, ONNX_OPSET_MAX);
    return OK;
}

static enum status read_graph(struct reader *reader, const char *cut, struct error *err)
{
    if (cut[0] == '\0' && reader->proto->n_output > 0 && reader->proto->output[0]->name != NULL)
        cut = reader->proto->output[0]->name;
    if (cut[0] == '\0')
        return error_set(err, ERR_INPUT, "the file names no output");
    enum status status = onnx_names_init(reader->proto, &reader->names, err);
    if (status == OK)
        status = add_nodes(reader, cut, err);
    if (status == OK && reader->graph->input == GRAPH_NONE)
        status = error_set(err, ERR_INPUT, "tensor %.100s does not depend on an input", cut);
    if (status == OK)
        reader->graph->output = graph_find(reader->graph, cut);
    onnx_names_deinit(&reader->names);
    return status;
}

static enum status read_model(const Onnx__ModelProto *model, struct reader *reader, const char *cut,
                              struct error *err)
{
    if (model == NULL)
        return error_set(err, ERR_INPUT, "not an ONNX file, or no memory to parse it");
    if (model->graph == NULL)
        return error_set(err, ERR_INPUT, "the file contains no graph");
    reader->proto = model->graph;
    enum status status = read_opset(model, reader->graph, err);
    return status == OK ? read_graph(reader, cut, err) : status;
}

enum status onnx_reader_parse(const void *bytes, size_t byte_count, const char *directory,
                              const char *cut, struct graph **out, struct error *err)
{
    struct reader reader = {.directory = directory};
    if (byte_count == 0)
        return error_set(err, ERR_INPUT, "the file is empty");
    enum status status = onnx_scan(bytes, byte_count, err);
    if (status == OK)
        status = graph_create(&reader.graph, err);
    if (status != OK)
        return status;
    digest_init(&reader.digest);
    digest_add(&reader.digest, bytes, byte_count);
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, byte_count, bytes);
    status = read_model(model, &reader, cut, err);
    if (model != NULL)
        onnx__model_proto__free_unpacked(model, NULL);
    reader.graph->digest = digest_end(&reader.digest);
    if (status == OK)
        *out = reader.graph;
    else
        graph_destroy(&reader.graph);
    return status;
}

enum status onnx_reader_open(const char *path, const char *cut, struct graph **out,
                             struct error *err)
{
    struct file_map map = {0};
    char directory[PATH_BYTES];
    enum status status = file_path(directory, err, "%s", path);
    if (status == OK)
        status = file_map(path, ONNX_FILE_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    char *slash = strrchr(directory, '/');
    if (slash == NULL)
        memcpy(directory, ".", 2);
    else
        slash[slash == directory ? 1 : 0] = '\0';
    status = onnx_reader_parse(map.data, map.bytes, directory, cut, out, err);
    file_unmap(&map);
    if (status != OK)
        error_prefix(err, "%s", path);
    return status;
}
