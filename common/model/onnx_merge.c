#include "common/model/onnx_merge.h"

#include <string.h>

#include "common/model/onnx_attributes.h"
#include "common/model/onnx_lift.h"
#include "common/model/onnx_order.h"
#include "common/model/op_table.h"
#include "common/model/shape_axes.h"
#include "common/model/shape_rules.h"

/* The node under construction. */
struct merging {
    struct onnx_build *build;
    const Onnx__NodeProto *node;
    struct error *err;
    enum op op;
    struct attributes a;
    uint32_t inputs[GRAPH_PORTS_MAX];
    bool merged[GRAPH_PORTS_MAX]; /* input by input: its axes are apart */
    size_t count;
};

static const struct shape *shape_of(const struct merging *m, size_t input)
{
    return &m->build->graph->values[m->inputs[input]].shape;
}

/* ---- Reshape ---- */

struct target {
    struct folded_number sizes[TENSOR_RANK_MAX];
    size_t rank;
    double rest; /* product of all sizes but the first; -1: one of them is open or unknown */
};

/* Flatten with the batch among its rows: [N · a · …, rest]. */
static enum status flat_target(const struct merging *m, struct target *out, bool *known)
{
    const Onnx__AttributeProto *axis = onnx_attributes_find(m->node, "axis");
    const struct shape *shape = shape_of(m, 0);
    size_t end = 1;
    if (axis != NULL && axis->i != (int64_t)shape->rank) {
        enum status status = shape_axes_wrap(axis->i, shape->rank, &end, m->err);
        if (status != OK)
            return status;
    } else if (axis != NULL) {
        end = shape->rank;
    }
    *known = end >= 2 && !m->merged[0];
    *out = (struct target){.sizes = {{.batch = 1}, {.whole = 1}}, .rank = 2, .rest = 1};
    for (size_t i = 1; i < shape->rank; i++) {
        if (i < end)
            out->sizes[0].batch *= shape->dims[i];
        else
            out->sizes[1].whole *= shape->dims[i];
    }
    return OK;
}

static enum status read_target(struct onnx_build *build, const char *tensor, struct target *out,
                               bool *known, struct error *err)
{
    struct folded *sizes = NULL;
    enum status status = onnx_build_folded(build, tensor, &sizes, err);
    *known = status == OK && sizes != NULL && !onnx_folded_real(sizes->dtype) &&
             sizes->count >= 1 && sizes->count <= TENSOR_RANK_MAX;
    if (!*known)
        return status;
    *out = (struct target){.rank = sizes->count, .rest = 1};
    for (size_t i = 0; i < sizes->count; i++) {
        out->sizes[i] = sizes->numbers[i];
        bool plain = onnx_folded_plain(sizes->numbers[i]) && sizes->numbers[i].whole > 0;
        if (i > 0)
            out->rest = plain && out->rest > 0 ? out->rest * (double)sizes->numbers[i].whole : -1;
    }
    return OK;
}

/* How many of a sample's rows the target's first size counts; 0: it cannot be said. */
static int64_t rows_of(const struct onnx_build *build, const struct target *target, double elements)
{
    struct folded_number first = target->sizes[0];
    if (first.unknown || first.sample != 0)
        return 0;
    if (first.batch > 0)
        return first.whole == 0 ? first.batch : 0;
    if (target->rest <= 0)
        return 0;
    int64_t rows = (int64_t)(elements / target->rest);
    bool counted =
        first.whole == -1 || (build->fixed_batch > 0 && first.whole % build->fixed_batch == 0 &&
                              first.whole / build->fixed_batch == rows);
    return counted && (double)rows * target->rest == elements ? rows : 0;
}

