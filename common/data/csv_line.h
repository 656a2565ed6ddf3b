/* Lines and fields of separated text (CSV, TSV, list files) in mapped memory. Nothing is copied;
 * any thread. A field may stand in double quotes, but a separator inside quotes is not supported
 * (it counts as a separator). */
#ifndef GRAFT_COMMON_DATA_CSV_LINE_H
#define GRAFT_COMMON_DATA_CSV_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct csv_line {
    const char *text; /* without line end; not zero-terminated */
    size_t length;
    uint64_t offset; /* of the line in the data */
};

struct csv_field {
    const char *text; /* without surrounding blanks and quotes; not zero-terminated */
    size_t length;
};

/* The line at *offset, which moves behind it. False at the end of the data. */
bool csv_line_next(const uint8_t *data, size_t bytes, uint64_t *offset, struct csv_line *out);
/* Whether it holds nothing but blanks. */
bool csv_line_blank(const struct csv_line *line);
/* Tab if there is one, else semicolon if there is one and no comma, else comma. */
char csv_line_separator(const struct csv_line *line);
size_t csv_line_columns(const struct csv_line *line, char separator);

/* The next field of the line; *position starts at 0. False behind the last. */
bool csv_line_field(const struct csv_line *line, char separator, size_t *position,
                    struct csv_field *out);

/* Copies the field into text[bytes], zero-terminated; false when it does not fit or holds a zero
 * byte. */
bool csv_line_copy(const struct csv_field *field, char *text, size_t bytes);

#endif
