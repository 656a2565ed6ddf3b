#include "common/wire/codec.h"

#include <msgpack.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

/* A VIEW of two times WIRE_MEMBERS_MAX members needs most. */
#define ARENA_BYTES_MAX ((size_t)5 << 20)
#define ROOM_BYTES_FIRST ((size_t)1 << 12)
#define ZONE_CHUNK_BYTES ((size_t)1 << 13)
#define HEADER_FIELDS 9

/* Grows as far as messages need: a member has a codec for each of its connections. */
struct room {
    uint8_t *bytes;
    size_t size;
};

struct codec {
    struct room out; /* up to WIRE_HEADER_BYTES_MAX */
    size_t out_used;
    bool out_full;
    struct room arena; /* up to ARENA_BYTES_MAX */
    size_t arena_used;
    msgpack_zone zone;
    bool zone_ready;
};

/* Keeps what is in it. False: no memory, or more than `most`. */
static bool room_make(struct room *room, size_t needed, size_t most)
{
    size_t size = room->size > 0 ? room->size : ROOM_BYTES_FIRST;
    if (needed <= room->size)
        return true;
    if (needed > most)
        return false;
    while (size < needed)
        size *= 2;
    uint8_t *bytes = memory_alloc(size, 1);
    if (bytes == NULL)
        return false;
    if (room->size > 0)
        memcpy(bytes, room->bytes, room->size);
    memory_free(room->bytes);
    *room = (struct room){bytes, size};
    return true;
}

enum status codec_create(struct codec **out, struct error *err)
{
    struct codec *codec = memory_alloc(1, sizeof *codec);
    if (codec == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a message codec");
    codec->zone_ready = msgpack_zone_init(&codec->zone, ZONE_CHUNK_BYTES);
    if (!codec->zone_ready || !room_make(&codec->out, 1, WIRE_HEADER_BYTES_MAX)) {
        codec_destroy(&codec);
        return error_set(err, ERR_MEMORY, "no memory for a message codec");
    }
    *out = codec;
    return OK;
}

void codec_destroy(struct codec **codec)
{
    if (*codec == NULL)
        return;
    if ((*codec)->zone_ready)
        msgpack_zone_destroy(&(*codec)->zone);
    memory_free((*codec)->out.bytes);
    memory_free((*codec)->arena.bytes);
    memory_free(*codec);
    *codec = NULL;
}

/* ---- encode ---- */

static int append(void *data, const char *bytes, size_t count)
{
    struct codec *codec = data;
    if (!room_make(&codec->out, codec->out_used + count, WIRE_HEADER_BYTES_MAX)) {
        codec->out_full = true;
        return -1;
    }
    memcpy(codec->out.bytes + codec->out_used, bytes, count);
    codec->out_used += count;
    return 0;
}

static void pack_fields(msgpack_packer *packer, const struct wire_field *fields, size_t count,
                        const uint8_t *from);

static void pack_list(msgpack_packer *packer, const struct wire_field *field, const uint8_t *from)
{
    size_t count;
    const uint8_t *elements;
    memcpy(&count, from + field->count_offset, sizeof count);
    memcpy(&elements, from + field->offset, sizeof elements);
    CHECK(count <= field->limit);
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        pack_fields(packer, field->fields, field->field_count, elements + i * field->element_bytes);
}

static void pack_text(msgpack_packer *packer, const struct wire_field *field, const uint8_t *from)
{
    const char *text = (const char *)from + field->offset;
    size_t length = strnlen(text, field->limit);
    CHECK(length < field->limit);
    msgpack_pack_str_with_body(packer, text, length);
}

static void pack_field(msgpack_packer *packer, const struct wire_field *field, const uint8_t *from)
{
    uint32_t u32;
    uint64_t u64;
    switch (field->kind) {
    case WIRE_U32:
        memcpy(&u32, from + field->offset, sizeof u32);
        msgpack_pack_uint32(packer, u32);
        break;
    case WIRE_U64:
        memcpy(&u64, from + field->offset, sizeof u64);
        msgpack_pack_uint64(packer, u64);
        break;
    case WIRE_TEXT:
        pack_text(packer, field, from);
        break;
    case WIRE_DIGEST:
        msgpack_pack_bin_with_body(packer, from + field->offset, DIGEST_BYTES);
        break;
    case WIRE_LIST:
        pack_list(packer, field, from);
        break;
    }
}

/* The tables nest two deep (a list of structs of scalars), so this recursion is bounded by our own
 * code. */
static void pack_fields(msgpack_packer *packer, const struct wire_field *fields, size_t count,
                        const uint8_t *from)
{
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        pack_field(packer, &fields[i], from);
}

enum status codec_encode(struct codec *codec, const struct message *message,
                         const size_t *frame_bytes, size_t frame_count, const uint8_t **header,
                         size_t *header_bytes, struct error *err)
{
    struct wire_layout layout = message_layout(message->type);
    CHECK(layout.fields != NULL && frame_count <= WIRE_FRAMES_MAX);
    codec->out_used = 0;
    codec->out_full = false;
    msgpack_packer packer;
    msgpack_packer_init(&packer, codec, append);
    msgpack_pack_array(&packer, HEADER_FIELDS);
    msgpack_pack_uint32(&packer, WIRE_PROTOCOL);
    msgpack_pack_uint32(&packer, message->type);
    msgpack_pack_uint64(&packer, message->run);
    msgpack_pack_uint64(&packer, message->sender);
    msgpack_pack_uint32(&packer, message->view);
    msgpack_pack_uint32(&packer, message->generation);
    msgpack_pack_uint64(&packer, message->sequence);
    msgpack_pack_array(&packer, frame_count);
    for (size_t i = 0; i < frame_count; i++) {
        CHECK(frame_bytes[i] <= WIRE_FRAME_BYTES_MAX);
        msgpack_pack_uint64(&packer, frame_bytes[i]);
    }
    pack_fields(&packer, layout.fields, layout.field_count, (const uint8_t *)&message->body);
    if (codec->out_full)
        return error_set(err, ERR_INPUT, "a %s message header exceeds %zu bytes", layout.name,
                         WIRE_HEADER_BYTES_MAX);
    *header = codec->out.bytes;
    *header_bytes = codec->out_used;
    return OK;
}

/* ---- decode ---- */

/* msgpack-c takes memory for an array before it has seen the elements. This walk over the tokens
 * refuses what we never write, and every count that the bytes at hand cannot hold, before any
 * memory is taken. */
static bool tokens_hold(const uint8_t *at, size_t left)
{
    while (left > 0) {
        uint8_t token = *at;
        size_t length_bytes = 0, number_bytes = 0, body = 0;
        if (token <= 0x7f) {
            /* small integer */
        } else if ((token & 0xf0) == 0x90) {
            if ((token & 0x0fu) >= left)
                return false;
        } else if ((token & 0xe0) == 0xa0) {
            body = token & 0x1fu;
        } else if (token >= 0xcc && token <= 0xcf) {
            number_bytes = (size_t)1 << (token - 0xcc);
        } else if (token == 0xc4 || token == 0xd9) {
            length_bytes = 1;
        } else if (token == 0xda || token == 0xdc) {
            length_bytes = 2;
        } else if (token == 0xdd) {
            length_bytes = 4;
        } else {
            return false;
        }
        size_t fixed = 1 + length_bytes + number_bytes;
        if (fixed > left)
            return false;
        size_t length = 0;
        for (size_t i = 0; i < length_bytes; i++)
            length = length << 8 | at[1 + i];
        if (length > left - fixed)
            return false;
        if (token == 0xc4 || token == 0xd9 || token == 0xda)
            body = length;
        if (body > left - fixed)
            return false;
        at += fixed + body;
        left -= fixed + body;
    }
    return true;
}

static bool get_number(const msgpack_object *object, uint64_t most, uint64_t *out)
{
    if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER || object->via.u64 > most)
        return false;
    *out = object->via.u64;
    return true;
}

