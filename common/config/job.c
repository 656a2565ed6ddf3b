#include "common/config/job.h"

#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/config/cfg_text.h"
#include "common/config/job_check.h"
#include "common/config/job_memory.h"
#include "common/config/job_reader.h"
#include "common/config/job_text.h"
#include "common/config/override.h"
#include "common/config/reference.h"

#define CACHE_PREFIX "cache:"

static enum status parse(config_t *tree, const char *where, const char *text, struct error *err)
{
    if (config_read_string(tree, text) == CONFIG_TRUE)
        return OK;
    return error_set(err, ERR_INPUT,
                     "%s:%d: %s; expected lines like name = value; with quotes around text", where,
                     config_error_line(tree), config_error_text(tree));
}

static enum status fill(struct job *job, const char *where, config_t *tree,
                        const char *const *overrides, size_t override_count, struct error *err)
{
    enum status status = OK;
    for (size_t i = 0; i < override_count && status == OK; i++)
        status = override_apply(tree, overrides[i], err);
    if (status == OK)
        status = job_reader_fill(job, where, tree, err);
    if (status == OK)
        status = job_check_all(job, where, tree, err);
    if (status == OK)
        status = job_text_resolve(job, err);
    return status;
}

enum status job_load(const char *path, const char *text, const char *const *overrides,
                     size_t override_count, struct job **out, struct error *err)
{
    CHECK(path != NULL || text != NULL);
    const char *where = path != NULL ? path : "job text";
    char *prepared = NULL;
    enum status status = path != NULL ? cfg_text_read(path, &prepared, err)
                                      : cfg_text_prepare(where, text, strlen(text), &prepared, err);
    if (status != OK)
        return status;
    struct job *job = memory_alloc(1, sizeof *job);
    config_t tree;
    config_init(&tree);
    if (job == NULL)
        status = error_set(err, ERR_MEMORY, "%s: no memory for the configuration", where);
    if (status == OK)
        status = parse(&tree, where, prepared, err);
    if (status == OK)
        status = fill(job, where, &tree, overrides, override_count, err);
    config_destroy(&tree);
    memory_free(prepared);
    if (status == OK)
        *out = job;
    else
        job_destroy(&job);
    return status;
}

void job_destroy(struct job **job)
{
    if (*job != NULL)
        job_memory_free_all(*job);
    memory_free(*job);
    *job = NULL;
}

enum status job_print_reference(int fd, struct error *err)
{
    return reference_print(fd, err);
}

enum status job_path(const char *path, char *out, struct error *err)
{
    size_t prefix = strlen(CACHE_PREFIX);
    if (strncmp(path, CACHE_PREFIX, prefix) != 0)
        return file_path(out, err, "%s", path);
    const char *cache = getenv("GRAFT_CACHE"), *home = getenv("HOME");
    if (cache != NULL && cache[0] != '\0')
        return file_path(out, err, "%s/%s", cache, path + prefix);
    if (home == NULL || home[0] == '\0')
        return error_set(err, ERR_INPUT,
                         "%s: set GRAFT_CACHE (or HOME) to say where the cache folder is", path);
    return file_path(out, err, "%s/.cache/graft/%s", home, path + prefix);
}

size_t job_label_columns(const struct data_config *data, const struct source_config *source)
{
    if (source->label_column < 0)
        return 0;
    return data->task == DATA_CLASSIFICATION ? 1 : data->class_count;
}

double job_labelled_loss(const struct data_config *data, const struct loss_config *losses)
{
    return data->task == DATA_REGRESSION ? losses->squared_error : losses->cross_entropy;
}

bool job_unsynchronised(const struct job *job)
{
    for (size_t i = 0; i < job->stage_count; i++)
        if (job->stages[i].mode != MODE_BSP)
            return true;
    return false;
}

bool job_feeds_back_errors(const struct stage_config *stage)
{
    return stage->compression.kind != COMPRESSION_NONE &&
           stage->compression.kind != COMPRESSION_INT8_STOCHASTIC;
}

bool job_clips(const struct job *job)
{
    for (size_t i = 0; i < job->stage_count; i++)
        if (job->stages[i].clip_norm > 0)
            return true;
    return false;
}

bool job_is_text(const struct preprocess_config *preprocess)
{
    return preprocess->text.vocabulary != NULL && preprocess->text.vocabulary[0] != '\0';
}

int job_domain_index(const struct job *job, const char *name)
{
    for (size_t i = 0; i < job->data.domain_count; i++) {
        if (strcmp(job->data.domains[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

int job_class_index(const struct job *job, const char *name)
{
    for (size_t i = 0; i < job->data.class_count; i++) {
        if (strcmp(job->data.classes[i], name) == 0)
            return (int)i;
    }
    return -1;
}
