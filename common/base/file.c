#define _XOPEN_SOURCE 700 /* nftw */
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"

enum status file_map(const char *path, size_t bytes_max, struct file_map *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    struct stat info;
    enum status status = OK;
    struct file_map map = {NULL, 0};
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        status = error_set(err, ERR_IO, "%s: not a regular file", path);
    else if ((uint64_t)info.st_size > bytes_max)
        status = error_set(err, ERR_INPUT, "%s: %lld bytes, the limit is %zu", path,
                           (long long)info.st_size, bytes_max);
    else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = error_set(err, ERR_IO, "%s: cannot be mapped: %s", path, strerror(errno));
        else
            map = (struct file_map){data, (size_t)info.st_size};
    }
    close(fd);
    if (status == OK)
        *out = map;
    return status;
}

void file_unmap(struct file_map *map)
{
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct file_map){NULL, 0};
}

enum status file_aside_open(const char *path, struct file_aside *out, struct error *err)
{
    struct file_aside file = {.fd = -1};
    enum status status = file_path(file.path, err, "%s", path);
    if (status == OK)
        status = file_path(file.aside, err, "%s.tmp-%ld", path, (long)getpid());
    if (status != OK)
        return status;
    file.fd = open(file.aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file.fd < 0)
        return error_set(err, ERR_IO, "%s: %s", file.aside, strerror(errno));
    *out = file;
    return OK;
}

enum status file_aside_write(struct file_aside *file, const void *data, size_t bytes,
                             struct error *err)
{
    const uint8_t *from = data;
    while (bytes > 0) {
        ssize_t wrote = write(file->fd, from, bytes);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            int reason = errno;
            file_aside_abandon(file);
            return error_set(err, ERR_IO, "%s: %s", file->path, strerror(reason));
        }
        from += wrote;
        bytes -= (size_t)wrote;
    }
    return OK;
}

static void sync_parent(const char *path)
{
    char parent[PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        snprintf(parent, sizeof parent, ".");
    else
        slash[slash == parent ? 1 : 0] = '\0';
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

enum status file_aside_commit(struct file_aside *file, struct error *err)
{
    CHECK(file->fd >= 0);
    int failed = fsync(file->fd) != 0;
    failed |= close(file->fd) != 0;
    file->fd = -1;
    if (failed || rename(file->aside, file->path) != 0) {
        int reason = errno;
        unlink(file->aside);
        return error_set(err, ERR_IO, "%s: %s", file->path, strerror(reason));
    }
    sync_parent(file->path);
    return OK;
}

void file_aside_abandon(struct file_aside *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        unlink(file->aside);
    }
    file->fd = -1;
}

enum status file_write(const char *path, const void *data, size_t bytes, struct error *err)
{
    struct file_aside file;
    enum status status = file_aside_open(path, &file, err);
    if (status == OK)
        status = file_aside_write(&file, data, bytes, err);
    if (status == OK)
        status = file_aside_commit(&file, err);
    return status;
}

enum status file_make_directory(const char *path, struct error *err)
{
    char partial[PATH_BYTES];
    enum status status = file_path(partial, err, "%s", path);
    for (char *at = partial + 1; status == OK; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdir(partial, 0755) != 0 && errno != EEXIST)
            status = error_set(err, ERR_IO, "directory %s: %s", partial, strerror(errno));
        *at = kept;
        if (kept == '\0')
            break;
    }
    struct stat info;
    if (status == OK && (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)))
        status = error_set(err, ERR_IO, "%s: not a directory", path);
    return status;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

enum status file_remove_tree(const char *path, struct error *err)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return error_set(err, ERR_IO, "%s: cannot be removed: %s", path, strerror(errno));
    return OK;
}

enum status file_path(char out[PATH_BYTES], struct error *err, const char *format, ...)
{
    char path[PATH_BYTES];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(path, sizeof path, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof path)
        return error_set(err, ERR_INPUT, "path longer than %d characters: %.80s…", PATH_BYTES - 1,
                         path);
    memcpy(out, path, (size_t)length + 1);
    return OK;
}
