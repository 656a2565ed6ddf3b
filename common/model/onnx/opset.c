#include "common/model/onnx/opset.h"

#include "common/model/op_table.h"

/* Operators by the opset they came with. */
static int64_t first_opset(enum op op)
{
    switch ((int)op) {
    case OP_GELU:
        return 20;
    case OP_GROUP_NORM: /* 18 had one that scales by group */
        return 21;
    case OP_HARD_SWISH:
        return 14;
    case OP_LAYER_NORM:
        return 17;
    case OP_RESIZE: /* 10 had not all modes */
        return 11;
    }
    return 1;
}

/* Up to 12 it flattened all axes from one on: the same only for the last. */
static bool flattens(const struct graph *graph, const struct node *node)
{
    int64_t rank = (int64_t)graph->values[node->output].shape.rank, axis = node->attributes.axis;
    return node->attributes.softmax_flat && axis != -1 && axis != rank - 1;
}

/* The first word that is missing, or NULL. */
static const char *missing_word(const struct graph *graph, const struct node *node, int64_t opset)
{
    const struct attributes *a = &node->attributes;
    switch ((int)node->op) {
    case OP_SOFTMAX:
    case OP_LOG_SOFTMAX:
        return opset >= 13 && flattens(graph, node) ? "that axes are flattened" : NULL;
    case OP_AVERAGE_POOL:
        return opset < 19 && (a->dilations[0] > 1 || a->dilations[1] > 1) ? "dilations" : NULL;
    case OP_PAD:
        if (opset < 19 && a->pad_mode == PAD_WRAP)
            return "mode = wrap";
        return NULL;
    case OP_REDUCE_L2:
    case OP_REDUCE_MAX:
    case OP_REDUCE_MEAN:
    case OP_REDUCE_MIN:
        return opset < 18 && a->reduce_none ? "noop_with_empty_axes" : NULL;
    case OP_QUANTIZE:
        return opset < 21 && node->input_count < 3 && a->to != DTYPE_U8 ? "output_dtype" : NULL;
    }
    return NULL;
}

enum status onnx_opset_check(const struct graph *graph, int64_t opset, struct error *err)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        const char *type = op_table_row(node->op)->type;
        const char *word =
            first_opset(node->op) > opset ? "this operator" : missing_word(graph, node, opset);
        if (word != NULL)
            return error_set(err, ERR_SUPPORT, "node %.100s (%s): opset %lld has no word for %s",
                             node->name, type, (long long)opset, word);
    }
    return OK;
}