static bool unpack_fields(struct codec *codec, const msgpack_object *object,
                          const struct wire_field *fields, size_t count, uint8_t *to);

static size_t list_bytes(const struct wire_field *field, size_t count)
{
    return (count * field->element_bytes + 15) & ~(size_t)15;
}

/* Room for all lists of a body before the first is unpacked: they are pointed to. */
static bool make_arena(struct codec *codec, const msgpack_object *object,
                       const struct wire_field *fields, size_t count)
{
    size_t bytes = 0;
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const msgpack_object *value = &object->via.array.ptr[i];
        if (fields[i].kind == WIRE_LIST && value->type == MSGPACK_OBJECT_ARRAY &&
            value->via.array.size <= fields[i].limit)
            bytes += list_bytes(&fields[i], value->via.array.size);
    }
    codec->arena_used = 0;
    return room_make(&codec->arena, bytes, ARENA_BYTES_MAX);
}

static bool unpack_list(struct codec *codec, const msgpack_object *object,
                        const struct wire_field *field, uint8_t *to)
{
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size > field->limit)
        return false;
    size_t count = object->via.array.size;
    uint8_t *elements = codec->arena.bytes + codec->arena_used;
    codec->arena_used += list_bytes(field, count);
    CHECK(codec->arena_used <= codec->arena.size);
    for (size_t i = 0; i < count; i++)
        if (!unpack_fields(codec, &object->via.array.ptr[i], field->fields, field->field_count,
                           elements + i * field->element_bytes))
            return false;
    memcpy(to + field->count_offset, &count, sizeof count);
    memcpy(to + field->offset, &elements, sizeof elements);
    return true;
}

