/* From the text of a label to the number of its class. Immutable; any thread. */
#ifndef GRAFT_COMMON_DATA_LABEL_TABLE_H
#define GRAFT_COMMON_DATA_LABEL_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/config/job.h"

struct label_table;

/* Borrows the class names of `job`. Errors: ERR_MEMORY. */
enum status label_table_create(const struct job *job, struct label_table **out,
                               struct error *err) MUST_CHECK;
void label_table_destroy(struct label_table **table);

/* Number of classes. */
size_t label_table_size(const struct label_table *table);

/* The class called `text`. When no class name is itself a number, a number from 0 counts classes
 * too ("2" is the third): a numeric class name is never overruled. Errors: ERR_INPUT, one sentence
 * with the nearest class. */
enum status label_table_find(const struct label_table *table, const char *text, int32_t *label,
                             struct error *err) MUST_CHECK;

#endif
