#include "common/data/scan.h"

#include <string.h>

#include "common/base/memory.h"
#include "common/data/manifest.h"

#define ROOM_FIRST 256

static bool move_to(void **array, size_t count, size_t room, size_t bytes)
{
    void *larger = memory_alloc(room, bytes);
    if (larger == NULL)
        return false;
    if (count > 0)
        memcpy(larger, *array, count * bytes);
    memory_free(*array);
    *array = larger;
    return true;
}

static enum status grow(struct scan *scan, struct error *err)
{
    if (scan->count < scan->room)
        return OK;
    if (scan->count >= MANIFEST_SAMPLES_MAX)
        return error_set(err, ERR_INPUT, "more than %zu samples in one source",
                         MANIFEST_SAMPLES_MAX);
    size_t room = scan->room == 0 ? ROOM_FIRST : 2 * scan->room;
    size_t target_bytes = scan->width * sizeof *scan->targets;
    void *entries = scan->entries, *paths = scan->paths, *targets = scan->targets;
    bool good = move_to(&entries, scan->count, room, sizeof *scan->entries);
    scan->entries = entries;
    good = good && move_to(&paths, scan->count, room, sizeof *scan->paths);
    scan->paths = paths;
    good = good && (target_bytes == 0 || move_to(&targets, scan->count, room, target_bytes));
    scan->targets = targets;
    if (!good)
        return error_set(err, ERR_MEMORY, "no memory for more than %zu samples", scan->count);
    scan->room = room;
    return OK;
}

enum status scan_add(struct scan *scan, uint64_t index, int32_t label, const char *path,
                     struct error *err)
{
    enum status status = grow(scan, err);
    if (status != OK)
        return status;
    char *copy = NULL;
    if (path != NULL && (copy = memory_dup_text(path, PATH_BYTES)) == NULL)
        return error_set(err, ERR_MEMORY, "no memory for more than %zu samples", scan->count);
    scan->entries[scan->count] = (struct scan_entry){index, label};
    scan->paths[scan->count] = copy;
    scan->count++;
    return OK;
}

void scan_deinit(struct scan *scan)
{
    for (size_t i = 0; i < scan->count && scan->paths != NULL; i++)
        memory_free(scan->paths[i]);
    memory_free(scan->entries);
    memory_free(scan->paths);
    memory_free(scan->targets);
    *scan = (struct scan){0};
}

enum status scan_map(const struct scan_request *request, struct file_map *map, struct error *err)
{
    enum status status = file_map(request->path, SCAN_FILE_BYTES_MAX, map, err);
    if (status == OK && map->bytes > 0)
        digest_add(request->content, map->data, map->bytes);
    return status;
}
