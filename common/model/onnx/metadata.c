#include "common/model/onnx/metadata.h"

#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/model/onnx/reader.h"
#include "onnx.pb-c.h"

#define FIELD_METADATA 14 /* of ModelProto */
enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct walk {
    const uint8_t *at, *end;
};

static bool take_varint(struct walk *walk, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && walk->at < walk->end; shift += 7) {
        uint8_t byte = *walk->at++;
        *out |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* The next field: its number and, if it has a length, its bytes. False: malformed. */
static bool take_field(struct walk *walk, uint64_t *number, struct walk *content)
{
    uint64_t tag, length = 0;
    if (!take_varint(walk, &tag))
        return false;
    *number = tag >> 3;
    switch (tag & 7) {
    case WIRE_VARINT:
        *content = (struct walk){walk->at, walk->at};
        return take_varint(walk, &length);
    case WIRE_FIXED64:
        length = 8;
        break;
    case WIRE_FIXED32:
        length = 4;
        break;
    case WIRE_BYTES:
        if (!take_varint(walk, &length))
            return false;
        break;
    default:
        return false;
    }
    if (length > (uint64_t)(walk->end - walk->at))
        return false;
    *content = (struct walk){walk->at, walk->at + length};
    walk->at += length;
    return true;
}

/* OK with *out NULL: another entry. */
static enum status read_entry(const struct walk *content, const char *key, char **out,
                              struct error *err)
{
    size_t bytes = (size_t)(content->end - content->at);
    if (bytes > ONNX_METADATA_BYTES_MAX)
        return OK; /* not ours: graft writes no longer one */
    Onnx__StringStringEntryProto *entry =
        onnx__string_string_entry_proto__unpack(NULL, bytes, content->at);
    enum status status = OK;
    if (entry != NULL && entry->key != NULL && entry->value != NULL &&
        strcmp(entry->key, key) == 0) {
        *out = memory_dup_text(entry->value, ONNX_METADATA_BYTES_MAX);
        status = *out == NULL ? error_set(err, ERR_MEMORY, "no memory for the metadata") : OK;
    }
    if (entry != NULL)
        onnx__string_string_entry_proto__free_unpacked(entry, NULL);
    return status;
}

static enum status find(struct walk walk, const char *key, char **out, struct error *err)
{
    enum status status = OK;
    while (status == OK && *out == NULL && walk.at < walk.end) {
        struct walk content;
        uint64_t number;
        if (!take_field(&walk, &number, &content))
            return error_set(err, ERR_INPUT, "not an ONNX file, or a truncated one");
        if (number == FIELD_METADATA)
            status = read_entry(&content, key, out, err);
    }
    return status;
}

enum status onnx_metadata_find(const char *path, const char *key, char **out, struct error *err)
{
    struct file_map map;
    char *found = NULL;
    enum status status = file_map(path, ONNX_FILE_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    const uint8_t *bytes = map.data;
    status = map.bytes == 0 ? error_set(err, ERR_INPUT, "the file is empty")
                            : find((struct walk){bytes, bytes + map.bytes}, key, &found, err);
    file_unmap(&map);
    if (status == OK)
        *out = found;
    else
        error_prefix(err, "%s", path);
    return status;
}

enum status onnx_metadata_read(const char *path, char **out, struct error *err)
{
    char *found = NULL;
    enum status status = onnx_metadata_find(path, ONNX_METADATA_DATA, &found, err);
    if (status == ERR_IO)
        error_prefix(err, "the trained model (a run leaves adapted.onnx)");
    if (status == OK && found == NULL)
        status = error_set(err, ERR_INPUT,
                           "%s: the file does not say how its samples are made; only models that "
                           "graft wrote (adapted.onnx) do",
                           path);
    if (status == OK)
        *out = found;
    return status;
}
