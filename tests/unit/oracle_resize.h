/* Resize in double precision: linear and cubic (nearest has examples of its own). */
#ifndef GRAFT_TESTS_UNIT_ORACLE_RESIZE_H
#define GRAFT_TESTS_UNIT_ORACLE_RESIZE_H

#include "tests/unit/oracle_index.h"

static inline double oracle_place(const struct attributes *a, double scale, double at, double in,
                                  double out)
{
    double half = (at + 0.5) / scale - 0.5;
    switch (a->resize_origin) {
    case ORIGIN_ASYMMETRIC:
        return at / scale;
    case ORIGIN_ALIGN_CORNERS:
        return out > 1 ? at * (in - 1) / (scale * in - 1)
                       : 0; /* ONNX does not round the size here */
    case ORIGIN_PYTORCH_HALF_PIXEL:
        return out > 1 ? half : 0;
    case ORIGIN_HALF_PIXEL:
        break;
    }
    return half;
}

/* Weight of the input element at distance `d` from a place. */
static inline double oracle_weight(const struct attributes *a, double d)
{
    double c = (double)a->alpha;
    d = fabs(d);
    if (a->resize_mode == RESIZE_LINEAR)
        return fmax(0, 1 - d);
    return d <= 1  ? (c + 2) * d * d * d - (c + 3) * d * d + 1
           : d < 2 ? c * d * d * d - 5 * c * d * d + 8 * c * d - 4 * c
                   : 0;
}

/* One axis of [outer, in, inner]: every element of a line continued beyond its ends, weighed by its
 * distance. Linear and cubic. */
static inline void oracle_resize_axis(const struct op_site *site, size_t axis, const double *x,
                                      size_t outer, int64_t in, int64_t out, size_t inner,
                                      double *y)
{
    const struct attributes *a = &site->node->attributes;
    for (size_t i = 0; i < outer * (size_t)out * inner; i++) {
        int64_t at = (int64_t)(i / inner) % out;
        const double *line = x + i / inner / (size_t)out * (size_t)in * inner + i % inner;
        double place =
            oracle_place(a, (double)a->scales[axis], (double)at, (double)in, (double)out);
        double sum = 0, weights = 0;
        for (int64_t k = -9; k < in + 9; k++) {
            bool outside = k < 0 || k >= in;
            double w = outside && a->exclude_outside ? 0 : oracle_weight(a, place - (double)k);
            sum += w * line[(size_t)(k < 0 ? 0 : k >= in ? in - 1 : k) * inner];
            weights += w;
        }
        y[i] = a->exclude_outside ? sum / weights : sum;
    }
}

static inline void oracle_resize(const struct op_site *site, const double *x, double *y)
{
    const struct shape *from = &site->x_shape[0], *to = &site->y_shape;
    double *kept = NULL;
    size_t outer = 1, inner = op_elements(from);
    for (size_t axis = 0; axis < from->rank; axis++) {
        inner /= (size_t)from->dims[axis];
        double *next = calloc(outer * (size_t)to->dims[axis] * inner, sizeof *next);
        oracle_resize_axis(site, axis, kept == NULL ? x : kept, outer, from->dims[axis],
                           to->dims[axis], inner, next);
        free(kept);
        kept = next;
        outer *= (size_t)to->dims[axis];
    }
    memcpy(y, kept, op_elements(to) * sizeof *y);
    free(kept);
}

#endif
