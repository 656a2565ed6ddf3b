/* Writing of checkpoints; reading is in checkpoint_read.c, the directory in checkpoint_shelf.c. */
#include "coordinator/job/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/platform.h"
#include "common/config/optimizer_states.h"
#include "common/tensor/safetensors.h"

struct digest checkpoint_weights_digest(const struct plan *plan, const float *live)
{
    struct digest_stream stream;
    digest_init(&stream);
    for (size_t i = 0; i < plan->tensor_count; i++) {
        const struct live_tensor *tensor = &plan->tensors[i];
        digest_add_text(&stream, tensor->name);
        digest_add(&stream, live + tensor->offset, tensor->elements * sizeof(float));
    }
    return digest_end(&stream);
}

enum status checkpoint_path(char out[PATH_BYTES], const char *run_directory, uint64_t step,
                            struct error *err)
{
    return file_path(out, err, "%s/checkpoints/step-%llu", run_directory, (unsigned long long)step);
}

bool checkpoint_state_name(char out[CHECKPOINT_NAME_BYTES], const char *state, const char *tensor)
{
    int length = snprintf(out, CHECKPOINT_NAME_BYTES, "%s.%s", state, tensor);
    return length > 0 && (size_t)length < CHECKPOINT_NAME_BYTES;
}

static struct safetensor live_safetensor(const struct live_tensor *tensor, const char *name,
                                         const float *vector)
{
    return (struct safetensor){name, DTYPE_F32, tensor->shape, vector + tensor->offset};
}

static enum status write_model(const char *path, const struct values *values, struct error *err)
{
    const struct plan *plan = values->plan;
    struct safetensor *tensors = memory_alloc(plan->tensor_count, sizeof *tensors);
    if (tensors == NULL)
        return error_set(err, ERR_MEMORY, "no memory to write %s", path);
    for (size_t i = 0; i < plan->tensor_count; i++)
        tensors[i] = live_safetensor(&plan->tensors[i], plan->tensors[i].name, values->live);
    enum status status = safetensors_write(path, tensors, plan->tensor_count, NULL, err);
    memory_free(tensors);
    return status;
}

static enum status write_optimizer(const char *path, const struct values *values,
                                   const struct optimizer_config *config, struct error *err)
{
    const struct plan *plan = values->plan;
    size_t n = plan->tensor_count, count = values->state_count * n;
    struct safetensor *tensors = memory_alloc(count, sizeof *tensors);
    char(*names)[CHECKPOINT_NAME_BYTES] = memory_alloc(count, sizeof *names);
    enum status status = OK;
    if (tensors == NULL || names == NULL)
        status = error_set(err, ERR_MEMORY, "no memory to write %s", path);
    for (size_t k = 0; k < count && status == OK; k++) {
        const struct live_tensor *tensor = &plan->tensors[k % n];
        if (!checkpoint_state_name(names[k], optimizer_state_name(config, k / n), tensor->name))
            status = error_set(err, ERR_INPUT, "tensor name %.60s… is too long", tensor->name);
        else
            tensors[k] = live_safetensor(tensor, names[k], values->states[k / n]);
    }
    if (status == OK)
        status = safetensors_write(path, tensors, count, NULL, err);
    memory_free(names);
    memory_free(tensors);
    return status;
}

static enum status write_epoch(const char *path, const struct values *values, struct error *err)
{
    struct safetensor tensors[2];
    size_t count = 0;
    if (values->metric_count > 0)
        tensors[count++] = (struct safetensor){
            CHECKPOINT_METRICS, DTYPE_F64, {1, {(int64_t)values->metric_count}}, values->metrics};
    if (values->label_count > 0)
        tensors[count++] = (struct safetensor){
            CHECKPOINT_LABELS, DTYPE_I32, {1, {(int64_t)values->label_count}}, values->labels};
    return safetensors_write(path, tensors, count, NULL, err);
}

/* "sha256" of one file just written, into the head. */
static enum status add_file_digest(json_t *head, const char *key, const char *path,
                                   struct error *err)
{
    struct digest digest;
    char hex[DIGEST_HEX_BYTES];
    enum status status = digest_of_file(path, &digest, err);
    if (status != OK)
        return status;
    digest_hex(&digest, hex);
    if (json_object_set_new(head, key, json_string(hex)) != 0)
        return error_set(err, ERR_MEMORY, "no memory for %s", path);
    return OK;
}

static json_t *head_json(const struct job *job, const struct values *values, uint64_t step)
{
    char config[DIGEST_HEX_BYTES], weights[DIGEST_HEX_BYTES];
    struct digest digest = checkpoint_weights_digest(values->plan, values->live);
    digest_hex(&digest, weights);
    digest_hex(&job->digest, config);
    return json_pack("{s:i, s:s, s:s, s:s, s:I, s:s, s:I, s:I, s:f, s:I, s:I}", "format",
                     CHECKPOINT_FORMAT, "version", GRAFT_VERSION, "config_sha256", config,
                     "weights_sha256", weights, "stage", (json_int_t)values->stage, "stage_name",
                     job->stages[values->stage].name, "epoch", (json_int_t)values->epoch,
                     "epoch_step", (json_int_t)values->epoch_step, "pseudo_label_share",
                     values->label_share, "stage_step", (json_int_t)values->stage_step, "step",
                     (json_int_t)step);
}

