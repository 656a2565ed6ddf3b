#include "common/model/onnx/build.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/model/onnx/attributes.h"
#include "common/model/onnx/tensor.h"
#include "common/model/shape_infer.h"

static struct onnx_known *known_of(const struct onnx_build *build, const char *tensor)
{
    const struct onnx_name *name = onnx_names_find(&build->names, tensor);
    CHECK(name != NULL); /* the walk over the nodes has found it */
    return &build->known[name - build->names.sorted];
}

bool onnx_build_has(const Onnx__NodeProto *node, size_t i)
{
    return i < node->n_input && node->input[i] != NULL && node->input[i][0] != '\0';
}

const char *onnx_build_name(struct onnx_build *build, const char *output, const char *what)
{
    size_t bytes = strlen(output) + strlen(what) + 2;
    char *name = graph_alloc(build->scratch, bytes, 1);
    if (name != NULL)
        snprintf(name, bytes, "%s.%s", output, what);
    return name;
}

/* ---- values ---- */

enum status onnx_build_tensor(struct onnx_build *build, const char *name,
                              const Onnx__TensorProto *proto, struct error *err)
{
    struct onnx_tensor tensor = {0};
    uint32_t value;
    enum status status =
        onnx_tensor_read(proto, build->directory, build->graph, &build->digest, &tensor, err);
    if (status != OK) {
        error_prefix(err, "tensor %.100s", name);
        return status;
    }
    bool parameter = tensor.dtype == DTYPE_F32 && tensor.shape.rank >= 1;
    return graph_add_value(build->graph, name, tensor.dtype, &tensor.shape, tensor.data, parameter,
                           &value, err);
}

/* A constant, and where it is the same for each sample a copy of it for each. */
static enum status add_folded(struct onnx_build *build, const char *tensor,
                              const struct folded *folded, uint32_t *out, struct error *err)
{
    struct shape shape = folded->shape;
    struct attributes expand;
    const void *data;
    bool batched = shape.rank > 0 && shape.dims[0] == -1;
    const char *name = batched ? onnx_build_name(build, tensor, "once") : tensor;
    if (name == NULL)
        return error_set(err, ERR_MEMORY, "no memory for tensor %.100s", tensor);
    enum status status = onnx_folded_store(folded, build->graph, &data, err);
    if (status != OK)
        return error_prefix(err, "tensor %.100s", tensor);
    onnx_attributes_default(OP_EXPAND, build->graph->opset, &expand);
    expand.axes_count = shape.rank;
    memcpy(expand.axes, shape.dims, sizeof expand.axes);
    if (batched)
        shape.dims[0] = 1;
    status = graph_add_value(build->graph, name, folded->dtype, &shape, data, false, out, err);
    if (status == OK && batched)
        status = onnx_build_node(build, OP_EXPAND, tensor, out, 1, tensor, &expand, out, err);
    return status;
}

enum status onnx_build_value(struct onnx_build *build, const char *tensor, uint32_t *out,
                             struct error *err)
{
    uint32_t found = graph_find(build->graph, tensor);
    struct onnx_known *known = known_of(build, tensor);
    if (found == GRAPH_NONE && known->folded != NULL)
        return add_folded(build, tensor, known->folded, out, err);
    if (found == GRAPH_NONE && known->layout != NULL)
        return error_set(err, ERR_SUPPORT,
                         "tensor %.100s has the batch in another place than first or merged with "
                         "another axis; here it must be first and alone",
                         tensor);
    if (found == GRAPH_NONE) {
        const struct onnx_name *name = onnx_names_find(&build->names, tensor);
        CHECK(name->maker == MAKER_INITIALIZER); /* inputs are there, nodes before their users */
        enum status status =
            onnx_build_tensor(build, tensor, build->proto->initializer[name->index], err);
        if (status != OK)
            return status;
        found = graph_find(build->graph, tensor);
    }
    *out = found;
    return OK;
}

