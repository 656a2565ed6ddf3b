#include "common/data/scan.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/data/manifest.h"

/* Names in one directory, sorted bytewise so that every machine sees the same order. */
struct listing {
    char **names;
    size_t count, room;
};

static void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        memory_free(listing->names[i]);
    memory_free(listing->names);
    *listing = (struct listing){0};
}

static bool listing_add(struct listing *listing, const char *name)
{
    if (listing->count == listing->room) {
        size_t room = listing->room == 0 ? 64 : 2 * listing->room;
        char **names = memory_alloc(room, sizeof *names);
        if (names == NULL)
            return false;
        if (listing->count > 0)
            memcpy(names, listing->names, listing->count * sizeof *names);
        memory_free(listing->names);
        listing->names = names;
        listing->room = room;
    }
    char *copy = memory_dup_text(name, PATH_BYTES);
    if (copy == NULL)
        return false;
    listing->names[listing->count++] = copy;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Hidden entries (of file managers and version control) are left out. */
static enum status list(const char *path, struct listing *out, struct error *err)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    struct dirent *entry;
    bool good = true;
    while (good && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.')
            good = out->count < MANIFEST_SAMPLES_MAX && listing_add(out, entry->d_name);
    }
    closedir(directory);
    if (!good)
        return error_set(err, ERR_MEMORY, "%s: no memory for a folder of more than %zu entries",
                         path, out->count);
    if (out->count > 0)
        qsort(out->names, out->count, sizeof *out->names, compare_names);
    return OK;
}

static bool is_image(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcasecmp(name + length - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* One picture: `relative` is its path below the source's folder, the part of it that all machines
 * share. */
static enum status add_image(const struct scan_request *request, const char *relative,
                             int32_t label, struct scan *scan, struct error *err)
{
    char path[PATH_BYTES];
    struct digest content;
    enum status status = file_path(path, err, "%s/%s", request->path, relative);
    if (status == OK)
        status = digest_of_file(path, &content, err);
    if (status != OK)
        return status;
    digest_add_text(request->content, relative);
    digest_add(request->content, content.bytes, sizeof content.bytes);
    return scan_add(scan, scan->count, label, path, err);
}

/* The source is a picture itself. */
static enum status add_itself(const struct scan_request *request, struct scan *scan,
                              struct error *err)
{
    struct digest content;
    enum status status = digest_of_file(request->path, &content, err);
    if (status != OK)
        return status;
    digest_add(request->content, content.bytes, sizeof content.bytes);
    return scan_add(scan, scan->count, LABEL_NONE, request->path, err);
}

static enum status add_class(const struct scan_request *request, const char *name, int32_t label,
                             struct scan *scan, struct error *err)
{
    char path[PATH_BYTES];
    struct listing listing = {0};
    enum status status = file_path(path, err, "%s/%s", request->path, name);
    if (status == OK)
        status = list(path, &listing, err);
    for (size_t i = 0; i < listing.count && status == OK; i++) {
        char relative[PATH_BYTES];
        if (!is_image(listing.names[i]))
            continue;
        status = file_path(relative, err, "%s/%s", name, listing.names[i]);
        if (status == OK)
            status = add_image(request, relative, label, scan, err);
    }
    listing_free(&listing);
    return status;
}

/* A labelled domain: classes in the configured order; every folder must be a class. */
static enum status add_by_class(const struct scan_request *request, const struct listing *top,
                                struct scan *scan, struct error *err)
{
    size_t classes = label_table_size(request->labels);
    const char **folders = memory_alloc(classes, sizeof *folders);
    enum status status =
        folders == NULL ? error_set(err, ERR_MEMORY, "no memory for %zu classes", classes) : OK;
    for (size_t i = 0; i < top->count && status == OK; i++) {
        char path[PATH_BYTES];
        int32_t label;
        status = file_path(path, err, "%s/%s", request->path, top->names[i]);
        if (status == OK && !is_directory(path)) {
            if (is_image(top->names[i]))
                status = error_set(err, ERR_INPUT, "%s: a picture outside the class folders", path);
            continue;
        }
        if (status == OK && label_table_find(request->labels, top->names[i], &label, err) != OK)
            status = error_prefix(err, "%s: label", path);
        if (status == OK && folders[label] != NULL)
            status = error_set(err, ERR_INPUT, "%s: a second folder of class '%s'", path,
                               folders[label]);
        if (status == OK)
            folders[label] = top->names[i];
    }
    for (size_t i = 0; i < classes && status == OK; i++) {
        if (folders[i] != NULL)
            status = add_class(request, folders[i], (int32_t)i, scan, err);
    }
    memory_free(folders);
    return status;
}

/* An unlabelled domain: pictures at the top or one folder below, by name. Only the coordinator
 * takes a folder's name for a label, and only if it is a class. */
static enum status add_by_name(const struct scan_request *request, const struct listing *top,
                               struct scan *scan, struct error *err)
{
    enum status status = OK;
    for (size_t i = 0; i < top->count && status == OK; i++) {
        char path[PATH_BYTES];
        int32_t label = LABEL_NONE;
        status = file_path(path, err, "%s/%s", request->path, top->names[i]);
        if (status != OK)
            break;
        if (!is_directory(path)) {
            if (is_image(top->names[i]))
                status = add_image(request, top->names[i], LABEL_NONE, scan, err);
            continue;
        }
        if (request->want_labels && request->data->task == DATA_CLASSIFICATION &&
            label_table_find(request->labels, top->names[i], &label, NULL) != OK)
            label = LABEL_NONE;
        status = add_class(request, top->names[i], label, scan, err);
    }
    return status;
}

enum status scan_folder(const struct scan_request *request, struct scan *scan, struct error *err)
{
    struct listing top = {0};
    if (is_image(request->path) && !is_directory(request->path))
        return add_itself(request, scan, err);
    if (request->domain->labelled && request->data->task != DATA_CLASSIFICATION)
        return error_set(err, ERR_INPUT,
                         "%s: folders tell one class a sample, not what this model answers; use a "
                         "CSV or .list file",
                         request->path);
    enum status status = list(request->path, &top, err);
    if (status == OK)
        status = request->domain->labelled ? add_by_class(request, &top, scan, err)
                                           : add_by_name(request, &top, scan, err);
    listing_free(&top);
    return status;
}
