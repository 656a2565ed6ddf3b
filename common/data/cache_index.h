/* The feature cache's folder, as far as every role may know it: where files lie, which there are,
 * which go first. What is inside a file is worker/cache's business.
 *
 *     CACHE/features/KEY/SPLIT-SHARD-of-SHARDS.rows           finished
 *     CACHE/features/KEY/SPLIT-SHARD-of-SHARDS.rows.XXXXXX    being written; its writer
 *                                                             holds an flock on it
 *
 * A file's modification time is the time of its last use (the worker touches it), because many
 * systems don't keep access times. Safe beside running workers: a removed file stays readable for
 * those who have it mapped. */
#ifndef GRAFT_COMMON_DATA_CACHE_INDEX_H
#define GRAFT_COMMON_DATA_CACHE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/file.h"
#include "common/config/job.h"

#define CACHE_INDEX_FILES_MAX ((size_t)1 << 20)

struct cache_index_entry {
    const char *key;  /* 64 hex digits */
    const char *name; /* file name */
    uint64_t bytes;
    int64_t used_ns; /* last use, since 1970 */
    bool unfinished;
};

struct cache_index_pruned {
    uint64_t kept_bytes, removed_bytes;
    size_t kept_count, removed_count;
};

/* Path of one file. Errors: ERR_INPUT (no cache folder known, path too long). */
enum status cache_index_path(char out[PATH_BYTES], const struct digest *key, enum split split,
                             uint32_t shard, uint32_t shards, struct error *err) MUST_CHECK;
/* Makes the folder of `key`. Errors: ERR_IO, ERR_INPUT. */
enum status cache_index_make(const struct digest *key, struct error *err) MUST_CHECK;

/* Calls `visit` for every file, longest unused first. No folder yet is no error. Errors: ERR_IO,
 * ERR_MEMORY. */
enum status cache_index_list(void (*visit)(void *context, const struct cache_index_entry *entry),
                             void *context, struct error *err) MUST_CHECK;

/* Removes what dead writers left, then the longest unused files until at most `bytes_max` remain;
 * never files of keep[keep_count]. `out` may be NULL. Errors: ERR_IO (the folder can't be read),
 * ERR_MEMORY; a file that can't be removed counts as kept. */
enum status cache_index_prune(uint64_t bytes_max, const struct digest *keep, size_t keep_count,
                              struct cache_index_pruned *out, struct error *err) MUST_CHECK;

#endif
