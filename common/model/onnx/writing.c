#include "common/model/onnx/writing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/model/onnx/attributes.h"
#include "common/model/onnx/types.h"
#include "common/model/op_table.h"

#define ATTRIBUTES_MAX 12

/* ---- nodes in general ---- */

static Onnx__NodeProto *new_node(struct onnx_writing *writing, const char *type, const char *name,
                                 const char *output, size_t inputs)
{
    Onnx__NodeProto *out = onnx_writing_take(writing, 1, sizeof *out);
    if (out == NULL)
        return NULL;
    onnx__node_proto__init(out);
    out->output = onnx_writing_take(writing, 1, sizeof *out->output);
    out->input = onnx_writing_take(writing, inputs, sizeof *out->input);
    out->attribute = onnx_writing_take(writing, ATTRIBUTES_MAX, sizeof *out->attribute);
    if (out->output == NULL || out->input == NULL || out->attribute == NULL)
        return NULL;
    out->name = onnx_writing_text(name);
    out->op_type = onnx_writing_text(type);
    out->n_output = 1;
    out->output[0] = onnx_writing_text(output);
    return out;
}

static void add_node(struct onnx_writing *writing, Onnx__NodeProto *node)
{
    CHECK(writing->proto.n_node < writing->node_room);
    writing->proto.node[writing->proto.n_node++] = node;
}

