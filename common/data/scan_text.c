#include "common/data/scan.h"

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/data/manifest.h"
#include "common/data/text_row.h"

#define LABEL_BYTES 512

struct text_scan {
    const struct scan_request *request;
    struct scan *scan;
    struct error *err;
    enum text_form form;
    size_t line; /* the row's first, from 1 */
    char *field; /* [room] */
    size_t room;
};

static enum status make_room(struct text_scan *text, size_t bytes)
{
    if (bytes <= text->room)
        return OK;
    memory_free(text->field);
    text->room = 0;
    text->field = memory_alloc(2, bytes);
    if (text->field == NULL)
        return error_set(text->err, ERR_MEMORY, "%s:%zu: no memory for a row of %zu bytes",
                         text->request->path, text->line, bytes);
    text->room = 2 * bytes;
    return OK;
}

static enum status take_field(struct text_scan *text, const struct text_row *row, size_t column,
                              size_t *length)
{
    *length = text_row_copy(text->form, row, column, text->field);
    if (*length != SIZE_MAX)
        return OK;
    return error_set(text->err, ERR_INPUT, "%s:%zu: no column %zu (they count from 0)",
                     text->request->path, text->line, column);
}

static enum status read_label(struct text_scan *text, const struct text_row *row)
{
    size_t length;
    char name[LABEL_BYTES], where[PATH_BYTES + 32];
    int32_t column = text->request->source->label_column;
    if (column < 0 || !text->request->want_labels)
        return OK;
    enum status status = take_field(text, row, (size_t)column, &length);
    if (status != OK)
        return status;
    snprintf(where, sizeof where, "%s:%zu", text->request->path, text->line);
    if (length >= sizeof name || memchr(text->field, '\0', length) != NULL)
        return error_set(text->err, ERR_INPUT, "%s: the label is longer than %d bytes or no text",
                         where, LABEL_BYTES - 1);
    memcpy(name, text->field, length);
    name[length] = '\0';
    return scan_labels(text->request, text->scan, name, where, text->err);
}

static enum status scan_row(struct text_scan *text, const struct text_row *row)
{
    size_t length;
    if (row->open)
        return error_set(text->err, ERR_INPUT, "%s:%zu: a quote is not closed", text->request->path,
                         text->line);
    enum status status = make_room(text, row->length);
    if (status == OK)
        status = take_field(text, row, text->request->source->text_column, &length);
    if (status == OK)
        status = scan_add(text->scan, row->offset, LABEL_NONE, NULL, text->err);
    return status == OK ? read_label(text, row) : status;
}

static size_t count_lines(const struct text_row *row)
{
    size_t lines = 1;
    for (size_t i = 0; i < row->length; i++)
        lines += row->text[i] == '\n';
    return lines;
}

static enum status scan_rows(struct text_scan *text, const struct file_map *map)
{
    struct text_row row;
    uint64_t offset = 0;
    bool skip = text->request->source->header;
    enum status status = OK;
    for (text->line = 1;
         status == OK && text_row_next(text->form, map->data, map->bytes, &offset, &row);
         text->line += count_lines(&row)) {
        if (!skip && !text_row_blank(&row))
            status = scan_row(text, &row);
        skip = false;
    }
    return status;
}

enum status scan_text(const struct scan_request *request, struct scan *scan, struct error *err)
{
    struct text_scan text = {
        .request = request, .scan = scan, .err = err, .form = text_row_form(request->path)};
    struct file_map map;
    enum status status = scan_map(request, &map, err);
    if (status != OK)
        return status;
    status = scan_rows(&text, &map);
    memory_free(text.field);
    file_unmap(&map);
    return status;
}
