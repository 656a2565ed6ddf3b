/* libFuzzer target: bytes → safetensors reader → every byte of every tensor. Seeds:
 * tests/fuzz/corpus/safetensors (tests/fuzz/safetensors_corpus.py makes them); every crash input
 * joins them. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/tensor/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const struct safetensors *file)
{
    unsigned sum = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct safetensor *tensor = safetensors_at(file, i);
        size_t elements = 0;
        CHECK(shape_elements(&tensor->shape, &elements));
        for (size_t k = 0; k < elements * dtype_bytes(tensor->dtype); k++)
            sum += ((const uint8_t *)tensor->data)[k];
        CHECK(safetensors_find(file, tensor->name) == tensor);
    }
    (void)safetensors_metadata(file, "format");
    (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    char path[64];
    struct safetensors *file = NULL;
    struct error err = {0};
    if (fd < 0)
        fd = memfd_create("input", 0);
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum status status = safetensors_open(path, &file, &err);
    CHECK((status == OK) == (err.text[0] == '\0'));
    if (status == OK)
        look_at(file);
    safetensors_close(&file);
    return 0;
}
