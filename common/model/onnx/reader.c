#include "common/model/onnx/reader.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/onnx/build.h"
#include "common/model/onnx/names.h"
#include "common/model/onnx/operator.h"
#include "common/model/onnx/order.h"
#include "common/model/onnx/scan.h"
#include "common/model/onnx/types.h"
#include "common/model/shape_axes.h"

/* ---- inputs ---- */

static enum status declared_shape(const Onnx__TypeProto__Tensor *type, struct shape *out,
                                  struct error *err)
{
    *out = (struct shape){0};
    if (type->shape == NULL)
        return OK;
    if (type->shape->n_dim > TENSOR_RANK_MAX)
        return error_set(err, ERR_SUPPORT, "rank %zu exceeds %d", type->shape->n_dim,
                         TENSOR_RANK_MAX);
    out->rank = type->shape->n_dim;
    for (size_t i = 0; i < out->rank; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[i];
        bool known = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        out->dims[i] = known && dim->dim_value > 0 ? dim->dim_value : -1;
    }
    return OK;
}

static enum status add_input(struct graph *graph, const Onnx__ValueInfoProto *info,
                             struct error *err)
{
    struct shape shape = {0};
    enum dtype dtype = DTYPE_F32;
    uint32_t value;
    enum status status = OK;
    const Onnx__TypeProto *type = info->type;
    if (type != NULL && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
        if (type->tensor_type->has_elem_type)
            status = onnx_types_read(type->tensor_type->elem_type, &dtype, err);
        if (status == OK && dtype == DTYPE_F64)
            status = error_set(err, ERR_SUPPORT, "element type float64 is not supported");
        if (status == OK)
            status = declared_shape(type->tensor_type, &shape, err);
    } else if (type != NULL && type->value_case != ONNX__TYPE_PROTO__VALUE__NOT_SET) {
        status = error_set(err, ERR_SUPPORT, "it is not a tensor");
    }
    if (status != OK)
        return error_prefix(err, "input %.100s", info->name);
    return graph_add_input(graph, info->name, dtype, &shape, &value, err);
}

/* What the cut needs, in the file's order. */
static enum status add_inputs(struct onnx_build *build, struct error *err)
{
    enum status status = OK;
    for (size_t i = 0; i < build->proto->n_input && status == OK; i++) {
        const Onnx__ValueInfoProto *info = build->proto->input[i];
        const struct onnx_name *name =
            info->name == NULL ? NULL : onnx_names_find(&build->names, info->name);
        if (name != NULL && name->maker == MAKER_INPUT && name->used)
            status = add_input(build->graph, info, err);
    }
    return status;
}

static enum status check_input(const struct value *value, bool whole, struct error *err)
{
    char text[96];
    struct shape known = value->shape;
    size_t elements;
    if (!whole && known.rank > 0 && known.dims[0] == -1)
        known.dims[0] = 1;
    shape_text(&value->shape, text, sizeof text);
    bool given = (whole || known.rank > 0) && shape_elements(&known, &elements);
    if (given && elements == 0)
        return error_set(err, ERR_SUPPORT, "input %.100s is %s: it is empty", value->name, text);
    if (given)
        return OK;
    return error_set(err, ERR_INPUT, "input %.100s is %s: %s", value->name, text,
                     whole ? "every dimension must be given"
                           : "every dimension but the batch, the first, must be given");
}

/* The batch is the first dimension of every input. */
static enum status bind_inputs(struct onnx_build *build, const struct onnx_reading *reading,
                               struct error *err)
{
    struct graph *graph = build->graph;
    enum status status = OK;
    for (size_t i = 0; i < graph->input_count && !reading->whole; i++) {
        struct shape *shape = &graph->values[graph->inputs[i]].shape;
        if (shape->rank > 0 && shape->dims[0] > GRAPH_EXTENT_MAX)
            return error_set(err, ERR_INPUT, "input %.100s has a batch of %lld samples",
                             graph->values[graph->inputs[i]].name, (long long)shape->dims[0]);
        if (shape->rank > 0 && shape->dims[0] > 0 && i == 0)
            build->fixed_batch = shape->dims[0];
        shape->dims[0] = -1;
    }
    if (reading->bind != NULL)
        status = reading->bind(reading->context, graph, err);
    for (size_t i = 0; i < graph->input_count && status == OK; i++)
        status = check_input(&graph->values[graph->inputs[i]], reading->whole, err);
    return status;
}

