/* A private folder (also the cache folder, GRAFT_CACHE) and small files in it, for tests of config,
 * data and cache. Header only, because each test program is one object. Include after cmocka.h. */
#ifndef GRAFT_TESTS_UNIT_DATA_FIXTURE_H
#define GRAFT_TESTS_UNIT_DATA_FIXTURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/config/job.h"
#include "common/data/manifest.h"

#define MAYBE_UNUSED __attribute__((unused))

static char fixture_folder[64];

/* cmocka's setup and teardown of one test. */
static MAYBE_UNUSED int fixture_setup(void **state)
{
    (void)state;
    snprintf(fixture_folder, sizeof fixture_folder, "/tmp/graft-test-XXXXXX");
    assert_non_null(mkdtemp(fixture_folder));
    return setenv("GRAFT_CACHE", fixture_folder, 1);
}

static MAYBE_UNUSED int fixture_teardown(void **state)
{
    (void)state;
    return file_remove_tree(fixture_folder, NULL) == OK ? 0 : -1;
}

static MAYBE_UNUSED void fixture_path(char out[PATH_BYTES], const char *name)
{
    assert_int_equal(file_path(out, NULL, "%s/%s", fixture_folder, name), OK);
}

static MAYBE_UNUSED void fixture_write(const char *name, const void *data, size_t bytes)
{
    char path[PATH_BYTES];
    fixture_path(path, name);
    FILE *file = fopen(path, "wb"); /* not file_write: its fsync is slow */
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static MAYBE_UNUSED void fixture_text(const char *name, const char *text)
{
    fixture_write(name, text, strlen(text));
}

static MAYBE_UNUSED void fixture_directory(const char *name)
{
    char path[PATH_BYTES];
    fixture_path(path, name);
    assert_int_equal(file_make_directory(path, NULL), OK);
}

static MAYBE_UNUSED void fixture_big_endian(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* `count` pictures of side x side; pixel (image i, position p) is (7 i + p) mod 256. */
static MAYBE_UNUSED void fixture_idx_images(const char *name, uint32_t count, uint32_t side)
{
    size_t item = (size_t)side * side;
    uint8_t *data = calloc(16 + count * item, 1);
    assert_non_null(data);
    data[2] = 8;
    data[3] = 3;
    fixture_big_endian(data + 4, count);
    fixture_big_endian(data + 8, side);
    fixture_big_endian(data + 12, side);
    for (size_t i = 0; i < count * item; i++)
        data[16 + i] = (uint8_t)(7 * (i / item) + i % item);
    fixture_write(name, data, 16 + count * item);
    free(data);
}

/* Label of image i is i mod classes. */
static MAYBE_UNUSED void fixture_idx_labels(const char *name, uint32_t count, uint32_t classes)
{
    uint8_t *data = calloc(8 + count, 1);
    assert_non_null(data);
    data[2] = 8;
    data[3] = 1;
    fixture_big_endian(data + 4, count);
    for (uint32_t i = 0; i < count; i++)
        data[8 + i] = (uint8_t)(i % classes);
    fixture_write(name, data, 8 + count);
    free(data);
}

/* A whole job around the groups inside `domains = ( … )`, with one stage over `stage_domains`. */
static MAYBE_UNUSED struct job *fixture_job(const char *domains, const char *stage_domains,
                                            const char *const *overrides, size_t override_count)
{
    char text[8192];
    struct job *job = NULL;
    struct error err;
    snprintf(text, sizeof text,
             "data = { classes = [\"a\", \"b\", \"c\"]; preprocess = { width = 2; height = 2; "
             "channels = 1; };\n"
             "domains = ( %s ); };\n"
             "cluster = { shards = 3; };\n"
             "stages = ( { name = \"s\"; domains = [%s]; micro_batch = 2; losses = { coral = %s; "
             "}; } );\n",
             domains, stage_domains, strchr(stage_domains, ',') != NULL ? "1.0" : "0.0");
    if (job_load(NULL, text, overrides, override_count, &job, &err) != OK)
        fail_msg("%s", err.text);
    return job;
}

static MAYBE_UNUSED struct manifest *fixture_manifest(const struct job *job,
                                                      enum manifest_reader reader)
{
    struct manifest *manifest = NULL;
    struct error err;
    if (manifest_build(job, reader, &manifest, &err) != OK)
        fail_msg("%s", err.text);
    return manifest;
}

static MAYBE_UNUSED void fixture_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' does not contain '%s'", text, part);
}

#endif