/* The batch alone stays first: an ordinary reshape, of the value with its axes apart too. */
static enum status reshape(struct merging *m, const struct target *target, int64_t rows)
{
    size_t apart = rows > 1 ? 1 : 0;
    uint32_t value = GRAPH_NONE;
    if (target->rank + apart > TENSOR_RANK_MAX)
        return error_set(m->err, ERR_SUPPORT, "rank %zu exceeds %d", target->rank + apart,
                         TENSOR_RANK_MAX);
    onnx_attributes_default(OP_RESHAPE, m->build->graph->opset, &m->a);
    m->a.axes_count = target->rank + apart;
    m->a.axes[apart] = rows; /* or, of the batch alone, replaced by 0 */
    m->a.axes[0] = 0;
    for (size_t i = 1; i < target->rank; i++) {
        if (!onnx_folded_plain(target->sizes[i]))
            return error_set(m->err, ERR_SUPPORT, "axis %zu of the target depends on the batch", i);
        m->a.axes[i + apart] = target->sizes[i].whole;
    }
    const char *name = onnx_order_node_name(m->node);
    const char *output = m->node->output[0],
               *made = apart == 0 ? output : onnx_build_name(m->build, output, "apart");
    if (made == NULL)
        return error_set(m->err, ERR_MEMORY, "no memory for node %.100s", name);
    enum status status =
        onnx_build_node(m->build, OP_RESHAPE, name, m->inputs, 1, made, &m->a, &value, m->err);
    return status == OK && apart == 1 ? onnx_build_merge(m->build, output, value, m->err) : status;
}

/* A zero would copy an axis that is not the value's. */
static bool copies(const struct target *target)
{
    for (size_t i = 1; i < target->rank; i++)
        if (onnx_folded_plain(target->sizes[i]) && target->sizes[i].whole == 0)
            return true;
    return false;
}

static enum status merge_reshape(struct merging *m, bool *done)
{
    struct target target;
    bool known = false;
    enum status status = OK;
    if (!shape_axes_batched(shape_of(m, 0)))
        return OK;
    if (m->op == OP_FLATTEN)
        status = flat_target(m, &target, &known);
    else if (onnx_build_has(m->node, 1))
        status = read_target(m->build, m->node->input[1], &target, &known, m->err);
    if (status != OK || !known)
        return status;
    int64_t rows = rows_of(m->build, &target, shape_axes_product(shape_of(m, 0)));
    if (!m->merged[0] && rows <= 1)
        return OK; /* an ordinary reshape, or an error that its rule tells better */
    *done = true;
    if (rows == 0 || copies(&target))
        return error_set(m->err, ERR_SUPPORT,
                         "the batch cannot be told apart in what it makes of merged axes");
    return reshape(m, &target, rows);
}

/* ---- indexes that count through the samples ---- */

/* Index `at` of a sample: place · extent + k of rows that are flat, or (place, k) of two axes. *k
 * lies inside the extent. */
static bool own_index(const struct onnx_build *build, const struct folded *from, size_t at,
                      bool pairs, int64_t extent, int64_t *k)
{
    struct folded_number number = from->numbers[pairs ? 2 * at + 1 : at];
    struct folded_number place = pairs ? from->numbers[2 * at] : number;
    bool own = place.sample == (pairs ? 1 : extent) && place.batch == 0 && !place.unknown;
    if (build->fixed_batch == 1 && onnx_folded_plain(place))
        own = pairs ? place.whole == 0 : true;
    else if (pairs)
        own &= place.whole == 0 && onnx_folded_plain(number);
    *k = number.whole;
    return own && !number.unknown && *k >= 0 && *k < extent;
}

/* Constant indexes of one sample, with the shape of `from` without its first axis (and the last, of
 * pairs). */
static enum status add_indexes(struct merging *m, const struct folded *from, bool pairs,
                               int64_t extent, uint32_t *out)
{
    struct shape shape = {.rank = from->shape.rank - (pairs ? 2 : 1)};
    const char *name = onnx_build_name(m->build, m->node->output[0], "indexes");
    size_t count = from->count / (pairs ? 2 : 1);
    int64_t *data = graph_alloc(m->build->graph, count, sizeof *data);
    if (name == NULL || data == NULL)
        return error_set(m->err, ERR_MEMORY, "no memory for %zu indexes", count);
    memcpy(shape.dims, from->shape.dims + 1, shape.rank * sizeof *shape.dims);
    for (size_t i = 0; i < count; i++)
        if (!own_index(m->build, from, i, pairs, extent, &data[i]))
            return error_set(m->err, ERR_SUPPORT,
                             "its indexes reach from one sample into another, or are not known");
    return graph_add_value(m->build->graph, name, DTYPE_I64, &shape, data, false, out, m->err);
}

