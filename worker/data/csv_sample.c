#include "worker/data/csv_sample.h"

#include <math.h>
#include <stdlib.h>

#include "common/data/csv_line.h"

#define NUMBER_BYTES 64
#define WHITE 255.0

static enum status parse_number(const struct csv_field *field, size_t column, double *out,
                                struct error *err)
{
    char text[NUMBER_BYTES], *end;
    if (!csv_line_copy(field, text, sizeof text))
        return error_set(err, ERR_INPUT, "column %zu: not a number", column);
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value))
        return error_set(err, ERR_INPUT, "column %zu: '%s' is not a number", column, text);
    *out = value;
    return OK;
}

enum status csv_sample_parse(const struct source_config *source, size_t label_columns,
                             const char *line, size_t length, float *out, struct error *err)
{
    struct csv_line whole = {line, length, 0};
    struct csv_field field;
    char separator = csv_line_separator(&whole);
    size_t wanted = (size_t)source->width * source->height * source->channels;
    size_t columns = wanted + label_columns, first = (size_t)source->label_column;
    size_t position = 0, used = 0, column = 0;
    double factor = WHITE / source->value_max;
    if (csv_line_columns(&whole, separator) != columns)
        return error_set(err, ERR_STATE,
                         "changed since the manifest was made (%zu columns instead of %zu)",
                         csv_line_columns(&whole, separator), columns);
    for (; csv_line_field(&whole, separator, &position, &field); column++) {
        double value = 0;
        if (label_columns > 0 && column >= first && column < first + label_columns)
            continue;
        enum status status = parse_number(&field, column, &value, err);
        if (status != OK)
            return status;
        out[used++] = (float)(value * factor);
    }
    return OK;
}
