#include "common/model/onnx/types.h"

#include "onnx.pb-c.h"

/* ONNX numbers its types from 1 without gaps. */
static const char *const names[] = {
    "undefined",      "float32",    "uint8",          "int8",       "uint16",   "int16",
    "int32",          "int64",      "string",         "bool",       "float16",  "float64",
    "uint32",         "uint64",     "complex64",      "complex128", "bfloat16", "float8e4m3fn",
    "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4",      "int4",     "float4e2m1",
};

static const int32_t numbers[] = {
    [DTYPE_F32] = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
    [DTYPE_F64] = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE,
    [DTYPE_I32] = ONNX__TENSOR_PROTO__DATA_TYPE__INT32,
    [DTYPE_I64] = ONNX__TENSOR_PROTO__DATA_TYPE__INT64,
    [DTYPE_U8] = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
    [DTYPE_I8] = ONNX__TENSOR_PROTO__DATA_TYPE__INT8,
    [DTYPE_BOOL] = ONNX__TENSOR_PROTO__DATA_TYPE__BOOL,
};
#define TYPES (sizeof numbers / sizeof *numbers)

const char *onnx_types_name(int64_t number)
{
    bool named = number >= 0 && (size_t)number < sizeof names / sizeof *names;
    return named ? names[number] : "unknown";
}

enum status onnx_types_read(int64_t number, enum dtype *out, struct error *err)
{
    for (size_t i = 0; i < TYPES; i++)
        if (numbers[i] == number) {
            *out = (enum dtype)i;
            return OK;
        }
    return error_set(err, ERR_SUPPORT, "element type %lld (%s) is not supported", (long long)number,
                     onnx_types_name(number));
}

int32_t onnx_types_number(enum dtype dtype)
{
    return numbers[dtype];
}
