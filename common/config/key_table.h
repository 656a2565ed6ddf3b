/* The key table: every key a job file may hold, with type, range, default, help and the place of
 * its value in struct job. Reading, overriding, writing and the reference manual all walk this one
 * table. Constant; any thread.
 *
 * A key's path joins names with dots; "[]" marks an element of a list:
 * "data.domains[].sources[].path". A group or list stands before its children. Offsets count from
 * the innermost list element's struct, else from struct job.
 */
#ifndef GRAFT_COMMON_CONFIG_KEY_TABLE_H
#define GRAFT_COMMON_CONFIG_KEY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_PATH_BYTES 96   /* of a table path; the longest has 41 */
#define KEY_NAME_BYTES 64   /* of a run, domain or stage name with its zero */
#define KEY_TEXT_BYTES 1024 /* of any other text with its zero */

enum key_type {
    KEY_GROUP,  /* { … } of further keys; has no value */
    KEY_LIST,   /* ( { … }, … ): structs of `size` bytes at a pointer, count at count_offset */
    KEY_WHOLE,  /* integer, signed or unsigned, of `size` bytes */
    KEY_REAL,   /* double */
    KEY_SWITCH, /* bool */
    KEY_TEXT,   /* const char * */
    KEY_CHOICE, /* one of `choices`, stored as its index in `size` bytes (an enum or a bool) */
    KEY_TEXTS,  /* array of text: const char ** and count */
    KEY_REALS,  /* number or array of numbers: double[] inside the struct and count; the last value
                   is repeated */
};

enum key_flag {
    KEY_LOCAL = 1, /* does not change the result: left out of the job's digest */
    KEY_NAME =
        2, /* letters, digits, '.', '_', '-', not beginning with '.'; becomes part of file names */
};

struct key {
    const char *path;
    enum key_type type;
    unsigned flags;
    size_t offset, size;
    size_t count_offset; /* list, texts, reals: of a size_t */
    double least, most;  /* of each number */
    size_t count_least, count_most;
    const char *fallback;       /* default as libconfig text; NULL: the key is required */
    const char *const *choices; /* NULL-terminated */
    const char *help;
};

const struct key *key_table(size_t *count);

/* Whether `key` is a direct child of the group or list element with table path `parent` ("" is the
 * file itself). */
bool key_is_child(const struct key *key, const char *parent);
/* Last name of the key's path. */
const char *key_name(const struct key *key);
/* The child of `parent` called `name`; NULL when there is none. */
const struct key *key_child(const char *parent, const char *name);

/* Name number `index` of a KEY_CHOICE, by its table path. */
const char *key_choice_name(const char *path, size_t index);

/* What a value must be, as text for people: "an integer from 1 to 64", "one of curve, none". */
void key_expected(const struct key *key, char *out, size_t bytes);

#endif
