/* `graft cache`: what the feature cache holds, and making it smaller. Safe beside running jobs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/config/key_table.h"
#include "common/data/cache_index.h"
#include "coordinator/cli/cli.h"

#define MIB (1024.0 * 1024.0)

struct totals {
    uint64_t bytes;
    size_t files;
};

static void print_entry(void *context, const struct cache_index_entry *entry)
{
    struct totals *totals = context;
    char used[32] = "?";
    time_t seconds = (time_t)(entry->used_ns / 1000000000);
    struct tm local;
    if (localtime_r(&seconds, &local) != NULL)
        strftime(used, sizeof used, "%Y-%m-%d %H:%M", &local);
    printf("%.12s  %-28s  %10.1f MiB  %s%s\n", entry->key, entry->name, (double)entry->bytes / MIB,
           used, entry->unfinished ? "  being written" : "");
    totals->bytes += entry->bytes;
    totals->files++;
}

static enum status list(struct error *err)
{
    struct totals totals = {0};
    enum status status = cache_index_list(print_entry, &totals, err);
    if (status == OK)
        printf("%zu files, %.1f MiB\n", totals.files, (double)totals.bytes / MIB);
    return status;
}

/* What a job keeps that says nothing of it. */
static uint64_t usual_bytes(void)
{
    const struct key *key = key_child("cache", "bytes_max");
    CHECK(key != NULL && key->fallback != NULL);
    return strtoull(key->fallback, NULL, 10);
}

static enum status prune(uint64_t bytes_max, struct error *err)
{
    struct cache_index_pruned pruned;
    enum status status = cache_index_prune(bytes_max, NULL, 0, &pruned, err);
    if (status == OK)
        printf("removed %zu files, %.1f MiB; kept %zu files, %.1f MiB of at most %.1f MiB\n",
               pruned.removed_count, (double)pruned.removed_bytes / MIB, pruned.kept_count,
               (double)pruned.kept_bytes / MIB, (double)bytes_max / MIB);
    return status;
}

static enum status read_limit(int argc, char **argv, uint64_t *out, struct error *err)
{
    *out = usual_bytes();
    if (argc == 2)
        return OK;
    if (argc != 4 || strcmp(argv[2], "--max-bytes") != 0)
        return error_set(err, ERR_INPUT, "prune takes --max-bytes N and nothing else");
    return cli_bytes(argv[3], out, err);
}

int cache_main(int argc, char **argv)
{
    struct error err = {0};
    enum status status;
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        status = list(&err);
    } else if (argc >= 2 && strcmp(argv[1], "prune") == 0) {
        uint64_t bytes_max = 0;
        if (read_limit(argc, argv, &bytes_max, &err) != OK)
            return cli_misuse(argv[0], &err);
        status = prune(bytes_max, &err);
    } else {
        error_set(&err, ERR_INPUT, "say list or prune");
        return cli_misuse(argv[0], &err);
    }
    return status == OK ? EXIT_SUCCESS : cli_fail(argv[0], &err);
}
