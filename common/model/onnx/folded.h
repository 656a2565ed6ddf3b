/* A tensor that is known while the file is read: constants that are no parameters, and what
 * arithmetic on shapes makes of them. Whole numbers and truth values are 64-bit integers, others
 * doubles rounded to their type. Of the batch nobody knows the size: a whole number may be a multiple
 * of it, or of the sample's place in it (Range up to the batch), or unknown: what cannot be said
 * with them. Memory is the arena's it was made in. */
#ifndef GRAFT_COMMON_MODEL_ONNX_FOLDED_H
#define GRAFT_COMMON_MODEL_ONNX_FOLDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/model/graph.h"

#define FOLDED_ELEMENTS_MAX ((size_t)1 << 20) /* larger constants are computed like any value */

/* whole + batch · N + sample · (0 … N - 1), or real. */
struct folded_number {
    union {
        int64_t whole;
        double real; /* of float32 and float64 */
    };
    int64_t batch, sample;
    bool unknown; /* then nothing else is meant */
};

struct folded {
    enum dtype dtype;
    struct shape shape; /* a first -1: the batch; each sample's elements are alike, here once */
    size_t count;
    bool parameter; /* the file trains it: it may become an attribute, not be computed with */
    bool made;      /* by arithmetic while reading */
    struct folded_number *numbers;
};

/* Zeros. Errors: ERR_INPUT (a size below 0 or beyond the limit), ERR_MEMORY. */
enum status onnx_folded_create(struct graph *arena, enum dtype dtype, const struct shape *shape,
                               struct folded **out, struct error *err) MUST_CHECK;

/* Dense constant data → numbers. */
enum status onnx_folded_load(struct graph *arena, const struct value *value, struct folded **out,
                             struct error *err) MUST_CHECK;

/* Numbers → dense data of its type in `graph`'s memory. Errors: ERR_SUPPORT when the batch is among
 * them; ERR_MEMORY. */
enum status onnx_folded_store(const struct folded *folded, struct graph *graph, const void **out,
                              struct error *err) MUST_CHECK;

bool onnx_folded_real(enum dtype dtype);

/* Nothing of the batch is in it. */
bool onnx_folded_plain(struct folded_number number);
/* It is the size of the batch. */
bool onnx_folded_batch(struct folded_number number);

/* The number as a value of the type: reals become whole towards zero, or round to float32. False:
 * it does not fit. */
bool onnx_folded_fit(struct folded_number from, enum dtype was, enum dtype dtype,
                     struct folded_number *out);

/* Row-major distances; an axis of size 1 (or the batch) has none, so that it broadcasts. */
void onnx_folded_strides(const struct shape *shape, size_t strides[TENSOR_RANK_MAX]);

#endif
