/* The nearest known word to a mistyped one, for "did you mean …?". Pure; words longer than
 * NEAREST_LENGTH_MAX are compared by their beginnings. */
#ifndef GRAFT_COMMON_CONFIG_NEAREST_H
#define GRAFT_COMMON_CONFIG_NEAREST_H

#include <stddef.h>

#define NEAREST_LENGTH_MAX 127

/* Edit distance (Levenshtein: insert, delete, replace; a swap of neighbours counts 1, optimal
 * string alignment). */
size_t nearest_distance(const char *a, const char *b);

/* The largest distance at which `word` still counts as a misspelling: a third of its length, at
 * least 1. */
size_t nearest_distance_max(const char *word);

/* Index of the nearest of `words` within nearest_distance_max(word), the first of equals; -1 when
 * none is near. */
int nearest_index(const char *word, const char *const *words, size_t count);

#endif
