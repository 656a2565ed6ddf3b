#include "common/config/key_value.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/config/cfg_text.h"
#include "common/config/job_memory.h"

struct place { /* what every check needs to say where it is */
    struct job *job;
    const char *file;
    const struct key *key;
    const char *shown;
    struct error *err;
};

enum status key_value_error(struct error *err, const char *file, const config_setting_t *at,
                            const char *format, ...)
{
    char sentence[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    unsigned line = 0; /* of the innermost group that stands in the file, not in an override */
    for (const config_setting_t *up = at; up != NULL; up = up->parent) {
        if (up->hook != NULL)
            return error_set(err, ERR_INPUT, "override '%.200s': %s", (const char *)up->hook,
                             sentence);
        line = line == 0 ? up->line : line;
    }
    if (line == 0)
        return error_set(err, ERR_INPUT, "%s: %s", file, sentence);
    return error_set(err, ERR_INPUT, "%s:%u: %s", file, line, sentence);
}

enum status key_value_parse(const char *text, config_t *scratch, config_setting_t **value,
                            struct error *err)
{
    char line[JOB_CONFIG_BYTES_MAX / 4];
    int length = snprintf(line, sizeof line, "v = %s;", text);
    if (length < 0 || (size_t)length >= sizeof line)
        return error_set(err, ERR_INPUT, "value longer than %zu characters", sizeof line - 1);
    char *prepared;
    enum status status = cfg_text_prepare("value", line, (size_t)length, &prepared, err);
    if (status != OK)
        return status;
    config_init(scratch);
    bool good = config_read_string(scratch, prepared) == CONFIG_TRUE &&
                config_setting_length(config_root_setting(scratch)) == 1;
    memory_free(prepared);
    if (!good) {
        config_destroy(scratch);
        return error_set(err, ERR_INPUT, "'%.100s' is not one value", text);
    }
    *value = config_setting_get_elem(config_root_setting(scratch), 0);
    return OK;
}

void *key_value_at(const struct key *key, void *base)
{
    return (char *)base + key->offset;
}

size_t *key_value_count(const struct key *key, void *base)
{
    CHECK(key->type == KEY_LIST || key->type == KEY_TEXTS || key->type == KEY_REALS);
    return (size_t *)(void *)((char *)base + key->count_offset);
}

/* What the file has instead of the expected, for the end of the sentence. */
static void got(const config_setting_t *setting, char *out, size_t bytes)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        snprintf(out, bytes, "%lld", config_setting_get_int64(setting));
        return;
    case CONFIG_TYPE_FLOAT:
        snprintf(out, bytes, "%.9g", config_setting_get_float(setting));
        return;
    case CONFIG_TYPE_BOOL:
        snprintf(out, bytes, "%s", config_setting_get_bool(setting) ? "true" : "false");
        return;
    case CONFIG_TYPE_STRING:
        snprintf(out, bytes, "\"%.60s\"", config_setting_get_string(setting));
        return;
    case CONFIG_TYPE_GROUP:
        snprintf(out, bytes, "a group");
        return;
    default:
        snprintf(out, bytes, "%d values", config_setting_length(setting));
    }
}

static enum status unexpected(const struct place *place, const config_setting_t *setting)
{
    char expected[256], found[96];
    key_expected(place->key, expected, sizeof expected);
    got(setting, found, sizeof found);
    return key_value_error(place->err, place->file, setting, "%s: expected %s, got %s",
                           place->shown, expected, found);
}

static bool is_whole(const config_setting_t *setting)
{
    int type = config_setting_type(setting);
    return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static enum status read_whole(const struct place *place, const config_setting_t *setting, void *at)
{
    long long value = is_whole(setting) ? config_setting_get_int64(setting) : 0;
    if (!is_whole(setting) || (double)value < place->key->least || (double)value > place->key->most)
        return unexpected(place, setting);
    uint64_t wide = (uint64_t)value;
    uint32_t narrow =
        (uint32_t)wide; /* the range makes both exact; a negative one keeps its bits */
    CHECK(place->key->size == sizeof narrow || place->key->size == sizeof wide);
    if (place->key->size == sizeof narrow)
        memcpy(at, &narrow, sizeof narrow);
    else
        memcpy(at, &wide, sizeof wide);
    return OK;
}

static enum status read_real(const struct place *place, const config_setting_t *setting, double *at)
{
    double value = 0;
    if (is_whole(setting))
        value = (double)config_setting_get_int64(setting);
    else if (config_setting_type(setting) == CONFIG_TYPE_FLOAT)
        value = config_setting_get_float(setting);
    else
        return unexpected(place, setting);
    if (!isfinite(value) || value < place->key->least || value > place->key->most)
        return unexpected(place, setting);
    *at = value == 0 ? 0.0 : value; /* -0 would make another digest */
    return OK;
}

static bool is_name(const char *text)
{
    if (text[0] == '\0' || text[0] == '.' || strlen(text) >= KEY_NAME_BYTES)
        return false;
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && strchr("._-", *text) == NULL)
            return false;
    }
    return true;
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text))
            return false;
    }
    return true;
}

