/* Files, whole or not at all. Paths are given by the user's config; every size is checked before
 * memory is taken. */
#ifndef GRAFT_COMMON_BASE_FILE_H
#define GRAFT_COMMON_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

#define PATH_BYTES 4096

/* A file mapped read-only. Zero bytes long: data is NULL. Valid until file_unmap. */
struct file_map {
    const uint8_t *data;
    size_t bytes;
};

/* Errors: ERR_IO (with the path and the system's reason), ERR_INPUT when longer than `bytes_max`.
 */
enum status file_map(const char *path, size_t bytes_max, struct file_map *out,
                     struct error *err) MUST_CHECK;
void file_unmap(struct file_map *map);

/* A file written aside (PATH.tmp-PID), synced and renamed over PATH by file_commit; file_abandon
 * removes it. After a failure the old PATH is untouched and the aside file is gone. */
struct file_aside {
    int fd;
    char path[PATH_BYTES];
    char aside[PATH_BYTES];
};

enum status file_aside_open(const char *path, struct file_aside *out, struct error *err) MUST_CHECK;
enum status file_aside_write(struct file_aside *file, const void *data, size_t bytes,
                             struct error *err) MUST_CHECK;
enum status file_aside_commit(struct file_aside *file, struct error *err) MUST_CHECK;
void file_aside_abandon(struct file_aside *file);

/* The three steps above for content at hand. */
enum status file_write(const char *path, const void *data, size_t bytes,
                       struct error *err) MUST_CHECK;

/* mkdir -p. */
enum status file_make_directory(const char *path, struct error *err) MUST_CHECK;

/* Removes a file or a whole directory tree below `path` (no links followed); a missing path is
 * fine. */
enum status file_remove_tree(const char *path, struct error *err) MUST_CHECK;

/* "FORMAT…" into `out`; ERR_INPUT when the path is longer than PATH_BYTES. */
enum status file_path(char out[PATH_BYTES], struct error *err, const char *format, ...)
    PRINTF_LIKE(3, 4) MUST_CHECK;

#endif
