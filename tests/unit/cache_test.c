#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/log.h"
#include "common/data/cache_index.h"
#include "tests/unit/data_fixture.h"
#include "worker/cache/feature_cache.h"
#include "worker/cache/feature_file.h"

#define DOMAIN                                                                                     \
    "{ name = \"d\"; divide = [1, 0, 0]; sources = ( { format = \"csv\"; path = \"cache:c\"; "     \
    "width = 1; height = 1; "                                                                      \
    "label_column = 1; } ); }"
#define ROWS 5
#define ELEMENTS 3
#define FILE_BYTES (128 + ROWS * ELEMENTS * 4 + ROWS)

static struct job *job;
static struct manifest *manifest;
static const struct digest trunk = {{1, 2, 3}};

static int setup(void **state)
{
    fixture_setup(state);
    fixture_text("c", "1,a\n2,b\n3,c\n");
    job = fixture_job(DOMAIN, "\"d\"", NULL, 0);
    manifest = fixture_manifest(job, MANIFEST_WORKER);
    return 0;
}

static int teardown(void **state)
{
    manifest_destroy(&manifest);
    job_destroy(&job);
    return fixture_teardown(state);
}

static struct feature_cache *open_cache(const char *engine)
{
    struct feature_cache *cache = NULL;
    assert_int_equal(feature_cache_open(job, manifest, &trunk, ELEMENTS, engine, &cache, NULL), OK);
    return cache;
}

static struct feature_rows map(struct feature_cache *cache, uint32_t shard)
{
    struct feature_rows rows = {0};
    struct error err;
    if (feature_cache_map(cache, 0, SPLIT_TRAIN, shard, ROWS, &rows, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(rows.count, ROWS);
    assert_int_equal(rows.row_elements, ELEMENTS);
    return rows;
}

static void fill(struct feature_rows *rows)
{
    for (size_t i = 0; i < ROWS * ELEMENTS; i++)
        rows->rows[i] = (float)i / 2;
    for (size_t i = 0; i < ROWS; i++)
        rows->valid[i] = i != 3;
}

static void check_filled(const struct feature_rows *rows)
{
    for (size_t i = 0; i < ROWS * ELEMENTS; i++)
        assert_true(rows->rows[i] == (float)i / 2);
    for (size_t i = 0; i < ROWS; i++)
        assert_int_equal(rows->valid[i], i != 3);
}

static void store(struct feature_cache *cache, uint32_t shard)
{
    struct feature_rows rows = map(cache, shard);
    assert_false(rows.hit);
    fill(&rows);
    feature_cache_commit(cache, &rows);
    assert_true(rows.hit);
    check_filled(&rows);
    feature_cache_unmap(&rows);
}

static void file_of(const struct feature_cache *cache, uint32_t shard, char out[PATH_BYTES])
{
    assert_int_equal(
        cache_index_path(out, feature_cache_key(cache, 0), SPLIT_TRAIN, shard, 3, NULL), OK);
}

struct tally {
    size_t files, unfinished;
    uint64_t bytes;
    int64_t last;
};

static void count_file(void *context, const struct cache_index_entry *entry)
{
    struct tally *tally = context;
    tally->files++;
    tally->unfinished += entry->unfinished;
    tally->bytes += entry->bytes;
    assert_true(entry->used_ns >= tally->last);
    tally->last = entry->used_ns;
}

static struct tally count_files(void)
{
    struct tally tally = {0};
    assert_int_equal(cache_index_list(count_file, &tally, NULL), OK);
    return tally;
}

/* Sets the time of last use, in seconds since 1970. */
static void use_at(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void stored_rows_are_hits_later(void **state)
{
    (void)state;
    struct feature_cache *cache = open_cache("e");
    store(cache, 0);
    feature_cache_close(&cache);
    assert_null(cache);
    cache = open_cache("e");
    struct feature_rows rows = map(cache, 0), other = map(cache, 1);
    assert_true(rows.hit);
    assert_true(rows.kept);
    check_filled(&rows);
    assert_false(other.hit);
    assert_true(other.rows[0] == 0);
    assert_int_equal(other.valid[0], 0);
    feature_cache_unmap(&rows);
    feature_cache_unmap(&other);
    assert_int_equal(feature_cache_count(cache).hits, 1);
    assert_int_equal(feature_cache_count(cache).misses, 1);
    feature_cache_close(&cache);
}

static void rows_not_committed_leave_nothing(void **state)
{
    (void)state;
    struct feature_cache *cache = open_cache("e");
    struct feature_rows rows = map(cache, 0);
    fill(&rows);
    assert_int_equal(count_files().unfinished, 1);
    feature_cache_unmap(&rows);
    assert_int_equal(count_files().files, 0);
    rows = map(cache, 0);
    assert_false(rows.hit);
    feature_cache_unmap(&rows);
    feature_cache_close(&cache);
}

static void keys_depend_on_all_that_features_depend_on(void **state)
{
    (void)state;
    struct feature_cache *caches[5] = {open_cache("e"), open_cache("other engine")};
    struct digest other_trunk = {{9}};
    const char *override = "data.preprocess.std=2.0";
    struct job *other = fixture_job(DOMAIN, "\"d\"", &override, 1);
    assert_int_equal(
        feature_cache_open(job, manifest, &other_trunk, ELEMENTS, "e", &caches[2], NULL), OK);
    assert_int_equal(feature_cache_open(other, manifest, &trunk, ELEMENTS, "e", &caches[3], NULL),
                     OK);
    fixture_text("c", "1,a\n2,b\n4,c\n");
    struct manifest *changed = fixture_manifest(job, MANIFEST_WORKER);
    assert_int_equal(feature_cache_open(job, changed, &trunk, ELEMENTS, "e", &caches[4], NULL), OK);
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(feature_cache_key(caches[i], 0),
                                    feature_cache_key(caches[k], 0), DIGEST_BYTES);
    }
    for (size_t i = 0; i < 5; i++)
        feature_cache_close(&caches[i]);
    manifest_destroy(&changed);
    job_destroy(&other);
}

/* Flips one byte at `offset`, or cuts the file there when `cut`. */
static void damage(const char *path, long offset, bool cut)
{
    if (cut) {
        assert_int_equal(truncate(path, offset), 0);
        return;
    }
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 0x10, file), byte ^ 0x10);
    assert_int_equal(fclose(file), 0);
}

