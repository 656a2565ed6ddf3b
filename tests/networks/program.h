/* What the programs of this folder share: an error ends them, arrays are whole files. */
#ifndef GRAFT_TESTS_NETWORKS_PROGRAM_H
#define GRAFT_TESTS_NETWORKS_PROGRAM_H

#include <stdio.h>
#include <stdlib.h>

#include "common/base/error.h"

static struct error err;

static void must(enum status status)
{
    if (status != OK) {
        printf("%s\n", err.text);
        exit(1);
    }
}

static void transfer(const char *path, const char *mode, void *data, size_t bytes)
{
    FILE *file = fopen(path, mode);
    size_t done = 0;
    if (file != NULL)
        done = mode[0] == 'r' ? fread(data, 1, bytes, file) : fwrite(data, 1, bytes, file);
    if (file == NULL || fclose(file) != 0 || done != bytes) {
        printf("%s: cannot transfer %zu bytes\n", path, bytes);
        exit(1);
    }
}

#endif
