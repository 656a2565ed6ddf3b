#include "coordinator/job/document.h"

#include "common/base/file.h"

enum status document_read(const char *path, size_t bytes_max, const char *what, json_t **out,
                          struct error *err)
{
    struct file_map map;
    json_error_t reason;
    enum status status = file_map(path, bytes_max, &map, err);
    if (status != OK)
        return status;
    json_t *json = json_loadb((const char *)map.data, map.bytes, JSON_REJECT_DUPLICATES, &reason);
    file_unmap(&map);
    if (!json_is_object(json)) {
        json_decref(json);
        return error_set(err, ERR_INPUT, "%s: not a %s: no JSON object", path, what);
    }
    *out = json;
    return OK;
}