/* A lookup in each sample's own rows: along the axis after the batch. */
static enum status gather_own(struct merging *m, bool pairs, bool *done)
{
    struct folded *from = NULL;
    uint32_t inputs[2] = {m->inputs[0], GRAPH_NONE}, value;
    enum status status = onnx_build_has(m->node, 1)
                             ? onnx_build_folded(m->build, m->node->input[1], &from, m->err)
                             : OK;
    const struct shape *rows = shape_of(m, 0);
    if (status != OK || from == NULL || onnx_folded_real(from->dtype) || rows->rank < 2)
        return status;
    bool each = from->shape.rank >= (pairs ? 2 : 1) &&
                (from->shape.dims[0] == -1 || from->shape.dims[0] == 1) &&
                (!pairs || from->shape.dims[from->shape.rank - 1] == 2);
    if (!each)
        return OK;
    *done = true;
    status = add_indexes(m, from, pairs, rows->dims[1], &inputs[1]);
    onnx_attributes_default(OP_GATHER, m->build->graph->opset, &m->a);
    m->a.axis = 1;
    return status == OK ? onnx_build_node(m->build, OP_GATHER, onnx_order_node_name(m->node),
                                          inputs, 2, m->node->output[0], &m->a, &value, m->err)
                        : status;
}

/* ---- what may follow ---- */

/* A tensor beside one with merged axes must be the same for all rows. */
static enum status check_beside(const struct merging *m, size_t rank)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->inputs[i] == GRAPH_NONE || m->merged[i])
            continue;
        const struct shape *shape = shape_of(m, i);
        if (shape_axes_batched(shape) || shape->rank > rank ||
            (shape->rank == rank && shape->dims[0] != 1))
            return error_set(m->err, ERR_SUPPORT,
                             "input %zu is laid out for a batch merged with another axis", i);
    }
    return OK;
}

static enum status finish(struct merging *m)
{
    uint32_t value = GRAPH_NONE;
    const char *made = onnx_build_name(m->build, m->node->output[0], "apart");
    if (made == NULL)
        return error_set(m->err, ERR_MEMORY, "no memory for a node");
    enum status status = onnx_build_node(m->build, m->op, onnx_order_node_name(m->node), m->inputs,
                                         m->count, made, &m->a, &value, m->err);
    return status == OK ? onnx_build_merge(m->build, m->node->output[0], value, m->err) : status;
}

/* Axis 0 is the merged one; the others come one later. */
static enum status shift_axis(const struct merging *m, size_t rank, int64_t *axis)
{
    size_t wrapped = 0;
    enum status status = shape_axes_wrap(*axis, rank, &wrapped, m->err);
    if (status == OK && wrapped == 0)
        return error_set(m->err, ERR_SUPPORT,
                         "it works along the batch, which is merged with another axis");
    *axis = (int64_t)wrapped + 1;
    return status;
}

static enum status merge_transpose(struct merging *m, size_t rank)
{
    struct attributes a = m->a;
    if (a.axes_count != rank || (a.axes[0] != 0 && a.axes[0] != -(int64_t)rank))
        return error_set(m->err, ERR_SUPPORT, "it moves a batch that is merged with another axis");
    m->a.axes_count = rank + 1;
    m->a.axes[0] = 0;
    m->a.axes[1] = 1;
    enum status status = OK;
    for (size_t i = 1; i < rank && status == OK; i++) {
        m->a.axes[i + 1] = a.axes[i];
        status = shift_axis(m, rank, &m->a.axes[i + 1]);
    }
    return status == OK ? finish(m) : status;
}

