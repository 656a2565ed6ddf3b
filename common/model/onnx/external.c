#include "common/model/onnx/external.h"

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"

#define ENTRIES 3
#define NUMBER_BYTES 24

static enum status point(struct onnx_writing *writing, Onnx__TensorProto *tensor,
                         const char *location, uint64_t offset)
{
    static const char *const keys[ENTRIES] = {"location", "offset", "length"};
    char *offset_text = onnx_writing_take(writing, NUMBER_BYTES, 1),
         *length_text = onnx_writing_take(writing, NUMBER_BYTES, 1);
    const char *values[ENTRIES] = {location, offset_text, length_text};
    Onnx__StringStringEntryProto *entries = onnx_writing_take(writing, ENTRIES, sizeof *entries);
    tensor->external_data = onnx_writing_take(writing, ENTRIES, sizeof *tensor->external_data);
    if (offset_text == NULL || length_text == NULL || entries == NULL ||
        tensor->external_data == NULL)
        return onnx_writing_no_memory(writing);
    snprintf(offset_text, NUMBER_BYTES, "%llu", (unsigned long long)offset);
    snprintf(length_text, NUMBER_BYTES, "%zu", tensor->raw_data.len);
    for (size_t i = 0; i < ENTRIES; i++) {
        onnx__string_string_entry_proto__init(&entries[i]);
        entries[i].key = onnx_writing_text(keys[i]);
        entries[i].value = onnx_writing_text(values[i]);
        tensor->external_data[tensor->n_external_data++] = &entries[i];
    }
    tensor->has_data_location = 1;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    tensor->has_raw_data = 0;
    return OK;
}

static enum status write_all(struct onnx_writing *writing, const char *location,
                             struct file_aside *file)
{
    static const char zeros[ONNX_EXTERNAL_ALIGN];
    uint64_t offset = 0;
    enum status status = OK;
    for (size_t i = 0; i < writing->proto.n_initializer && status == OK; i++) {
        Onnx__TensorProto *tensor = writing->proto.initializer[i];
        size_t gap = (size_t)(-offset % ONNX_EXTERNAL_ALIGN);
        if (tensor->raw_data.len < ONNX_EXTERNAL_BYTES_MIN)
            continue;
        status = file_aside_write(file, zeros, gap, writing->err);
        if (status == OK)
            status =
                file_aside_write(file, tensor->raw_data.data, tensor->raw_data.len, writing->err);
        if (status == OK)
            status = point(writing, tensor, location, offset + gap);
        offset += gap + tensor->raw_data.len;
    }
    return status;
}

enum status onnx_external_move(struct onnx_writing *writing, const char *path)
{
    char beside[PATH_BYTES];
    struct file_aside file;
    enum status status = file_path(beside, writing->err, "%s" ONNX_EXTERNAL_SUFFIX, path);
    if (status == OK)
        status = file_aside_open(beside, &file, writing->err);
    if (status != OK)
        return status;
    const char *slash = strrchr(beside, '/'), *name = slash == NULL ? beside : slash + 1;
    char *location = onnx_writing_take(writing, strlen(name) + 1, 1);
    if (location == NULL)
        status = onnx_writing_no_memory(writing);
    else
        memcpy(location, name, strlen(name) + 1);
    if (status == OK)
        status = write_all(writing, location, &file);
    if (status == OK)
        return file_aside_commit(&file, writing->err);
    file_aside_abandon(&file);
    return status;
}
