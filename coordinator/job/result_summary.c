/* result_read_summary (result.h): a result file is somebody's file, and read as such. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "coordinator/job/document.h"
#include "coordinator/job/result.h"

static enum status result_path(const char *path, char out[PATH_BYTES], struct error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return file_path(out, err, "%s/" RESULT_FILE, path);
    return file_path(out, err, "%s", path);
}

static enum status take_text(const json_t *json, const char *key, size_t bytes, char *out,
                             struct error *err)
{
    const char *text = json_string_value(json_object_get(json, key));
    if (text == NULL || strlen(text) >= bytes)
        return error_set(err, ERR_INPUT, "\"%s\" is not a text of at most %zu bytes", key,
                         bytes - 1);
    memcpy(out, text, strlen(text) + 1);
    return OK;
}

/* A number, or NAN for null. */
static enum status take_number(const json_t *json, const char *key, double *out, struct error *err)
{
    const json_t *value = json_object_get(json, key);
    if (!json_is_number(value) && !json_is_null(value))
        return error_set(err, ERR_INPUT, "\"%s\" is not a number", key);
    *out = json_is_null(value) ? (double)NAN : json_number_value(value);
    return OK;
}

static enum status take_count(const json_t *json, const char *key, uint64_t *out, struct error *err)
{
    const json_t *value = json_object_get(json, key);
    if (!json_is_integer(value))
        return error_set(err, ERR_INPUT, "\"%s\" is not a whole number", key);
    *out = (uint64_t)json_integer_value(value);
    return OK;
}

static enum status take_score(const json_t *json, const char *key, bool regression,
                              double *accuracy, double *f1, size_t *samples, struct error *err)
{
    const json_t *score = json_object_get(json, key);
    uint64_t counted = 0;
    *accuracy = *f1 = NAN;
    if (json_is_null(score))
        return OK;
    enum status status = take_number(score, regression ? "mae" : "accuracy", accuracy, err);
    if (status == OK)
        status = take_number(score, regression ? "r2" : "macro_f1", f1, err);
    if (status == OK)
        status = take_count(score, "samples", &counted, err);
    if (status != OK) {
        error_prefix(err, "\"%s\"", key);
        return status;
    }
    *samples = (size_t)counted;
    return OK;
}

static enum status take_all(const json_t *json, struct result_summary *out, struct error *err)
{
    const json_t *seeds = json_object_get(json, "seeds"),
                 *seconds = json_object_get(json, "seconds");
    const char *task = json_string_value(json_object_get(json, "task")); /* older ones have none */
    out->regression = task != NULL && strcmp(task, "regression") == 0;
    enum status status = take_text(json, "name", sizeof out->name, out->name, err);
    if (status == OK)
        status = take_count(seeds, "run", &out->seed, err);
    if (status == OK)
        status = take_text(json, "config_sha256", sizeof out->config_hex, out->config_hex, err);
    if (status == OK)
        status = take_text(json, "weights_sha256", sizeof out->weights_hex, out->weights_hex, err);
    if (status == OK)
        status = take_score(json, "source_only", out->regression, &out->source_only,
                            &out->source_only_f1, &out->samples, err);
    if (status == OK)
        status = take_score(json, "adapted", out->regression, &out->adapted, &out->adapted_f1,
                            &out->samples, err);
    if (status == OK)
        status = take_number(seconds, "total", &out->total_seconds, err);
    return status;
}

enum status result_read_summary(const char *path, struct result_summary *out, struct error *err)
{
    char file[PATH_BYTES];
    json_t *json = NULL;
    struct result_summary summary = {0};
    enum status status = result_path(path, file, err);
    if (status == OK)
        status = document_read(file, RESULT_BYTES_MAX, "result", &json, err);
    if (status != OK)
        return status;
    status = take_all(json, &summary, err);
    json_decref(json);
    if (status != OK) {
        error_prefix(err, "%s: not a result", file);
        return status;
    }
    *out = summary;
    return OK;
}
