/* A source file read by position. pread, not a mapping: if somebody cuts the file short during the
 * run, that is an error here instead of a SIGBUS. One thread. */
#ifndef GRAFT_WORKER_DATA_SOURCE_FILE_H
#define GRAFT_WORKER_DATA_SOURCE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/data/text_row.h"

#define SOURCE_FILE_LINE_BYTES_MAX ((size_t)64 << 20)

struct source_file {
    const char *path; /* borrowed */
    int fd;
    char *line; /* buffer of source_file_line */
    size_t room;
};

/* `path` is borrowed until source_file_close. Errors: ERR_IO. */
enum status source_file_open(const char *path, struct source_file *out,
                             struct error *err) MUST_CHECK;
void source_file_close(struct source_file *file);

/* Exactly `bytes` at `offset`. Errors: ERR_STATE when the file ends before, ERR_IO. */
enum status source_file_read(const struct source_file *file, uint64_t offset, void *out,
                             size_t bytes, struct error *err) MUST_CHECK;

/* The line that begins at `offset`, without its line end; valid until the next call. Errors:
 * ERR_STATE when the file ends before, ERR_INPUT for a line beyond the limit, ERR_IO, ERR_MEMORY.
 */
enum status source_file_line(struct source_file *file, uint64_t offset, const char **line,
                             size_t *length, struct error *err) MUST_CHECK;

/* The same for a row of texts that begins at `offset`, which may have several lines. */
enum status source_file_row(struct source_file *file, enum text_form form, uint64_t offset,
                            struct text_row *out, struct error *err) MUST_CHECK;

#endif
