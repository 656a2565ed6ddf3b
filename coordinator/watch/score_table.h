/* The final table: per class (label, value) before and after adaptation, columns aligned for names in any script
 * (counted in characters, as wide as terminals show them). */
#ifndef GRAFT_COORDINATOR_WATCH_SCORE_TABLE_H
#define GRAFT_COORDINATOR_WATCH_SCORE_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "coordinator/job/scores.h"

struct score_table {
    const char *domain; /* that was evaluated */
    const char *const *classes;
    size_t class_count;
    const struct score *source_only, *adapted;
    size_t unreadable; /* samples of the run that could not be decoded */
};

void score_table_print(FILE *to, const struct score_table *table);

/* Columns that UTF-8 `text` takes: 0 for combining marks, 2 for East Asian wide ones, 1 for a byte
 * that is not UTF-8. */
size_t score_table_width(const char *text);

#endif
