#include "common/config/nearest.h"

#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t nearest_distance(const char *a, const char *b)
{
    size_t rows[3][NEAREST_LENGTH_MAX + 1]; /* rows i-2, i-1 and i of the table, by turns */
    size_t a_length = strnlen(a, NEAREST_LENGTH_MAX), b_length = strnlen(b, NEAREST_LENGTH_MAX);
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(row[j], least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

size_t nearest_distance_max(const char *word)
{
    size_t third = strlen(word) / 3;
    return third > 1 ? third : 1;
}

int nearest_index(const char *word, const char *const *words, size_t count)
{
    size_t best = nearest_distance_max(word) + 1;
    int index = -1;
    for (size_t i = 0; i < count; i++) {
        size_t distance = nearest_distance(word, words[i]);
        if (distance < best) {
            best = distance;
            index = (int)i;
        }
    }
    return index;
}
