/* Every message there and back; nothing from outside gets past a limit. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/wire/codec.h"

#define TYPES 128 /* above every message type */
#define MUTATIONS 10000

static struct codec *codec, *other;
static struct error err;

static int setup(void **state)
{
    (void)state;
    return codec_create(&codec, &err) == OK && codec_create(&other, &err) == OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    codec_destroy(&codec);
    codec_destroy(&other);
    return 0;
}

static uint64_t draw(uint64_t seed, uint32_t number)
{
    return random_bits((struct random_key){.seed = seed, .purpose = RANDOM_INIT}, number);
}

/* ---- any message, filled and compared by its table ---- */

struct fill {
    uint64_t seed;
    uint32_t draws;
    size_t list_count;  /* cut at the list's limit */
    size_t text_length; /* likewise */
    void *lists[4];
    size_t list_used;
};

static void fill_fields(struct fill *fill, const struct wire_field *fields, size_t count,
                        uint8_t *to);

static void fill_list(struct fill *fill, const struct wire_field *field, uint8_t *to)
{
    size_t count = fill->list_count < field->limit ? fill->list_count : field->limit;
    uint8_t *elements = calloc(count + 1, field->element_bytes);
    assert_true(elements != NULL && fill->list_used < 4);
    fill->lists[fill->list_used++] = elements;
    for (size_t i = 0; i < count; i++)
        fill_fields(fill, field->fields, field->field_count, elements + i * field->element_bytes);
    memcpy(to + field->count_offset, &count, sizeof count);
    memcpy(to + field->offset, &elements, sizeof elements);
}

static void fill_text(struct fill *fill, const struct wire_field *field, uint8_t *to)
{
    size_t length = fill->text_length < field->limit ? fill->text_length : field->limit - 1;
    for (size_t i = 0; i < length; i++)
        to[field->offset + i] = (uint8_t)(1 + draw(fill->seed, fill->draws++) % 255);
}

static void fill_fields(struct fill *fill, const struct wire_field *fields, size_t count,
                        uint8_t *to)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t number = fill->draws++;
        uint64_t u64 = draw(fill->seed, number) >> (8 * (number % 8)); /* of every width */
        uint32_t u32 = (uint32_t)u64;
        if (fields[i].kind == WIRE_U32)
            memcpy(to + fields[i].offset, &u32, sizeof u32);
        else if (fields[i].kind == WIRE_U64)
            memcpy(to + fields[i].offset, &u64, sizeof u64);
        else if (fields[i].kind == WIRE_TEXT)
            fill_text(fill, &fields[i], to);
        else if (fields[i].kind == WIRE_DIGEST)
            memset(to + fields[i].offset, (int)(u32 & 255), DIGEST_BYTES);
        else
            fill_list(fill, &fields[i], to);
    }
}

static void fill_message(struct fill *fill, uint32_t type, struct message *message)
{
    struct wire_layout layout = message_layout(type);
    memset(message, 0, sizeof *message);
    message->type = (enum message_type)type;
    message->run = draw(fill->seed, fill->draws++);
    message->sender = draw(fill->seed, fill->draws++);
    message->view = (uint32_t)draw(fill->seed, fill->draws++);
    message->generation = (uint32_t)draw(fill->seed, fill->draws++);
    message->sequence = draw(fill->seed, fill->draws++);
    fill_fields(fill, layout.fields, layout.field_count, (uint8_t *)&message->body);
}

static void empty(struct fill *fill)
{
    while (fill->list_used > 0)
        free(fill->lists[--fill->list_used]);
}

static void assert_same(const struct wire_field *fields, size_t count, const uint8_t *a,
                        const uint8_t *b)
{
    for (size_t i = 0; i < count; i++) {
        const struct wire_field *field = &fields[i];
        size_t a_count, b_count,
            bytes = field->kind == WIRE_U32    ? 4
                    : field->kind == WIRE_U64  ? 8
                    : field->kind == WIRE_TEXT ? field->limit
                                               : DIGEST_BYTES;
        const uint8_t *a_list, *b_list;
        if (field->kind != WIRE_LIST) {
            assert_memory_equal(a + field->offset, b + field->offset, bytes);
            continue;
        }
        memcpy(&a_count, a + field->count_offset, sizeof a_count);
        memcpy(&b_count, b + field->count_offset, sizeof b_count);
        memcpy(&a_list, a + field->offset, sizeof a_list);
        memcpy(&b_list, b + field->offset, sizeof b_list);
        assert_int_equal(a_count, b_count);
        for (size_t k = 0; k < a_count; k++)
            assert_same(field->fields, field->field_count, a_list + k * field->element_bytes,
                        b_list + k * field->element_bytes);
    }
}