static enum status write_json(const char *path, const json_t *json, struct error *err)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (text == NULL)
        return error_set(err, ERR_MEMORY, "no memory to write %s", path);
    enum status status = file_write(path, text, strlen(text), err);
    free(text);
    return status;
}

/* The head comes last: it names the digests of the others. */
static enum status write_head(const char *folder, const char *model, const char *optimizer,
                              const char *epoch, const struct job *job, const struct values *values,
                              uint64_t step, struct error *err)
{
    char path[PATH_BYTES];
    enum status status = file_path(path, err, "%s/" CHECKPOINT_HEAD_FILE, folder);
    if (status != OK)
        return status;
    json_t *head = head_json(job, values, step);
    if (head == NULL)
        return error_set(err, ERR_MEMORY, "no memory to write %s", path);
    status = add_file_digest(head, "model_sha256", model, err);
    if (status == OK)
        status = add_file_digest(head, "optimizer_sha256", optimizer, err);
    if (status == OK)
        status = add_file_digest(head, "epoch_sha256", epoch, err);
    if (status == OK)
        status = write_json(path, head, err);
    json_decref(head);
    return status;
}

static enum status write_files(const char *folder, const struct job *job,
                               const struct values *values, uint64_t step, struct error *err)
{
    char model[PATH_BYTES], optimizer[PATH_BYTES], epoch[PATH_BYTES];
    enum status status = file_path(model, err, "%s/" CHECKPOINT_MODEL_FILE, folder);
    if (status == OK)
        status = file_path(optimizer, err, "%s/" CHECKPOINT_OPTIMIZER_FILE, folder);
    if (status == OK)
        status = file_path(epoch, err, "%s/" CHECKPOINT_EPOCH_FILE, folder);
    if (status == OK)
        status = file_make_directory(folder, err);
    if (status == OK)
        status = write_model(model, values, err);
    if (status == OK)
        status = write_optimizer(optimizer, values, &job->stages[values->stage].optimizer, err);
    if (status == OK)
        status = write_epoch(epoch, values, err);
    if (status == OK)
        status = write_head(folder, model, optimizer, epoch, job, values, step, err);
    return status;
}

/* A rename is safe only once its directory is; not every file system can sync one, so no error. */
static void sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* rename() does not go over a directory that is not empty: the old one steps aside first. Dying in
 * between leaves no step-N; the one before it then serves, and training repeats the same numbers.
 */
static enum status move_into_place(const char *aside, const char *path, struct error *err)
{
    char old[PATH_BYTES];
    enum status status = file_path(old, err, "%s.old", aside);
    if (status != OK)
        return status;
    bool replaces = rename(path, old) == 0;
    if ((!replaces && errno != ENOENT) || rename(aside, path) != 0) {
        int reason = errno;
        if (replaces && rename(old, path) != 0)
            return error_set(err, ERR_IO, "%s: %s; the older one is now %s", path, strerror(reason),
                             old);
        return error_set(err, ERR_IO, "%s: %s", path, strerror(reason));
    }
    if (replaces && file_remove_tree(old, NULL) != OK)
        log_event(LOG_WARN, "checkpoint_leftover", "path=%s",
                  old); /* checkpoint_prune tries again */
    return OK;
}

static enum status write_aside(const char *run_directory, const char *path, const char *aside,
                               const struct job *job, const struct values *values, uint64_t step,
                               struct error *err)
{
    char shelf[PATH_BYTES];
    enum status status = file_path(shelf, err, "%s/checkpoints", run_directory);
    if (status == OK)
        status = file_remove_tree(aside, err);
    if (status == OK)
        status = write_files(aside, job, values, step, err);
    if (status == OK)
        status = move_into_place(aside, path, err);
    if (status == OK)
        sync_directory(shelf);
    return status;
}

enum status checkpoint_write(const char *run_directory, const struct job *job,
                             const struct values *values, uint64_t step, char path_out[PATH_BYTES],
                             struct error *err)
{
    char path[PATH_BYTES], aside[PATH_BYTES];
    CHECK(values->stage < job->stage_count && step <= INT64_MAX);
    CHECK(values->state_count == optimizer_states(&job->stages[values->stage].optimizer));
    enum status status = checkpoint_path(path, run_directory, step, err);
    if (status == OK)
        status = file_path(aside, err, "%s.tmp-%ld", path, (long)getpid());
    if (status != OK)
        return status;
    status = write_aside(run_directory, path, aside, job, values, step, err);
    if (status != OK) {
        bool gone = file_remove_tree(aside, NULL) == OK;
        error_prefix(err, gone ? "checkpoint not written" : "checkpoint not written, rest left");
        return status;
    }
    if (path_out != NULL)
        memcpy(path_out, path, strlen(path) + 1);
    return OK;
}
