#include "common/config/override.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/key_table.h"
#include "common/config/key_value.h"
#include "common/config/nearest.h"

#define DEPTH_MAX 12
#define SEPARATORS ".[] "
#define VALUE_BYTES 4096

struct path {
    char text[KEY_PATH_BYTES];
    const char *parts[DEPTH_MAX]; /* into text */
    size_t count;
};

static enum status refuse(struct error *err, const char *override, const char *why)
{
    return error_set(err, ERR_INPUT, "override '%.200s': %s", override, why);
}

/* Splits at '.', '[' and ']'; empty pieces are dropped, so "stages[1].epochs" works as well. */
static enum status split(const char *override, struct path *path, struct error *err)
{
    const char *equals = strchr(override, '=');
    if (equals == NULL || equals == override)
        return refuse(err, override, "expected PATH=VALUE, such as cluster.workers=4");
    size_t length = (size_t)(equals - override);
    if (length >= sizeof path->text)
        return refuse(err, override, "no key has so long a path");
    memcpy(path->text, override, length);
    path->text[length] = '\0';
    path->count = 0;
    for (char *part = path->text; *(part += strspn(part, SEPARATORS)) != '\0';) {
        if (path->count == DEPTH_MAX)
            return refuse(err, override, "no key has so long a path");
        path->parts[path->count++] = part;
        part += strcspn(part, SEPARATORS);
        if (*part != '\0')
            *part++ = '\0';
    }
    return path->count > 0 ? OK : refuse(err, override, "the path is empty");
}

/* The element of `list` meant by "1" or by its name; NULL when there is none. */
static config_setting_t *list_element(config_setting_t *list, const char *part)
{
    char *end;
    unsigned long index = strtoul(part, &end, 10);
    unsigned count = (unsigned)config_setting_length(list);
    if (isdigit((unsigned char)part[0]) && *end == '\0')
        return index < count ? config_setting_get_elem(list, (unsigned)index) : NULL;
    for (unsigned i = 0; i < count; i++) {
        config_setting_t *element = config_setting_get_elem(list, i);
        const char *name;
        if (config_setting_is_group(element) &&
            config_setting_lookup_string(element, "name", &name) == CONFIG_TRUE &&
            strcmp(name, part) == 0)
            return element;
    }
    return NULL;
}

static enum status unknown(const char *override, const char *schema, const char *part,
                           struct error *err)
{
    size_t count, best = nearest_distance_max(part) + 1;
    const struct key *keys = key_table(&count), *found = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = nearest_distance(part, key_name(&keys[i]));
        if (key_is_child(&keys[i], schema) && distance < best) {
            best = distance;
            found = &keys[i];
        }
    }
    if (found == NULL)
        return error_set(err, ERR_INPUT,
                         "override '%.200s': unknown key '%s'; docs/CONFIG.md lists all keys",
                         override, part);
    return error_set(err, ERR_INPUT, "override '%.200s': unknown key '%s'; did you mean '%s'?",
                     override, part, key_name(found));
}

static enum status no_element(const char *override, const struct key *key, const char *part,
                              struct error *err)
{
    return error_set(err, ERR_INPUT,
                     "override '%.200s': %s has no element '%s'; overrides change elements, "
                     "the file adds them",
                     override, key_name(key), part);
}

/* Follows the path to the group that holds its last key; adds groups that the table knows. */
static enum status descend(config_setting_t **group, const struct path *path, const char *override,
                           const struct key **last, struct error *err)
{
    char schema[KEY_PATH_BYTES] = "";
    for (size_t i = 0;; i++) {
        const struct key *key = key_child(schema, path->parts[i]);
        if (key == NULL)
            return unknown(override, schema, path->parts[i], err);
        *last = key;
        bool inner = key->type == KEY_GROUP || key->type == KEY_LIST;
        if (i + 1 == path->count)
            return inner ? refuse(err, override, "names a group; name a key inside it") : OK;
        if (!inner)
            return refuse(err, override, "goes on below a key; override the whole value");
        config_setting_t *next = config_setting_get_member(*group, path->parts[i]);
        if (next == NULL && key->type == KEY_GROUP)
            next = config_setting_add(*group, path->parts[i], CONFIG_TYPE_GROUP);
        if (key->type == KEY_LIST) {
            if (++i + 1 == path->count)
                return refuse(err, override, "names a list element; name a key inside it");
            next = next == NULL ? NULL : list_element(next, path->parts[i]);
        }
        if (next == NULL || !config_setting_is_group(next))
            return no_element(override, key, path->parts[i], err);
        snprintf(schema, sizeof schema, "%s%s", key->path, key->type == KEY_LIST ? "[]" : "");
        *group = next;
    }
}

