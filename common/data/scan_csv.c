#include "common/data/scan.h"

#include <stdio.h>

#include "common/base/file.h"
#include "common/data/csv_line.h"
#include "common/data/manifest.h"

#define LABEL_BYTES 512

struct csv_scan {
    const struct scan_request *request;
    struct scan *scan;
    struct error *err;
    size_t columns; /* that every line must have */
    char separator;
    size_t number; /* of the line, from 1 */
};

static enum status read_label(const struct csv_scan *csv, const struct csv_line *line,
                              int32_t *label)
{
    struct csv_field field = {line->text, 0};
    size_t position = 0;
    char text[LABEL_BYTES], where[PATH_BYTES + 32];
    for (int32_t column = 0; column <= csv->request->source->label_column; column++) {
        if (!csv_line_field(line, csv->separator, &position, &field))
            break; /* can't happen: the columns were counted */
    }
    snprintf(where, sizeof where, "%s:%zu", csv->request->path, csv->number);
    if (!csv_line_copy(&field, text, sizeof text))
        return error_set(csv->err, ERR_INPUT, "%s: label longer than %d bytes", where,
                         LABEL_BYTES - 1);
    return scan_label(csv->request, text, where, label, csv->err);
}

static enum status scan_line(struct csv_scan *csv, const struct csv_line *line)
{
    csv->separator = csv_line_separator(line);
    size_t columns = csv_line_columns(line, csv->separator);
    if (columns != csv->columns)
        return error_set(csv->err, ERR_INPUT,
                         "%s:%zu: %zu columns, expected %zu (width x height x channels%s)",
                         csv->request->path, csv->number, columns, csv->columns,
                         csv->request->source->label_column >= 0 ? " and the label" : "");
    int32_t label = LABEL_NONE;
    if (csv->request->want_labels && csv->request->source->label_column >= 0) {
        enum status status = read_label(csv, line, &label);
        if (status != OK)
            return status;
    }
    return scan_add(csv->scan, line->offset, label, NULL, csv->err);
}

static enum status scan_lines(struct csv_scan *csv, const struct file_map *map)
{
    uint64_t offset = 0;
    struct csv_line line;
    enum status status = OK;
    while (status == OK && csv_line_next(map->data, map->bytes, &offset, &line)) {
        csv->number++;
        if ((csv->number == 1 && csv->request->source->header) || csv_line_blank(&line))
            continue;
        status = scan_line(csv, &line);
    }
    return status;
}

enum status scan_csv(const struct scan_request *request, struct scan *scan, struct error *err)
{
    const struct source_config *source = request->source;
    struct csv_scan csv = {.request = request, .scan = scan, .err = err, .separator = ','};
    csv.columns =
        (size_t)source->width * source->height * source->channels + (source->label_column >= 0);
    struct file_map map;
    enum status status = file_map(request->path, SCAN_FILE_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    if (map.bytes > 0)
        digest_add(request->content, map.data, map.bytes);
    status = scan_lines(&csv, &map);
    file_unmap(&map);
    return status;
}
