#include "common/data/scan.h"

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/data/csv_line.h"
#include "common/data/manifest.h"

#define COLUMNS_MAX 3 /* path, label, domain */
#define FIELD_BYTES 4096

struct list_scan {
    const struct scan_request *request;
    struct scan *scan;
    struct error *err;
    char separator;
    int folder_length; /* of the list file's own folder, with its slash; 0 = the current one */
    char where[PATH_BYTES + 32];
};

/* A path in the list counts from the list file's folder. */
static enum status entry_path(const struct list_scan *list, const char *written,
                              char out[PATH_BYTES])
{
    if (written[0] == '\0')
        return error_set(list->err, ERR_INPUT, "%s: the path is empty", list->where);
    if (written[0] == '/')
        return file_path(out, list->err, "%s", written);
    return file_path(out, list->err, "%.*s%s", list->folder_length, list->request->path, written);
}

/* label: NULL when the line has none. */
static enum status add_row(struct list_scan *list, const char *written, const char *label)
{
    char path[PATH_BYTES];
    struct digest content;
    enum status status = entry_path(list, written, path);
    if (status == OK)
        status = scan_add(list->scan, list->scan->count, LABEL_NONE, path, list->err);
    if (status == OK && list->request->want_labels)
        status = scan_labels(list->request, list->scan, label, list->where, list->err);
    if (status != OK)
        return status;
    status = digest_of_file(path, &content, list->err);
    if (status != OK) {
        error_prefix(list->err, "%s", list->where);
        return status;
    }
    digest_add_text(list->request->content, written);
    digest_add(list->request->content, content.bytes, sizeof content.bytes);
    return OK;
}

static enum status scan_row(struct list_scan *list, const struct csv_line *line)
{
    struct csv_field fields[COLUMNS_MAX], extra;
    char path[PATH_BYTES], label[FIELD_BYTES] = "", domain[FIELD_BYTES] = "";
    size_t position = 0, count = 0;
    while (count < COLUMNS_MAX && csv_line_field(line, list->separator, &position, &fields[count]))
        count++;
    if (csv_line_field(line, list->separator, &position, &extra))
        return error_set(list->err, ERR_INPUT,
                         "%s: more than %d columns; expected path, label, domain", list->where,
                         COLUMNS_MAX);
    if (!csv_line_copy(&fields[0], path, sizeof path) ||
        (count > 1 && !csv_line_copy(&fields[1], label, sizeof label)) ||
        (count > 2 && !csv_line_copy(&fields[2], domain, sizeof domain)))
        return error_set(list->err, ERR_INPUT, "%s: a field is too long or holds a zero byte",
                         list->where);
    if (count > 2 && strcmp(domain, list->request->domain->name) != 0)
        return OK;
    return add_row(list, path, count > 1 ? label : NULL);
}

static enum status scan_rows(struct list_scan *list, const struct file_map *map)
{
    uint64_t offset = 0;
    size_t number = 0;
    bool first = true;
    struct csv_line line;
    enum status status = OK;
    while (status == OK && csv_line_next(map->data, map->bytes, &offset, &line)) {
        number++;
        if ((number == 1 && list->request->source->header) || csv_line_blank(&line))
            continue;
        if (first)
            list->separator = csv_line_separator(&line);
        first = false;
        snprintf(list->where, sizeof list->where, "%s:%zu", list->request->path, number);
        status = scan_row(list, &line);
    }
    return status;
}

enum status scan_list(const struct scan_request *request, struct scan *scan, struct error *err)
{
    struct list_scan list = {.request = request, .scan = scan, .err = err, .separator = ','};
    const char *slash = strrchr(request->path, '/');
    list.folder_length = slash == NULL ? 0 : (int)(slash - request->path + 1);
    struct file_map map;
    enum status status = file_map(request->path, SCAN_FILE_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    status = scan_rows(&list, &map);
    file_unmap(&map);
    return status;
}
