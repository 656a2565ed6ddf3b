/* LayerNormalization (Ba, Kiros & Hinton 2016), InstanceNormalization (Ulyanov et al. 2016),
 * GroupNormalization (Wu & He 2018): x̂ = (x - mean)/√(variance + ε) over groups of elements that lie
 * together, then y = x̂·scale + bias. Inputs: x, scale, bias (or none). */
#include <math.h>
#include <string.h>

#include "worker/engine/ops/op.h"
#include "worker/engine/ops/sums.h"

/* A group falls into segments: along one, scale and bias either advance with the elements (step 1,
 * layers) or stand still (step 0, one number a channel). */
struct groups {
    size_t count, elements; /* groups; elements of one */
    size_t segments, length, step;
    size_t parameters; /* elements of scale and of bias */
    float epsilon;
};

static struct groups groups_of(const struct op_site *site)
{
    const struct attributes *at = &site->node->attributes;
    const struct shape *x = &site->x_shape[0];
    size_t all = op_elements(x), parameters = op_elements(&site->x_shape[1]);
    struct groups g = {.parameters = parameters, .epsilon = at->epsilon};
    if (site->node->op == OP_LAYER_NORM) {
        g.elements = g.length = parameters;
        g.segments = g.step = 1;
    } else {
        g.length = all / (size_t)(x->dims[0] * x->dims[1]);
        g.segments = site->node->op == OP_GROUP_NORM ? parameters / (size_t)at->groups : 1;
        g.elements = g.segments * g.length;
    }
    g.count = all / g.elements;
    return g;
}

/* Where scale and bias of a segment begin. */
static size_t parameter_of(const struct groups *g, size_t group, size_t segment)
{
    return g->step == 1 ? 0 : (group * g->segments + segment) % g->parameters;
}

static void moments(const struct groups *g, const float *x, float *mean, float *inverse)
{
    double average = sums_row(x, g->elements) / (double)g->elements;
    double variance = sums_deviation(x, average, g->elements) / (double)g->elements;
    *mean = (float)average;
    *inverse = (float)(1 / sqrt(variance + (double)g->epsilon));
}

OP_CLONES static void row_normalise(const float *restrict x, float mean, float inverse, size_t n,
                                    float *restrict hat)
{
    for (size_t i = 0; i < n; i++)
        hat[i] = (x[i] - mean) * inverse;
}

/* y = y·scale + bias, in place. */
OP_CLONES static void row_affine(float *restrict y, const float *restrict scale,
                                 const float *restrict bias, size_t step, size_t n)
{
    if (step == 1)
        for (size_t i = 0; i < n; i++)
            y[i] = y[i] * scale[i] + bias[i];
    else
        for (size_t i = 0; i < n; i++)
            y[i] = y[i] * scale[0] + bias[0];
}

static bool has_bias(const struct op_site *site)
{
    return site->input_count > 2 && site->node->inputs[2] != GRAPH_NONE;
}

/* Doubles for Σ dy·x̂ and Σ dy per parameter, then x̂ and dy·scale of one group; forward: zeros where
 * there is no bias. */
static size_t normalise_scratch(const struct op_site *site)
{
    struct groups g = groups_of(site);
    return 4 * g.parameters + 2 * g.elements;
}

OP_FORWARD(normalise_forward)
{
    struct groups g = groups_of(site);
    const float *bias = has_bias(site) ? x[2] : scratch;
    memset(scratch, 0, g.parameters * sizeof *scratch);
    for (size_t i = 0; i < g.count; i++) {
        float mean, inverse;
        moments(&g, x[0] + i * g.elements, &mean, &inverse);
        row_normalise(x[0] + i * g.elements, mean, inverse, g.elements, y + i * g.elements);
        for (size_t s = 0; s < g.segments; s++) {
            size_t at = parameter_of(&g, i, s);
            row_affine(y + i * g.elements + s * g.length, x[1] + at, bias + at, g.step, g.length);
        }
    }
}

/* ---- backward ---- */

OP_CLONES static void row_parameters(const float *restrict dy, const float *restrict hat, size_t n,
                                     double *restrict products, double *restrict sums)
{
    for (size_t i = 0; i < n; i++) {
        products[i] += (double)dy[i] * (double)hat[i];
        sums[i] += (double)dy[i];
    }
}

OP_CLONES static void row_scaled(const float *restrict dy, const float *restrict scale, size_t step,
                                 size_t n, float *restrict out)
{
    if (step == 1)
        for (size_t i = 0; i < n; i++)
            out[i] = dy[i] * scale[i];
    else
        for (size_t i = 0; i < n; i++)
            out[i] = dy[i] * scale[0];
}

/* dx = (g - mean(g) - x̂·mean(g·x̂))/√(variance + ε) with g = dy·scale. */
OP_CLONES static void row_dx(const float *restrict scaled, const float *restrict hat, float mean,
                             float slope, float inverse, size_t n, float *restrict dx)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = (scaled[i] - mean - hat[i] * slope) * inverse;
}

struct backward {
    struct groups g;
    double *products, *sums;
    float *hat, *scaled;
};

static void add_parameters(const struct backward *b, size_t group, const float *dy)
{
    const struct groups *g = &b->g;
    for (size_t s = 0; s < g->segments; s++) {
        size_t at = parameter_of(g, group, s), from = s * g->length;
        if (g->step == 1) {
            row_parameters(dy + from, b->hat + from, g->length, b->products + at, b->sums + at);
        } else {
            b->products[at] += sums_product(dy + from, b->hat + from, g->length);
            b->sums[at] += sums_row(dy + from, g->length);
        }
    }
}

static void group_dx(const struct backward *b, size_t group, const float *scale, const float *dy,
                     float inverse, float *dx)
{
    const struct groups *g = &b->g;
    for (size_t s = 0; s < g->segments; s++)
        row_scaled(dy + s * g->length, scale + parameter_of(g, group, s), g->step, g->length,
                   b->scaled + s * g->length);
    double mean = sums_row(b->scaled, g->elements) / (double)g->elements;
    double slope = sums_product(b->scaled, b->hat, g->elements) / (double)g->elements;
    row_dx(b->scaled, b->hat, (float)mean, (float)slope, inverse, g->elements, dx);
}

static void store(const double *from, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}

OP_BACKWARD(normalise_backward)
{
    struct backward b = {.g = groups_of(site), .products = (void *)scratch};
    b.sums = b.products + b.g.parameters;
    b.hat = scratch + 4 * b.g.parameters;
    b.scaled = b.hat + b.g.elements;
    (void)y;
    memset(b.products, 0, 2 * b.g.parameters * sizeof *b.products);
    for (size_t i = 0; i < b.g.count; i++) {
        size_t at = i * b.g.elements;
        float mean, inverse;
        moments(&b.g, x[0] + at, &mean, &inverse);
        row_normalise(x[0] + at, mean, inverse, b.g.elements, b.hat);
        add_parameters(&b, i, dy + at);
        if (site->wanted[0])
            group_dx(&b, i, x[1], dy + at, inverse, dx[0] + at);
    }
    if (site->wanted[1])
        store(b.products, b.g.parameters, dx[1]);
    if (has_bias(site) && site->wanted[2])
        store(b.sums, b.g.parameters, dx[2]);
}

#define NORMALISE                                                                                  \
    {                                                                                              \
        .scratch = normalise_scratch, .forward = normalise_forward, .backward = normalise_backward \
    }

const struct op_kernel op_layer_norm = NORMALISE;
const struct op_kernel op_instance_norm = NORMALISE;
const struct op_kernel op_group_norm = NORMALISE;
