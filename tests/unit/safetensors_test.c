/* Safetensors: round trip, determinism, and refusal of every broken header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/tensor/safetensors.h"

static char folder[64];
static char path[PATH_BYTES];

static int open_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/graft-safetensors-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int close_folder(void **state)
{
    struct error err;
    (void)state;
    return file_remove_tree(folder, &err) == OK ? 0 : 1;
}

static const float floats[] = {1, -2, 3.5f, 0, 5, 6};
static const int64_t longs[] = {INT64_MAX, -7};
static const uint8_t bytes[] = {1, 2, 255};
static const struct safetensor tensors[] = {
    {"bytes", DTYPE_U8, {.rank = 1, .dims = {3}}, bytes},
    {"layer/weight \"β\"", DTYPE_F32, {.rank = 2, .dims = {2, 3}}, floats},
    {"steps", DTYPE_I64, {.rank = 1, .dims = {2}}, longs},
    {"scalar", DTYPE_F32, {.rank = 0}, floats},
    {"empty", DTYPE_I32, {.rank = 2, .dims = {0, 4}}, floats},
};
#define COUNT (sizeof tensors / sizeof *tensors)

static void save(const char *const *metadata)
{
    struct error err;
    if (safetensors_write(path, tensors, COUNT, metadata, &err) != OK)
        fail_msg("%s", err.text);
}

static struct safetensors *load(void)
{
    struct safetensors *file = NULL;
    struct error err;
    if (safetensors_open(path, &file, &err) != OK)
        fail_msg("%s", err.text);
    return file;
}

static void what_was_written_is_read(void **state)
{
    const char *const metadata[] = {"step", "12", "note", "ü", NULL};
    (void)state;
    save(metadata);
    struct safetensors *file = load();
    assert_int_equal(safetensors_count(file), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const struct safetensor *found = safetensors_find(file, tensors[i].name);
        size_t elements = 0;
        assert_non_null(found);
        assert_int_equal(found->dtype, tensors[i].dtype);
        assert_true(shape_equal(&found->shape, &tensors[i].shape));
        assert_true(shape_elements(&found->shape, &elements));
        assert_memory_equal(found->data, tensors[i].data, elements * dtype_bytes(found->dtype));
        assert_int_equal((uintptr_t)found->data % dtype_bytes(found->dtype), 0);
    }
    assert_string_equal(safetensors_at(file, 0)->name, "steps"); /* wide elements first */
    assert_string_equal(safetensors_metadata(file, "step"), "12");
    assert_string_equal(safetensors_metadata(file, "note"), "ü");
    assert_null(safetensors_metadata(file, "absent"));
    assert_null(safetensors_find(file, "absent"));
    safetensors_close(&file);
    assert_null(file);
}

static void equal_input_gives_equal_bytes(void **state)
{
    struct file_map map;
    struct error err;
    (void)state;
    save(NULL);
    assert_int_equal(file_map(path, 1 << 20, &map, &err), OK);
    uint8_t *first = malloc(map.bytes);
    memcpy(first, map.data, map.bytes);
    size_t count = map.bytes;
    file_unmap(&map);
    save(NULL);
    assert_int_equal(file_map(path, 1 << 20, &map, &err), OK);
    assert_int_equal(map.bytes, count);
    assert_memory_equal(map.data, first, count);
    file_unmap(&map);
    free(first);
}

static void doubled_names_are_not_written(void **state)
{
    struct safetensor twice[] = {tensors[0], tensors[0]};
    struct error err;
    (void)state;
    assert_int_equal(safetensors_write(path, twice, 2, NULL, &err), ERR_INPUT);
    twice[1].name = "__metadata__";
    assert_int_equal(safetensors_write(path, twice, 2, NULL, &err), ERR_INPUT);
    twice[1].name = "\xff";
    assert_int_equal(safetensors_write(path, twice, 2, NULL, &err), ERR_INPUT);
    twice[1].name = "open";
    twice[1].shape.dims[0] = -1;
    assert_int_equal(safetensors_write(path, twice, 2, NULL, &err), ERR_INPUT);
}

/* A file with this header and `data` zero bytes after it. */
static enum status open_header(const char *header, size_t data, struct error *err)
{
    uint8_t file[1024] = {0};
    size_t length = strlen(header);
    struct safetensors *opened = NULL;
    assert_true(length + data + 8 <= sizeof file);
    file[0] = (uint8_t)length;
    file[1] = (uint8_t)(length >> 8);
    memcpy(file + 8, header, length);
    assert_int_equal(file_write(path, file, 8 + length + data, err), OK);
    enum status status = safetensors_open(path, &opened, err);
    assert_true((status == OK) == (opened != NULL));
    safetensors_close(&opened);
    return status;
}

static void broken_headers_are_refused(void **state)
{
    static const struct {
        const char *header;
        enum status status;
    } cases[] = {
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", OK},
        {"{}", OK},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,5]}}", ERR_INPUT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[90],\"data_offsets\":[0,90]}}", ERR_INPUT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]}}", ERR_INPUT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[-4,0]}}", ERR_INPUT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0]}}", ERR_INPUT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-4],\"data_offsets\":[0,4]}}", ERR_INPUT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,4]}}",
         ERR_INPUT},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}",
         ERR_INPUT},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}", ERR_SUPPORT},
        {"{\"a\":{\"dtype\":7,\"shape\":[4],\"data_offsets\":[0,4]}}", ERR_INPUT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":{},\"data_offsets\":[0,4]}}", ERR_INPUT},
        {"{\"a\":4}", ERR_INPUT},
        {"[]", ERR_INPUT},
        {"{\"a\":", ERR_INPUT},
        {"{\"__metadata__\":{\"a\":1}}", ERR_INPUT},
        {"{\"__metadata__\":[]}", ERR_INPUT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         ERR_INPUT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        enum status status = open_header(cases[i].header, 16, &err);
        if (status != cases[i].status)
            fail_msg("%s: status %d %s", cases[i].header, (int)status, err.text);
        if (status != OK)
            assert_non_null(strstr(err.text, path));
    }
}

static void misaligned_data_is_refused(void **state)
{
    struct error err;
    (void)state;
    assert_int_equal(
        open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 16, &err),
        ERR_SUPPORT);
}

static void every_truncation_is_an_error(void **state)
{
    struct file_map map;
    struct error err;
    (void)state;
    save(NULL);
    assert_int_equal(file_map(path, 1 << 20, &map, &err), OK);
    uint8_t copy[2048];
    size_t count = map.bytes;
    assert_true(count <= sizeof copy);
    memcpy(copy, map.data, count);
    file_unmap(&map);
    for (size_t cut = 0; cut < count; cut++) {
        struct safetensors *file = NULL;
        assert_int_equal(file_write(path, copy, cut, &err), OK);
        assert_true(safetensors_open(path, &file, &err) != OK);
        assert_null(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(equal_input_gives_equal_bytes),
        cmocka_unit_test(doubled_names_are_not_written),
        cmocka_unit_test(broken_headers_are_refused),
        cmocka_unit_test(misaligned_data_is_refused),
        cmocka_unit_test(every_truncation_is_an_error),
    };
    return cmocka_run_group_tests_name("safetensors", tests, open_folder, close_folder);
}
