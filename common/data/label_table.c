#include "common/data/label_table.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/config/nearest.h"

struct entry {
    const char *name;
    int32_t label;
};

struct label_table {
    const struct job *job;
    struct entry *entries; /* sorted by name */
    size_t count;
    bool by_number; /* no class name is a number */
};

static bool is_number(const char *text)
{
    size_t length = strspn(text, "0123456789");
    return length > 0 && length <= 9 && text[length] == '\0';
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    return strcmp(left->name, right->name);
}

enum status label_table_create(const struct job *job, struct label_table **out, struct error *err)
{
    struct label_table *table = memory_alloc(1, sizeof *table);
    if (table != NULL)
        table->entries = memory_alloc(job->data.class_count, sizeof *table->entries);
    if (table == NULL || table->entries == NULL) {
        label_table_destroy(&table);
        return error_set(err, ERR_MEMORY, "no memory for %zu classes", job->data.class_count);
    }
    table->job = job;
    table->count = job->data.class_count;
    table->by_number = true;
    for (size_t i = 0; i < table->count; i++) {
        table->entries[i] = (struct entry){job->data.classes[i], (int32_t)i};
        table->by_number = table->by_number && !is_number(job->data.classes[i]);
    }
    qsort(table->entries, table->count, sizeof *table->entries, compare_entries);
    *out = table;
    return OK;
}

void label_table_destroy(struct label_table **table)
{
    if (*table != NULL)
        memory_free((*table)->entries);
    memory_free(*table);
    *table = NULL;
}

static enum status unknown(const struct label_table *table, const char *text, struct error *err)
{
    int nearest = nearest_index(text, table->job->data.classes, table->count);
    if (nearest >= 0)
        return error_set(err, ERR_INPUT,
                         "'%.80s' is not among data.classes; the nearest is '%.80s'", text,
                         table->job->data.classes[nearest]);
    return error_set(err, ERR_INPUT, "'%.80s' is not among the %zu data.classes", text,
                     table->count);
}

enum status label_table_find(const struct label_table *table, const char *text, int32_t *label,
                             struct error *err)
{
    const struct entry wanted = {text, 0};
    const struct entry *found =
        bsearch(&wanted, table->entries, table->count, sizeof wanted, compare_entries);
    if (found != NULL) {
        *label = found->label;
        return OK;
    }
    long number = table->by_number && is_number(text) ? strtol(text, NULL, 10) : -1;
    if (number < 0 || (size_t)number >= table->count)
        return unknown(table, text, err);
    *label = (int32_t)number;
    return OK;
}

size_t label_table_size(const struct label_table *table)
{
    return table->count;
}
