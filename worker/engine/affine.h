/* Recognises nodes that compute scale·x + shift with constant scale and shift, one number for all
 * or one per index of one axis: Add, Sub, Mul, Div with a constant, BatchNormalization. */
#ifndef GRAFT_WORKER_ENGINE_AFFINE_H
#define GRAFT_WORKER_ENGINE_AFFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct graph;
struct node;
struct constants;

struct affine {
    uint32_t input; /* x */
    bool per_channel;
    size_t axis; /* … the axis of x whose channels they are */
    const struct node *node;
    const float *constant; /* of arithmetic nodes */
    const float *norm[4];  /* of batch norm: scale, bias, mean, variance */
    bool constant_first;   /* c - x */
};

bool affine_match(const struct graph *graph, const struct constants *constants,
                  const struct node *node, struct affine *out);
float affine_scale(const struct affine *affine, size_t channel);
float affine_shift(const struct affine *affine, size_t channel);

#endif
