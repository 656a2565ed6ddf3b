#include "common/tensor/safetensors.h"

#include <jansson.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"

#define METADATA_KEY "__metadata__"
#define LENGTH_BYTES ((size_t)8)

static const struct {
    const char *text;
    enum dtype dtype;
} dtype_texts[] = {
    {"F32", DTYPE_F32}, {"F64", DTYPE_F64}, {"I32", DTYPE_I32},   {"I64", DTYPE_I64},
    {"U8", DTYPE_U8},   {"I8", DTYPE_I8},   {"BOOL", DTYPE_BOOL},
};
#define DTYPE_TEXTS (sizeof dtype_texts / sizeof *dtype_texts)

struct safetensors {
    struct file_map map;
    json_t *header; /* owns names and metadata */
    struct safetensor *tensors;
    size_t count;
};

static const char *dtype_text(enum dtype dtype)
{
    for (size_t i = 0; i < DTYPE_TEXTS; i++)
        if (dtype_texts[i].dtype == dtype)
            return dtype_texts[i].text;
    return NULL;
}

/* ---- writing ---- */

static enum status tensor_bytes(const struct safetensor *tensor, size_t *out, struct error *err)
{
    size_t elements;
    if (!shape_elements(&tensor->shape, &elements))
        return error_set(err, ERR_INPUT, "tensor %s: its shape is not known or too large",
                         tensor->name);
    *out = elements * dtype_bytes(tensor->dtype);
    return OK;
}