/* ---- nodes ---- */

static enum status add_nodes(struct onnx_build *build, const struct onnx_order *order,
                             struct error *err)
{
    enum status status = OK;
    for (size_t i = 0; i < order->count && status == OK; i++) {
        const Onnx__NodeProto *node = build->proto->node[order->nodes[i]];
        CHECK(node->n_output > 0); /* found by its output's name */
        status = node->op_type == NULL ? error_set(err, ERR_INPUT, "a node has no operator")
                                       : onnx_operator_add(build, node, err);
        if (status != OK)
            error_prefix(err, "node %.100s (%.40s)", onnx_order_node_name(node),
                         node->op_type == NULL ? "?" : node->op_type);
    }
    return status;
}

static enum status add_parts(struct onnx_build *build, const struct onnx_reading *reading,
                             const char *cut, struct error *err)
{
    struct onnx_order order = {0};
    enum status status = onnx_order_init(&order, build->proto, &build->names, cut, err);
    if (status == OK)
        status = add_inputs(build, err);
    if (status == OK && build->graph->input_count == 0 && !reading->whole)
        status = error_set(err, ERR_INPUT, "tensor %.100s does not depend on an input", cut);
    if (status == OK)
        status = bind_inputs(build, reading, err);
    if (status == OK)
        status = add_nodes(build, &order, err);
    onnx_order_deinit(&order);
    return status == OK ? onnx_build_value(build, cut, &build->graph->output, err) : status;
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

static enum status read_graph(struct onnx_build *build, const struct onnx_reading *reading,
                              struct error *err)
{
    const char *cut = reading->cut;
    if (cut[0] == '\0' && build->proto->n_output > 0 && build->proto->output[0]->name != NULL)
        cut = build->proto->output[0]->name;
    if (cut[0] == '\0')
        return error_set(err, ERR_INPUT, "the file names no output");
    enum status status = onnx_names_init(build->proto, &build->names, err);
    if (status == OK)
        status = graph_create(&build->scratch, err);
    if (status == OK) {
        build->known = graph_alloc(build->scratch, build->names.count, sizeof *build->known);
        status = build->known == NULL
                     ? error_set(err, ERR_MEMORY, "no memory for %zu tensors", build->names.count)
                     : add_parts(build, reading, cut, err);
    }
    graph_destroy(&build->scratch);
    onnx_names_deinit(&build->names);
    return status;
}

static enum status read_model(const Onnx__ModelProto *model, struct onnx_build *build,
                              const struct onnx_reading *reading, struct error *err)
{
    if (model == NULL)
        return error_set(err, ERR_INPUT, "not an ONNX file, or no memory to parse it");
    if (model->graph == NULL)
        return error_set(err, ERR_INPUT, "the file contains no graph");
    build->proto = model->graph;
    enum status status = read_opset(model, build->graph, err);
    return status == OK ? read_graph(build, reading, err) : status;
}

enum status onnx_reader_parse(const void *bytes, size_t byte_count, const char *directory,
                              const struct onnx_reading *reading, struct graph **out,
                              struct error *err)
{
    struct onnx_build build = {.directory = directory};
    if (byte_count == 0)
        return error_set(err, ERR_INPUT, "the file is empty");
    enum status status = onnx_scan(bytes, byte_count, err);
    if (status == OK)
        status = graph_create(&build.graph, err);
    if (status != OK)
        return status;
    digest_init(&build.digest);
    digest_add(&build.digest, bytes, byte_count);
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, byte_count, bytes);
    status = read_model(model, &build, reading, err);
    if (model != NULL)
        onnx__model_proto__free_unpacked(model, NULL);
    build.graph->digest = digest_end(&build.digest);
    if (status == OK)
        *out = build.graph;
    else
        graph_destroy(&build.graph);
    return status;
}

enum status onnx_reader_open(const char *path, const struct onnx_reading *reading,
                             struct graph **out, struct error *err)
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
    status = onnx_reader_parse(map.data, map.bytes, directory, reading, out, err);
    file_unmap(&map);
    if (status != OK)
        error_prefix(err, "%s", path);
    return status;
}
