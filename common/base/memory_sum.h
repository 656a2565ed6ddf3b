/* A sum of what a process needs, row by row, for people to read and limits to be checked against; and
 * what it has taken so far, as the system counts it. */
#ifndef GRAFT_COMMON_BASE_MEMORY_SUM_H
#define GRAFT_COMMON_BASE_MEMORY_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/error.h"

#define MEMORY_SUM_ROWS_MAX 64
#define MEMORY_MIB (1024.0 * 1024.0)

struct memory_row {
    char what[96];
    size_t bytes;
    bool in_turn; /* not at the same time as the others in turn: the largest counts */
};

struct memory_sum {
    struct memory_row rows[MEMORY_SUM_ROWS_MAX];
    size_t count;
};

/* At most MEMORY_SUM_ROWS_MAX rows (CHECKed). */
void memory_sum_add(struct memory_sum *sum, bool in_turn, size_t bytes, const char *format, ...)
    PRINTF_LIKE(4, 5);
size_t memory_sum_total(const struct memory_sum *sum);
/* `title`, the rows and the total in MiB. */
void memory_sum_print(const struct memory_sum *sum, const char *title, FILE *out);

/* Bytes of this process in physical memory now, and the most there ever were; 0: unknown. */
size_t memory_resident(void);
size_t memory_peak(void);

#endif
