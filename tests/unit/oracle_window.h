/* Convolution and pooling in double precision. */
#ifndef GRAFT_TESTS_UNIT_ORACLE_WINDOW_H
#define GRAFT_TESTS_UNIT_ORACLE_WINDOW_H

#include "tests/unit/oracle_index.h"

/* [N, C, H, W] of a tensor; height 1 in one dimension. */
static inline void oracle_picture(const struct shape *shape, int64_t dims[4])
{
    dims[0] = shape->dims[0];
    dims[1] = shape->dims[1];
    dims[2] = shape->rank == 4 ? shape->dims[2] : 1;
    dims[3] = shape->dims[shape->rank - 1];
}

static inline void oracle_conv(const struct op_site *site, const double *const *x, double *y)
{
    const struct attributes *a = &site->node->attributes;
    int64_t xd[4], wd[4], yd[4];
    oracle_picture(&site->x_shape[0], xd);
    oracle_picture(&site->x_shape[1], wd);
    oracle_picture(&site->y_shape, yd);
    size_t out = 0;
    for (int64_t n = 0; n < yd[0]; n++)
        for (int64_t m = 0; m < yd[1]; m++)
            for (int64_t i = 0; i < yd[2]; i++)
                for (int64_t j = 0; j < yd[3]; j++, out++) {
                    int64_t group = m / (yd[1] / a->groups);
                    y[out] = site->input_count > 2 ? x[2][m] : 0;
                    for (int64_t c = 0; c < wd[1]; c++)
                        for (int64_t r = 0; r < wd[2]; r++)
                            for (int64_t q = 0; q < wd[3]; q++) {
                                int64_t h = i * a->strides[0] + r * a->dilations[0] - a->pads[0];
                                int64_t w = j * a->strides[1] + q * a->dilations[1] - a->pads[1];
                                if (h < 0 || w < 0 || h >= xd[2] || w >= xd[3])
                                    continue;
                                y[out] +=
                                    x[0]
                                     [((n * xd[1] + group * wd[1] + c) * xd[2] + h) * xd[3] + w] *
                                    x[1][((m * wd[1] + c) * wd[2] + r) * wd[3] + q];
                            }
                }
}

/* Every input element spreads its window. */
static inline void oracle_conv_transpose(const struct op_site *site, const double *const *x,
                                         double *y)
{
    const struct attributes *a = &site->node->attributes;
    int64_t xd[4], wd[4], yd[4];
    oracle_picture(&site->x_shape[0], xd);
    oracle_picture(&site->x_shape[1], wd);
    oracle_picture(&site->y_shape, yd);
    for (int64_t i = 0; i < yd[0] * yd[1] * yd[2] * yd[3]; i++)
        y[i] = site->input_count > 2 ? x[2][i / (yd[2] * yd[3]) % yd[1]] : 0;
    for (int64_t i = 0; i < xd[0] * xd[1] * xd[2] * xd[3]; i++)
        for (int64_t t = 0; t < wd[1] * wd[2] * wd[3]; t++) {
            int64_t n = i / (xd[1] * xd[2] * xd[3]), c = i / (xd[2] * xd[3]) % xd[1];
            int64_t map = c / (xd[1] / a->groups) * wd[1] + t / (wd[2] * wd[3]);
            int64_t h = i / xd[3] % xd[2] * a->strides[0] + t / wd[3] % wd[2] * a->dilations[0] -
                        a->pads[0];
            int64_t w = i % xd[3] * a->strides[1] + t % wd[3] * a->dilations[1] - a->pads[1];
            if (h >= 0 && w >= 0 && h < yd[2] && w < yd[3])
                y[((n * yd[1] + map) * yd[2] + h) * yd[3] + w] +=
                    x[0][i] * x[1][c * wd[1] * wd[2] * wd[3] + t];
        }
}

static inline void oracle_pool(const struct op_site *site, const double *x, double *y)
{
    const struct attributes *a = &site->node->attributes;
    int64_t xd[4], yd[4];
    oracle_picture(&site->x_shape[0], xd);
    oracle_picture(&site->y_shape, yd);
    size_t out = 0;
    for (int64_t plane = 0; plane < yd[0] * yd[1]; plane++)
        for (int64_t i = 0; i < yd[2]; i++)
            for (int64_t j = 0; j < yd[3]; j++, out++) {
                double sum = 0, most = -INFINITY, taps = 0, padded = 0;
                for (int64_t r = 0; r < a->kernel[0]; r++)
                    for (int64_t q = 0; q < a->kernel[1]; q++) {
                        int64_t h = i * a->strides[0] + r * a->dilations[0] - a->pads[0];
                        int64_t w = j * a->strides[1] + q * a->dilations[1] - a->pads[1];
                        padded += h < xd[2] + a->pads[2] && w < xd[3] + a->pads[3];
                        if (h < 0 || w < 0 || h >= xd[2] || w >= xd[3])
                            continue;
                        double v = x[(plane * xd[2] + h) * xd[3] + w];
                        sum += v;
                        most = fmax(most, v);
                        taps++;
                    }
                y[out] = site->node->op == OP_MAX_POOL
                             ? most
                             : sum / (a->count_include_pad ? padded : taps);
            }
}

#endif
