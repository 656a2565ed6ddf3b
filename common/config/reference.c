#include "common/config/reference.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/config/key_table.h"

static const char introduction[] =
    "# The job file\n\n"
    "<!-- Generated from common/config/key_table.c; a unit test compares. Do not edit. "
    "-->\n\n"
    "A job is one file in libconfig's syntax: `name = value;`, groups `name = { … };`, lists of "
    "groups\n"
    "`name = ( { … }, { … } );`, arrays `[1, 2]`, comments `#`, `//`, `/* */`. Every key can be\n"
    "overridden on the command line by `PATH=VALUE`, for example `cluster.workers=4`,\n"
    "`stages.[1].epochs=3` or, by the element's name, `stages.adapt.epochs=3`.\n\n"
    "A path that begins with `cache:` lies in the cache folder (`GRAFT_CACHE`, else "
    "`~/.cache/graft`)\n"
    "of the machine that opens it; any other relative path counts from the current directory.\n\n"
    "Keys marked ° do not change the result: jobs that differ only there have the same digest.\n";

static void print_heading(FILE *to, const struct key *key)
{
    fprintf(to, "\n## `%s`\n\n%s", key->path, key->help);
    if (key->type == KEY_LIST)
        fprintf(to, " A list of %zu to %zu groups.", key->count_least, key->count_most);
    fprintf(to, "\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
}

static void print_row(FILE *to, const struct key *key)
{
    char expected[256];
    key_expected(key, expected, sizeof expected);
    fprintf(to, "| `%s`%s | %s | ", key_name(key), key->flags & KEY_LOCAL ? " °" : "", expected);
    if (key->fallback == NULL)
        fprintf(to, "required");
    else
        fprintf(to, "`%s`", key->fallback);
    fprintf(to, " | %s |\n", key->help);
}

/* A group's own keys directly below its heading, in the table's order, before any inner group. */
static void print_section(FILE *to, const struct key *section)
{
    size_t count;
    const struct key *keys = key_table(&count);
    char schema[KEY_PATH_BYTES];
    snprintf(schema, sizeof schema, "%s%s", section->path, section->type == KEY_LIST ? "[]" : "");
    print_heading(to, section);
    for (size_t i = 0; i < count; i++) {
        if (key_is_child(&keys[i], schema) && keys[i].type != KEY_GROUP && keys[i].type != KEY_LIST)
            print_row(to, &keys[i]);
    }
}

enum status reference_print(int fd, struct error *err)
{
    int own = dup(fd);
    FILE *to = own < 0 ? NULL : fdopen(own, "w");
    if (to == NULL) {
        int reason = errno;
        if (own >= 0)
            close(own);
        return error_set(err, ERR_IO, "reference: %s", strerror(reason));
    }
    size_t count;
    const struct key *keys = key_table(&count);
    fputs(introduction, to);
    for (size_t i = 0; i < count; i++) {
        if (keys[i].type == KEY_GROUP || keys[i].type == KEY_LIST)
            print_section(to, &keys[i]);
    }
    int failed = ferror(to);
    if (fclose(to) != 0 || failed)
        return error_set(err, ERR_IO, "reference: %s", strerror(errno));
    return OK;
}
