#include "common/config/cfg_text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/config/job.h"

#define DIGITS_MAX 18 /* decimal digits that surely fit 64 bits */
#define HEX_DIGITS_MAX                                                                             \
    7 /* that surely fit 31 bits: enough, since no key wants larger ones in hexadecimal */

/* A walk over the text: `from` is read, `to` is written, at most one byte more for each number. */
struct walk {
    const char *where;
    const char *from, *end;
    char *to;
    unsigned line;
};

static void copy(struct walk *walk, size_t count)
{
    for (; count > 0 && walk->from < walk->end; count--) {
        walk->line += *walk->from == '\n';
        *walk->to++ = *walk->from++;
    }
}

static bool at(const struct walk *walk, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(walk->end - walk->from) >= length && memcmp(walk->from, text, length) == 0;
}

static void copy_string(struct walk *walk)
{
    copy(walk, 1);
    while (walk->from < walk->end && *walk->from != '"')
        copy(walk, *walk->from == '\\' ? 2 : 1);
    copy(walk, 1);
}

static void copy_until(struct walk *walk, const char *mark)
{
    while (walk->from < walk->end && !at(walk, mark))
        copy(walk, 1);
    copy(walk, strlen(mark));
}

static size_t span(const struct walk *walk, size_t start, int (*belongs)(int))
{
    size_t count = start;
    while (walk->from + count < walk->end && belongs((unsigned char)walk->from[count]))
        count++;
    return count;
}

static enum status too_large(const struct walk *walk, struct error *err)
{
    return error_set(err, ERR_INPUT, "%s:%u: number with too many digits; at most %d are read",
                     walk->where, walk->line, DIGITS_MAX);
}

static enum status copy_number(struct walk *walk, struct error *err)
{
    if (at(walk, "0x") || at(walk, "0X")) {
        size_t count = span(walk, 2, isxdigit);
        if (count - 2 > HEX_DIGITS_MAX)
            return error_set(err, ERR_INPUT, "%s:%u: write large numbers in decimal digits",
                             walk->where, walk->line);
        copy(walk, count);
        return OK;
    }
    size_t digits = span(walk, 0, isdigit);
    char after = walk->from + digits < walk->end ? walk->from[digits] : '\0';
    if (after == '.' || after == 'e' ||
        after == 'E') { /* a float: to its end, sign of exponent included */
        copy(walk, digits + 1);
        while (walk->from < walk->end &&
               (isalnum((unsigned char)*walk->from) ||
                (strchr("+-", *walk->from) != NULL && strchr("eE", walk->from[-1]) != NULL)))
            copy(walk, 1);
        return OK;
    }
    if (digits > DIGITS_MAX)
        return too_large(walk, err);
    bool wide = strtoll(walk->from, NULL, 10) > INT32_MAX;
    copy(walk, digits);
    if (wide && after != 'L')
        *walk->to++ = 'L';
    return OK;
}

static enum status copy_token(struct walk *walk, bool line_start, struct error *err)
{
    unsigned char next = (unsigned char)*walk->from;
    if (next == '\0')
        return error_set(err, ERR_INPUT, "%s:%u: zero byte; this is not a text file", walk->where,
                         walk->line);
    if (line_start && at(walk, "@include"))
        return error_set(err, ERR_INPUT, "%s:%u: @include is not supported; use one file",
                         walk->where, walk->line);
    if (next == '[' || next == ']') {
        copy(walk, 1);
        walk->to[-1] = next == '[' ? '(' : ')';
    } else if (next == '"')
        copy_string(walk);
    else if (next == '#' || at(walk, "//"))
        copy_until(walk, "\n");
    else if (at(walk, "/*"))
        copy_until(walk, "*/");
    else if (isdigit(next))
        return copy_number(walk, err);
    else if (isalpha(next)) /* a name, digits inside it included */
        while (walk->from < walk->end &&
               (isalnum((unsigned char)*walk->from) || strchr("_-*", *walk->from) != NULL))
            copy(walk, 1);
    else
        copy(walk, 1);
    return OK;
}

enum status cfg_text_prepare(const char *where, const char *text, size_t bytes, char **out,
                             struct error *err)
{
    if (bytes > JOB_CONFIG_BYTES_MAX)
        return error_set(err, ERR_INPUT, "%s: %zu bytes, the limit is %d", where, bytes,
                         JOB_CONFIG_BYTES_MAX);
    if (memchr(text, '\0', bytes) != NULL)
        return error_set(err, ERR_INPUT, "%s: holds a zero byte; this is not a text file", where);
    /* Terminated, so that strtoll and strchr stop; twice as long, so that every number can grow. */
    char *input = memory_dup_text(text, bytes);
    char *output = memory_alloc(2 * bytes + 1, 1);
    enum status status = OK;
    if (input == NULL || output == NULL)
        status = error_set(err, ERR_MEMORY, "%s: no memory for the configuration", where);
    struct walk walk = {where, input, input + bytes, output, 1};
    bool line_start = true;
    while (status == OK && walk.from < walk.end) {
        status = copy_token(&walk, line_start, err);
        if (status == OK)
            line_start = walk.from[-1] == '\n' || (line_start && strchr(" \t", walk.from[-1]));
    }
    memory_free(input);
    if (status == OK)
        *out = output;
    else
        memory_free(output);
    return status;
}

enum status cfg_text_read(const char *path, char **out, struct error *err)
{
    struct file_map map;
    enum status status = file_map(path, JOB_CONFIG_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    status =
        cfg_text_prepare(path, map.data == NULL ? "" : (const char *)map.data, map.bytes, out, err);
    file_unmap(&map);
    return status;
}
