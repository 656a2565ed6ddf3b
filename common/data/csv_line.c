#include "common/data/csv_line.h"

#include <string.h>

#include "common/base/check.h"

bool csv_line_next(const uint8_t *data, size_t bytes, uint64_t *offset, struct csv_line *out)
{
    if (*offset >= bytes)
        return false;
    const char *text = (const char *)data + *offset;
    size_t left = bytes - (size_t)*offset;
    const char *end = memchr(text, '\n', left);
    size_t length = end == NULL ? left : (size_t)(end - text);
    *out = (struct csv_line){text, length, *offset};
    if (length > 0 && text[length - 1] == '\r')
        out->length--;
    *offset += length + (end != NULL);
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\r' || c == '\t';
}

bool csv_line_blank(const struct csv_line *line)
{
    for (size_t i = 0; i < line->length; i++) {
        if (!is_blank(line->text[i]))
            return false;
    }
    return true;
}

char csv_line_separator(const struct csv_line *line)
{
    if (memchr(line->text, '\t', line->length) != NULL)
        return '\t';
    bool comma = memchr(line->text, ',', line->length) != NULL;
    return !comma && memchr(line->text, ';', line->length) != NULL ? ';' : ',';
}

size_t csv_line_columns(const struct csv_line *line, char separator)
{
    size_t columns = 1;
    for (size_t i = 0; i < line->length; i++)
        columns += line->text[i] == separator;
    return columns;
}

static struct csv_field trimmed(const char *text, size_t length)
{
    while (length > 0 && is_blank(text[0])) {
        text++;
        length--;
    }
    while (length > 0 && is_blank(text[length - 1]))
        length--;
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"')
        return (struct csv_field){text + 1, length - 2};
    return (struct csv_field){text, length};
}

bool csv_line_field(const struct csv_line *line, char separator, size_t *position,
                    struct csv_field *out)
{
    if (*position > line->length)
        return false;
    const char *start = line->text + *position;
    size_t left = line->length - *position;
    const char *end = left == 0 ? NULL : memchr(start, separator, left);
    size_t length = end == NULL ? left : (size_t)(end - start);
    *out = trimmed(start, length);
    *position += length + 1;
    return true;
}

bool csv_line_copy(const struct csv_field *field, char *text, size_t bytes)
{
    CHECK(bytes > 0);
    if (field->length >= bytes || (field->length > 0 && memchr(field->text, '\0', field->length)))
        return false;
    if (field->length > 0)
        memcpy(text, field->text, field->length);
    text[field->length] = '\0';
    return true;
}