static void round_trip(uint32_t type, size_t list_count, size_t text_length, size_t frame_count)
{
    static size_t sizes[WIRE_FRAMES_MAX], got_sizes[WIRE_FRAMES_MAX];
    struct fill fill = {.seed = type, .list_count = list_count, .text_length = text_length};
    struct message message, got;
    const uint8_t *header;
    size_t header_bytes, got_count;
    fill_message(&fill, type, &message);
    for (size_t i = 0; i < frame_count; i++)
        sizes[i] = i % 2 ? WIRE_FRAME_BYTES_MAX : i;
    if (codec_encode(codec, &message, sizes, frame_count, &header, &header_bytes, &err) != OK)
        fail_msg("%s", err.text);
    if (codec_decode(other, header, header_bytes, &got, got_sizes, &got_count, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(got.type, message.type);
    assert_true(got.run == message.run && got.sender == message.sender);
    assert_true(got.view == message.view && got.generation == message.generation);
    assert_true(got.sequence == message.sequence);
    assert_int_equal(got_count, frame_count);
    assert_memory_equal(got_sizes, sizes, frame_count * sizeof *sizes);
    struct wire_layout layout = message_layout(type);
    assert_same(layout.fields, layout.field_count, (const uint8_t *)&message.body,
                (const uint8_t *)&got.body);
    empty(&fill);
}

static void every_message_comes_back_as_it_was(void **state)
{
    size_t types = 0;
    (void)state;
    for (uint32_t type = 0; type < TYPES; type++) {
        if (message_layout(type).fields == NULL)
            continue;
        types++;
        round_trip(type, 0, 0, 0);
        round_trip(type, 1, 1, 1);
        round_trip(type, 3, SIZE_MAX, WIRE_FRAMES_MAX);
    }
    assert_int_equal(types, 31);
}

static void lists_at_their_limits_come_back(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < TYPES; type++)
        if (message_layout(type).fields != NULL)
            round_trip(type, SIZE_MAX, 0, 0);
}

static void a_header_that_grows_too_large_is_an_error(void **state)
{
    struct fill fill = {.list_count = SIZE_MAX, .text_length = SIZE_MAX};
    struct message message;
    const uint8_t *header;
    size_t header_bytes;
    (void)state;
    fill_message(&fill, MESSAGE_VIEW, &message);
    assert_int_equal(codec_encode(codec, &message, NULL, 0, &header, &header_bytes, &err),
                     ERR_INPUT);
    assert_non_null(strstr(err.text, "VIEW"));
    empty(&fill);
}

/* ---- broken headers ---- */

/* Decodes a copy of exactly this size, so that the sanitizer sees a read beyond it; what decodes
 * must encode (which CHECKs the limits). */
static enum status decode_copy(const uint8_t *header, size_t bytes)
{
    static size_t sizes[WIRE_FRAMES_MAX];
    struct message message;
    size_t count, again_bytes;
    const uint8_t *again;
    uint8_t *copy = malloc(bytes + (bytes == 0));
    assert_non_null(copy);
    memcpy(copy, header, bytes);
    enum status status = codec_decode(other, copy, bytes, &message, sizes, &count, &err);
    free(copy);
    if (status == OK) {
        assert_true(message_layout(message.type).fields != NULL && count <= WIRE_FRAMES_MAX);
        status = codec_encode(codec, &message, sizes, count, &again, &again_bytes, &err);
        assert_true(status == OK || status == ERR_INPUT);
    } else {
        assert_int_equal(status, ERR_INPUT);
        assert_true(err.text[0] != '\0');
    }
    return status;
}

static size_t valid_header(uint32_t type, uint64_t seed, uint8_t *out)
{
    const size_t sizes[] = {0, 4096, WIRE_FRAME_BYTES_MAX};
    struct fill fill = {.seed = seed, .list_count = 3, .text_length = 40};
    struct message message;
    const uint8_t *header;
    size_t bytes;
    fill_message(&fill, type, &message);
    assert_int_equal(codec_encode(codec, &message, sizes, 3, &header, &bytes, &err), OK);
    assert_true(bytes < 4096);
    memcpy(out, header, bytes);
    empty(&fill);
    return bytes;
}

static void every_truncation_is_refused(void **state)
{
    uint8_t header[4096];
    (void)state;
    for (uint32_t type = 0; type < TYPES; type++) {
        if (message_layout(type).fields == NULL)
            continue;
        size_t bytes = valid_header(type, type, header);
        assert_int_equal(decode_copy(header, bytes), OK);
        for (size_t cut = 0; cut < bytes; cut++)
            assert_int_equal(decode_copy(header, cut), ERR_INPUT);
        header[bytes] = 0; /* and so is anything behind */
        assert_int_equal(decode_copy(header, bytes + 1), ERR_INPUT);
    }
}

static void mutations_are_refused_or_within_limits(void **state)
{
    uint8_t header[4096];
    size_t refused = 0;
    (void)state;
    for (uint64_t seed = 0; seed < MUTATIONS; seed++) {
        uint32_t type = (uint32_t)(draw(seed, 0) % TYPES);
        while (message_layout(type).fields == NULL)
            type = (type + 1) % TYPES;
        size_t bytes = valid_header(type, seed, header);
        for (uint32_t i = 0; i <= draw(seed, 1) % 4; i++)
            header[draw(seed, 10 + 2 * i) % bytes] = (uint8_t)draw(seed, 11 + 2 * i);
        refused += decode_copy(header, bytes) != OK;
    }
    assert_true(refused > MUTATIONS / 4);
}

/* ---- by hand ---- */

struct text {
    uint8_t bytes[1 << 16];
    size_t used;
};

static void put(struct text *text, unsigned byte)
{
    assert_true(text->used < sizeof text->bytes);
    text->bytes[text->used++] = (uint8_t)byte;
}

static void put_length(struct text *text, unsigned token, size_t length)
{
    put(text, token);
    put(text, (unsigned)(length >> 8));
    put(text, (unsigned)(length & 255));
}

/* [1, type, 0, 0, 0, 0, 0, [], … : the body follows. */
static struct text begin(unsigned protocol, unsigned type)
{
    struct text text = {.used = 0};
    const unsigned head[] = {0x99, protocol, type, 0, 0, 0, 0, 0, 0x90};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        put(&text, head[i]);
    return text;
}

static enum status text_of_length(size_t length)
{
    struct text text = begin(WIRE_PROTOCOL, MESSAGE_STOP);
    put(&text, 0x91);
    put_length(&text, 0xda, length);
    for (size_t i = 0; i < length; i++)
        put(&text, 'x');
    return decode_copy(text.bytes, text.used);
}

static void a_text_above_its_limit_is_refused(void **state)
{
    (void)state;
    assert_int_equal(text_of_length(WIRE_REASON_BYTES - 1), OK);
    assert_int_equal(text_of_length(WIRE_REASON_BYTES), ERR_INPUT);
}

static void a_text_with_a_zero_inside_is_refused(void **state)
{
    struct text text = begin(WIRE_PROTOCOL, MESSAGE_STOP);
    (void)state;
    put(&text, 0x91);
    put(&text, 0xa2);
    put(&text, 'a');
    put(&text, 0);
    assert_int_equal(decode_copy(text.bytes, text.used), ERR_INPUT);
}

static enum status list_of_length(size_t length)
{
    struct text text = begin(WIRE_PROTOCOL, MESSAGE_WEIGHTS);
    put(&text, 0x92);
    put(&text, 7);
    put_length(&text, 0xdc, length);
    for (size_t i = 0; i < length; i++) {
        put(&text, 0x91);
        put(&text, 1);
    }
    return decode_copy(text.bytes, text.used);
}

static void a_list_above_its_limit_is_refused(void **state)
{
    (void)state;
    assert_int_equal(list_of_length(WIRE_FRAMES_MAX), OK);
    assert_int_equal(list_of_length(WIRE_FRAMES_MAX + 1), ERR_INPUT);
}

static void too_many_or_too_large_frames_are_refused(void **state)
{
    struct text text = begin(WIRE_PROTOCOL, MESSAGE_VIEWED);
    (void)state;
    text.used--; /* of the empty list of frames */
    put_length(&text, 0xdc, WIRE_FRAMES_MAX + 1);
    for (size_t i = 0; i <= WIRE_FRAMES_MAX; i++)
        put(&text, 0);
    put(&text, 0x90);
    assert_int_equal(decode_copy(text.bytes, text.used), ERR_INPUT);
    text = begin(WIRE_PROTOCOL, MESSAGE_VIEWED);
    text.used--;
    const unsigned larger[] = {0x91, 0xce, 4, 0, 0, 1, 0x90}; /* 64 MiB + 1 */
    for (size_t i = 0; i < sizeof larger / sizeof *larger; i++)
        put(&text, larger[i]);
    assert_int_equal(decode_copy(text.bytes, text.used), ERR_INPUT);
}

static void a_count_without_its_elements_takes_no_memory(void **state)
{
    const uint8_t array[] = {0x99, WIRE_PROTOCOL, 0xdd, 0xff, 0xff, 0xff, 0xff};
    const uint8_t map[] = {0xdf, 0xff, 0xff, 0xff, 0xff};
    (void)state;
    assert_int_equal(decode_copy(array, sizeof array), ERR_INPUT);
    assert_int_equal(decode_copy(map, sizeof map), ERR_INPUT);
}

static void deep_nesting_is_refused(void **state)
{
    struct text text = begin(WIRE_PROTOCOL, MESSAGE_VIEWED);
    (void)state;
    for (int i = 0; i < 60000; i++)
        put(&text, 0x91);
    put(&text, 0x90);
    assert_int_equal(decode_copy(text.bytes, text.used), ERR_INPUT);
}

static void another_protocol_or_an_unknown_type_is_refused(void **state)
{
    struct text good = begin(WIRE_PROTOCOL, MESSAGE_VIEWED);
    struct text newer = begin(WIRE_PROTOCOL + 1, MESSAGE_VIEWED);
    (void)state;
    put(&good, 0x90);
    put(&newer, 0x90);
    assert_int_equal(decode_copy(good.bytes, good.used), OK);
    assert_int_equal(decode_copy(newer.bytes, newer.used), ERR_INPUT);
    assert_non_null(strstr(err.text, "protocol"));
    for (unsigned type = 0; type < 128; type++) {
        struct text text = begin(WIRE_PROTOCOL, type);
        put(&text, 0x90);
        if (message_layout(type).fields == NULL)
            assert_int_equal(decode_copy(text.bytes, text.used), ERR_INPUT);
    }
    assert_string_equal(message_name(5000), "unknown");
    assert_string_equal(message_name(MESSAGE_PUSH), "PUSH");
}

/* What the fuzzer starts from must be messages of today. */
static void every_seed_of_the_fuzzer_is_a_message(void **state)
{
    DIR *seeds = opendir("tests/fuzz/corpus/message");
    struct dirent *entry;
    size_t count = 0;
    (void)state;
    assert_non_null(seeds);
    while ((entry = readdir(seeds)) != NULL) {
        char path[512];
        uint8_t bytes[4096];
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, "crash-", 6) == 0)
            continue; /* what once crashed may be no message */
        snprintf(path, sizeof path, "tests/fuzz/corpus/message/%s", entry->d_name);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        if (decode_copy(bytes, size) != OK)
            fail_msg("%s: %s", entry->d_name, err.text);
        count++;
    }
    closedir(seeds);
    assert_true(count >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_as_it_was),
        cmocka_unit_test(lists_at_their_limits_come_back),
        cmocka_unit_test(a_header_that_grows_too_large_is_an_error),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(mutations_are_refused_or_within_limits),
        cmocka_unit_test(a_text_above_its_limit_is_refused),
        cmocka_unit_test(a_text_with_a_zero_inside_is_refused),
        cmocka_unit_test(a_list_above_its_limit_is_refused),
        cmocka_unit_test(too_many_or_too_large_frames_are_refused),
        cmocka_unit_test(a_count_without_its_elements_takes_no_memory),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(another_protocol_or_an_unknown_type_is_refused),
        cmocka_unit_test(every_seed_of_the_fuzzer_is_a_message),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
