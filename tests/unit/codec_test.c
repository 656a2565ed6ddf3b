#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "common/wire/codec.h"

#define MUTATIONS 20000

static struct codec *codec, *other;
static size_t sizes[WIRE_FRAMES_MAX];

static int setup(void **state)
{
    (void)state;
    return codec_create(&codec, NULL) != OK || codec_create(&other, NULL) != OK;
}

static int teardown(void **state)
{
    (void)state;
    codec_destroy(&codec);
    codec_destroy(&other);
    return 0;
}

static void encode(const struct message *message, size_t frames, const uint8_t **header,
                   size_t *bytes)
{
    for (size_t i = 0; i < frames; i++)
        sizes[i] = 100 + i;
    assert_int_equal(codec_encode(codec, message, sizes, frames, header, bytes, NULL), OK);
}

static struct message push_of(struct push_entry *entries, size_t count)
{
    struct message message = {.type = MESSAGE_PUSH,
                              .run = UINT64_MAX,
                              .sender = 1,
                              .view = UINT32_MAX,
                              .generation = 3,
                              .sequence = 9};
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct push_entry){(uint32_t)i, (uint32_t)(i % 2), i * i};
    message.body.push = (struct message_push){77, 4, 2, entries, count};
    return message;
}

static void a_message_comes_back_as_it_went(void **state)
{
    static struct push_entry entries[WIRE_FRAMES_MAX];
    const size_t counts[] = {0, 1, WIRE_FRAMES_MAX};
    (void)state;
    for (size_t c = 0; c < 3; c++) {
        struct message in = push_of(entries, counts[c]), out;
        const uint8_t *header;
        size_t bytes, frames;
        encode(&in, counts[c], &header, &bytes);
        assert_int_equal(codec_decode(other, header, bytes, &out, sizes, &frames, NULL), OK);
        assert_int_equal(frames, counts[c]);
        assert_true(out.run == UINT64_MAX && out.view == UINT32_MAX && out.generation == 3);
        assert_true(out.body.push.version == 77 && out.body.push.range_log2 == 2);
        assert_int_equal(out.body.push.entry_count, counts[c]);
        if (counts[c] > 0)
            assert_memory_equal(out.body.push.entries, entries, counts[c] * sizeof *entries);
    }
}

/* Bodies whose lists are empty: every type's fields survive both ways. */
static void every_type_has_a_layout_that_comes_back(void **state)
{
    size_t types = 0;
    (void)state;
    for (uint32_t type = 0; type < 200; type++) {
        struct message in = {.type = (enum message_type)type, .run = 5}, out;
        const uint8_t *header, *again;
        size_t bytes, frames, again_bytes;
        if (message_layout(type).fields == NULL)
            continue;
        types++;
        encode(&in, 0, &header, &bytes);
        assert_int_equal(codec_decode(other, header, bytes, &out, sizes, &frames, NULL), OK);
        assert_int_equal(codec_encode(other, &out, sizes, 0, &again, &again_bytes, NULL), OK);
        assert_int_equal(again_bytes, bytes);
        assert_memory_equal(again, header, bytes);
    }
    assert_int_equal(types, 24);
}

static void a_cut_header_is_refused_at_every_length(void **state)
{
    struct push_entry entries[3];
    struct message in = push_of(entries, 3), out;
    const uint8_t *header;
    size_t bytes, frames;
    (void)state;
    encode(&in, 3, &header, &bytes);
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_equal(codec_decode(other, header, cut, &out, sizes, &frames, NULL), ERR_INPUT);
}

static void spoiled_bytes_are_refused_or_stay_within_the_limits(void **state)
{
    struct push_entry entries[3];
    struct message in = push_of(entries, 3), out;
    const uint8_t *header;
    uint8_t spoiled[512];
    size_t bytes, frames;
    (void)state;
    encode(&in, 3, &header, &bytes);
    assert_true(bytes <= sizeof spoiled);
    for (uint32_t i = 0; i < MUTATIONS; i++) {
        struct random_key key = {11, RANDOM_AUGMENT, 0, i};
        memcpy(spoiled, header, bytes);
        for (uint32_t k = 0; k < 1 + i % 3; k++)
            spoiled[random_bits(key, 2 * k) % bytes] = (uint8_t)random_bits(key, 2 * k + 1);
        if (codec_decode(other, spoiled, bytes, &out, sizes, &frames, NULL) != OK)
            continue;
        assert_true(frames <= WIRE_FRAMES_MAX && message_layout(out.type).fields != NULL);
        for (size_t f = 0; f < frames; f++)
            assert_true(sizes[f] <= WIRE_FRAME_BYTES_MAX);
    }
}

/* An array of 2^32-1 elements in five bytes: no memory may be taken for it. */
static void a_count_that_the_bytes_cannot_hold_is_refused(void **state)
{
    const uint8_t huge[] = {0xdd, 0xff, 0xff, 0xff, 0xff}, maps[] = {0x81, 0x01, 0x01};
    struct message out;
    size_t frames;
    struct error err = {0};
    (void)state;
    assert_int_equal(codec_decode(other, huge, sizeof huge, &out, sizes, &frames, &err), ERR_INPUT);
    assert_int_equal(codec_decode(other, maps, sizeof maps, &out, sizes, &frames, &err), ERR_INPUT);
    assert_non_null(strstr(err.text, "MessagePack"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_as_it_went),
        cmocka_unit_test(every_type_has_a_layout_that_comes_back),
        cmocka_unit_test(a_cut_header_is_refused_at_every_length),
        cmocka_unit_test(spoiled_bytes_are_refused_or_stay_within_the_limits),
        cmocka_unit_test(a_count_that_the_bytes_cannot_hold_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
