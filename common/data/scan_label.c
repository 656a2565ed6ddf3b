/* scan_label and scan_labels (scan.h): the text of labels and targets. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/data/manifest.h"
#include "common/data/scan.h"

#define NUMBER_BYTES 64
#define NAME_BYTES 512

static enum status missing(const struct scan_request *request, const char *where, struct error *err)
{
    return error_set(err, ERR_INPUT, "%s: no label, but domain '%s' is labelled", where,
                     request->domain->name);
}

static enum status find_class(const struct scan_request *request, const char *text,
                              const char *where, int32_t *out, struct error *err)
{
    enum status status = label_table_find(request->labels, text, out, err);
    if (status != OK)
        error_prefix(err, "%s: label", where);
    return status;
}

/* `name`: of the output that it is for. */
static enum status parse_target(const struct scan_request *request, const char *name,
                                const char *text, const char *where, float *out, struct error *err)
{
    char *end;
    double value = strtod(text, &end);
    if (request->data->task == DATA_MULTILABEL && (*end != '\0' || (value != 0 && value != 1)))
        return error_set(err, ERR_INPUT, "%s: '%.60s' for label '%.60s'; expected 0 or 1", where,
                         text, name);
    if (*end != '\0' || !isfinite((float)value))
        return error_set(err, ERR_INPUT, "%s: '%.60s' for '%.60s' is not a number", where, text,
                         name);
    *out = (float)value;
    return OK;
}

static float *last_targets(const struct scan *scan)
{
    return scan->targets + (scan->count - 1) * scan->width;
}

enum status scan_label(const struct scan_request *request, struct scan *scan, size_t k,
                       const char *text, const char *where, struct error *err)
{
    struct scan_entry *entry = &scan->entries[scan->count - 1];
    bool empty = text[0] == '\0';
    if (empty && request->domain->labelled)
        return missing(request, where, err);
    if (k > 0 && empty != (entry->label == LABEL_NONE))
        return error_set(err, ERR_INPUT, "%s: some targets are there and some are not", where);
    if (empty)
        return OK;
    if (request->data->task == DATA_CLASSIFICATION)
        return find_class(request, text, where, &entry->label, err);
    entry->label = 0;
    return parse_target(request, request->data->classes[k], text, where, last_targets(scan) + k,
                        err);
}

/* The text up to the next '|', and *at behind it; false at the end. */
static bool next_part(const char **at, char out[NAME_BYTES])
{
    if (*at == NULL)
        return false;
    size_t length = strcspn(*at, "|"), kept = length < NAME_BYTES ? length : NAME_BYTES - 1;
    memcpy(out, *at, kept);
    out[kept] = '\0';
    *at = (*at)[length] == '|' ? *at + length + 1 : NULL;
    return true;
}

static enum status read_names(const struct scan_request *request, struct scan *scan,
                              const char *text, const char *where, struct error *err)
{
    char name[NAME_BYTES];
    scan->entries[scan->count - 1].label = 0;
    for (const char *at = text[0] != '\0' ? text : NULL; next_part(&at, name);) {
        int32_t label;
        enum status status = find_class(request, name, where, &label, err);
        if (status != OK)
            return status;
        last_targets(scan)[label] = 1;
    }
    return OK;
}

static enum status read_numbers(const struct scan_request *request, struct scan *scan,
                                const char *text, const char *where, struct error *err)
{
    char part[NAME_BYTES];
    size_t count = 0;
    enum status status = OK;
    for (const char *at = text; status == OK && next_part(&at, part); count++)
        if (count < scan->width)
            status = scan_label(request, scan, count, part, where, err);
    if (status == OK && count != scan->width && text[0] != '\0')
        return error_set(err, ERR_INPUT, "%s: %zu numbers joined by '|', expected %zu", where,
                         count, scan->width);
    return status;
}

enum status scan_labels(const struct scan_request *request, struct scan *scan, const char *text,
                        const char *where, struct error *err)
{
    switch (request->data->task) {
    case DATA_CLASSIFICATION:
        return scan_label(request, scan, 0, text != NULL ? text : "", where, err);
    case DATA_MULTILABEL:
        if (text != NULL)
            return read_names(request, scan, text, where, err);
        return request->domain->labelled ? missing(request, where, err) : OK;
    case DATA_REGRESSION:
        return read_numbers(request, scan, text != NULL ? text : "", where, err);
    }
    return OK;
}