static bool copy_scalar(config_setting_t *to, const config_setting_t *from)
{
    switch (config_setting_type(from)) {
    case CONFIG_TYPE_INT:
        return config_setting_set_int(to, config_setting_get_int(from)) == CONFIG_TRUE;
    case CONFIG_TYPE_INT64:
        return config_setting_set_int64(to, config_setting_get_int64(from)) == CONFIG_TRUE;
    case CONFIG_TYPE_FLOAT:
        return config_setting_set_float(to, config_setting_get_float(from)) == CONFIG_TRUE;
    case CONFIG_TYPE_BOOL:
        return config_setting_set_bool(to, config_setting_get_bool(from)) == CONFIG_TRUE;
    case CONFIG_TYPE_STRING:
        return config_setting_set_string(to, config_setting_get_string(from)) == CONFIG_TRUE;
    default:
        return false;
    }
}

/* Arrays become lists, which may mix whole and other numbers. */
static config_setting_t *add_copy(config_setting_t *group, const char *name,
                                  const config_setting_t *from)
{
    bool many = config_setting_is_array(from) || config_setting_is_list(from);
    config_setting_t *to =
        config_setting_add(group, name, many ? CONFIG_TYPE_LIST : config_setting_type(from));
    if (to == NULL || !many)
        return to != NULL && copy_scalar(to, from) ? to : NULL;
    for (int i = 0; i < config_setting_length(from); i++) {
        const config_setting_t *element = config_setting_get_elem(from, (unsigned)i);
        config_setting_t *added = config_setting_add(to, NULL, config_setting_type(element));
        if (added == NULL || !copy_scalar(added, element))
            return NULL;
    }
    return to;
}

/* Text without quotes is quoted; everything else is parsed as it stands. */
static enum status parse(const struct key *key, const char *value, config_t *scratch,
                         config_setting_t **parsed, struct error *err)
{
    bool text = key->type == KEY_TEXT || key->type == KEY_CHOICE || key->type == KEY_TEXTS;
    if (!text || strchr("\"[(", value[0]) != NULL)
        if (!(text && value[0] == '\0'))
            return key_value_parse(value, scratch, parsed, err);
    char quoted[2 * VALUE_BYTES];
    size_t used = 0;
    quoted[used++] = '"';
    for (; *value != '\0'; value++) {
        if (used + 4 > sizeof quoted)
            return error_set(err, ERR_INPUT, "value longer than %d characters", VALUE_BYTES);
        if (*value == '"' || *value == '\\')
            quoted[used++] = '\\';
        quoted[used++] = *value;
    }
    quoted[used++] = '"';
    quoted[used] = '\0';
    return key_value_parse(quoted, scratch, parsed, err);
}

enum status override_apply(config_t *tree, const char *override, struct error *err)
{
    struct path path;
    const struct key *key = NULL;
    config_setting_t *group = config_root_setting(tree), *parsed;
    config_t scratch;
    enum status status = split(override, &path, err);
    if (status == OK)
        status = descend(&group, &path, override, &key, err);
    if (status != OK)
        return status;
    status = parse(key, strchr(override, '=') + 1, &scratch, &parsed, err);
    if (status != OK) {
        error_prefix(err, "override '%.200s'", override);
        return status;
    }
    if (config_setting_get_member(group, key_name(key)) != NULL)
        config_setting_remove(group, key_name(key));
    config_setting_t *set = add_copy(group, key_name(key), parsed);
    config_destroy(&scratch);
    if (set == NULL)
        return refuse(err, override,
                      "the value must be a number, true, false, text or an array of them");
    config_setting_set_hook(set, (void *)(uintptr_t) override);
    return OK;
}

const config_setting_t *override_nearest(const config_t *tree, const char *sentence)
{
    config_setting_t *at = config_root_setting(tree);
    const char *end = sentence + strcspn(sentence, ":");
    while (sentence < end) {
        char part[KEY_PATH_BYTES];
        sentence += strspn(sentence, SEPARATORS);
        size_t length = strcspn(sentence, SEPARATORS ":");
        if (length == 0 || length >= sizeof part)
            break;
        memcpy(part, sentence, length);
        part[length] = '\0';
        config_setting_t *next = config_setting_is_list(at)    ? list_element(at, part)
                                 : config_setting_is_group(at) ? config_setting_get_member(at, part)
                                                               : NULL;
        if (next == NULL)
            break;
        at = next;
        sentence += length;
    }
    return at;
}