static bool unpack_text(const msgpack_object *object, const struct wire_field *field, uint8_t *to)
{
    if (object->type != MSGPACK_OBJECT_STR || object->via.str.size >= field->limit)
        return false;
    memset(to + field->offset, 0, field->limit);
    if (object->via.str.size == 0) /* msgpack-c may give no pointer then */
        return true;
    if (memchr(object->via.str.ptr, 0, object->via.str.size) != NULL)
        return false;
    memcpy(to + field->offset, object->via.str.ptr, object->via.str.size);
    return true;
}

static bool unpack_field(struct codec *codec, const msgpack_object *object,
                         const struct wire_field *field, uint8_t *to)
{
    uint64_t u64;
    uint32_t u32;
    switch (field->kind) {
    case WIRE_U32:
        if (!get_number(object, UINT32_MAX, &u64))
            return false;
        u32 = (uint32_t)u64;
        memcpy(to + field->offset, &u32, sizeof u32);
        return true;
    case WIRE_U64:
        if (!get_number(object, UINT64_MAX, &u64))
            return false;
        memcpy(to + field->offset, &u64, sizeof u64);
        return true;
    case WIRE_TEXT:
        return unpack_text(object, field, to);
    case WIRE_DIGEST:
        if (object->type != MSGPACK_OBJECT_BIN || object->via.bin.size != DIGEST_BYTES)
            return false;
        memcpy(to + field->offset, object->via.bin.ptr, DIGEST_BYTES);
        return true;
    case WIRE_LIST:
        return unpack_list(codec, object, field, to);
    }
    return false;
}

static bool unpack_fields(struct codec *codec, const msgpack_object *object,
                          const struct wire_field *fields, size_t count, uint8_t *to)
{
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!unpack_field(codec, &object->via.array.ptr[i], &fields[i], to))
            return false;
    return true;
}

static bool unpack_frame_sizes(const msgpack_object *object, size_t *frame_bytes,
                               size_t *frame_count)
{
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size > WIRE_FRAMES_MAX)
        return false;
    for (size_t i = 0; i < object->via.array.size; i++) {
        uint64_t bytes;
        if (!get_number(&object->via.array.ptr[i], WIRE_FRAME_BYTES_MAX, &bytes))
            return false;
        frame_bytes[i] = (size_t)bytes;
    }
    *frame_count = object->via.array.size;
    return true;
}

static enum status unpack_header(struct codec *codec, const msgpack_object *object,
                                 struct message *message, size_t *frame_bytes, size_t *frame_count,
                                 struct error *err)
{
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != HEADER_FIELDS)
        return error_set(err, ERR_INPUT, "not a graft message");
    const msgpack_object *at = object->via.array.ptr;
    uint64_t protocol, type, view, generation;
    if (!get_number(&at[0], UINT32_MAX, &protocol) || protocol != WIRE_PROTOCOL)
        return error_set(err, ERR_INPUT, "a message of another protocol version");
    if (!get_number(&at[1], UINT32_MAX, &type) || message_layout((uint32_t)type).fields == NULL)
        return error_set(err, ERR_INPUT, "a message of unknown type");
    struct wire_layout layout = message_layout((uint32_t)type);
    if (!get_number(&at[2], UINT64_MAX, &message->run) ||
        !get_number(&at[3], UINT64_MAX, &message->sender) ||
        !get_number(&at[4], UINT32_MAX, &view) || !get_number(&at[5], UINT32_MAX, &generation) ||
        !get_number(&at[6], UINT64_MAX, &message->sequence) ||
        !unpack_frame_sizes(&at[7], frame_bytes, frame_count) ||
        !make_arena(codec, &at[8], layout.fields, layout.field_count) ||
        !unpack_fields(codec, &at[8], layout.fields, layout.field_count, (uint8_t *)&message->body))
        return error_set(err, ERR_INPUT, "a %s message breaks its form or a limit", layout.name);
    message->type = (enum message_type)type;
    message->view = (uint32_t)view;
    message->generation = (uint32_t)generation;
    return OK;
}

enum status codec_decode(struct codec *codec, const uint8_t *header, size_t header_bytes,
                         struct message *message, size_t *frame_bytes, size_t *frame_count,
                         struct error *err)
{
    if (header_bytes > WIRE_HEADER_BYTES_MAX)
        return error_set(err, ERR_INPUT, "a message header of %zu bytes exceeds the limit",
                         header_bytes);
    if (!tokens_hold(header, header_bytes))
        return error_set(err, ERR_INPUT, "a message header that is not of graft's MessagePack");
    msgpack_zone_clear(&codec->zone);
    msgpack_object object;
    size_t used = 0;
    msgpack_unpack_return got =
        msgpack_unpack((const char *)header, header_bytes, &used, &codec->zone, &object);
    if (got != MSGPACK_UNPACK_SUCCESS || used != header_bytes)
        return error_set(err, ERR_INPUT, "a message header that is not MessagePack");
    return unpack_header(codec, &object, message, frame_bytes, frame_count, err);
}
