#define _XOPEN_SOURCE 700 /* realpath */
#include "common/model/onnx/tensor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/onnx/types.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "ONNX raw data is little endian, and so are we");

static enum status read_shape(const Onnx__TensorProto *from, struct shape *out, size_t *elements,
                              struct error *err)
{
    struct shape shape = {.rank = from->n_dims};
    if (from->n_dims > TENSOR_RANK_MAX)
        return error_set(err, ERR_SUPPORT, "rank %zu exceeds %d", from->n_dims, TENSOR_RANK_MAX);
    for (size_t i = 0; i < shape.rank; i++)
        shape.dims[i] = from->dims[i];
    if (!shape_elements(&shape, elements))
        return error_set(err, ERR_INPUT,
                         "a dimension is negative or the size is beyond %zu elements",
                         TENSOR_ELEMENTS_MAX);
    *out = shape;
    return OK;
}

static enum status copy_exact(const void *data, size_t bytes, size_t wanted, void *out,
                              struct error *err)
{
    if (bytes != wanted)
        return error_set(err, ERR_INPUT, "%zu bytes of data, its shape asks for %zu", bytes,
                         wanted);
    if (bytes > 0)
        memcpy(out, data, bytes);
    return OK;
}

static enum status copy_new(const void *data, size_t bytes, size_t wanted, struct graph *graph,
                            const void **out, struct error *err)
{
    void *memory = bytes == wanted ? graph_alloc(graph, wanted, 1) : NULL;
    if (bytes == wanted && memory == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu bytes", wanted);
    enum status status = copy_exact(data, bytes, wanted, memory, err);
    if (status == OK)
        *out = memory;
    return status;
}

/* int32_data also carries the narrow types, one element a number. */
static enum status copy_narrow(const Onnx__TensorProto *from, size_t elements, uint8_t *out,
                               struct error *err)
{
    if (from->n_int32_data != elements)
        return error_set(err, ERR_INPUT, "%zu elements of data, its shape asks for %zu",
                         from->n_int32_data, elements);
    for (size_t i = 0; i < elements; i++)
        out[i] = (uint8_t)from->int32_data[i];
    return OK;
}

static enum status copy_typed(const Onnx__TensorProto *from, enum dtype dtype, size_t elements,
                              void *out, struct error *err)
{
    size_t wanted = elements * dtype_bytes(dtype);
    switch (dtype) {
    case DTYPE_F32:
        return copy_exact(from->float_data, from->n_float_data * sizeof(float), wanted, out, err);
    case DTYPE_F64:
        return copy_exact(from->double_data, from->n_double_data * sizeof(double), wanted, out,
                          err);
    case DTYPE_I32:
        return copy_exact(from->int32_data, from->n_int32_data * sizeof(int32_t), wanted, out, err);
    case DTYPE_I64:
        return copy_exact(from->int64_data, from->n_int64_data * sizeof(int64_t), wanted, out, err);
    case DTYPE_U8:
    case DTYPE_I8:
    case DTYPE_BOOL:
        return copy_narrow(from, elements, out, err);
    }
    return OK;
}

struct place {
    const char *location;
    unsigned long long offset, length;
    bool has_length;
};

static bool parse_number(const char *text, unsigned long long *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static enum status read_place(const Onnx__TensorProto *from, struct place *out, struct error *err)
{
    struct place place = {0};
    bool good = true;
    for (size_t i = 0; i < from->n_external_data; i++) {
        const char *key = from->external_data[i]->key, *value = from->external_data[i]->value;
        if (key == NULL || value == NULL)
            good = false;
        else if (strcmp(key, "location") == 0)
            place.location = value;
        else if (strcmp(key, "offset") == 0)
            good &= parse_number(value, &place.offset);
        else if (strcmp(key, "length") == 0)
            good &= place.has_length = parse_number(value, &place.length);
    }
    if (!good || place.location == NULL)
        return error_set(err, ERR_INPUT,
                         "its external data has no valid location, offset or length");
    *out = place;
    return OK;
}

/* The file must lie below the model's folder, after links are followed: a model must not read what
 * its owner did not put beside it. */
static enum status resolve(const char *directory, const char *location, char out[PATH_BYTES],
                           struct error *err)
{
    char joined[PATH_BYTES];
    if (directory == NULL)
        return error_set(err, ERR_SUPPORT, "external data is not supported here");
    enum status status = file_path(joined, err, "%s/%s", directory, location);
    if (status != OK)
        return status;
    char *root = realpath(directory, NULL), *file = realpath(joined, NULL);
    size_t length = root == NULL ? 0 : strlen(root);
    if (root == NULL || file == NULL)
        status = error_set(err, ERR_IO, "external data %.200s: %s", location, strerror(errno));
    else if (location[0] == '/' || strncmp(file, root, length) != 0 ||
             (file[length] != '/' && length > 1))
        status = error_set(err, ERR_INPUT, "external data %.200s lies outside the model's folder",
                           location);
    else
        status = file_path(out, err, "%s", file);
    free(root);
    free(file);
    return status;
}

/* Takes memory only once the file is known to be long enough. */
static enum status copy_external(const Onnx__TensorProto *from, const char *directory,
                                 size_t wanted, struct graph *graph, const void **out,
                                 struct error *err)
{
    struct place place = {0};
    char path[PATH_BYTES];
    struct file_map map = {0};
    enum status status = read_place(from, &place, err);
    if (status == OK)
        status = resolve(directory, place.location, path, err);
    if (status == OK)
        status = file_map(path, ONNX_TENSOR_FILE_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    unsigned long long length = place.has_length ? place.length : wanted;
    if (place.offset > map.bytes || length > map.bytes - place.offset)
        status =
            error_set(err, ERR_INPUT, "external data %.200s is shorter than offset and length say",
                      place.location);
    else
        status = copy_new(map.data + place.offset, (size_t)length, wanted, graph, out, err);
    file_unmap(&map);
    return status;
}

/* Before memory is taken: does one of the typed lists have the right length? */
static enum status copy_lists(const Onnx__TensorProto *from, const struct onnx_tensor *tensor,
                              size_t elements, struct graph *graph, const void **out,
                              struct error *err)
{
    if (from->n_float_data != elements && from->n_double_data != elements &&
        from->n_int32_data != elements && from->n_int64_data != elements)
        return error_set(err, ERR_INPUT,
                         "its data does not have the %zu elements its shape asks for", elements);
    void *data = graph_alloc(graph, elements, dtype_bytes(tensor->dtype));
    if (data == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu elements", elements);
    enum status status = copy_typed(from, tensor->dtype, elements, data, err);
    if (status == OK)
        *out = data;
    return status;
}

enum status onnx_tensor_read(const Onnx__TensorProto *from, const char *directory,
                             struct graph *graph, struct digest_stream *digest,
                             struct onnx_tensor *out, struct error *err)
{
    struct onnx_tensor tensor = {0};
    size_t elements = 0;
    enum status status = onnx_types_read(from->data_type, &tensor.dtype, err);
    if (status == OK)
        status = read_shape(from, &tensor.shape, &elements, err);
    if (status == OK && from->segment != NULL)
        status = error_set(err, ERR_SUPPORT, "segmented tensors are not supported");
    if (status != OK)
        return status;
    size_t wanted = elements * dtype_bytes(tensor.dtype);
    if (from->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        status = copy_external(from, directory, wanted, graph, &tensor.data, err);
        digest_add(digest, tensor.data, status == OK ? wanted : 0);
    } else if (from->has_raw_data) {
        status =
            copy_new(from->raw_data.data, from->raw_data.len, wanted, graph, &tensor.data, err);
    } else {
        status = copy_lists(from, &tensor, elements, graph, &tensor.data, err);
    }
    if (status == OK)
        *out = tensor;
    return status;
}
