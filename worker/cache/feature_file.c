#define _DEFAULT_SOURCE /* flock, MAP_ANONYMOUS */
#include "worker/cache/feature_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"

#define CHECKSUM_BYTES 32

struct header {
    char magic[8];
    uint32_t version, header_bytes;
    uint64_t rows, row_elements;
    uint8_t key[DIGEST_BYTES];
    uint32_t split, shard, shards, zero;
    uint8_t checksum[CHECKSUM_BYTES]; /* over the whole file with this field zero */
    uint8_t pad[16];
};

_Static_assert(sizeof(struct header) == 128, "the header's layout is part of the format");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian");

struct feature_file {
    uint8_t *data; /* the whole mapping */
    size_t bytes;
    struct feature_identity identity;
    int fd; /* of the aside file, locked, while writing; else -1 */
    char path[PATH_BYTES];
    char aside[PATH_BYTES];
};

bool feature_file_bytes(const struct feature_identity *identity, size_t *bytes)
{
    size_t total;
    if (!size_mul(identity->rows, identity->row_elements, &total) ||
        !size_mul(total, sizeof(float), &total) || !size_add(total, identity->rows, &total) ||
        !size_add(total, sizeof(struct header), &total))
        return false;
    *bytes = total;
    return true;
}

static struct header header_of(const struct feature_identity *identity)
{
    struct header header = {
        .magic = {'G', 'R', 'A', 'F', 'T', 'F', 'E', 'A'},
        .version = FEATURE_FILE_VERSION,
        .header_bytes = sizeof header,
        .rows = identity->rows,
        .row_elements = identity->row_elements,
        .split = identity->split,
        .shard = identity->shard,
        .shards = identity->shards,
    };
    memcpy(header.key, identity->key.bytes, sizeof header.key);
    return header;
}

/* `header` with a zero checksum, then all that follows it in the mapping. */
static void checksum(const struct header *header, const uint8_t *data, size_t bytes,
                     uint8_t out[CHECKSUM_BYTES])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, CHECKSUM_BYTES);
    crypto_generichash_update(&state, (const uint8_t *)header, sizeof *header);
    crypto_generichash_update(&state, data + sizeof *header, bytes - sizeof *header);
    crypto_generichash_final(&state, out, CHECKSUM_BYTES);
}

static bool is_sound(const uint8_t *data, size_t bytes, const struct feature_identity *identity)
{
    struct header wanted = header_of(identity), found;
    uint8_t sum[CHECKSUM_BYTES];
    memcpy(&found, data, sizeof found);
    checksum(&wanted, data, bytes, sum);
    if (memcmp(found.checksum, sum, sizeof sum) != 0)
        return false;
    memset(found.checksum, 0, sizeof found.checksum);
    return memcmp(&found, &wanted, sizeof found) == 0;
}

static struct feature_file *allocate(const struct feature_identity *identity, size_t bytes)
{
    struct feature_file *file = memory_alloc(1, sizeof *file);
    if (file != NULL) {
        file->identity = *identity;
        file->bytes = bytes;
        file->fd = -1;
    }
    return file;
}

/* Maps all of `fd` if it is a sound file; NULL otherwise. */
static uint8_t *map_sound(int fd, size_t bytes, const struct feature_identity *identity)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || (uint64_t)info.st_size != bytes)
        return NULL;
    void *data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return NULL;
    if (!is_sound(data, bytes, identity)) {
        munmap(data, bytes);
        return NULL;
    }
    return data;
}

enum status feature_file_open(const char *path, const struct feature_identity *identity,
                              struct feature_file **out, bool *damaged, struct error *err)
{
    size_t bytes;
    if (!feature_file_bytes(identity, &bytes))
        return error_set(err, ERR_MEMORY, "%s: features too large for memory", path);
    *out = NULL;
    *damaged = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return OK;
    struct feature_file *file = allocate(identity, bytes);
    uint8_t *data = file == NULL ? NULL : map_sound(fd, bytes, identity);
    if (data != NULL)
        futimens(fd, NULL);
    close(fd);
    if (file == NULL)
        return error_set(err, ERR_MEMORY, "%s: no memory", path);
    if (data == NULL) {
        memory_free(file);
        unlink(path);
        *damaged = true;
        return OK;
    }
    file->data = data;
    *out = file;
    return OK;
}

/* The aside file, locked, with all its space. */
static enum status open_aside(struct feature_file *file, const char *path, struct error *err)
{
    enum status status = file_path(file->path, err, "%s", path);
    if (status == OK)
        status = file_path(file->aside, err, "%s.XXXXXX", path);
    if (status != OK)
        return status;
    int fd = mkstemp(file->aside);
    if (fd < 0)
        return error_set(err, ERR_IO, "%s: %s", file->aside, strerror(errno));
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    file->fd = fd;
    /* Without a lock (some network disks) a prune may take the file away: the rename then fails,
     * and so be it. */
    (void)flock(fd, LOCK_EX | LOCK_NB);
    int reason = posix_fallocate(fd, 0, (off_t)file->bytes);
    if (reason != 0)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(reason));
    return OK;
}

enum status feature_file_create(const char *path, const struct feature_identity *identity,
                                struct feature_file **out, struct error *err)
{
    size_t bytes;
    struct feature_file *file = NULL;
    if (feature_file_bytes(identity, &bytes))
        file = allocate(identity, bytes);
    if (file == NULL)
        return error_set(err, ERR_MEMORY, "no memory for features");
    enum status status = path == NULL ? OK : open_aside(file, path, err);
    if (status == OK) {
        int flags = path == NULL ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
        void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, file->fd, 0);
        if (data == MAP_FAILED)
            status = error_set(err, ERR_MEMORY, "no memory for %zu bytes of features: %s", bytes,
                               strerror(errno));
        else
            file->data = data;
    }
    if (status == OK)
        *out = file;
    else
        feature_file_close(&file);
    return status;
}

static void sync_folder(const char *path)
{
    char folder[PATH_BYTES];
    memcpy(folder, path, strlen(path) + 1);
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static enum status publish(struct feature_file *file, struct error *err)
{
    struct header header = header_of(&file->identity);
    uint8_t sum[CHECKSUM_BYTES];
    checksum(&header, file->data, file->bytes, sum);
    memcpy(header.checksum, sum, sizeof sum);
    memcpy(file->data, &header, sizeof header);
    bool failed = msync(file->data, file->bytes, MS_SYNC) != 0 || fsync(file->fd) != 0 ||
                  rename(file->aside, file->path) != 0;
    int reason = errno;
    if (failed)
        unlink(file->aside);
    close(file->fd);
    file->fd = -1;
    if (failed)
        return error_set(err, ERR_IO, "%s: %s", file->path, strerror(reason));
    sync_folder(file->path);
    return OK;
}

enum status feature_file_commit(struct feature_file *file, struct error *err)
{
    enum status status = file->fd >= 0 ? publish(file, err) : OK;
    mprotect(file->data, file->bytes, PROT_READ);
    return status;
}

void feature_file_close(struct feature_file **file)
{
    struct feature_file *old = *file;
    if (old == NULL)
        return;
    if (old->data != NULL)
        munmap(old->data, old->bytes);
    if (old->fd >= 0) {
        unlink(old->aside);
        close(old->fd);
    }
    memory_free(old);
    *file = NULL;
}

float *feature_file_rows(const struct feature_file *file)
{
    return (float *)(void *)(file->data + sizeof(struct header));
}

uint8_t *feature_file_valid(const struct feature_file *file)
{
    size_t elements = file->identity.rows * file->identity.row_elements;
    return file->data + sizeof(struct header) + elements * sizeof(float);
}