enum status onnx_build_folded(struct onnx_build *build, const char *tensor, struct folded **out,
                              struct error *err)
{
    struct onnx_known *known = known_of(build, tensor);
    uint32_t value = GRAPH_NONE;
    size_t elements;
    *out = known->folded;
    if (known->folded != NULL || known->layout != NULL)
        return OK;
    enum status status = onnx_build_value(build, tensor, &value, err);
    if (status != OK)
        return status;
    const struct value *constant = &build->graph->values[value];
    size_t most = constant->parameter ? TENSOR_RANK_MAX : FOLDED_ELEMENTS_MAX;
    if (constant->data == NULL || !shape_elements(&constant->shape, &elements) || elements > most)
        return OK;
    status = onnx_folded_load(build->scratch, constant, out, err);
    return status == OK ? onnx_build_fold(build, tensor, *out, err) : status;
}

static enum status shape_of_layout(const struct onnx_build *build, const char *tensor,
                                   const struct layout *layout, struct shape *shape,
                                   enum dtype *dtype, struct error *err)
{
    *shape = (struct shape){.rank = layout->rank};
    *dtype = build->graph->values[layout->value].dtype;
    for (size_t i = 0; i < layout->rank; i++) {
        struct folded_number size = onnx_layout_size(build, layout, i);
        shape->dims[i] = size.batch != 0 ? -1 : size.whole;
        if (size.batch > 1)
            return error_set(err, ERR_SUPPORT,
                             "tensor %.100s has the batch merged with another axis", tensor);
    }
    return OK;
}

enum status onnx_build_shape(struct onnx_build *build, const char *tensor, struct shape *shape,
                             enum dtype *dtype, struct error *err)
{
    const struct onnx_known *known = known_of(build, tensor);
    uint32_t value = GRAPH_NONE;
    if (known->folded != NULL) {
        *shape = known->folded->shape;
        *dtype = known->folded->dtype;
        return OK;
    }
    if (known->layout != NULL)
        return shape_of_layout(build, tensor, known->layout, shape, dtype, err);
    enum status status = onnx_build_value(build, tensor, &value, err);
    if (status != OK)
        return status;
    *shape = build->graph->values[value].shape;
    *dtype = build->graph->values[value].dtype;
    return OK;
}

enum status onnx_build_sizes(struct onnx_build *build, const char *tensor,
                             struct folded_number sizes[TENSOR_RANK_MAX], size_t *rank,
                             struct error *err)
{
    const struct layout *layout = onnx_build_layout(build, tensor);
    struct shape shape = {0};
    enum dtype dtype;
    enum status status = layout == NULL ? onnx_build_shape(build, tensor, &shape, &dtype, err) : OK;
    *rank = layout == NULL ? shape.rank : layout->rank;
    for (size_t i = 0; i < *rank && status == OK; i++) {
        sizes[i] = (struct folded_number){.batch = shape.dims[i] == -1};
        if (shape.dims[i] != -1)
            sizes[i].whole = shape.dims[i];
        if (layout != NULL)
            sizes[i] = onnx_layout_size(build, layout, i);
    }
    return status;
}

const struct layout *onnx_build_layout(const struct onnx_build *build, const char *tensor)
{
    return known_of(build, tensor)->layout;
}

enum status onnx_build_fold(struct onnx_build *build, const char *tensor, struct folded *folded,
                            struct error *err)
{
    build->numbers += folded->count;
    if (build->numbers > ONNX_BUILD_NUMBERS_MAX)
        return error_set(err, ERR_INPUT, "arithmetic on shapes takes more than %zu numbers",
                         ONNX_BUILD_NUMBERS_MAX);
    known_of(build, tensor)->folded = folded;
    return OK;
}

enum status onnx_build_lay_out(struct onnx_build *build, const char *tensor,
                               const struct layout *layout, struct error *err)
{
    struct layout *kept = graph_alloc(build->scratch, 1, sizeof *kept);
    if (kept == NULL)
        return error_set(err, ERR_MEMORY, "no memory for tensor %.100s", tensor);
    *kept = *layout;
    known_of(build, tensor)->layout = kept;
    return OK;
}

enum status onnx_build_node(struct onnx_build *build, enum op op, const char *name,
                            const uint32_t *inputs, size_t input_count, const char *output,
                            const struct attributes *attributes, uint32_t *out, struct error *err)
{
    struct graph *graph = build->graph;
    enum status status =
        graph_add_node(graph, op, name, inputs, input_count, output, attributes, out, err);
    return status == OK ? shape_infer_node(graph, &graph->nodes[graph->node_count - 1], err)
                        : status;
}
