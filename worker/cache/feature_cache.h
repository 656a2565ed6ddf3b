/* The feature cache: outputs of the trunk, one file per (key, split, shard), so that from the
 * second epoch on a sample costs a read. A domain's key is the SHA-256 of all that its features
 * depend on: trunk (nodes and weights), engine (library and instruction set: other kernels, other
 * bits), preprocessing, the domain's data, row size, format version.
 *
 * The cache never stops a run: a damaged file is removed and computed again; when the disk is full,
 * the folder's limit is reached or a file can't be written, the rows stay in memory, and that is
 * logged once. One thread.
 *
 *     feature_cache_map(cache, domain, SPLIT_TRAIN, shard, count, &rows, &err)
 *     if (!rows.hit) { for each i: trunk → rows.rows + i * rows.row_elements, rows.valid[i] = 1;
 *                      feature_cache_commit(cache, &rows); }
 *     … read rows …
 *     feature_cache_unmap(&rows)
 */
#ifndef GRAFT_WORKER_CACHE_FEATURE_CACHE_H
#define GRAFT_WORKER_CACHE_FEATURE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/config/job.h"
#include "common/data/manifest.h"

struct feature_cache;
struct feature_file;

/* Rows of one shard, k-th row = k-th sample of the shard (shard_sample). Zero it before the first
 * map. */
struct feature_rows {
    float *rows; /* [count, row_elements]; all zero at first on a miss; read-only on a hit and after
                    commit */
    uint8_t *valid; /* [count]: 1 = features, 0 = could not be decoded */
    size_t count, row_elements;
    bool hit;  /* complete: nothing to compute */
    bool kept; /* in a file, or will be by commit; false: in memory only */
    struct feature_file *file;
};

/* `trunk` = plan->trunk, `row_elements` = plan->boundary_elements, `engine` = whatever else fixes
 * the bits (for instance "oneDNN 2.6.3 avx512_core"). Nothing is borrowed after the call but `job`.
 * Errors: ERR_MEMORY. */
enum status feature_cache_open(const struct job *job, const struct manifest *manifest,
                               const struct digest *trunk, size_t row_elements, const char *engine,
                               struct feature_cache **out, struct error *err) MUST_CHECK;
void feature_cache_close(struct feature_cache **cache);

/* Key of a domain, for `graft cache` and tests. */
const struct digest *feature_cache_key(const struct feature_cache *cache, size_t domain);

/* Maps the rows of a shard (of job->cluster.shards), or makes room for them. May prune other keys'
 * files. Blocks on the disk: a hit is read once to verify it. Errors: ERR_MEMORY. */
enum status feature_cache_map(struct feature_cache *cache, size_t domain, enum split split,
                              uint32_t shard, size_t count, struct feature_rows *out,
                              struct error *err) MUST_CHECK;

/* Ends the filling of a miss: rows become read-only, hit becomes true, the file (if kept) is
 * published. */
void feature_cache_commit(struct feature_cache *cache, struct feature_rows *rows);

/* Unmaps; before a commit this discards the rows. A zeroed struct is fine. */
void feature_cache_unmap(struct feature_rows *rows);

/* Counters since open, for metrics. */
struct feature_cache_counts {
    uint64_t hits, misses, damaged, not_kept;
};
struct feature_cache_counts feature_cache_count(const struct feature_cache *cache);

#endif
