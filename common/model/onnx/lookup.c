#include "common/model/onnx/lookup.h"

#include <string.h>

#include "common/model/onnx/attributes.h"
#include "common/model/onnx/order.h"

/* Index `at` of a sample: n · extent + k of rows that are flat, or the pair (n, k). *k lies inside
 * the extent. Where the file's batch is 1, n is 0. */
static bool own_index(const struct onnx_build *build, const struct folded *from, size_t at,
                      bool pairs, int64_t extent, int64_t *k)
{
    struct folded_number number = from->numbers[pairs ? 2 * at + 1 : at];
    struct folded_number place = pairs ? from->numbers[2 * at] : number;
    bool own = place.sample == (pairs ? 1 : extent) && place.batch == 0 && !place.unknown;
    if (build->fixed_batch == 1 && onnx_folded_plain(place))
        own = pairs ? place.whole == 0 : true;
    else if (pairs)
        own &= place.whole == 0;
    own &= !pairs || onnx_folded_plain(number);
    *k = number.whole;
    return own && *k >= 0 && *k < extent;
}

/* Constant indexes of one sample, with the shape of `from` without its first axis (and the last, of
 * pairs). */
static enum status add_indexes(struct onnx_build *build, const Onnx__NodeProto *node,
                               const struct folded *from, bool pairs, int64_t extent, uint32_t *out,
                               struct error *err)
{
    struct shape shape = {.rank = from->shape.rank - (pairs ? 2 : 1)};
    const char *name = onnx_build_name(build, node->output[0], "indexes");
    size_t count = from->count / (pairs ? 2 : 1);
    int64_t *data = graph_alloc(build->graph, count, sizeof *data);
    if (name == NULL || data == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu indexes", count);
    memcpy(shape.dims, from->shape.dims + 1, shape.rank * sizeof *shape.dims);
    for (size_t i = 0; i < count; i++)
        if (!own_index(build, from, i, pairs, extent, &data[i]))
            return error_set(err, ERR_SUPPORT,
                             "its indexes reach from one sample into another, or are not known");
    return graph_add_value(build->graph, name, DTYPE_I64, &shape, data, false, out, err);
}

/* Rows of all samples, flat: the file's first axis is the batch and the rows, the others are one
 * each. */
static bool is_flat(const struct layout *layout)
{
    if (layout->rank == 0 || layout->sizes[0] != 2)
        return false;
    for (size_t i = 0; i < layout->count; i++)
        if (layout->axes[i] != i)
            return false;
    for (size_t i = 1; i < layout->rank; i++)
        if (layout->sizes[i] > 1)
            return false;
    return true;
}

/* One row of indexes a sample? */
static bool is_each(const struct folded *from, bool pairs)
{
    size_t rank = from->shape.rank;
    return rank >= (pairs ? 2 : 1) && (from->shape.dims[0] == -1 || from->shape.dims[0] == 1) &&
           (!pairs || from->shape.dims[rank - 1] == 2) && !onnx_folded_real(from->dtype);
}

/* What the file has: [N, indexes…, the others…]; the value lacks those of size 1. */
static struct layout result_of(const struct layout *rows, size_t indexes)
{
    struct layout to = {.rank = 0};
    for (size_t i = 0; i <= indexes; i++) {
        to.sizes[to.rank++] = 1;
        to.axes[to.count] = to.count;
        to.count++;
    }
    for (size_t i = 1; i < rows->rank; i++) {
        to.sizes[to.rank++] = rows->sizes[i];
        for (size_t k = 0; k < rows->sizes[i]; k++, to.count++)
            to.axes[to.count] = to.count;
    }
    return to;
}

static enum status look_up(struct onnx_build *build, const Onnx__NodeProto *node,
                           const struct layout *rows, const struct folded *from, bool pairs,
                           struct error *err)
{
    struct attributes a;
    uint32_t inputs[2] = {rows->value, GRAPH_NONE};
    struct shape shape = build->graph->values[rows->value].shape;
    size_t indexes = from->shape.rank - (pairs ? 2 : 1);
    if (indexes + rows->rank > TENSOR_RANK_MAX || indexes + rows->count > TENSOR_RANK_MAX + 1)
        return error_set(err, ERR_SUPPORT, "its result has more than %d axes", TENSOR_RANK_MAX);
    enum status status = add_indexes(build, node, from, pairs, shape.dims[1], &inputs[1], err);
    struct layout to = result_of(rows, indexes);
    onnx_attributes_default(OP_GATHER, build->graph->opset, &a);
    a.axis = 1;
    return status == OK ? onnx_layout_emit(build, OP_GATHER, &a, inputs, 2, &to,
                                           onnx_order_node_name(node), node->output[0], err)
                        : status;
}

/* The value [N, L, …] as if its first two axes were flat. */
static struct layout flat(const struct onnx_build *build, uint32_t value)
{
    struct layout layout = onnx_layout_plain(build, value);
    layout.sizes[0] = 2;
    layout.rank--;
    for (size_t i = 1; i < layout.rank; i++)
        layout.sizes[i] = 1;
    return layout;
}

enum status onnx_lookup(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                        struct error *err)
{
    bool pairs = strcmp(node->op_type, "GatherND") == 0;
    const Onnx__AttributeProto *axis = onnx_attributes_find(node, "axis");
    struct folded *from = NULL;
    uint32_t value = GRAPH_NONE;
    *done = false;
    if ((!pairs && strcmp(node->op_type, "Gather") != 0) || !onnx_build_has(node, 0) ||
        !onnx_build_has(node, 1) || (axis != NULL && axis->i != 0))
        return OK;
    const struct layout *rows = onnx_build_layout(build, node->input[0]);
    if (pairs == (rows != NULL) || (rows != NULL && !is_flat(rows)))
        return OK;
    enum status status = onnx_build_folded(build, node->input[1], &from, err);
    if (status != OK || from == NULL || !is_each(from, pairs))
        return status;
    if (!pairs) {
        *done = true;
        return look_up(build, node, rows, from, pairs, err);
    }
    status = onnx_build_value(build, node->input[0], &value, err);
    const struct shape *shape = status == OK ? &build->graph->values[value].shape : NULL;
    if (status != OK || !value_batched(&build->graph->values[value]) || shape->rank < 2)
        return status;
    const struct layout own = flat(build, value);
    *done = true;
    return look_up(build, node, &own, from, pairs, err);
}
