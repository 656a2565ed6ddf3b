#define _DEFAULT_SOURCE /* flock */
#include "common/data/cache_index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/memory.h"

#define FOLDER "cache:features"
#define ENDING ".rows"
#define NAME_BYTES 64 /* the longest name we write has 40 */

struct found {
    char key[DIGEST_HEX_BYTES];
    char name[NAME_BYTES];
    uint64_t bytes;
    int64_t used_ns;
};

struct index {
    char folder[PATH_BYTES];
    struct found *files;
    size_t count, room;
};

enum status cache_index_path(char out[PATH_BYTES], const struct digest *key, enum split split,
                             uint32_t shard, uint32_t shards, struct error *err)
{
    static const char *const names[SPLIT_COUNT] = {"train", "validation", "test"};
    char folder[PATH_BYTES], hex[DIGEST_HEX_BYTES];
    CHECK(split < SPLIT_DIVIDE && shard < shards);
    enum status status = job_path(FOLDER, folder, err);
    digest_hex(key, hex);
    if (status == OK)
        status = file_path(out, err, "%s/%s/%s-%u-of-%u" ENDING, folder, hex, names[split], shard,
                           shards);
    return status;
}

enum status cache_index_make(const struct digest *key, struct error *err)
{
    char folder[PATH_BYTES], path[PATH_BYTES], hex[DIGEST_HEX_BYTES];
    enum status status = job_path(FOLDER, folder, err);
    digest_hex(key, hex);
    if (status == OK)
        status = file_path(path, err, "%s/%s", folder, hex);
    return status == OK ? file_make_directory(path, err) : status;
}

static bool is_key(const char *name)
{
    return strlen(name) == DIGEST_HEX_BYTES - 1 &&
           strspn(name, "0123456789abcdef") == DIGEST_HEX_BYTES - 1;
}

static bool is_unfinished(const char *name)
{
    size_t length = strlen(name), ending = strlen(ENDING);
    return length < ending || strcmp(name + length - ending, ENDING) != 0;
}

static enum status add(struct index *index, const struct found *file, struct error *err)
{
    if (index->count == index->room) {
        size_t room = index->room == 0 ? 64 : 2 * index->room;
        struct found *files =
            room <= CACHE_INDEX_FILES_MAX ? memory_alloc(room, sizeof *files) : NULL;
        if (files == NULL)
            return error_set(err, ERR_MEMORY, "%s: no memory for more than %zu files",
                             index->folder, index->count);
        if (index->count > 0)
            memcpy(files, index->files, index->count * sizeof *files);
        memory_free(index->files);
        index->files = files;
        index->room = room;
    }
    index->files[index->count++] = *file;
    return OK;
}

/* Files of other names are not ours and are left alone. */
static enum status scan_file(struct index *index, int folder, const char *key, const char *name,
                             struct error *err)
{
    struct stat info;
    struct found file = {.bytes = 0};
    if (strlen(name) >= NAME_BYTES || strstr(name, ENDING) == NULL ||
        fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode))
        return OK;
    memcpy(file.key, key, sizeof file.key);
    memcpy(file.name, name, strlen(name) + 1);
    file.bytes = (uint64_t)info.st_size;
    file.used_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    return add(index, &file, err);
}

static enum status scan_key(struct index *index, const char *key, struct error *err)
{
    char path[PATH_BYTES];
    enum status status = file_path(path, err, "%s/%s", index->folder, key);
    DIR *directory = status == OK ? opendir(path) : NULL;
    if (directory == NULL)
        return status; /* removed by somebody else meanwhile, or no folder */
    struct dirent *entry;
    while (status == OK && (entry = readdir(directory)) != NULL)
        status = scan_file(index, dirfd(directory), key, entry->d_name, err);
    closedir(directory);
    return status;
}

static int compare_use(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    if (left->used_ns != right->used_ns)
        return left->used_ns < right->used_ns ? -1 : 1;
    int order = strcmp(left->key, right->key);
    return order != 0 ? order : strcmp(left->name, right->name);
}

static enum status scan_all(struct index *index, struct error *err)
{
    enum status status = job_path(FOLDER, index->folder, err);
    if (status != OK)
        return status;
    DIR *directory = opendir(index->folder);
    if (directory == NULL && errno == ENOENT)
        return OK;
    if (directory == NULL)
        return error_set(err, ERR_IO, "%s: %s", index->folder, strerror(errno));
    struct dirent *entry;
    while (status == OK && (entry = readdir(directory)) != NULL) {
        if (is_key(entry->d_name))
            status = scan_key(index, entry->d_name, err);
    }
    closedir(directory);
    if (status == OK && index->count > 0)
        qsort(index->files, index->count, sizeof *index->files, compare_use);
    return status;
}

enum status cache_index_list(void (*visit)(void *context, const struct cache_index_entry *entry),
                             void *context, struct error *err)
{
    struct index index = {.count = 0};
    enum status status = scan_all(&index, err);
    for (size_t i = 0; i < index.count && status == OK; i++) {
        const struct found *file = &index.files[i];
        struct cache_index_entry entry = {file->key, file->name, file->bytes, file->used_ns,
                                          is_unfinished(file->name)};
        visit(context, &entry);
    }
    memory_free(index.files);
    return status;
}

/* A writer holds its lock until it renames or dies. */
static bool has_writer(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd);
    return locked;
}

static bool is_kept(const struct found *file, const struct digest *keep, size_t keep_count)
{
    char hex[DIGEST_HEX_BYTES];
    for (size_t i = 0; i < keep_count; i++) {
        digest_hex(&keep[i], hex);
        if (strcmp(hex, file->key) == 0)
            return true;
    }
    return false;
}

static bool remove_file(const struct index *index, const struct found *file)
{
    char path[PATH_BYTES];
    if (file_path(path, NULL, "%s/%s/%s", index->folder, file->key, file->name) != OK)
        return false;
    if (is_unfinished(file->name) && has_writer(path))
        return false;
    if (unlink(path) != 0 && errno != ENOENT)
        return false;
    *strrchr(path, '/') = '\0';
    rmdir(path); /* succeeds when that was the last one */
    return true;
}

enum status cache_index_prune(uint64_t bytes_max, const struct digest *keep, size_t keep_count,
                              struct cache_index_pruned *out, struct error *err)
{
    struct index index = {.count = 0};
    struct cache_index_pruned pruned = {0};
    enum status status = scan_all(&index, err);
    uint64_t total = 0;
    for (size_t i = 0; i < index.count; i++)
        total += index.files[i].bytes;
    for (size_t i = 0; i < index.count && status == OK; i++) {
        const struct found *file = &index.files[i];
        bool over = total > bytes_max && !is_kept(file, keep, keep_count);
        if ((over || is_unfinished(file->name)) && remove_file(&index, file)) {
            total -= file->bytes;
            pruned.removed_bytes += file->bytes;
            pruned.removed_count++;
        } else {
            pruned.kept_count++;
        }
    }
    pruned.kept_bytes = total;
    memory_free(index.files);
    if (status == OK && out != NULL)
        *out = pruned;
    return status;
}
