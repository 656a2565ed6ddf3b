/* Reading of checkpoints: nothing is believed before its hash, name and shape have been compared.
 */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/config/optimizer_states.h"
#include "common/tensor/safetensors.h"
#include "coordinator/job/checkpoint.h"
#include "coordinator/job/document.h"

#define HEAD_BYTES_MAX ((size_t)1 << 20)

static enum status head_number(const json_t *head, const char *path, const char *key, uint64_t most,
                               uint64_t *out, struct error *err)
{
    const json_t *value = json_object_get(head, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > most)
        return error_set(err, ERR_INPUT, "%s: \"%s\" must be a number from 0 to %" PRIu64, path,
                         key, most);
    *out = (uint64_t)json_integer_value(value);
    return OK;
}

/* 64 hex digits, as digest_hex writes them. */
static enum status head_digest(const json_t *head, const char *path, const char *key,
                               struct digest *out, struct error *err)
{
    const char *text = json_string_value(json_object_get(head, key));
    size_t bytes = 0;
    if (text == NULL || strlen(text) != DIGEST_HEX_BYTES - 1 ||
        sodium_hex2bin(out->bytes, DIGEST_BYTES, text, DIGEST_HEX_BYTES - 1, NULL, &bytes, NULL) !=
            0 ||
        bytes != DIGEST_BYTES)
        return error_set(err, ERR_INPUT, "%s: \"%s\" must be a SHA-256 in hex", path, key);
    return OK;
}

static bool digests_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}

static enum status head_job(const json_t *head, const char *path, const struct job *job,
                            struct error *err)
{
    struct digest config;
    uint64_t format = 0;
    enum status status = head_number(head, path, "format", INT32_MAX, &format, err);
    if (status == OK && format != CHECKPOINT_FORMAT)
        return error_set(err, ERR_STATE, "%s: written in format %" PRIu64 ", this program reads %d",
                         path, format, CHECKPOINT_FORMAT);
    if (status == OK)
        status = head_digest(head, path, "config_sha256", &config, err);
    if (status == OK && !digests_equal(&config, &job->digest))
        return error_set(err, ERR_STATE,
                         "%s: belongs to another configuration; use the one it was made with",
                         path);
    return status;
}

static enum status parse_head(const json_t *head, const char *path, const struct job *job,
                              struct checkpoint_head *out, struct error *err)
{
    uint64_t stage = 0, epoch = 0, epoch_step = 0;
    struct checkpoint_head parsed = {0};
    enum status status = head_job(head, path, job, err);
    if (status == OK)
        status = head_number(head, path, "stage", job->stage_count - 1, &stage, err);
    if (status == OK)
        status = head_number(head, path, "epoch", job->stages[stage].epochs, &epoch, err);
    if (status == OK)
        status = head_number(head, path, "epoch_step", UINT32_MAX, &epoch_step, err);
    if (status == OK)
        status = head_number(head, path, "stage_step", INT64_MAX, &parsed.stage_step, err);
    if (status == OK)
        status = head_number(head, path, "step", INT64_MAX, &parsed.step, err);
    if (status == OK)
        status = head_digest(head, path, "weights_sha256", &parsed.weights, err);
    if (status != OK)
        return status;
    parsed.stage = (uint32_t)stage;
    parsed.epoch = (uint32_t)epoch;
    parsed.epoch_step = (uint32_t)epoch_step;
    *out = parsed;
    return OK;
}

enum status checkpoint_peek(const char *path, const struct job *job, struct checkpoint_head *out,
                            struct error *err)
{
    char file[PATH_BYTES];
    json_t *head = NULL;
    enum status status = file_path(file, err, "%s/" CHECKPOINT_HEAD_FILE, path);
    if (status == OK)
        status = document_read(file, HEAD_BYTES_MAX, "checkpoint", &head, err);
    if (status == OK)
        status = parse_head(head, file, job, out, err);
    json_decref(head);
    return status;
}

/* Opens FOLDER/NAME after comparing its digest with the head's. */
static enum status open_checked(const char *folder, const char *name, const json_t *head,
                                const char *key, struct safetensors **out, struct error *err)
{
    char path[PATH_BYTES];
    struct digest expected, found;
    enum status status = file_path(path, err, "%s/%s", folder, name);
    if (status == OK)
        status = head_digest(head, folder, key, &expected, err);
    if (status == OK)
        status = digest_of_file(path, &found, err);
    if (status == OK && !digests_equal(&expected, &found))
        status =
            error_set(err, ERR_INPUT, "%s: damaged: its SHA-256 is not the recorded one", path);
    return status == OK ? safetensors_open(path, out, err) : status;
}

static enum status take_tensor(const struct safetensors *file, const char *name, const char *folder,
                               const struct live_tensor *tensor, float *vector, struct error *err)
{
    const struct safetensor *found = safetensors_find(file, name);
    if (found == NULL || found->dtype != DTYPE_F32 || !shape_equal(&found->shape, &tensor->shape))
        return error_set(err, ERR_INPUT,
                         "%s: tensor %.100s is missing or has another shape than the model's",
                         folder, name);
    memcpy(vector + tensor->offset, found->data, tensor->elements * sizeof(float));
    return OK;
}

static enum status take_model(const char *folder, const json_t *head, struct values *values,
                              struct error *err)
{
    const struct plan *plan = values->plan;
    struct safetensors *file = NULL;
    enum status status =
        open_checked(folder, CHECKPOINT_MODEL_FILE, head, "model_sha256", &file, err);
    if (status == OK && safetensors_count(file) != plan->tensor_count)
        status = error_set(err, ERR_INPUT, "%s: %zu tensors, the stage has %zu live ones", folder,
                           safetensors_count(file), plan->tensor_count);
    for (size_t i = 0; i < plan->tensor_count && status == OK; i++)
        status =
            take_tensor(file, plan->tensors[i].name, folder, &plan->tensors[i], values->live, err);
    safetensors_close(&file);
    return status;
}

