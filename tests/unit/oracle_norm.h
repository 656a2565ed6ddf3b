/* Normalisations in double precision. */
#ifndef GRAFT_TESTS_UNIT_ORACLE_NORM_H
#define GRAFT_TESTS_UNIT_ORACLE_NORM_H

#include "tests/unit/oracle_index.h"

/* Of a channel, over all samples; biased. */
static inline void oracle_moments(const double *x, size_t samples, size_t channels, size_t n,
                                  size_t c, double *mean, double *variance)
{
    double count = (double)(samples * n);
    *mean = *variance = 0;
    for (size_t i = 0; i < samples * n; i++)
        *mean += x[(i / n * channels + c) * n + i % n] / count;
    for (size_t i = 0; i < samples * n; i++)
        *variance += pow(x[(i / n * channels + c) * n + i % n] - *mean, 2) / count;
}

static inline void oracle_norm(const struct op_site *site, const double *const *x, double *y)
{
    size_t channels = (size_t)site->y_shape.dims[1], elements = op_elements(&site->y_shape);
    size_t n = elements / ((size_t)site->y_shape.dims[0] * channels);
    for (size_t i = 0; i < elements; i++) {
        size_t c = i / n % channels;
        double mean = x[3][c], variance = x[4][c];
        if (op_by_batch(site))
            oracle_moments(x[0], (size_t)site->y_shape.dims[0], channels, n, c, &mean, &variance);
        y[i] =
            (x[0][i] - mean) / sqrt(variance + (double)site->node->attributes.epsilon) * x[1][c] +
            x[2][c];
    }
}

/* Elements i and k lie in the same group of Layer-, Instance- or GroupNormalization. */
static inline size_t oracle_group(const struct op_site *site, size_t i)
{
    const struct shape *x = &site->x_shape[0];
    size_t plane = op_elements(x) / (size_t)(x->dims[0] * x->dims[1]);
    if (site->node->op == OP_LAYER_NORM)
        return i / op_elements(&site->x_shape[1]);
    if (site->node->op == OP_INSTANCE_NORM)
        return i / plane;
    return i / (plane * (size_t)(x->dims[1] / site->node->attributes.groups));
}

static inline void oracle_normalise(const struct op_site *site, const double *const *x, double *y)
{
    const struct shape *s = &site->x_shape[0];
    size_t n = op_elements(s), plane = n / (size_t)(s->dims[0] * s->dims[1]);
    for (size_t i = 0; i < n; i++) {
        double sum = 0, squares = 0, count = 0;
        for (size_t k = 0; k < n; k++)
            if (oracle_group(site, i) == oracle_group(site, k)) {
                sum += x[0][k];
                squares += x[0][k] * x[0][k];
                count++;
            }
        double mean = sum / count, variance = squares / count - mean * mean;
        size_t at = site->node->op == OP_LAYER_NORM ? i % op_elements(&site->x_shape[1])
                                                    : i / plane % (size_t)s->dims[1];
        y[i] =
            (x[0][i] - mean) / sqrt(variance + (double)site->node->attributes.epsilon) * x[1][at] +
            (site->input_count > 2 ? x[2][at] : 0);
    }
}

/* Works on (outer, axis, inner) for the axis of Softmax or Concat. */
static inline void oracle_softmax(const struct op_site *site, const double *x, double *y)
{
    const struct attributes *a = &site->node->attributes;
    size_t count = 1, inner = 1, elements = op_elements(&site->y_shape);
    for (size_t i = (size_t)a->axis; i < site->y_shape.rank; i++)
        *(i == (size_t)a->axis || a->softmax_flat ? &count : &inner) *=
            (size_t)site->y_shape.dims[i];
    for (size_t i = 0; i < elements; i++) {
        size_t base = i / (count * inner) * count * inner + i % inner;
        double sum = 0;
        for (size_t k = 0; k < count; k++)
            sum += exp(x[base + k * inner]);
        y[i] = site->node->op == OP_SOFTMAX ? exp(x[i]) / sum : x[i] - log(sum);
    }
}

#endif
