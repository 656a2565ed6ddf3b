/* One file of the feature cache: rows of features of one (key, split, shard), memory-mapped.
 *
 *     offset 0     header, 128 bytes: magic, version, sizes, identity, checksum
 *            128   rows, float32 [rows, row_elements], little endian
 *            …     valid, one byte a row: 1 = features, 0 = the sample could not be
 *                  decoded (its row is zeros)
 *
 * A file is written aside through its mapping, with all its space reserved first (so that a full
 * disk shows before any work is done), then synced and renamed. Two writers of the same file don't
 * disturb each other: both have names of their own, and the last rename wins with the same bytes.
 * The checksum (BLAKE2b, 256 bits) is verified once when a file is mapped; a damaged file is
 * removed. One thread owns an open file. */
#ifndef GRAFT_WORKER_CACHE_FEATURE_FILE_H
#define GRAFT_WORKER_CACHE_FEATURE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/error.h"

#define FEATURE_FILE_VERSION 1u

struct feature_file;

/* What a file must say about itself to be taken. */
struct feature_identity {
    struct digest key;
    uint32_t split, shard, shards;
    uint64_t rows, row_elements;
};

/* Size on disk; false when it doesn't fit. */
bool feature_file_bytes(const struct feature_identity *identity, size_t *bytes);

/* Maps a finished file read-only and marks it as used now. *out is NULL when there is none; or when
 * it was damaged or of another kind, in which case it is removed and *damaged set. Errors:
 * ERR_MEMORY (no address space). */
enum status feature_file_open(const char *path, const struct feature_identity *identity,
                              struct feature_file **out, bool *damaged,
                              struct error *err) MUST_CHECK;

/* New rows, all zero and not valid. With `path`: an aside file next to it. Without: memory only,
 * nothing is kept. Errors: ERR_IO (disk full, no permission), ERR_MEMORY. */
enum status feature_file_create(const char *path, const struct feature_identity *identity,
                                struct feature_file **out, struct error *err) MUST_CHECK;

/* Ends writing: checksum, sync, rename; the rows become read-only. After a failure the rows stay
 * usable, but nothing is kept on disk. Memory-only files just become read-only. Errors: ERR_IO. */
enum status feature_file_commit(struct feature_file *file, struct error *err) MUST_CHECK;

/* Unmaps; removes the aside file if it was not committed. */
void feature_file_close(struct feature_file **file);

float *feature_file_rows(const struct feature_file *file);
uint8_t *feature_file_valid(const struct feature_file *file);

#endif
