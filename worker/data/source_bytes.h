/* A whole file read into memory (not mapped, see source_file.h). One thread. */
#ifndef GRAFT_WORKER_DATA_SOURCE_BYTES_H
#define GRAFT_WORKER_DATA_SOURCE_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

/* Memory that grows and is kept between files. Zeroed before first use. */
struct source_bytes {
    uint8_t *data;
    size_t bytes, room;
};

/* Errors: ERR_IO, ERR_INPUT (too long), ERR_MEMORY, ERR_STATE (it shrinks while being read). */
enum status source_bytes_load(struct source_bytes *buffer, const char *path, size_t bytes_max,
                              struct error *err) MUST_CHECK;
void source_bytes_deinit(struct source_bytes *buffer);

#endif