static const char *made_name(struct onnx_writing *writing, const char *output, const char *what,
                             size_t number)
{
    size_t bytes = strlen(output) + strlen(what) + 24;
    char *name = onnx_writing_take(writing, bytes, 1);
    if (name != NULL)
        snprintf(name, bytes, "%s.%s%zu", output, what, number);
    return name;
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

static Onnx__AttributeProto *add_attribute(struct onnx_writing *writing, Onnx__NodeProto *node,
                                           const char *name)
{
    Onnx__AttributeProto *to = onnx_writing_take(writing, 1, sizeof *to);
    if (to == NULL)
        return NULL;
    onnx__attribute_proto__init(to);
    to->name = onnx_writing_text(name);
    to->has_type = 1;
    CHECK(node->n_attribute < ATTRIBUTES_MAX);
    node->attribute[node->n_attribute++] = to;
    return to;
}

/* ---- targets that name the batch ---- */

/* ONNX has no word for the batch in a target: the first size of the first input is taken for it, by
 * a Gather that leaves [1]. */
static enum status need_batch(struct onnx_writing *writing, const char *output)
{
    static const int64_t zero;
    static const struct shape one = {.rank = 1, .dims = {1}};
    if (writing->batch != NULL)
        return OK;
    const char *sizes = made_name(writing, output, "sizes", 0),
               *index = made_name(writing, output, "index", 0),
               *batch = made_name(writing, output, "batch", 0);
    if (sizes == NULL || index == NULL || batch == NULL)
        return onnx_writing_no_memory(writing);
    Onnx__NodeProto *shape = new_node(writing, "Shape", sizes, sizes, 1),
                    *gather = new_node(writing, "Gather", batch, batch, 2);
    if (shape == NULL || gather == NULL)
        return onnx_writing_no_memory(writing);
    const struct graph *graph = writing->graph;
    shape->n_input = 1;
    shape->input[0] = onnx_writing_text(graph->values[graph->input].name);
    gather->n_input = 2;
    gather->input[0] = onnx_writing_text(sizes);
    gather->input[1] = onnx_writing_text(index);
    add_node(writing, shape);
    add_node(writing, gather);
    writing->batch = batch;
    return onnx_writing_tensor(writing, index, DTYPE_I64, &one, &zero);
}

/* Concat of the batch and the other sizes, [rank]. */
static enum status add_batched_target(struct onnx_writing *writing, const struct node *node,
                                      const char **out)
{
    const char *output = writing->graph->values[node->output].name;
    const struct attributes *a = &node->attributes;
    struct shape others = {.rank = 1, .dims = {(int64_t)a->axes_count - 1}};
    enum status status = need_batch(writing, output);
    const char *rest = made_name(writing, output, "rest", 0),
               *target = made_name(writing, output, "target", 0);
    if (status != OK || rest == NULL || target == NULL)
        return status != OK ? status : onnx_writing_no_memory(writing);
    Onnx__NodeProto *concat = new_node(writing, "Concat", target, target, 2);
    Onnx__AttributeProto *axis = concat == NULL ? NULL : add_attribute(writing, concat, "axis");
    if (axis == NULL)
        return onnx_writing_no_memory(writing);
    set_int(axis, 0);
    concat->n_input = 2;
    concat->input[0] = onnx_writing_text(writing->batch);
    concat->input[1] = onnx_writing_text(rest);
    add_node(writing, concat);
    *out = target;
    return onnx_writing_tensor(writing, rest, DTYPE_I64, &others, a->axes + 1);
}

static bool names_batch(const struct onnx_writing *writing, const struct node *node)
{
    const struct value *output = &writing->graph->values[node->output];
    return (node->op == OP_EXPAND || node->op == OP_RESIZE) && node->attributes.axes_count > 0 &&
           value_batched(output) && node->attributes.axes_count == output->shape.rank;
}

/* ---- attributes that the opset keeps in an input ---- */

struct lifted {
    enum dtype dtype;
    struct shape shape;
    const void *data; /* NULL: left out */
};

/* A number in the type of the tensor beside it. */
static enum status lift_number(struct onnx_writing *writing, const struct node *node,
                               const float *number, struct lifted *out)
{
    enum dtype dtype = writing->graph->values[node->inputs[0]].dtype;
    if (!isfinite(*number) && !(node->op == OP_PAD && isinf(*number)))
        return OK;
    void *data = onnx_writing_take(writing, 1, sizeof(int64_t));
    if (data == NULL)
        return onnx_writing_no_memory(writing);
    if (dtype == DTYPE_F32)
        memcpy(data, number, sizeof *number);
    else if (dtype == DTYPE_I64)
        *(int64_t *)data = (int64_t)*number;
    else if (dtype == DTYPE_I32)
        *(int32_t *)data = (int32_t)*number;
    else
        *(int8_t *)data = (int8_t)(int64_t)*number;
    *out = (struct lifted){dtype, {0}, data};
    return OK;
}

static struct lifted list(enum dtype dtype, size_t count, const void *data)
{
    return (struct lifted){dtype, {.rank = 1, .dims = {(int64_t)count}}, data};
}

static enum status lift_amounts(struct onnx_writing *writing, const struct attributes *a,
                                struct lifted *out)
{
    int64_t *both = onnx_writing_take(writing, 2 * a->starts_count, sizeof *both);
    if (both == NULL)
        return onnx_writing_no_memory(writing);
    memcpy(both, a->starts, a->starts_count * sizeof *both);
    memcpy(both + a->starts_count, a->ends, a->starts_count * sizeof *both);
    *out = list(DTYPE_I64, 2 * a->starts_count, both);
    return OK;
}

static enum status lift(struct onnx_writing *writing, const struct node *node,
                        const struct input_row *row, struct lifted *out)
{
    const struct attributes *a = &node->attributes;
    const void *field = (const char *)a + row->offset;
    switch ((int)row->kind) {
    case ATTRIBUTE_FLOAT:
        return lift_number(writing, node, field, out);
    case ATTRIBUTE_AXES:
        if (a->axes_count > 0 || row->op == OP_RESHAPE)
            *out = list(DTYPE_I64, a->axes_count, field);
        return OK;
    case ATTRIBUTE_RANGE:
        *out = list(DTYPE_I64, a->starts_count, field);
        return OK;
    case ATTRIBUTE_AMOUNTS:
        return lift_amounts(writing, a, out);
    case ATTRIBUTE_SCALES: /* sizes say it exactly */
        if (a->axes_count == 0)
            *out = list(DTYPE_F32, a->scales_count, field);
        return OK;
    }
    return OK;
}

static enum status add_lifted(struct onnx_writing *writing, const struct node *node,
                              const struct input_row *row, const char **name)
{
    struct lifted lifted = {0};
    if (row->kind == ATTRIBUTE_AXES && names_batch(writing, node))
        return add_batched_target(writing, node, name);
    enum status status = lift(writing, node, row, &lifted);
    if (lifted.data == NULL && node->op == OP_RESIZE && row->kind != ATTRIBUTE_AXES &&
        writing->opset < 13)
        lifted = list(DTYPE_F32, 0, ""); /* nothing, but not left out */
    *name = "";
    if (status != OK || lifted.data == NULL)
        return status;
    *name = made_name(writing, writing->graph->values[node->output].name, "input", row->input);
    return *name == NULL
               ? onnx_writing_no_memory(writing)
               : onnx_writing_tensor(writing, *name, lifted.dtype, &lifted.shape, lifted.data);
}

static enum status fill_inputs(struct onnx_writing *writing, const struct node *node,
                               Onnx__NodeProto *out)
{
    enum status status = OK;
    for (size_t k = 0; k < node->input_count && status == OK; k++) {
        uint32_t input = node->inputs[k];
        out->input[out->n_input++] =
            onnx_writing_text(input == GRAPH_NONE ? "" : writing->graph->values[input].name);
        if (input != GRAPH_NONE)
            status = onnx_writing_value(writing, input);
    }
    const struct input_row *row = NULL;
    while (status == OK &&
           (row = onnx_attributes_next_input(node->op, writing->opset, row)) != NULL) {
        const char *name = "";
        CHECK(out->n_input == row->input);
        status = add_lifted(writing, node, row, &name);
        out->input[out->n_input++] = onnx_writing_text(name);
    }
    while (out->n_input > 0 && out->input[out->n_input - 1][0] == '\0')
        out->n_input--;
    return status;
}

/* ---- attributes ---- */

/* One attribute of a node, beside the default of its opset. */
struct stating {
    struct onnx_writing *writing;
    const struct node *node;
    const struct attribute_row *row;
    const void *field, *usual;
    Onnx__AttributeProto *to;
    bool line; /* of a window over [N, C, W]: the height is not said */
};

static bool differs(const struct stating *s, size_t bytes)
{
    return memcmp(s->field, s->usual, bytes) != 0;
}

/* Before and after each axis; the list is made where the file has only one. */
static bool state_pads(const struct stating *s)
{
    const int64_t *pads = s->field;
    int64_t *ends = s->line ? onnx_writing_take(s->writing, 2, sizeof *ends) : NULL;
    set_ints(s->to, pads, 4);
    if (ends != NULL) {
        ends[0] = pads[1];
        ends[1] = pads[3];
        set_ints(s->to, ends, 2);
    }
    return differs(s, 4 * sizeof *pads);
}

static bool state_amounts(const struct stating *s)
{
    struct lifted both = {0};
    bool made = lift_amounts(s->writing, &s->node->attributes, &both) == OK;
    set_ints(s->to, both.data, made ? 2 * s->node->attributes.starts_count : 0);
    return made;
}

static bool state_word(const struct stating *s)
{
    size_t choice = onnx_attributes_choice(s->row->kind, s->field);
    const char *word = onnx_attributes_word(s->row->kind, choice);
    s->to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
    s->to->has_s = 1;
    s->to->s.data = (uint8_t *)(uintptr_t)word;
    s->to->s.len = strlen(word);
    return choice != onnx_attributes_choice(s->row->kind, s->usual);
}

/* QuantizeLinear without a zero point, which would name the type. */
static bool state_elsewhere(const struct stating *s)
{
    const struct node *node = s->node;
    bool typed = node->op == OP_QUANTIZE && strcmp(s->row->name, "output_dtype") == 0;
    set_int(s->to, onnx_types_number(node->attributes.to));
    return typed && node->input_count < 3 && node->attributes.to != DTYPE_U8;
}

/* False: the node need not say it (the default, or nothing to say). */
static bool state(const struct stating *s)
{
    const struct attributes *a = &s->node->attributes;
    size_t from = s->line ? 1 : 0;
    switch (s->row->kind) {
    case ATTRIBUTE_FLOAT:
        s->to->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        s->to->has_f = 1;
        s->to->f = *(const float *)s->field;
        return isfinite(s->to->f) != 0;
    case ATTRIBUTE_INT:
        set_int(s->to, *(const int64_t *)s->field);
        return true;
    case ATTRIBUTE_BOOL:
        set_int(s->to, *(const bool *)s->field);
        return differs(s, sizeof(bool));
    case ATTRIBUTE_DTYPE:
        set_int(s->to, onnx_types_number(*(const enum dtype *)s->field));
        return true;
    case ATTRIBUTE_PAIR:
        set_ints(s->to, (const int64_t *)s->field + from, 2 - from);
        return differs(s, 2 * sizeof(int64_t));
    case ATTRIBUTE_PADS:
        return state_pads(s);
    case ATTRIBUTE_AXES: /* a wanted output size has become pads */
        set_ints(s->to, s->field, a->axes_count);
        return a->axes_count > 0 && s->row->op != OP_CONV_TRANSPOSE;
    case ATTRIBUTE_RANGE:
        set_ints(s->to, s->field, a->starts_count);
        return true;
    case ATTRIBUTE_AMOUNTS:
        return state_amounts(s);
    case ATTRIBUTE_PAD_MODE:
    case ATTRIBUTE_RESIZE_MODE:
    case ATTRIBUTE_ORIGIN:
    case ATTRIBUTE_ROUND:
    case ATTRIBUTE_APPROXIMATE:
        return state_word(s);
    case ATTRIBUTE_ELSEWHERE:
        return state_elsewhere(s);
    case ATTRIBUTE_SCALES:   /* Upsample's */
    case ATTRIBUTE_AUTO_PAD: /* shape inference made the pads explicit */
    case ATTRIBUTE_FIXED:
    case ATTRIBUTE_IGNORED:
        return false;
    }
    return false;
}

static enum status fill_attributes(struct onnx_writing *writing, const struct node *node,
                                   Onnx__NodeProto *out)
{
    struct attributes usual;
    const struct attribute_row *row = NULL;
    onnx_attributes_default(node->op, writing->opset, &usual);
    while ((row = onnx_attributes_next(node->op, row)) != NULL) {
        if (row->opset_last != 0 && writing->opset > row->opset_last)
            continue;
        struct stating stating = {.writing = writing,
                                  .node = node,
                                  .row = row,
                                  .field = (const char *)&node->attributes + row->offset,
                                  .usual = (const char *)&usual + row->offset,
                                  .to = add_attribute(writing, out, row->name),
                                  .line = writing->graph->values[node->inputs[0]].shape.rank == 3};
        if (stating.to == NULL)
            return onnx_writing_no_memory(writing);
        if (!state(&stating))
            out->n_attribute--;
    }
    return OK;
}

enum status onnx_writing_node(struct onnx_writing *writing, const struct node *node)
{
    Onnx__NodeProto *out = new_node(writing, op_table_row(node->op)->type, node->name,
                                    writing->graph->values[node->output].name,
                                    node->input_count + ONNX_WRITING_LIFTED);
    if (out == NULL)
        return onnx_writing_no_memory(writing);
    enum status status = fill_inputs(writing, node, out);
    if (status == OK)
        status = fill_attributes(writing, node, out);
    if (status == OK)
        add_node(writing, out);
    return status;
}
