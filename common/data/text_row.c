#include "common/data/text_row.h"

#include <string.h>
#include <strings.h>

enum text_form text_row_form(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot != NULL && strcasecmp(dot, ".csv") == 0)
        return TEXT_COMMAS;
    return dot != NULL && strcasecmp(dot, ".tsv") == 0 ? TEXT_TABS : TEXT_LINES;
}

/* Behind the quote that closes the field whose quote opens at `at`; `bytes`: none does. */
static size_t closing(const char *text, size_t bytes, size_t at)
{
    while (++at < bytes) {
        if (text[at] != '"')
            continue;
        if (at + 1 == bytes || text[at + 1] != '"')
            return at + 1;
        at++;
    }
    return bytes;
}

/* Of the field at `at`: its separator, its line end, or `bytes`. */
static size_t field_end(enum text_form form, const char *text, size_t bytes, size_t at, bool *open)
{
    char separator = form == TEXT_COMMAS ? ',' : '\t';
    if (form == TEXT_COMMAS && at < bytes && text[at] == '"') {
        size_t from = at;
        at = closing(text, bytes, at);
        *open = at == bytes && (at == from + 1 || text[at - 1] != '"');
    }
    while (at < bytes && text[at] != '\n' && (form == TEXT_LINES || text[at] != separator))
        at++;
    return at;
}

bool text_row_next(enum text_form form, const void *data, size_t bytes, uint64_t *offset,
                   struct text_row *out)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* of byte order */
    const char *text = data;
    size_t begin = (size_t)*offset;
    if (begin == 0 && bytes >= sizeof mark && memcmp(text, mark, sizeof mark - 1) == 0)
        begin = sizeof mark - 1;
    if (begin >= bytes)
        return false;
    *out = (struct text_row){.text = text + begin, .offset = begin};
    size_t end = field_end(form, text, bytes, begin, &out->open);
    while (end < bytes && text[end] != '\n')
        end = field_end(form, text, bytes, end + 1, &out->open);
    out->length = end - begin;
    if (out->length > 0 && text[end - 1] == '\r')
        out->length--;
    *offset = end + (end < bytes);
    return true;
}

bool text_row_blank(const struct text_row *row)
{
    size_t i = 0;
    while (i < row->length && strchr(" \t\r", row->text[i]) != NULL && row->text[i] != '\0')
        i++;
    return i == row->length;
}

size_t text_row_copy(enum text_form form, const struct text_row *row, size_t column, char *out)
{
    size_t at = 0, used = 0;
    bool open = false;
    size_t end = field_end(form, row->text, row->length, 0, &open);
    for (; column > 0 && end < row->length; column--) {
        at = end + 1;
        end = field_end(form, row->text, row->length, at, &open);
    }
    if (column > 0)
        return SIZE_MAX;
    bool quoted = form == TEXT_COMMAS && at < end && row->text[at] == '"';
    for (size_t i = at + quoted; i < end; i++) {
        if (quoted && row->text[i] == '"' && (++i >= end || row->text[i] != '"'))
            break;
        out[used++] = row->text[i];
    }
    return used;
}