static json_t *entry_json(const struct safetensor *tensor, size_t begin, size_t end)
{
    json_t *dims = json_array();
    for (size_t i = 0; dims != NULL && i < tensor->shape.rank; i++)
        json_array_append_new(dims, json_integer((json_int_t)tensor->shape.dims[i]));
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtype_text(tensor->dtype), "shape", dims,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

static enum status header_add(json_t *header, const struct safetensor *tensor, size_t *offset,
                              struct error *err)
{
    size_t bytes = 0, end = 0;
    if (tensor->name[0] == '\0' || strcmp(tensor->name, METADATA_KEY) == 0 ||
        json_object_get(header, tensor->name) != NULL)
        return error_set(err, ERR_INPUT, "tensor name \"%s\" is empty, reserved or used twice",
                         tensor->name);
    enum status status = tensor_bytes(tensor, &bytes, err);
    if (status != OK)
        return status;
    if (!size_add(*offset, bytes, &end))
        return error_set(err, ERR_INPUT, "tensors are too large for one file");
    if (json_object_set_new(header, tensor->name, entry_json(tensor, *offset, end)) != 0)
        return error_set(err, ERR_INPUT, "tensor name \"%s\" is not UTF-8, or no memory",
                         tensor->name);
    *offset = end;
    return OK;
}

static enum status metadata_add(json_t *header, const char *const *metadata, struct error *err)
{
    if (metadata == NULL || metadata[0] == NULL)
        return OK;
    json_t *object = json_object();
    for (size_t i = 0; metadata[i] != NULL; i += 2) {
        CHECK(metadata[i + 1] != NULL);
        if (json_object_set_new(object, metadata[i], json_string(metadata[i + 1])) != 0) {
            json_decref(object);
            return error_set(err, ERR_INPUT, "metadata %s is not UTF-8, or no memory", metadata[i]);
        }
    }
    if (json_object_set_new(header, METADATA_KEY, object) != 0)
        return error_set(err, ERR_MEMORY, "no memory for the header");
    return OK;
}

/* Calls for each tensor, wide elements first. */
static size_t next_by_width(const struct safetensor *tensors, size_t count, size_t width,
                            size_t from)
{
    while (from < count && dtype_bytes(tensors[from].dtype) != width)
        from++;
    return from;
}

static enum status header_build(json_t *header, const struct safetensor *tensors, size_t count,
                                const char *const *metadata, struct error *err)
{
    enum status status = metadata_add(header, metadata, err);
    size_t offset = 0;
    for (size_t width = 8; width > 0 && status == OK; width /= 2)
        for (size_t i = next_by_width(tensors, count, width, 0); i < count && status == OK;
             i = next_by_width(tensors, count, width, i + 1))
            status = header_add(header, &tensors[i], &offset, err);
    return status;
}

static enum status write_header(struct file_aside *file, const char *text, struct error *err)
{
    static const char spaces[LENGTH_BYTES + 1] = "        ";
    size_t length = strlen(text), padding = (LENGTH_BYTES - length % LENGTH_BYTES) % LENGTH_BYTES;
    uint8_t prefix[LENGTH_BYTES];
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        prefix[i] = (uint8_t)((uint64_t)(length + padding) >> (8 * i));
    enum status status = file_aside_write(file, prefix, sizeof prefix, err);
    if (status == OK)
        status = file_aside_write(file, text, length, err);
    if (status == OK)
        status = file_aside_write(file, spaces, padding, err);
    return status;
}

static enum status write_all(const char *path, const char *text, const struct safetensor *tensors,
                             size_t count, struct error *err)
{
    struct file_aside file;
    enum status status = file_aside_open(path, &file, err);
    if (status == OK)
        status = write_header(&file, text, err);
    for (size_t width = 8; width > 0 && status == OK; width /= 2)
        for (size_t i = next_by_width(tensors, count, width, 0); i < count && status == OK;
             i = next_by_width(tensors, count, width, i + 1)) {
            size_t bytes = 0;
            status = tensor_bytes(&tensors[i], &bytes, err);
            if (status == OK)
                status = file_aside_write(&file, tensors[i].data, bytes, err);
        }
    return status == OK ? file_aside_commit(&file, err) : status;
}

enum status safetensors_write(const char *path, const struct safetensor *tensors, size_t count,
                              const char *const *metadata, struct error *err)
{
    if (count > SAFETENSORS_COUNT_MAX)
        return error_set(err, ERR_INPUT, "%zu tensors, the limit is %zu", count,
                         SAFETENSORS_COUNT_MAX);
    json_t *header = json_object();
    if (header == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the header");
    enum status status = header_build(header, tensors, count, metadata, err);
    char *text = status == OK ? json_dumps(header, JSON_COMPACT) : NULL;
    if (status == OK && text == NULL)
        status = error_set(err, ERR_MEMORY, "no memory for the header");
    if (status == OK)
        status = write_all(path, text, tensors, count, err);
    free(text);
    json_decref(header);
    return status;
}

/* ---- reading ---- */

static bool dtype_parse(const char *text, enum dtype *out)
{
    for (size_t i = 0; i < DTYPE_TEXTS; i++)
        if (strcmp(dtype_texts[i].text, text) == 0) {
            *out = dtype_texts[i].dtype;
            return true;
        }
    return false;
}

static bool shape_parse(const json_t *dims, struct shape *out)
{
    struct shape shape = {.rank = json_array_size(dims)};
    if (!json_is_array(dims) || shape.rank > TENSOR_RANK_MAX)
        return false;
    for (size_t i = 0; i < shape.rank; i++) {
        const json_t *dim = json_array_get(dims, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return false;
        shape.dims[i] = (int64_t)json_integer_value(dim);
    }
    *out = shape;
    return true;
}

/* Where the data lies, checked against the shape and the file. */
static enum status place_parse(const struct safetensors *file, const json_t *offsets,
                               size_t data_begin, struct safetensor *tensor, struct error *err)
{
    size_t elements, data_bytes = file->map.bytes - data_begin;
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    if (json_array_size(offsets) != 2 || begin < 0 || end < begin || (size_t)end > data_bytes)
        return error_set(err, ERR_INPUT, "tensor %s: its data lies outside the file", tensor->name);
    size_t width = dtype_bytes(tensor->dtype);
    if (!shape_elements(&tensor->shape, &elements) || (size_t)(end - begin) != elements * width)
        return error_set(err, ERR_INPUT,
                         "tensor %s: its data does not have the size its shape asks for",
                         tensor->name);
    if ((data_begin + (size_t)begin) % width != 0)
        return error_set(err, ERR_SUPPORT, "tensor %s: its data is not aligned to its element size",
                         tensor->name);
    tensor->data = file->map.data + data_begin + (size_t)begin;
    return OK;
}

static enum status tensor_parse(const struct safetensors *file, const char *name,
                                const json_t *entry, size_t data_begin, struct safetensor *out,
                                struct error *err)
{
    struct safetensor tensor = {.name = name};
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (dtype == NULL || !shape_parse(json_object_get(entry, "shape"), &tensor.shape))
        return error_set(err, ERR_INPUT,
                         "tensor %s: needs \"dtype\" and \"shape\" of rank up to %d", name,
                         TENSOR_RANK_MAX);
    if (!dtype_parse(dtype, &tensor.dtype))
        return error_set(err, ERR_SUPPORT, "tensor %s: element type %s is not supported", name,
                         dtype);
    enum status status =
        place_parse(file, json_object_get(entry, "data_offsets"), data_begin, &tensor, err);
    if (status == OK)
        *out = tensor;
    return status;
}

static bool metadata_valid(const json_t *metadata)
{
    const char *key;
    json_t *value;
    if (metadata != NULL && !json_is_object(metadata))
        return false;
    void *iterator = json_object_iter((json_t *)(uintptr_t)metadata);
    for (; iterator != NULL;
         iterator = json_object_iter_next((json_t *)(uintptr_t)metadata, iterator)) {
        key = json_object_iter_key(iterator);
        value = json_object_iter_value(iterator);
        if (key == NULL || !json_is_string(value))
            return false;
    }
    return true;
}

static enum status tensors_parse(struct safetensors *file, size_t data_begin, struct error *err)
{
    size_t entries = json_object_size(file->header);
    if (entries > SAFETENSORS_COUNT_MAX)
        return error_set(err, ERR_INPUT, "%zu tensors, the limit is %zu", entries,
                         SAFETENSORS_COUNT_MAX);
    if (!metadata_valid(json_object_get(file->header, METADATA_KEY)))
        return error_set(err, ERR_INPUT, "its metadata is not text for text");
    file->tensors = memory_alloc(entries, sizeof *file->tensors);
    if (file->tensors == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu tensors", entries);
    enum status status = OK;
    for (void *at = json_object_iter(file->header); at != NULL && status == OK;
         at = json_object_iter_next(file->header, at)) {
        const char *name = json_object_iter_key(at);
        if (strcmp(name, METADATA_KEY) == 0)
            continue;
        status = tensor_parse(file, name, json_object_iter_value(at), data_begin,
                              &file->tensors[file->count], err);
        file->count += status == OK;
    }
    return status;
}

static enum status header_parse(struct safetensors *file, struct error *err)
{
    uint64_t length = 0;
    if (file->map.bytes < LENGTH_BYTES)
        return error_set(err, ERR_INPUT, "shorter than a safetensors header");
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)file->map.data[i] << (8 * i);
    if (length > SAFETENSORS_HEADER_BYTES_MAX || length > file->map.bytes - LENGTH_BYTES)
        return error_set(err, ERR_INPUT,
                         "header length %llu exceeds the file or the limit of %zu bytes",
                         (unsigned long long)length, SAFETENSORS_HEADER_BYTES_MAX);
    json_error_t reason;
    file->header = json_loadb((const char *)file->map.data + LENGTH_BYTES, (size_t)length,
                              JSON_REJECT_DUPLICATES, &reason);
    if (file->header == NULL || !json_is_object(file->header))
        return error_set(err, ERR_INPUT, "the header is not a JSON object: %s",
                         file->header == NULL ? reason.text : "another type");
    return tensors_parse(file, LENGTH_BYTES + (size_t)length, err);
}

enum status safetensors_open(const char *path, struct safetensors **out, struct error *err)
{
    struct safetensors *file = memory_alloc(1, sizeof *file);
    if (file == NULL)
        return error_set(err, ERR_MEMORY, "no memory to open %s", path);
    enum status status = file_map(path, SAFETENSORS_FILE_BYTES_MAX, &file->map, err);
    if (status == OK) {
        status = header_parse(file, err);
        if (status != OK)
            error_prefix(err, "%s", path);
    }
    if (status == OK)
        *out = file;
    else
        safetensors_close(&file);
    return status;
}

void safetensors_close(struct safetensors **file)
{
    if (*file == NULL)
        return;
    json_decref((*file)->header);
    memory_free((*file)->tensors);
    file_unmap(&(*file)->map);
    memory_free(*file);
    *file = NULL;
}

size_t safetensors_count(const struct safetensors *file)
{
    return file->count;
}

const struct safetensor *safetensors_at(const struct safetensors *file, size_t index)
{
    CHECK(index < file->count);
    return &file->tensors[index];
}

const struct safetensor *safetensors_find(const struct safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, METADATA_KEY), key));
}
