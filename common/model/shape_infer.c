#include "common/model/shape_infer.h"

#include "common/base/check.h"
#include "common/model/op_table.h"

static void gather_shapes(const struct graph *graph, const struct node *node,
                          const struct shape **in)
{
    for (size_t i = 0; i < node->input_count; i++)
        in[i] = node->inputs[i] == GRAPH_NONE ? NULL : &graph->values[node->inputs[i]].shape;
}

static void gather_types(const struct graph *graph, const struct node *node, enum dtype *in)
{
    for (size_t i = 0; i < node->input_count; i++)
        in[i] = graph->values[node->inputs[node->inputs[i] == GRAPH_NONE ? 0 : i]].dtype;
}

static enum status check_inputs(const struct node *node, struct error *err)
{
    const struct op_row *row = op_table_row(node->op);
    if (node->input_count < row->inputs_min || node->input_count > row->inputs_max)
        return error_set(err, ERR_INPUT, "%zu inputs, expected %zu to %zu", node->input_count,
                         row->inputs_min, row->inputs_max);
    for (size_t i = 0; i < row->inputs_min; i++)
        if (node->inputs[i] == GRAPH_NONE)
            return error_set(err, ERR_INPUT, "input %zu is left out", i);
    return OK;
}

/* The invariant of graph.h: the batch first or nowhere, everything else known, positive and of
 * bounded size. */
static enum status check_shape(const struct shape *shape, struct error *err)
{
    struct shape one = *shape;
    size_t elements;
    if (one.rank > 0 && one.dims[0] == -1)
        one.dims[0] = 1;
    bool fits = one.rank <= TENSOR_RANK_MAX && shape_elements(&one, &elements);
    if (!fits || elements == 0) {
        char text[128];
        shape_text(shape, text, sizeof text);
        return fits
                   ? error_set(err, ERR_SUPPORT, "shape %s is empty", text)
                   : error_set(err, ERR_INPUT,
                               "shape %s is too large or has the batch elsewhere than first", text);
    }
    return OK;
}

/* A constant without elements may stand in a file; no kernel takes it. */
static enum status check_filled(const struct node *node, const struct shape *const *in,
                                struct error *err)
{
    for (size_t k = 0; k < node->input_count; k++)
        for (size_t i = 0; in[k] != NULL && i < in[k]->rank; i++)
            if (in[k]->dims[i] == 0)
                return error_set(err, ERR_SUPPORT, "input %zu is empty", k);
    return OK;
}

enum status shape_infer_node(struct graph *graph, struct node *node, struct error *err)
{
    const struct shape *in[GRAPH_PORTS_MAX];
    enum dtype types[GRAPH_PORTS_MAX], type = DTYPE_F32;
    struct shape out = {0};
    enum status status = check_inputs(node, err);
    if (status != OK)
        return status;
    gather_shapes(graph, node, in);
    gather_types(graph, node, types);
    status = check_filled(node, in, err);
    if (status == OK)
        status = op_table_row(node->op)->dtype(node, types, &type, err);
    if (status == OK)
        status = op_table_row(node->op)->shape(node, in, &out, err);
    if (status == OK)
        status = check_shape(&out, err);
    if (status != OK)
        return status;
    graph->values[node->output].shape = out;
    graph->values[node->output].dtype = type;
    return OK;
}

enum status shape_infer(struct graph *graph, struct error *err)
{
    for (size_t i = 0; i < graph->value_count; i++) {
        const struct value *value = &graph->values[i];
        if (value->producer == GRAPH_NONE && value->data == NULL &&
            check_shape(&value->shape, err) != OK)
            return error_prefix(err, "input %.100s", value->name);
        if (value->data != NULL && value->shape.rank > 0 && value->shape.dims[0] < 0)
            return error_set(err, ERR_INPUT, "constant %s has no fixed shape", value->name);
    }
    enum status status = OK;
    for (size_t i = 0; i < graph->node_count && status == OK; i++) {
        struct node *node = &graph->nodes[i];
        status = shape_infer_node(graph, node, err);
        if (status != OK)
            error_prefix(err, "node %.100s (%s)", node->name, op_table_row(node->op)->type);
    }
    return status;
}

double shape_infer_flops(const struct graph *graph, const struct node *node)
{
    const struct shape *in[GRAPH_PORTS_MAX];
    gather_shapes(graph, node, in);
    return op_table_row(node->op)->flops(node, in, &graph->values[node->output].shape);
}
