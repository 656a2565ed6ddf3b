#include "common/config/job_reader.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/job_memory.h"
#include "common/config/key_table.h"
#include "common/config/key_value.h"
#include "common/config/nearest.h"

/* Where the walk stands: a group of the tree (NULL: the file lacks it), its path in the table and
 * for people, and the struct that its values go to. */
struct level {
    const config_setting_t *group;
    const config_setting_t
        *nearest; /* the group, or the nearest one above it: for lines in errors */
    char schema[KEY_PATH_BYTES];
    char shown[KEY_PATH_BYTES];
    void *base;
};

struct reader {
    struct job *job;
    const char *file;
    struct error *err;
};

/* Longer names are cut: no key has them, so they only appear in errors. */
static void join(char out[KEY_PATH_BYTES], const char *parent, const char *name)
{
    size_t used = strnlen(parent, KEY_PATH_BYTES - 1);
    memmove(out, parent, used);
    if (used > 0 && used < KEY_PATH_BYTES - 1)
        out[used++] = '.';
    size_t length = strnlen(name, KEY_PATH_BYTES - 1 - used);
    memcpy(out + used, name, length);
    out[used + length] = '\0';
}

/* The nearest child of this group, else a key of exactly that name elsewhere, else the nearest
 * path. */
static bool suggestion(const struct level *level, const char *name, char out[KEY_PATH_BYTES])
{
    size_t count, best = nearest_distance_max(name) + 1;
    const struct key *keys = key_table(&count), *found = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = nearest_distance(name, key_name(&keys[i]));
        if (key_is_child(&keys[i], level->schema) && distance < best) {
            best = distance;
            found = &keys[i];
        }
    }
    if (found != NULL) {
        join(out, level->shown, key_name(found));
        return true;
    }
    for (size_t i = 0; i < count && found == NULL; i++)
        found = strcmp(name, key_name(&keys[i])) == 0 ? &keys[i] : NULL;
    if (found != NULL)
        snprintf(out, KEY_PATH_BYTES, "%s", found->path);
    return found != NULL;
}

static enum status refuse_unknown(const struct reader *reader, const struct level *level)
{
    int count = level->group == NULL ? 0 : config_setting_length(level->group);
    for (int i = 0; i < count; i++) {
        const config_setting_t *member = config_setting_get_elem(level->group, (unsigned)i);
        const char *name = config_setting_name(member);
        if (key_child(level->schema, name) != NULL)
            continue;
        char shown[KEY_PATH_BYTES], nearest[KEY_PATH_BYTES];
        join(shown, level->shown, name);
        if (suggestion(level, name, nearest))
            return key_value_error(reader->err, reader->file, member,
                                   "unknown key '%s'; did you mean '%s'?", shown, nearest);
        return key_value_error(reader->err, reader->file, member,
                               "unknown key '%s'; docs/CONFIG.md lists all keys", shown);
    }
    return OK;
}

static enum status missing(const struct reader *reader, const struct level *level,
                           const struct key *key, const char *shown)
{
    char expected[256];
    key_expected(key, expected, sizeof expected);
    return key_value_error(reader->err, reader->file, level->nearest, "%s: missing; expected %s",
                           shown, expected);
}

static enum status read_default(const struct reader *reader, const struct level *level,
                                const struct key *key, const char *shown)
{
    config_t scratch;
    config_setting_t *value;
    enum status status = key_value_parse(key->fallback, &scratch, &value, reader->err);
    if (status != OK)
        return status;
    status = key_value_read(reader->job, reader->file, key, shown, value, level->base, reader->err);
    config_destroy(&scratch);
    return status;
}

static enum status read_group(const struct reader *reader, const struct level *level);

static enum status read_list(const struct reader *reader, const struct level *level,
                             const struct key *key, const char *shown, const config_setting_t *list)
{
    if (list == NULL)
        return key->count_least == 0 ? OK : missing(reader, level, key, shown);
    size_t count = config_setting_is_list(list) ? (size_t)config_setting_length(list) : 0;
    if (count < key->count_least || count > key->count_most) {
        char expected[256];
        key_expected(key, expected, sizeof expected);
        return key_value_error(reader->err, reader->file, list, "%s: expected %s", shown, expected);
    }
    char *elements = job_memory_alloc(reader->job, count, key->size);
    if (elements == NULL)
        return error_set(reader->err, ERR_MEMORY, "%s: no memory for the configuration",
                         reader->file);
    memcpy(key_value_at(key, level->base), &elements, sizeof elements);
    *key_value_count(key, level->base) = count;
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        struct level inner = {.base = elements + i * key->size};
        inner.group = inner.nearest = config_setting_get_elem(list, (unsigned)i);
        snprintf(inner.schema, sizeof inner.schema, "%s[]", key->path);
        if (snprintf(inner.shown, sizeof inner.shown, "%s.[%zu]", shown, i) >= KEY_PATH_BYTES)
            inner.shown[KEY_PATH_BYTES - 1] = '\0';
        if (!config_setting_is_group(inner.group))
            status = key_value_error(reader->err, reader->file, inner.group,
                                     "%s: expected a group { … }", inner.shown);
        else
            status = read_group(reader, &inner);
    }
    return status;
}

static enum status read_key(const struct reader *reader, const struct level *level,
                            const struct key *key)
{
    char shown[KEY_PATH_BYTES];
    join(shown, level->shown, key_name(key));
    const config_setting_t *setting =
        level->group == NULL ? NULL : config_setting_get_member(level->group, key_name(key));
    if (key->type == KEY_LIST)
        return read_list(reader, level, key, shown, setting);
    if (key->type == KEY_GROUP) {
        struct level inner = {.group = setting, .nearest = setting, .base = level->base};
        if (setting != NULL && !config_setting_is_group(setting))
            return key_value_error(reader->err, reader->file, setting, "%s: expected a group { … }",
                                   shown);
        if (setting == NULL)
            inner.nearest = level->nearest;
        snprintf(inner.schema, sizeof inner.schema, "%s", key->path);
        snprintf(inner.shown, sizeof inner.shown, "%s", shown);
        return read_group(reader, &inner);
    }
    if (setting != NULL)
        return key_value_read(reader->job, reader->file, key, shown, setting, level->base,
                              reader->err);
    if (key->fallback == NULL)
        return missing(reader, level, key, shown);
    return read_default(reader, level, key, shown);
}

/* Recursion over the table, not over the file: at most as deep as the longest table path. */
static enum status read_group(const struct reader *reader, const struct level *level)
{
    size_t count;
    const struct key *keys = key_table(&count);
    enum status status = refuse_unknown(reader, level);
    for (size_t i = 0; i < count && status == OK; i++) {
        if (key_is_child(&keys[i], level->schema))
            status = read_key(reader, level, &keys[i]);
    }
    return status;
}

enum status job_reader_fill(struct job *job, const char *file, const config_t *tree,
                            struct error *err)
{
    const struct reader reader = {job, file, err};
    struct level top = {.base = job};
    top.group = top.nearest = config_root_setting(tree);
    return read_group(&reader, &top);
}
