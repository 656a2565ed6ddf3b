#include "common/model/onnx/folded.h"

#include <math.h>
#include <string.h>

bool onnx_folded_real(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_F64;
}

bool onnx_folded_plain(struct folded_number number)
{
    return !number.unknown && number.batch == 0 && number.sample == 0;
}

bool onnx_folded_batch(struct folded_number number)
{
    return !number.unknown && number.batch == 1 && number.sample == 0 && number.whole == 0;
}

enum status onnx_folded_create(struct graph *arena, enum dtype dtype, const struct shape *shape,
                               struct folded **out, struct error *err)
{
    struct shape one = *shape;
    size_t count;
    if (one.rank > 0 && one.dims[0] == -1)
        one.dims[0] = 1;
    if (!shape_elements(&one, &count) || count > FOLDED_ELEMENTS_MAX)
        return error_set(err, ERR_INPUT,
                         "arithmetic on shapes gives a negative size or more than %zu elements",
                         FOLDED_ELEMENTS_MAX);
    struct folded *folded = graph_alloc(arena, 1, sizeof *folded);
    struct folded_number *numbers = graph_alloc(arena, count, sizeof *numbers);
    if (folded == NULL || numbers == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu numbers", count);
    *folded = (struct folded){.dtype = dtype, .shape = *shape, .count = count, .numbers = numbers};
    *out = folded;
    return OK;
}

static struct folded_number load(const void *data, enum dtype dtype, size_t at)
{
    switch (dtype) {
    case DTYPE_F32:
        return (struct folded_number){.real = (double)((const float *)data)[at]};
    case DTYPE_F64:
        return (struct folded_number){.real = ((const double *)data)[at]};
    case DTYPE_I32:
        return (struct folded_number){.whole = ((const int32_t *)data)[at]};
    case DTYPE_I64:
        return (struct folded_number){.whole = ((const int64_t *)data)[at]};
    case DTYPE_U8:
        return (struct folded_number){.whole = ((const uint8_t *)data)[at]};
    case DTYPE_I8:
        return (struct folded_number){.whole = ((const int8_t *)data)[at]};
    case DTYPE_BOOL:
        return (struct folded_number){.whole = ((const uint8_t *)data)[at] != 0};
    }
    return (struct folded_number){0};
}

static void store(struct folded_number number, void *data, enum dtype dtype, size_t at)
{
    switch (dtype) {
    case DTYPE_F32:
        ((float *)data)[at] = (float)number.real;
        break;
    case DTYPE_F64:
        ((double *)data)[at] = number.real;
        break;
    case DTYPE_I32:
        ((int32_t *)data)[at] = (int32_t)number.whole;
        break;
    case DTYPE_I64:
        ((int64_t *)data)[at] = number.whole;
        break;
    case DTYPE_U8:
    case DTYPE_BOOL:
        ((uint8_t *)data)[at] = (uint8_t)number.whole;
        break;
    case DTYPE_I8:
        ((int8_t *)data)[at] = (int8_t)number.whole;
        break;
    }
}

enum status onnx_folded_load(struct graph *arena, const struct value *value, struct folded **out,
                             struct error *err)
{
    enum status status = onnx_folded_create(arena, value->dtype, &value->shape, out, err);
    for (size_t i = 0; status == OK && i < (*out)->count; i++)
        (*out)->numbers[i] = load(value->data, value->dtype, i);
    if (status == OK)
        (*out)->parameter = value->parameter;
    return status;
}

enum status onnx_folded_store(const struct folded *folded, struct graph *graph, const void **out,
                              struct error *err)
{
    void *data = graph_alloc(graph, folded->count, dtype_bytes(folded->dtype));
    if (data == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu numbers", folded->count);
    for (size_t i = 0; i < folded->count; i++) {
        if (!onnx_folded_plain(folded->numbers[i]))
            return error_set(err, ERR_SUPPORT, "it computes with the size of the batch");
        store(folded->numbers[i], data, folded->dtype, i);
    }
    *out = data;
    return OK;
}

static bool range_of(enum dtype dtype, int64_t *low, int64_t *high)
{
    *low = dtype == DTYPE_I32 ? INT32_MIN : dtype == DTYPE_I8 ? INT8_MIN : 0;
    *high = dtype == DTYPE_I32 ? INT32_MAX : dtype == DTYPE_I8 ? INT8_MAX : UINT8_MAX;
    return dtype != DTYPE_I64;
}

bool onnx_folded_fit(struct folded_number from, enum dtype was, enum dtype dtype,
                     struct folded_number *out)
{
    int64_t low, high;
    *out = from;
    if (!onnx_folded_plain(from)) { /* a real one too: it may be cast back */
        out->unknown |= dtype == DTYPE_BOOL;
        return true;
    }
    if (onnx_folded_real(dtype)) {
        double real = onnx_folded_real(was) ? from.real : (double)from.whole;
        out->real = dtype == DTYPE_F32 ? (double)(float)real : real;
        return true;
    }
    if (dtype == DTYPE_BOOL) {
        out->whole = onnx_folded_real(was) ? from.real != 0 : from.whole != 0;
        return true;
    }
    if (onnx_folded_real(was) && !(fabs(from.real) < 0x1p63))
        return false;
    int64_t whole = onnx_folded_real(was) ? (int64_t)from.real : from.whole;
    out->whole = whole;
    return !range_of(dtype, &low, &high) || (whole >= low && whole <= high);
}

void onnx_folded_strides(const struct shape *shape, size_t strides[TENSOR_RANK_MAX])
{
    size_t distance = 1;
    for (size_t i = shape->rank; i-- > 0;) {
        bool alone = shape->dims[i] == 1 || shape->dims[i] == -1;
        strides[i] = alone ? 0 : distance;
        distance *= alone ? 1 : (size_t)shape->dims[i];
    }
}
