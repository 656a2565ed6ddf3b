#include "worker/data/source_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"

#define LINE_ROOM_FIRST ((size_t)4096)

enum status source_file_open(const char *path, struct source_file *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    *out = (struct source_file){.path = path, .fd = fd};
    return OK;
}

void source_file_close(struct source_file *file)
{
    if (file->path != NULL)
        close(file->fd);
    memory_free(file->line);
    *file = (struct source_file){0};
}

/* Up to `bytes`; fewer only at the end of the file. */
static enum status read_some(const struct source_file *file, uint64_t offset, char *out,
                             size_t bytes, size_t *got, struct error *err)
{
    size_t have = 0;
    while (have < bytes) {
        ssize_t count = pread(file->fd, out + have, bytes - have, (off_t)(offset + have));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_set(err, ERR_IO, "%s: %s", file->path, strerror(errno));
        if (count == 0)
            break;
        have += (size_t)count;
    }
    *got = have;
    return OK;
}

static enum status changed(const struct source_file *file, uint64_t offset, struct error *err)
{
    return error_set(err, ERR_STATE,
                     "%s: changed since the manifest was made (it ends before byte %llu); "
                     "start the run again",
                     file->path, (unsigned long long)offset);
}

enum status source_file_read(const struct source_file *file, uint64_t offset, void *out,
                             size_t bytes, struct error *err)
{
    size_t got = 0;
    enum status status = read_some(file, offset, out, bytes, &got, err);
    if (status == OK && got < bytes)
        status = changed(file, offset + bytes, err);
    return status;
}

static enum status grow(struct source_file *file, struct error *err)
{
    size_t room = file->room == 0 ? LINE_ROOM_FIRST : 4 * file->room;
    if (file->room >= SOURCE_FILE_LINE_BYTES_MAX)
        return error_set(err, ERR_INPUT, "%s: a line of more than %zu bytes", file->path,
                         file->room);
    char *line = memory_alloc(room, 1);
    if (line == NULL)
        return error_set(err, ERR_MEMORY, "%s: no memory for a line of %zu bytes", file->path,
                         room);
    memory_free(file->line);
    file->line = line;
    file->room = room;
    return OK;
}

/* The row is whole when something of the file stands behind it, or the file ends. */
enum status source_file_row(struct source_file *file, enum text_form form, uint64_t offset,
                            struct text_row *out, struct error *err)
{
    enum status status = file->room == 0 ? grow(file, err) : OK;
    size_t got = 0;
    bool found = false;
    while (status == OK) {
        uint64_t end = 0;
        status = read_some(file, offset, file->line, file->room, &got, err);
        found = status == OK && text_row_next(form, file->line, got, &end, out);
        if (status != OK || end < got || got < file->room)
            break;
        status = grow(file, err);
    }
    if (status == OK && !found)
        status = changed(file, offset + 1, err);
    return status;
}

enum status source_file_line(struct source_file *file, uint64_t offset, const char **line,
                             size_t *length, struct error *err)
{
    struct text_row row;
    enum status status = source_file_row(file, TEXT_LINES, offset, &row, err);
    if (status == OK) {
        *line = row.text;
        *length = row.length;
    }
    return status;
}
