/* What once crashed the ONNX reader, and what its fuzzer starts from: an answer or one sentence. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/model/graph.h"
#include "common/model/onnx/reader.h"

#define FOLDER "tests/fuzz/corpus/onnx"

/* As model_open does: only the batch stays open. */
static enum status bind_inputs(void *context, struct graph *graph, struct error *err)
{
    (void)context, (void)err;
    for (size_t k = 0; k < graph->input_count; k++) {
        struct shape *shape = &graph->values[graph->inputs[k]].shape;
        for (size_t i = 1; i < shape->rank; i++)
            shape->dims[i] = shape->dims[i] < 0 ? 8 : shape->dims[i];
    }
    return OK;
}

static void read_once(const uint8_t *bytes, size_t size, bool whole)
{
    struct graph *graph = NULL;
    struct error err = {0};
    const struct onnx_reading reading = {.cut = "", .whole = whole, .bind = bind_inputs};
    enum status status = onnx_reader_parse(bytes, size, NULL, &reading, &graph, &err);
    assert_int_equal(status == OK, err.text[0] == '\0');
    graph_destroy(&graph);
}

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
        read_once(bytes, size, false);
        read_once(bytes, size, true);
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
