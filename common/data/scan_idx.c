#include "common/data/scan.h"

#include "common/base/file.h"
#include "common/data/idx_header.h"
#include "common/data/manifest.h"

static enum status add_labelled(const struct scan_request *request, const char *path,
                                const struct file_map *map, struct scan *scan, struct error *err)
{
    struct idx_header header;
    enum status status = idx_header_labels(path, map, &header, err);
    if (status != OK)
        return status;
    if (header.count != scan->count)
        return error_set(err, ERR_INPUT, "%s: %u labels for the %zu pictures of %s", path,
                         header.count, scan->count, request->path);
    const uint8_t *labels = map->data + header.data_offset;
    size_t classes = label_table_size(request->labels);
    for (size_t i = 0; i < scan->count; i++) {
        if (labels[i] >= classes)
            return error_set(err, ERR_INPUT,
                             "%s: label %u of picture %zu, but data.classes has %zu (0 to %zu)",
                             path, labels[i], i, classes, classes - 1);
        scan->entries[i].label = labels[i];
    }
    return OK;
}

static enum status read_labels(const struct scan_request *request, struct scan *scan,
                               struct error *err)
{
    char path[PATH_BYTES];
    struct file_map map;
    enum status status = job_path(request->source->labels, path, err);
    if (status == OK)
        status = file_map(path, SCAN_FILE_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    status = add_labelled(request, path, &map, scan, err);
    file_unmap(&map);
    return status;
}

static enum status add_images(const struct scan_request *request, const struct file_map *map,
                              struct scan *scan, struct error *err)
{
    struct idx_header header;
    enum status status = idx_header_images(request->path, map, &header, err);
    if (status != OK)
        return status;
    digest_add(request->content, map->data, map->bytes);
    for (uint32_t i = 0; i < header.count && status == OK; i++)
        status = scan_add(scan, i, LABEL_NONE, NULL, err);
    return status;
}

enum status scan_idx(const struct scan_request *request, struct scan *scan, struct error *err)
{
    struct file_map map;
    enum status status = file_map(request->path, SCAN_FILE_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    status = add_images(request, &map, scan, err);
    file_unmap(&map);
    if (status == OK && request->want_labels && request->source->labels[0] != '\0')
        status = read_labels(request, scan, err);
    return status;
}
