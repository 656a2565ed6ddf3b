/* Shapes and element types. A tensor's data is always dense and row-major here; blocked layouts
 * exist only inside the trunk (worker/engine). Pure arithmetic; nothing allocates. */
#ifndef GRAFT_COMMON_TENSOR_TENSOR_H
#define GRAFT_COMMON_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TENSOR_RANK_MAX 8
#define TENSOR_ELEMENTS_MAX ((size_t)1 << 31) /* 8 GiB of float32: larger tensors are refused */

enum dtype { DTYPE_F32, DTYPE_F64, DTYPE_I32, DTYPE_I64, DTYPE_U8, DTYPE_I8, DTYPE_BOOL };

struct shape {
    size_t rank;
    int64_t dims[TENSOR_RANK_MAX]; /* ≥ 0 once known; -1: not known yet (batch) */
};

size_t dtype_bytes(enum dtype dtype);
const char *dtype_name(enum dtype dtype);

/* Number of elements; false when a dimension is negative or the product exceeds
 * TENSOR_ELEMENTS_MAX. */
bool shape_elements(const struct shape *shape, size_t *out);
bool shape_equal(const struct shape *a, const struct shape *b);

/* "[N, 480, 1, 6]" (-1 prints as N); cut at `bytes`. */
void shape_text(const struct shape *shape, char *out, size_t bytes);

#endif
