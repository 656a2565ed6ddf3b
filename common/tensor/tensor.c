#include "common/tensor/tensor.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    [DTYPE_F32] = {"float32", 4}, [DTYPE_F64] = {"float64", 8}, [DTYPE_I32] = {"int32", 4},
    [DTYPE_I64] = {"int64", 8},   [DTYPE_U8] = {"uint8", 1},    [DTYPE_I8] = {"int8", 1},
    [DTYPE_BOOL] = {"bool", 1},
};

size_t dtype_bytes(enum dtype dtype)
{
    CHECK((size_t)dtype < sizeof dtypes / sizeof *dtypes);
    return dtypes[dtype].bytes;
}

const char *dtype_name(enum dtype dtype)
{
    CHECK((size_t)dtype < sizeof dtypes / sizeof *dtypes);
    return dtypes[dtype].name;
}

bool shape_elements(const struct shape *shape, size_t *out)
{
    size_t product = 1;
    CHECK(shape->rank <= TENSOR_RANK_MAX);
    for (size_t i = 0; i < shape->rank; i++) {
        if (shape->dims[i] < 0 || !size_mul(product, (size_t)shape->dims[i], &product) ||
            product > TENSOR_ELEMENTS_MAX)
            return false;
    }
    *out = product;
    return true;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

void shape_text(const struct shape *shape, char *out, size_t bytes)
{
    size_t used = 0;
    CHECK(bytes > 0);
    out[0] = '\0';
    for (size_t i = 0; i <= shape->rank && used < bytes; i++) {
        const char *before = i == 0 ? "[" : i == shape->rank ? "" : ", ";
        int wrote;
        if (i == shape->rank)
            wrote = snprintf(out + used, bytes - used, "%s]", shape->rank == 0 ? "[" : "");
        else if (shape->dims[i] < 0)
            wrote = snprintf(out + used, bytes - used, "%sN", before);
        else
            wrote = snprintf(out + used, bytes - used, "%s%lld", before, (long long)shape->dims[i]);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
}
