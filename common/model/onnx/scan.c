#include "common/model/onnx/scan.h"

#include <stdbool.h>

/* Messages that can contain themselves, and those on the way to them (onnx.proto). LEAF: whatever
 * else; its inside cannot nest without end, but its parts count. */
enum message {
    MODEL,
    GRAPH,
    NODE,
    ATTRIBUTE,
    TRAINING,
    FUNCTION,
    VALUE_INFO,
    TYPE,
    TYPE_BOX,
    LEAF
};

static const struct {
    enum message parent;
    uint32_t field;
    enum message child;
} children[] = {
    {MODEL, 7, GRAPH},       {MODEL, 20, TRAINING},   {MODEL, 25, FUNCTION},
    {TRAINING, 1, GRAPH},    {TRAINING, 2, GRAPH},    {FUNCTION, 7, NODE},
    {GRAPH, 1, NODE},        {GRAPH, 11, VALUE_INFO}, {GRAPH, 12, VALUE_INFO},
    {GRAPH, 13, VALUE_INFO}, {NODE, 5, ATTRIBUTE},    {ATTRIBUTE, 6, GRAPH},
    {ATTRIBUTE, 11, GRAPH},  {ATTRIBUTE, 14, TYPE},   {ATTRIBUTE, 15, TYPE},
    {VALUE_INFO, 2, TYPE},   {TYPE, 4, TYPE_BOX},     {TYPE, 5, TYPE_BOX},
    {TYPE, 9, TYPE_BOX},     {TYPE_BOX, 1, TYPE},     {TYPE_BOX, 2, TYPE},
};

struct cursor {
    const uint8_t *at;
    const uint8_t *ends[ONNX_SCAN_DEPTH_MAX];
    enum message kinds[ONNX_SCAN_DEPTH_MAX];
    size_t depth; /* of open messages */
};

static enum message child_of(enum message parent, uint64_t field)
{
    for (size_t i = 0; i < sizeof children / sizeof *children; i++)
        if (children[i].parent == parent && children[i].field == field)
            return children[i].child;
    return LEAF;
}

static bool read_varint(struct cursor *cursor, const uint8_t *end, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && cursor->at < end; shift += 7) {
        uint8_t byte = *cursor->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct cursor *cursor, const uint8_t *end, uint64_t bytes)
{
    if (bytes > (uint64_t)(end - cursor->at))
        return false;
    cursor->at += bytes;
    return true;
}

enum field_result { FIELD_OK, FIELD_BAD, FIELD_DEEP };

static enum field_result enter(struct cursor *cursor, const uint8_t *end, uint64_t field)
{
    uint64_t bytes;
    if (!read_varint(cursor, end, &bytes) || bytes > (uint64_t)(end - cursor->at))
        return FIELD_BAD;
    enum message child = child_of(cursor->kinds[cursor->depth - 1], field);
    if (child == LEAF)
        return skip(cursor, end, bytes) ? FIELD_OK : FIELD_BAD;
    if (cursor->depth == ONNX_SCAN_DEPTH_MAX)
        return FIELD_DEEP;
    cursor->kinds[cursor->depth] = child;
    cursor->ends[cursor->depth++] = cursor->at + bytes;
    return FIELD_OK;
}

/* One field: wire types 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes; groups do not
 * occur in ONNX. */
static enum field_result scan_field(struct cursor *cursor)
{
    const uint8_t *end = cursor->ends[cursor->depth - 1];
    uint64_t key, value;
    if (!read_varint(cursor, end, &key))
        return FIELD_BAD;
    switch (key & 7) {
    case 0:
        return read_varint(cursor, end, &value) ? FIELD_OK : FIELD_BAD;
    case 1:
        return skip(cursor, end, 8) ? FIELD_OK : FIELD_BAD;
    case 2:
        return enter(cursor, end, key >> 3);
    case 5:
        return skip(cursor, end, 4) ? FIELD_OK : FIELD_BAD;
    default:
        return FIELD_BAD;
    }
}

enum status onnx_scan(const uint8_t *bytes, size_t byte_count, struct error *err)
{
    struct cursor cursor = {
        .at = bytes, .ends = {bytes + byte_count}, .kinds = {MODEL}, .depth = 1};
    size_t fields = 0;
    while (cursor.depth > 0) {
        if (cursor.at == cursor.ends[cursor.depth - 1]) {
            cursor.depth--;
            continue;
        }
        enum field_result result = scan_field(&cursor);
        if (result == FIELD_DEEP)
            return error_set(err, ERR_INPUT, "messages are nested deeper than %d",
                             ONNX_SCAN_DEPTH_MAX);
        if (result == FIELD_BAD)
            return error_set(err, ERR_INPUT, "not an ONNX file, or truncated (byte %zu of %zu)",
                             (size_t)(cursor.at - bytes), byte_count);
        if (++fields > ONNX_SCAN_MESSAGES_MAX)
            return error_set(err, ERR_INPUT, "more than %zu fields", ONNX_SCAN_MESSAGES_MAX);
    }
    return OK;
}
