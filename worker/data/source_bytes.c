#include "worker/data/source_bytes.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/memory.h"
#include "worker/data/source_file.h"

static enum status make_room(struct source_bytes *buffer, const char *path, size_t bytes,
                             struct error *err)
{
    if (bytes <= buffer->room)
        return OK;
    uint8_t *data = memory_alloc(bytes, 1);
    if (data == NULL)
        return error_set(err, ERR_MEMORY, "%s: no memory for %zu bytes", path, bytes);
    memory_free(buffer->data);
    buffer->data = data;
    buffer->room = bytes;
    return OK;
}

static enum status read_all(struct source_bytes *buffer, const struct source_file *file,
                            size_t bytes_max, struct error *err)
{
    struct stat info;
    if (fstat(file->fd, &info) != 0)
        return error_set(err, ERR_IO, "%s: %s", file->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return error_set(err, ERR_IO, "%s: not a regular file", file->path);
    if ((uint64_t)info.st_size > bytes_max)
        return error_set(err, ERR_INPUT, "%s: %lld bytes, the limit is %zu", file->path,
                         (long long)info.st_size, bytes_max);
    size_t bytes = (size_t)info.st_size;
    enum status status = make_room(buffer, file->path, bytes, err);
    if (status == OK)
        status = source_file_read(file, 0, buffer->data, bytes, err);
    if (status == OK)
        buffer->bytes = bytes;
    return status;
}

enum status source_bytes_load(struct source_bytes *buffer, const char *path, size_t bytes_max,
                              struct error *err)
{
    struct source_file file;
    enum status status = source_file_open(path, &file, err);
    if (status != OK)
        return status;
    status = read_all(buffer, &file, bytes_max, err);
    source_file_close(&file);
    return status;
}

void source_bytes_deinit(struct source_bytes *buffer)
{
    memory_free(buffer->data);
    *buffer = (struct source_bytes){0};
}