static enum status take_state(const struct safetensors *file, const char *folder, const char *state,
                              const struct plan *plan, float *vector, struct error *err)
{
    enum status status = OK;
    for (size_t i = 0; i < plan->tensor_count && status == OK; i++) {
        char name[CHECKPOINT_NAME_BYTES];
        if (!checkpoint_state_name(name, state, plan->tensors[i].name))
            return error_set(err, ERR_INPUT, "tensor name %.60s… is too long",
                             plan->tensors[i].name);
        status = take_tensor(file, name, folder, &plan->tensors[i], vector, err);
    }
    return status;
}

static enum status take_optimizer(const char *folder, const json_t *head,
                                  const struct optimizer_config *config, struct values *values,
                                  struct error *err)
{
    struct safetensors *file = NULL;
    enum status status =
        open_checked(folder, CHECKPOINT_OPTIMIZER_FILE, head, "optimizer_sha256", &file, err);
    size_t expected = values->state_count * values->plan->tensor_count;
    if (status == OK && safetensors_count(file) != expected)
        status = error_set(err, ERR_INPUT, "%s: %zu optimiser tensors, the stage has %zu", folder,
                           safetensors_count(file), expected);
    for (size_t i = 0; i < values->state_count && status == OK; i++)
        status = take_state(file, folder, optimizer_state_name(config, i), values->plan,
                            values->states[i], err);
    safetensors_close(&file);
    return status;
}

/* Elements of a vector in the epoch's file; 0: it is not there. */
static enum status vector_of(const struct safetensors *file, const char *folder, const char *name,
                             enum dtype dtype, const struct safetensor **out, struct error *err)
{
    const struct safetensor *found = safetensors_find(file, name);
    if (found != NULL && (found->dtype != dtype || found->shape.rank != 1))
        return error_set(err, ERR_INPUT, "%s: tensor %s is of another kind than expected", folder,
                         name);
    *out = found;
    return OK;
}

static size_t length_of(const struct safetensor *vector)
{
    return vector != NULL ? (size_t)vector->shape.dims[0] : 0;
}

/* Makes the values and fills in what belongs to the epoch. */
static enum status take_epoch(const char *folder, const json_t *head,
                              const struct checkpoint_head *parsed, const struct job *job,
                              const struct plan *plan, struct values **out, struct error *err)
{
    const struct safetensor *metrics = NULL, *labels = NULL;
    const json_t *share = json_object_get(head, "pseudo_label_share");
    struct safetensors *file = NULL;
    enum status status =
        open_checked(folder, CHECKPOINT_EPOCH_FILE, head, "epoch_sha256", &file, err);
    if (status == OK)
        status = vector_of(file, folder, CHECKPOINT_METRICS, DTYPE_F64, &metrics, err);
    if (status == OK)
        status = vector_of(file, folder, CHECKPOINT_LABELS, DTYPE_I32, &labels, err);
    if (status == OK && !json_is_real(share))
        status = error_set(err, ERR_INPUT, "%s: \"pseudo_label_share\" must be a number", folder);
    if (status == OK)
        status = values_create(
            plan, parsed->stage,
            (struct values_sizes){optimizer_states(&job->stages[parsed->stage].optimizer),
                                  length_of(metrics), length_of(labels)},
            out, err);
    if (status == OK) {
        (*out)->label_share = json_real_value(share);
        if (metrics != NULL)
            memcpy((*out)->metrics, metrics->data, length_of(metrics) * sizeof(double));
        if (labels != NULL)
            memcpy((*out)->labels, labels->data, length_of(labels) * sizeof(int32_t));
    }
    safetensors_close(&file);
    return status;
}

static enum status take_values(const char *folder, const json_t *head,
                               const struct checkpoint_head *parsed, const struct job *job,
                               const struct plan *plan, struct values **out, struct error *err)
{
    const struct optimizer_config *config = &job->stages[parsed->stage].optimizer;
    struct values *values = NULL;
    enum status status = take_epoch(folder, head, parsed, job, plan, &values, err);
    if (status == OK)
        status = take_model(folder, head, values, err);
    if (status == OK)
        status = take_optimizer(folder, head, config, values, err);
    if (status != OK) {
        values_destroy(&values);
        return status;
    }
    values->epoch = parsed->epoch;
    values->epoch_step = parsed->epoch_step;
    values->stage_step = parsed->stage_step;
    *out = values;
    return OK;
}

enum status checkpoint_read(const char *path, const struct job *job, const struct plan *plan,
                            struct values **out, struct checkpoint_head *head, struct error *err)
{
    char file[PATH_BYTES];
    json_t *json = NULL;
    struct checkpoint_head parsed;
    struct values *values = NULL;
    enum status status = file_path(file, err, "%s/" CHECKPOINT_HEAD_FILE, path);
    if (status == OK)
        status = document_read(file, HEAD_BYTES_MAX, "checkpoint", &json, err);
    if (status == OK)
        status = parse_head(json, file, job, &parsed, err);
    if (status == OK)
        status = take_values(path, json, &parsed, job, plan, &values, err);
    json_decref(json);
    if (status != OK)
        return status;
    struct digest weights = checkpoint_weights_digest(plan, values->live);
    if (!digests_equal(&weights, &parsed.weights)) {
        values_destroy(&values);
        return error_set(err, ERR_INPUT, "%s: its weights are not those that run.json names", path);
    }
    *out = values;
    if (head != NULL)
        *head = parsed;
    return OK;
}
