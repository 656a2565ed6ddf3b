/* SHA-256 and what is fed to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "common/base/digest.h"
#include "tests/unit/data_fixture.h"

static void assert_hex(struct digest digest, const char *expected)
{
    char hex[DIGEST_HEX_BYTES];
    digest_hex(&digest, hex);
    assert_string_equal(hex, expected);
}

/* FIPS 180-2, appendix B. */
static void it_is_sha_256(void **state)
{
    (void)state;
    assert_hex(digest_of("abc", 3),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hex(digest_of("", 0),
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void pieces_give_what_the_whole_gives(void **state)
{
    struct digest_stream stream;
    (void)state;
    digest_init(&stream);
    digest_add(&stream, "a", 1);
    digest_add(&stream, NULL, 0);
    digest_add(&stream, "bc", 2);
    assert_hex(digest_end(&stream),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static struct digest of_texts(const char *a, const char *b)
{
    struct digest_stream stream;
    digest_init(&stream);
    digest_add_text(&stream, a);
    digest_add_text(&stream, b);
    return digest_end(&stream);
}

static void texts_do_not_run_together(void **state)
{
    struct digest one = of_texts("ab", "c"), two = of_texts("a", "bc");
    (void)state;
    assert_memory_not_equal(&one, &two, sizeof one);
}

static void numbers_are_eight_bytes_little_endian(void **state)
{
    const uint8_t bytes[] = {8, 7, 6, 5, 4, 3, 2, 1};
    struct digest_stream stream;
    (void)state;
    digest_init(&stream);
    digest_add_u64(&stream, 0x0102030405060708u);
    struct digest got = digest_end(&stream), expected = digest_of(bytes, 8);
    assert_memory_equal(&got, &expected, sizeof got);
}

static void a_file_has_the_digest_of_its_bytes(void **state)
{
    static uint8_t data[200000]; /* several pieces */
    char path[PATH_BYTES];
    struct digest got, expected;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i >> 3);
    fixture_write("f", data, sizeof data);
    fixture_path(path, "f");
    expected = digest_of(data, sizeof data);
    assert_int_equal(digest_of_file(path, &got, &err), OK);
    assert_memory_equal(&got, &expected, sizeof got);
    fixture_path(path, "missing");
    assert_int_equal(digest_of_file(path, &got, &err), ERR_IO);
    fixture_contains(err.text, path);
    assert_memory_equal(&got, &expected, sizeof got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_sha_256),
        cmocka_unit_test(pieces_give_what_the_whole_gives),
        cmocka_unit_test(texts_do_not_run_together),
        cmocka_unit_test(numbers_are_eight_bytes_little_endian),
        cmocka_unit_test_setup_teardown(a_file_has_the_digest_of_its_bytes, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
