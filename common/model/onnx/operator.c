#include "common/model/onnx/operator.h"

#include <string.h>

#include "common/model/onnx/adjust.h"
#include "common/model/onnx/attributes.h"
#include "common/model/onnx/fold.h"
#include "common/model/onnx/lift.h"
#include "common/model/onnx/order.h"
#include "common/model/onnx/relay.h"
#include "common/model/onnx/special.h"
#include "common/model/op_table.h"

static enum status gather_inputs(struct onnx_build *build, const Onnx__NodeProto *node, enum op op,
                                 uint32_t inputs[GRAPH_PORTS_MAX], size_t *count, struct error *err)
{
    *count = 0;
    if (node->n_input > GRAPH_PORTS_MAX)
        return error_set(err, ERR_INPUT, "%zu inputs, the limit is %zu", node->n_input,
                         GRAPH_PORTS_MAX);
    for (size_t i = 0; i < node->n_input; i++) {
        if (onnx_attributes_input(op, build->graph->opset, i) != NULL)
            continue;
        inputs[*count] = GRAPH_NONE;
        if (onnx_build_has(node, i)) {
            enum status status = onnx_build_value(build, node->input[i], &inputs[*count], err);
            if (status != OK)
                return status;
        }
        (*count)++;
    }
    while (*count > 0 && inputs[*count - 1] == GRAPH_NONE)
        (*count)--;
    return OK;
}

enum status onnx_operator_plain(struct onnx_build *build, const Onnx__NodeProto *node, enum op op,
                                const char *output, uint32_t *out, struct error *err)
{
    uint32_t inputs[GRAPH_PORTS_MAX];
    struct attributes attributes;
    size_t count = 0;
    enum status status = onnx_lift(build, node, op, &attributes, err);
    if (status == OK)
        status = gather_inputs(build, node, op, inputs, &count, err);
    if (status == OK)
        status = onnx_adjust(build, node, op, &attributes, inputs, count, err);
    if (status == OK)
        status = onnx_build_node(build, op, onnx_order_node_name(node), inputs, count, output,
                                 &attributes, out, err);
    return status;
}

/* A Constant's numbers: value_float, value_int and their lists (opset 12). */
static enum status add_numbers(struct onnx_build *build, const char *name,
                               const Onnx__AttributeProto *from, struct error *err)
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
    enum dtype dtype = real ? DTYPE_F32 : DTYPE_I64;
    struct shape shape = {.rank = list ? 1 : 0, .dims = {(int64_t)count}};
    size_t bytes = count * dtype_bytes(dtype);
    uint32_t value;
    void *data = graph_alloc(build->graph, bytes, 1);
    if (data == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu bytes", bytes);
    if (bytes > 0)
        memcpy(data, source, bytes);
    return graph_add_value(build->graph, name, dtype, &shape, data, real && list, &value, err);
}

static enum status add_constant(struct onnx_build *build, const Onnx__NodeProto *node,
                                struct error *err)
{
    if (node->n_attribute != 1 || node->attribute[0]->name == NULL)
        return error_set(err, ERR_INPUT, "a Constant needs exactly one attribute");
    const Onnx__AttributeProto *from = node->attribute[0];
    if (from->t != NULL)
        return onnx_build_tensor(build, node->output[0], from->t, err);
    return add_numbers(build, node->output[0], from, err);
}

enum status onnx_operator_add(struct onnx_build *build, const Onnx__NodeProto *node,
                              struct error *err)
{
    uint32_t value;
    bool done = false, ours = node->domain == NULL || node->domain[0] == '\0' ||
                              strcmp(node->domain, "ai.onnx") == 0;
    enum op op = OP_IDENTITY;
    if (!ours)
        return error_set(err, ERR_SUPPORT, "graft does not have this operator's domain, %.60s",
                         node->domain);
    if (strcmp(node->op_type, "Constant") == 0)
        return add_constant(build, node, err);
    enum status status = onnx_fold(build, node, &done, err);
    if (status == OK && !done)
        status = onnx_relay(build, node, &done, err);
    if (status == OK && !done)
        status = onnx_special(build, node, &done, err);
    if (status != OK || done)
        return status;
    if (!op_table_find(node->op_type, &op))
        return error_set(err, ERR_SUPPORT, "graft does not have this operator");
    return onnx_operator_plain(build, node, op, node->output[0], &value, err);
}
