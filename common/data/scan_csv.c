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
    size_t columns;       /* that every line must have … */
    size_t label_columns; /* … of which these are no part of the sample */
    char separator;
    size_t number; /* of the line, from 1 */
};

/* Of the sample added last. */
static enum status read_labels(const struct csv_scan *csv, const struct csv_line *line)
{
    struct csv_field field;
    size_t position = 0, first = (size_t)csv->request->source->label_column;
    char text[LABEL_BYTES], where[PATH_BYTES + 32];
    enum status status = OK;
    snprintf(where, sizeof where, "%s:%zu", csv->request->path, csv->number);
    for (size_t column = 0; column < first + csv->label_columns && status == OK; column++) {
        if (!csv_line_field(line, csv->separator, &position, &field))
            break; /* can't happen: the columns were counted */
        if (column < first)
            continue;
        if (!csv_line_copy(&field, text, sizeof text))
            return error_set(csv->err, ERR_INPUT, "%s: label longer than %d bytes", where,
                             LABEL_BYTES - 1);
        status = scan_label(csv->request, csv->scan, column - first, text, where, csv->err);
    }
    return status;
}

static enum status scan_line(struct csv_scan *csv, const struct csv_line *line)
{
    csv->separator = csv_line_separator(line);
    size_t columns = csv_line_columns(line, csv->separator);
    if (columns != csv->columns)
        return error_set(csv->err, ERR_INPUT,
                         "%s:%zu: %zu columns, expected %zu (width x height x channels%s)",
                         csv->request->path, csv->number, columns, csv->columns,
                         csv->label_columns > 1    ? " and the targets"
                         : csv->label_columns == 1 ? " and the label"
                                                   : "");
    enum status status = scan_add(csv->scan, line->offset, LABEL_NONE, NULL, csv->err);
    return status == OK && csv->request->want_labels && csv->label_columns > 0
               ? read_labels(csv, line)
               : status;
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
    csv.label_columns = job_label_columns(request->data, source);
    csv.columns = (size_t)source->width * source->height * source->channels + csv.label_columns;
    struct file_map map;
    enum status status = scan_map(request, &map, err);
    if (status != OK)
        return status;
    status = scan_lines(&csv, &map);
    file_unmap(&map);
    return status;
}
