#include "coordinator/watch/status.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"

static const char *phase_name(enum controller_phase phase)
{
    static const char *const names[] = {
        [PHASE_JOIN] = "join",       [PHASE_PREPARE] = "prepare", [PHASE_LOAD] = "load",
        [PHASE_PREDICT] = "predict", [PHASE_TRAIN] = "train",     [PHASE_SHOW] = "show",
        [PHASE_DONE] = "done",       [PHASE_STOPPED] = "stopped",
    };
    return names[phase];
}

static json_t *member_json(const struct cluster_member *member, const struct controller_view *view)
{
    int shards = 0;
    for (uint32_t s = 0; s < view->shards; s++)
        shards += view->shard_owners[s] == member->number;
    static const char *const states[] = {"joining", "ready", "leaving", "left", "dead"};
    return json_pack("{s:i, s:s, s:s, s:s, s:I, s:i, s:I, s:I}", "number", (int)member->number,
                     "role", member->role == ROLE_WORKER ? "worker" : "server", "state",
                     states[member->state], "host", member->host, "pid", (json_int_t)member->pid,
                     "shards", shards, "samples", (json_int_t)member->progress.samples, "dropped",
                     (json_int_t)member->progress.dropped);
}

char *status_json(const struct job *job, const struct controller_view *view)
{
    json_t *members = json_array();
    for (size_t i = 0; i < view->members->count; i++)
        json_array_append_new(members, member_json(&view->members->members[i], view));
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:i, s:o}", "name", job->run.name, "phase",
                  phase_name(view->phase), "stage", view->stage, "epoch", (int)view->epoch,
                  "epochs", (int)view->epochs, "done", (json_int_t)view->done, "total",
                  (json_int_t)view->total, "view", (int)view->view, "members", members);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    return text;
}

static enum status note_path(char out[PATH_BYTES], const char *run_directory, struct error *err)
{
    return file_path(out, err, "%s/endpoint", run_directory);
}

enum status status_note_write(const char *run_directory, const char *endpoint, uint64_t run,
                              const char *keys, struct error *err)
{
    char path[PATH_BYTES], text[STATUS_ENDPOINT_BYTES + 32 + PATH_BYTES];
    snprintf(text, sizeof text, "%s %016" PRIx64 "\n%s\n", endpoint, run, keys);
    mode_t before = umask(077);
    enum status status = note_path(path, run_directory, err);
    if (status == OK)
        status = file_write(path, text, strlen(text), err);
    umask(before);
    return status;
}

enum status status_note_read(const char *run_directory, struct status_note *out, struct error *err)
{
    struct status_note note = {0};
    char path[PATH_BYTES];
    enum status status = note_path(path, run_directory, err);
    if (status != OK)
        return status;
    FILE *file = fopen(path, "r");
    int got = file != NULL ? fscanf(file, "%127s %" SCNx64 "\n", note.endpoint, &note.run) : 0;
    if (got == 2 && fgets(note.keys, sizeof note.keys, file) != NULL)
        note.keys[strcspn(note.keys, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
    if (got != 2)
        return error_set(err, ERR_STATE, "no job is running in %s", run_directory);
    *out = note;
    return OK;
}

void status_note_remove(const char *run_directory)
{
    char path[PATH_BYTES];
    if (note_path(path, run_directory, NULL) == OK)
        unlink(path);
}
