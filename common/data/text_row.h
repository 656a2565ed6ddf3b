/* Rows and fields of a file of texts. Nothing is copied but a field; any thread. */
#ifndef GRAFT_COMMON_DATA_TEXT_ROW_H
#define GRAFT_COMMON_DATA_TEXT_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum text_form {
    TEXT_LINES, /* a line is the only field */
    TEXT_TABS,  /* fields between tabs, as they stand (TSV) */
    TEXT_COMMAS, /* RFC 4180: a field in double quotes may hold commas, line ends and doubled quotes */
};

struct text_row {
    const char *text; /* without line end; not zero-terminated */
    size_t length;
    uint64_t offset; /* of the row in the data */
    bool open;       /* a quote is not closed: the row goes on to the end of the data */
};

/* NAME.csv, NAME.tsv, or any other file. */
enum text_form text_row_form(const char *path);

/* The row at *offset, which moves behind it and its line end ("\n" or "\r\n"). False at the end of
 * the data. */
bool text_row_next(enum text_form form, const void *data, size_t bytes, uint64_t *offset,
                   struct text_row *out);
bool text_row_blank(const struct text_row *row);

/* Writes field `column` without its quotes into out[row->length] at most and returns its length;
 * SIZE_MAX: the row has no such field. */
size_t text_row_copy(enum text_form form, const struct text_row *row, size_t column, char *out);

#endif