static void damaged_files_are_removed_and_computed_again(void **state)
{
    (void)state;
    static const struct {
        long offset;
        bool cut;
    } cases[] = {{0, false},
                 {9, false},
                 {16, false},
                 {40, false},
                 {70, false},
                 {90, false},
                 {120, false},
                 {130, false},
                 {FILE_BYTES - 1, false},
                 {0, true},
                 {100, true},
                 {FILE_BYTES - 1, true},
                 {FILE_BYTES + 1, true}};
    struct feature_cache *cache = open_cache("e");
    char path[PATH_BYTES];
    file_of(cache, 0, path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        store(cache, 0);
        damage(path, cases[i].offset, cases[i].cut);
        struct feature_rows rows = map(cache, 0);
        assert_false(rows.hit);
        assert_int_equal(feature_cache_count(cache).damaged, i + 1);
        assert_int_not_equal(access(path, F_OK), 0);
        feature_cache_unmap(&rows);
    }
    feature_cache_close(&cache);
}

static void two_writers_of_one_file_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct feature_cache *first = open_cache("e"), *second = open_cache("e");
    struct feature_rows a = map(first, 0), b = map(second, 0);
    assert_false(a.hit);
    assert_false(b.hit);
    fill(&a);
    fill(&b);
    feature_cache_commit(first, &a);
    struct feature_rows c = map(first, 0);
    assert_true(c.hit);
    feature_cache_commit(second, &b);
    check_filled(&a);
    check_filled(&b);
    check_filled(&c);
    feature_cache_unmap(&a);
    feature_cache_unmap(&b);
    feature_cache_unmap(&c);
    c = map(second, 0);
    assert_true(c.hit);
    check_filled(&c);
    feature_cache_unmap(&c);
    assert_int_equal(count_files().files, 1);
    feature_cache_close(&first);
    feature_cache_close(&second);
}

static void the_longest_unused_go_first_but_never_those_in_use(void **state)
{
    (void)state;
    struct feature_cache *old = open_cache("old"), *now = open_cache("now");
    char path[PATH_BYTES];
    store(old, 0);
    store(old, 1);
    store(now, 0);
    file_of(now, 0, path);
    use_at(path, 1000);
    file_of(old, 1, path);
    use_at(path, 2000);
    file_of(old, 0, path);
    use_at(path, 3000);
    struct cache_index_pruned pruned;
    assert_int_equal(cache_index_prune(2 * FILE_BYTES, feature_cache_key(now, 0), 1, &pruned, NULL),
                     OK);
    assert_int_equal(pruned.removed_count, 1);
    assert_int_equal(pruned.removed_bytes, FILE_BYTES);
    assert_int_equal(pruned.kept_bytes, 2 * FILE_BYTES);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(cache_index_prune(0, feature_cache_key(now, 0), 1, &pruned, NULL), OK);
    assert_int_equal(pruned.kept_count, 1);
    *strrchr(path, '/') = '\0';
    assert_int_not_equal(access(path, F_OK), 0); /* the empty folder is gone, too */
    assert_int_equal(cache_index_prune(0, NULL, 0, &pruned, NULL), OK);
    assert_int_equal(count_files().files, 0);
    feature_cache_close(&old);
    feature_cache_close(&now);
}

