#include "worker/cache/feature_cache.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/data/cache_index.h"
#include "worker/cache/feature_file.h"

struct feature_cache {
    const struct job *job;
    size_t row_elements;
    struct digest keys[JOB_DOMAINS_MAX];
    size_t key_count;
    bool warned; /* that rows stay in memory */
    struct feature_cache_counts counts;
};

static void add_real(struct digest_stream *stream, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    digest_add_u64(stream, bits);
}

static struct digest common_key(const struct job *job, const struct digest *trunk,
                                size_t row_elements, const char *engine)
{
    const struct preprocess_config *p = &job->data.preprocess;
    struct digest_stream stream;
    digest_init(&stream);
    digest_add_text(&stream, "graft-features");
    digest_add_u64(&stream, FEATURE_FILE_VERSION);
    digest_add(&stream, trunk->bytes, sizeof trunk->bytes);
    digest_add_text(&stream, engine);
    digest_add_u64(&stream, row_elements);
    digest_add_u64(&stream, p->width);
    digest_add_u64(&stream, p->height);
    digest_add_u64(&stream, p->channels);
    for (uint32_t c = 0; c < p->channels; c++) {
        add_real(&stream, p->mean[c]);
        add_real(&stream, p->std[c]);
    }
    digest_add_u64(&stream, p->invert);
    return digest_end(&stream);
}

enum status feature_cache_open(const struct job *job, const struct manifest *manifest,
                               const struct digest *trunk, size_t row_elements, const char *engine,
                               struct feature_cache **out, struct error *err)
{
    struct feature_cache *cache = memory_alloc(1, sizeof *cache);
    if (cache == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the feature cache");
    struct digest common = common_key(job, trunk, row_elements, engine);
    cache->job = job;
    cache->row_elements = row_elements;
    cache->key_count = job->data.domain_count;
    for (size_t i = 0; i < cache->key_count; i++) {
        struct digest_stream stream;
        digest_init(&stream);
        digest_add(&stream, common.bytes, sizeof common.bytes);
        digest_add(&stream, manifest->domain_digest[i].bytes, DIGEST_BYTES);
        cache->keys[i] = digest_end(&stream);
    }
    *out = cache;
    return OK;
}

void feature_cache_close(struct feature_cache **cache)
{
    memory_free(*cache);
    *cache = NULL;
}

const struct digest *feature_cache_key(const struct feature_cache *cache, size_t domain)
{
    CHECK(domain < cache->key_count);
    return &cache->keys[domain];
}

static void warn_once(struct feature_cache *cache, const char *reason)
{
    if (!cache->warned)
        log_event(LOG_WARN, "features_in_memory", "reason=\"%s\"", reason);
    cache->warned = true;
}

/* Room below cache.bytes_max for a file of `bytes`, made by removing files of other keys. */
static enum status make_room(const struct feature_cache *cache, size_t bytes, struct error *err)
{
    uint64_t bytes_max = cache->job->cache.bytes_max;
    struct cache_index_pruned pruned = {0};
    if (bytes > bytes_max)
        return error_set(err, ERR_STATE, "cache.bytes_max is %llu, one file has %zu",
                         (unsigned long long)bytes_max, bytes);
    enum status status =
        cache_index_prune(bytes_max - bytes, cache->keys, cache->key_count, &pruned, err);
    if (status == OK && pruned.kept_bytes > bytes_max - bytes)
        status = error_set(err, ERR_STATE, "cache.bytes_max is %llu, this job needs more",
                           (unsigned long long)bytes_max);
    return status;
}

static enum status create(struct feature_cache *cache, const char *path, size_t domain,
                          const struct feature_identity *identity, struct feature_rows *rows,
                          struct error *err)
{
    size_t bytes;
    struct error reason;
    if (!feature_file_bytes(identity, &bytes))
        return error_set(err, ERR_MEMORY, "features of %zu rows too large for memory", rows->count);
    enum status status = path != NULL
                             ? make_room(cache, bytes, &reason)
                             : error_set(&reason, ERR_INPUT, "no cache folder; set GRAFT_CACHE");
    if (status == OK)
        status = cache_index_make(&cache->keys[domain], &reason);
    if (status == OK)
        status = feature_file_create(path, identity, &rows->file, &reason);
    rows->kept = status == OK;
    if (status == OK)
        return OK;
    warn_once(cache, reason.text);
    cache->counts.not_kept++;
    return feature_file_create(NULL, identity, &rows->file, err);
}

static enum status open_kept(struct feature_cache *cache, const char *path,
                             const struct feature_identity *identity, struct feature_file **out,
                             struct error *err)
{
    bool damaged = false;
    enum status status = feature_file_open(path, identity, out, &damaged, err);
    if (status == OK && damaged) {
        log_event(LOG_WARN, "features_damaged", "file=%s", path);
        cache->counts.damaged++;
    }
    return status;
}

enum status feature_cache_map(struct feature_cache *cache, size_t domain, enum split split,
                              uint32_t shard, size_t count, struct feature_rows *out,
                              struct error *err)
{
    CHECK(domain < cache->key_count && shard < cache->job->cluster.shards);
    struct feature_identity identity = {cache->keys[domain],        split, shard,
                                        cache->job->cluster.shards, count, cache->row_elements};
    struct feature_rows rows = {.count = count, .row_elements = cache->row_elements, .kept = true};
    char path[PATH_BYTES];
    bool placed = cache_index_path(path, &cache->keys[domain], split, shard,
                                   cache->job->cluster.shards, NULL) == OK;
    enum status status = placed ? open_kept(cache, path, &identity, &rows.file, err) : OK;
    if (status != OK)
        return status;
    rows.hit = rows.file != NULL;
    cache->counts.hits += rows.hit;
    cache->counts.misses += !rows.hit;
    if (!rows.hit)
        status = create(cache, placed ? path : NULL, domain, &identity, &rows, err);
    if (status != OK)
        return status;
    rows.rows = feature_file_rows(rows.file);
    rows.valid = feature_file_valid(rows.file);
    *out = rows;
    return OK;
}

void feature_cache_commit(struct feature_cache *cache, struct feature_rows *rows)
{
    struct error reason;
    CHECK(rows->file != NULL && !rows->hit);
    if (feature_file_commit(rows->file, &reason) != OK) {
        warn_once(cache, reason.text);
        cache->counts.not_kept++;
        rows->kept = false;
    }
    rows->hit = true;
}

void feature_cache_unmap(struct feature_rows *rows)
{
    feature_file_close(&rows->file);
    *rows = (struct feature_rows){0};
}

struct feature_cache_counts feature_cache_count(const struct feature_cache *cache)
{
    return cache->counts;
}