static enum status read_text(const struct place *place, const config_setting_t *setting,
                             const char **at)
{
    if (config_setting_type(setting) != CONFIG_TYPE_STRING)
        return unexpected(place, setting);
    const char *text = config_setting_get_string(setting);
    if ((place->key->flags & KEY_NAME) && !is_name(text))
        return unexpected(place, setting);
    if (strlen(text) >= KEY_TEXT_BYTES || !is_plain(text))
        return key_value_error(place->err, place->file, setting,
                               "%s: text must be shorter than %d bytes, without control characters",
                               place->shown, KEY_TEXT_BYTES);
    const char *copy = job_memory_dup_text(place->job, text);
    if (copy == NULL)
        return error_set(place->err, ERR_MEMORY, "%s: no memory for the configuration",
                         place->file);
    *at = copy;
    return OK;
}

static enum status read_choice(const struct place *place, const config_setting_t *setting, void *at)
{
    const char *text = config_setting_type(setting) == CONFIG_TYPE_STRING
                           ? config_setting_get_string(setting)
                           : "";
    for (uint32_t i = 0; place->key->choices[i] != NULL; i++) {
        if (strcmp(text, place->key->choices[i]) != 0)
            continue;
        uint8_t narrow = (uint8_t)i;
        CHECK(place->key->size == sizeof i || place->key->size == sizeof narrow);
        if (place->key->size == sizeof i)
            memcpy(at, &i, sizeof i);
        else
            memcpy(at, &narrow, sizeof narrow);
        return OK;
    }
    return unexpected(place, setting);
}

/* Number of elements of an array or list, 1 for a scalar; false for a group or outside the key's
 * counts. */
static bool count_of(const struct key *key, const config_setting_t *setting, size_t *count)
{
    if (config_setting_is_group(setting))
        return false;
    *count = config_setting_is_aggregate(setting) ? (size_t)config_setting_length(setting) : 1;
    return *count >= key->count_least && *count <= key->count_most;
}

static const config_setting_t *element(const config_setting_t *setting, size_t i)
{
    return config_setting_is_aggregate(setting) ? config_setting_get_elem(setting, (unsigned)i)
                                                : setting;
}

static enum status read_texts(const struct place *place, const config_setting_t *setting,
                              void *base)
{
    size_t count;
    if (!count_of(place->key, setting, &count))
        return unexpected(place, setting);
    const char **texts = job_memory_alloc(place->job, count, sizeof *texts);
    if (texts == NULL)
        return error_set(place->err, ERR_MEMORY, "%s: no memory for the configuration",
                         place->file);
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++)
        status = read_text(place, element(setting, i), &texts[i]);
    if (status != OK)
        return status;
    memcpy(key_value_at(place->key, base), &texts, sizeof texts);
    *key_value_count(place->key, base) = count;
    return OK;
}

static enum status read_reals(const struct place *place, const config_setting_t *setting,
                              void *base)
{
    size_t count, room = place->key->size / sizeof(double);
    if (!count_of(place->key, setting, &count))
        return unexpected(place, setting);
    CHECK(count <= room);
    double *values = key_value_at(place->key, base);
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++)
        status = read_real(place, element(setting, i), &values[i]);
    for (size_t i = count; i < room; i++)
        values[i] = count > 0 ? values[count - 1] : 1.0;
    *key_value_count(place->key, base) = count;
    return status;
}

enum status key_value_read(struct job *job, const char *file, const struct key *key,
                           const char *shown, const config_setting_t *setting, void *base,
                           struct error *err)
{
    struct place place = {job, file, key, shown, err};
    void *at = key_value_at(key, base);
    switch (key->type) {
    case KEY_WHOLE:
        return read_whole(&place, setting, at);
    case KEY_REAL:
        return read_real(&place, setting, at);
    case KEY_SWITCH:
        if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
            return unexpected(&place, setting);
        *(bool *)at = config_setting_get_bool(setting) == CONFIG_TRUE;
        return OK;
    case KEY_TEXT:
        return read_text(&place, setting, at);
    case KEY_CHOICE:
        return read_choice(&place, setting, at);
    case KEY_TEXTS:
        return read_texts(&place, setting, base);
    case KEY_REALS:
        return read_reals(&place, setting, base);
    case KEY_GROUP:
    case KEY_LIST:
        break;
    }
    check_failed("a key with a value", __FILE__, __LINE__);
}
