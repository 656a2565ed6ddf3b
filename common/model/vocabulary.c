#include "common/model/vocabulary.h"

#include <string.h>
#include <utf8proc.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/onnx/metadata.h"

static enum status check_utf8(const char *path, const uint8_t *text, size_t bytes,
                              struct error *err)
{
    utf8proc_int32_t rune;
    for (size_t at = 0; at < bytes;) {
        utf8proc_ssize_t used = utf8proc_iterate(text + at, (utf8proc_ssize_t)(bytes - at), &rune);
        if (used <= 0 || rune == 0)
            return error_set(err, ERR_INPUT, "%s: byte %zu is no UTF-8 text", path, at);
        at += (size_t)used;
    }
    return OK;
}

static enum status read_text(const char *path, char **out, struct error *err)
{
    struct file_map map;
    enum status status = file_map(path, ONNX_METADATA_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    char *text = NULL;
    status = check_utf8(path, map.data, map.bytes, err);
    if (status == OK && (text = memory_alloc(map.bytes + 1, 1)) == NULL)
        status = error_set(err, ERR_MEMORY, "%s: no memory for the vocabulary", path);
    if (status == OK && map.bytes > 0)
        memcpy(text, map.data, map.bytes);
    file_unmap(&map);
    if (status == OK)
        *out = text;
    return status;
}

static enum status read_model(const char *path, char **out, struct error *err)
{
    char *text = NULL;
    enum status status = onnx_metadata_find(path, ONNX_METADATA_VOCABULARY, &text, err);
    if (status == OK && text == NULL)
        status = error_set(err, ERR_INPUT,
                           "%s: the model carries no vocabulary; only models that graft wrote for "
                           "texts do",
                           path);
    if (status == OK)
        status = check_utf8(path, (const uint8_t *)text, strlen(text), err);
    if (status == OK)
        *out = text;
    else
        memory_free(text);
    return status;
}

enum status vocabulary_read(const char *path, char **out, struct error *err)
{
    size_t length = strlen(path);
    bool model = length > 5 && strcmp(path + length - 5, ".onnx") == 0;
    return model ? read_model(path, out, err) : read_text(path, out, err);
}
