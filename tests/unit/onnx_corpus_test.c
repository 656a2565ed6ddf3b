/* What once crashed the ONNX reader, and what its fuzzer starts from: an answer or one sentence. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/fuzz/onnx_input.h"

#define FOLDER "tests/fuzz/corpus/onnx"

static void every_input_of_the_fuzzer_is_read_or_refused(void **state)
{
    static uint8_t bytes[1 << 20];
    DIR *folder = opendir(FOLDER);
    struct dirent *entry;
    size_t count = 0;
    (void)state;
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        char path[512];
        snprintf(path, sizeof path, FOLDER "/%s", entry->d_name);
        FILE *file = entry->d_name[0] != '.' ? fopen(path, "rb") : NULL;
        if (file == NULL)
            continue;
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        onnx_input(bytes, size);
        count++;
    }
    closedir(folder);
    assert_true(count > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_of_the_fuzzer_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
