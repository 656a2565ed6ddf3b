#include "worker/engine/layer_norm.h"

#include "worker/engine/pattern.h"

/* The first of the last axes that the node reduces, all of them kept with extent 1; 0: otherwise. */
static size_t first_axis(const struct program *program, const struct node *mean)
{
    const struct attributes *a = &mean->attributes;
    size_t rank = program->graph->values[mean->inputs[0]].shape.rank, first = rank - a->axes_count;
    size_t found = 0;
    for (size_t i = 0; i < a->axes_count; i++) {
        int64_t axis = a->axes[i] < 0 ? a->axes[i] + (int64_t)rank : a->axes[i];
        found += axis >= (int64_t)first; /* each axis is named once */
    }
    return a->keep_dims && a->axes_count > 0 && found == a->axes_count ? first : 0;
}

/* value = Sub(x, ReduceMean(x)) → x, and the axis. */
static uint32_t deviation(const struct program *program, uint32_t value, size_t *axis)
{
    const struct node *sub = pattern_maker(program, value, OP_SUB);
    if (sub == NULL)
        return GRAPH_NONE;
    const struct node *mean = pattern_maker(program, sub->inputs[1], OP_REDUCE_MEAN);
    if (mean == NULL || mean->inputs[0] != sub->inputs[0])
        return GRAPH_NONE;
    *axis = first_axis(program, mean);
    return *axis > 0 ? sub->inputs[0] : GRAPH_NONE;
}

/* value = d² → d */
static uint32_t squared(const struct program *program, uint32_t value)
{
    const struct node *power = pattern_maker(program, value, OP_POW);
    const struct node *mul = pattern_maker(program, value, OP_MUL);
    if (power != NULL && pattern_is(program, power->inputs[1], 2))
        return power->inputs[0];
    return mul != NULL && mul->inputs[0] == mul->inputs[1] ? mul->inputs[0] : GRAPH_NONE;
}

/* value = Sqrt(variance + ε) → variance, and ε. */
static uint32_t spread(const struct program *program, uint32_t value, float *epsilon)
{
    const struct node *root = pattern_maker(program, value, OP_SQRT);
    const struct node *add = root == NULL ? NULL : pattern_maker(program, root->inputs[0], OP_ADD);
    for (size_t side = 0; side < 2 && add != NULL; side++)
        if (program_scalar(program, add->inputs[side], epsilon))
            return add->inputs[1 - side];
    return GRAPH_NONE;
}

/* node = Div(d, Sqrt(ReduceMean(d²) + ε)) → x */
static uint32_t normalised(const struct program *program, const struct node *div,
                           struct attributes *out)
{
    size_t axis = 0, square_axis = 0;
    float epsilon = 0;
    uint32_t x = deviation(program, div->inputs[0], &axis);
    uint32_t variance = spread(program, div->inputs[1], &epsilon);
    const struct node *mean = pattern_maker(program, variance, OP_REDUCE_MEAN);
    if (x == GRAPH_NONE || mean == NULL || first_axis(program, mean) != axis ||
        deviation(program, squared(program, mean->inputs[0]), &square_axis) != x ||
        square_axis != axis)
        return GRAPH_NONE;
    *out = (struct attributes){.axis = (int64_t)axis, .epsilon = epsilon};
    return x;
}

/* Does the value have exactly the axes of x from `axis` on? */
static bool fits(const struct program *program, uint32_t value, uint32_t x, size_t axis)
{
    const struct shape *own = &program->graph->values[value].shape;
    const struct shape *all = &program->graph->values[x].shape;
    bool fit = own->rank == all->rank - axis;
    for (size_t i = 0; i < own->rank && fit; i++)
        fit = own->dims[i] == all->dims[axis + i];
    return fit;
}

/* Two inputs in either order, one of them made by `op`; the other → *beside. */
static const struct node *one_by(const struct program *program, const struct node *node, enum op op,
                                 uint32_t *beside)
{
    for (size_t side = 0; side < 2; side++) {
        const struct node *maker = pattern_maker(program, node->inputs[side], op);
        if (maker == NULL)
            continue;
        *beside = node->inputs[1 - side];
        return maker;
    }
    return NULL;
}

static void fold(struct program *program, struct node *add)
{
    struct attributes attributes;
    uint32_t scale, bias;
    const struct node *mul = one_by(program, add, OP_MUL, &bias);
    const struct node *div = mul == NULL ? NULL : one_by(program, mul, OP_DIV, &scale);
    uint32_t x = div == NULL ? GRAPH_NONE : normalised(program, div, &attributes);
    if (x == GRAPH_NONE || !fits(program, scale, x, (size_t)attributes.axis) ||
        !fits(program, bias, x, (size_t)attributes.axis))
        return;
    const uint32_t inputs[] = {x, scale, bias};
    pattern_rewrite(program, add, OP_LAYER_NORM, &attributes, inputs, 3);
}

void layer_norm_fold(struct program *program)
{
    for (size_t i = 0; i < program->node_count; i++)
        if (program->nodes[i].op == OP_ADD)
            fold(program, &program->nodes[i]);
}