static void a_hit_counts_as_use(void **state)
{
    (void)state;
    struct feature_cache *cache = open_cache("e");
    char path[PATH_BYTES];
    struct stat info;
    store(cache, 0);
    file_of(cache, 0, path);
    use_at(path, 1000);
    struct feature_rows rows = map(cache, 0);
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_mtim.tv_sec > 1000);
    feature_cache_unmap(&rows);
    feature_cache_close(&cache);
}

static void what_dead_writers_left_is_pruned_and_live_writers_are_not(void **state)
{
    (void)state;
    struct feature_cache *cache = open_cache("e");
    struct feature_rows rows = map(cache, 0);
    char path[PATH_BYTES], left[PATH_BYTES];
    file_of(cache, 0, path);
    assert_int_equal(file_path(left, NULL, "%s.abcdef", path), OK);
    int fd = open(left, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(count_files().unfinished, 2);
    assert_int_equal(cache_index_prune(UINT64_MAX, NULL, 0, NULL, NULL), OK);
    assert_int_equal(count_files().unfinished, 1);
    fill(&rows);
    feature_cache_commit(cache, &rows);
    assert_true(rows.kept);
    feature_cache_unmap(&rows);
    feature_cache_close(&cache);
}

static void beyond_the_limit_rows_stay_in_memory(void **state)
{
    (void)state;
    job->cache.bytes_max = FILE_BYTES;
    struct feature_cache *other = open_cache("other"), *cache = open_cache("e");
    store(other, 0);
    store(cache, 0); /* makes room: the other key's file goes */
    assert_int_equal(count_files().bytes, FILE_BYTES);
    struct feature_rows rows = map(cache, 1);
    assert_false(rows.hit);
    assert_false(rows.kept);
    fill(&rows);
    feature_cache_commit(cache, &rows);
    assert_true(rows.hit);
    check_filled(&rows);
    feature_cache_unmap(&rows);
    assert_int_equal(feature_cache_count(cache).not_kept, 1);
    rows = map(cache, 0);
    assert_true(rows.hit); /* its own file stayed */
    feature_cache_unmap(&rows);
    feature_cache_close(&cache);
    feature_cache_close(&other);
}

static void without_a_usable_folder_rows_stay_in_memory(void **state)
{
    (void)state;
    fixture_text("features", "a file where the folder should be");
    struct feature_cache *cache = open_cache("e");
    struct feature_rows rows = map(cache, 0);
    assert_false(rows.kept);
    fill(&rows);
    feature_cache_commit(cache, &rows);
    check_filled(&rows);
    feature_cache_unmap(&rows);
    feature_cache_close(&cache);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    struct feature_identity identity = {.shards = 1, .rows = SIZE_MAX / 2, .row_elements = 4};
    struct feature_file *file = NULL;
    size_t bytes;
    assert_false(feature_file_bytes(&identity, &bytes));
    assert_int_equal(feature_file_create(NULL, &identity, &file, NULL), ERR_MEMORY);
    identity.rows = 0;
    assert_int_equal(feature_file_create(NULL, &identity, &file, NULL), OK);
    assert_int_equal(feature_file_commit(file, NULL), OK);
    feature_file_close(&file);
    assert_null(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The warnings that these tests provoke are not for the reader of their output. */
static int silence(void **state)
{
    (void)state;
    return log_open("/dev/null", "test", LOG_ERROR, NULL) == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stored_rows_are_hits_later),
        TEST(rows_not_committed_leave_nothing),
        TEST(keys_depend_on_all_that_features_depend_on),
        TEST(damaged_files_are_removed_and_computed_again),
        TEST(two_writers_of_one_file_do_not_disturb_each_other),
        TEST(the_longest_unused_go_first_but_never_those_in_use),
        TEST(a_hit_counts_as_use),
        TEST(what_dead_writers_left_is_pruned_and_live_writers_are_not),
        TEST(beyond_the_limit_rows_stay_in_memory),
        TEST(without_a_usable_folder_rows_stay_in_memory),
        TEST(sizes_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, silence, NULL);
}
