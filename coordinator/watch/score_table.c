#include "coordinator/watch/score_table.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"

/* By task. */
static const char *const name_headings[] = {"class", "label (F1)", "value (MAE)"};
#define NAME_COLUMNS_MAX 40
#define REPLACEMENT 0xFFFDu

/* The code point at *at, which moves beyond it; REPLACEMENT for one byte that begins none (also
 * overlong forms and surrogates). */
static uint32_t next_character(const char **at)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *from = (const unsigned char *)*at;
    int more = from[0] < 0x80    ? 0
               : from[0] >= 0xF8 ? -1
               : from[0] >= 0xF0 ? 3
               : from[0] >= 0xE0 ? 2
               : from[0] >= 0xC0 ? 1
                                 : -1;
    uint32_t code = more <= 0 ? from[0] : from[0] & (0x3Fu >> more);
    (*at)++;
    for (int i = 1; i <= more; i++) {
        if ((from[i] & 0xC0) != 0x80) /* the terminating zero too */
            return REPLACEMENT;
        code = code << 6 | (from[i] & 0x3F);
    }
    if (more < 0 || code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return REPLACEMENT;
    *at += more;
    return code;
}

struct span {
    uint32_t first, last;
};

static bool is_in(uint32_t code, const struct span *spans, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (code >= spans[i].first && code <= spans[i].last)
            return true;
    return false;
}

/* The frequent blocks of Unicode's EastAsianWidth and of its combining marks; wcwidth() would need
 * the user's locale to be UTF-8. */
static size_t character_width(uint32_t code)
{
    static const struct span none[] = {{0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},
                                       {0x610, 0x61A},   {0x64B, 0x65F},   {0x200B, 0x200F},
                                       {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};
    static const struct span wide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},  {0x3041, 0xA4CF},
                                       {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},  {0xFE30, 0xFE6F},
                                       {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},  {0x1F300, 0x1F64F},
                                       {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};
    if (is_in(code, none, sizeof none / sizeof *none))
        return 0;
    return is_in(code, wide, sizeof wide / sizeof *wide) ? 2 : 1;
}

size_t score_table_width(const char *text)
{
    size_t width = 0;
    while (*text != '\0')
        width += character_width(next_character(&text));
    return width;
}

/* At most NAME_COLUMNS_MAX columns of `name`, then spaces up to `columns`. Control characters and
 * bytes that are not UTF-8 print as '?': a class name must not move the cursor. */
static void print_name(FILE *to, const char *name, size_t columns)
{
    size_t used = 0;
    while (*name != '\0') {
        const char *from = name;
        uint32_t code = next_character(&name);
        size_t width = character_width(code);
        if (used + width > columns)
            break;
        used += width;
        if (code < 0x20 || code == REPLACEMENT || (code >= 0x7F && code < 0xA0))
            fputc('?', to);
        else
            fwrite(from, 1, (size_t)(name - from), to);
    }
    fprintf(to, "%*s", (int)(columns - used), "");
}

static size_t name_columns(const struct score_table *table)
{
    size_t columns = strlen("all (accuracy)");
    for (size_t k = 0; k < table->class_count; k++) {
        size_t width = score_table_width(table->classes[k]);
        columns = width > columns ? width : columns;
    }
    return columns < NAME_COLUMNS_MAX ? columns : NAME_COLUMNS_MAX;
}

/* A share in percent, or an error as it is. */
static void print_number(FILE *to, enum data_task task, double number, bool sign)
{
    if (isnan(number))
        fprintf(to, "  %12s", "-");
    else if (task == DATA_REGRESSION)
        fprintf(to, sign ? "  %+12.5g" : "  %12.5g", number);
    else
        fprintf(to, sign ? "  %+10.1f %%" : "  %10.1f %%", 100 * number);
}

struct rows {
    FILE *to;
    enum data_task task;
    size_t columns; /* of names */
};

static void print_row(const struct rows *rows, const char *name, uint64_t samples, double before,
                      double after)
{
    print_name(rows->to, name, rows->columns);
    fprintf(rows->to, "  %8llu", (unsigned long long)samples);
    print_number(rows->to, rows->task, before, false);
    print_number(rows->to, rows->task, after, false);
    print_number(rows->to, rows->task, after - before, true);
    fputc('\n', rows->to);
}

static void print_whole(const struct rows *rows, const struct score *before,
                        const struct score *after)
{
    size_t n = after->samples;
    if (rows->task == DATA_REGRESSION) {
        print_row(rows, "all (MAE)", n, before->mae, after->mae);
        print_row(rows, "all (RMSE)", n, before->rmse, after->rmse);
        print_row(rows, "all (R²)", n, before->r2, after->r2);
        return;
    }
    print_row(rows, "all (accuracy)", n, before->accuracy, after->accuracy);
    print_row(rows, "all (macro F1)", n, before->macro_f1, after->macro_f1);
    if (rows->task == DATA_MULTILABEL)
        print_row(rows, "all (AUC)", n, before->auc, after->auc);
}

void score_table_print(FILE *to, const struct score_table *table)
{
    const struct score *before = table->source_only, *after = table->adapted;
    const struct rows rows = {to, after->task, name_columns(table)};
    CHECK(before->classes == table->class_count && after->classes == table->class_count);
    fprintf(to, "domain %s, test samples:\n", table->domain);
    print_name(to, name_headings[after->task], rows.columns);
    fprintf(to, "  %8s  %12s  %12s  %12s\n", "samples", "source only", "adapted", "change");
    for (size_t k = 0; k < table->class_count; k++)
        print_row(&rows, table->classes[k], after->support[k], before->per_class[k],
                  after->per_class[k]);
    print_whole(&rows, before, after);
    if (table->unreadable > 0)
        fprintf(to, "%zu unreadable sample%s left out; result.json lists them\n", table->unreadable,
                table->unreadable == 1 ? " was" : "s were");
}