static enum status follow(struct merging *m)
{
    const struct op_row *row = op_table_row(m->op);
    size_t rank = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->merged[i])
            rank = shape_of(m, i)->rank - 1;
    if (rank + 1 > TENSOR_RANK_MAX)
        return error_set(m->err, ERR_SUPPORT, "rank %zu exceeds %d", rank + 1, TENSOR_RANK_MAX);
    enum status status = OK;
    if (m->op == OP_TRANSPOSE)
        return merge_transpose(m, rank);
    if (m->op == OP_SOFTMAX || m->op == OP_LOG_SOFTMAX || m->op == OP_LAYER_NORM)
        status = shift_axis(m, rank, &m->a.axis);
    else if (m->op == OP_MATMUL && rank < 2)
        status = error_set(m->err, ERR_SUPPORT, "its left side has only merged rows");
    else if (m->op != OP_MATMUL && row->shape != shape_rule_same &&
             row->shape != shape_rule_broadcast)
        status = error_set(m->err, ERR_SUPPORT,
                           "its input has the batch merged with another axis, beside which only "
                           "products and element-wise operators are supported");
    if (status == OK)
        status = check_beside(m, rank);
    return status == OK ? finish(m) : status;
}

/* ---- any node ---- */

/* The inputs that are tensors; *any: one of them has merged axes. */
static enum status gather_inputs(struct merging *m, bool *any)
{
    enum status status = OK;
    for (size_t i = 0; i < m->node->n_input && status == OK; i++) {
        if (onnx_attributes_input(m->op, m->build->graph->opset, i) != NULL)
            continue;
        size_t at = m->count++;
        m->inputs[at] = GRAPH_NONE;
        if (!onnx_build_has(m->node, i))
            continue;
        m->inputs[at] = onnx_build_merged(m->build, m->node->input[i]);
        m->merged[at] = m->inputs[at] != GRAPH_NONE;
        *any |= m->merged[at];
        if (!m->merged[at])
            status = onnx_build_value(m->build, m->node->input[i], &m->inputs[at], m->err);
    }
    return status;
}

static bool has_merged(const struct onnx_build *build, const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_input; i++)
        if (onnx_build_has(node, i) && onnx_build_merged(build, node->input[i]) != GRAPH_NONE)
            return true;
    return false;
}

enum status onnx_merge(struct onnx_build *build, const Onnx__NodeProto *node, bool *done,
                       struct error *err)
{
    struct merging m = {.build = build, .node = node, .err = err};
    bool any = has_merged(build, node), pairs = strcmp(node->op_type, "GatherND") == 0;
    bool first =
        strcmp(node->op_type, "Reshape") == 0 || strcmp(node->op_type, "Flatten") == 0 || pairs;
    *done = false;
    if ((!any && !first) || !onnx_build_has(node, 0) || node->n_input > GRAPH_PORTS_MAX)
        return OK;
    if (!pairs && !op_table_find(node->op_type, &m.op))
        return OK; /* and its operator will be missed */
    m.op = pairs ? OP_GATHER : m.op;
    enum status status = OK;
    if (first || m.op == OP_GATHER) {
        m.inputs[0] = onnx_build_merged(build, node->input[0]);
        m.merged[0] = m.inputs[0] != GRAPH_NONE;
        if (!m.merged[0])
            status = onnx_build_value(build, node->input[0], &m.inputs[0], err);
        if (status == OK && (m.op == OP_RESHAPE || (m.op == OP_FLATTEN && !any)))
            return merge_reshape(&m, done);
        if (status == OK && pairs != m.merged[0])
            return gather_own(&m, pairs, done);
    }
    if (status == OK && any) {
        *done = true;
        status = gather_inputs(&m, &any);
    }
    if (status == OK && any)
        status = onnx_lift(build, node, m.op, &m.a, err);
    return status == OK && any ? follow(&m) : status;
}
