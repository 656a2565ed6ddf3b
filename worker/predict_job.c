#include "worker/predict_job.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "common/config/job_text.h"

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcasecmp(text + length - tail, end) == 0;
}

static enum status fill_source(const struct predict_inputs *inputs, const char *path,
                               const struct preprocess_config *sample, struct source_config *out,
                               struct error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return error_set(err, ERR_INPUT, "%s: no such file or folder", path);
    out->path = path;
    out->split = SPLIT_TRAIN;
    out->format = FORMAT_FOLDER;
    if (job_is_text(sample)) {
        if (S_ISDIR(info.st_mode))
            return error_set(err, ERR_INPUT,
                             "%s: a folder; the model reads texts, from .csv, .tsv or lines", path);
        out->format = FORMAT_TEXT;
        out->header = inputs->header;
        out->label_column = inputs->label_column;
        out->text_column = inputs->text_column;
    } else if (!S_ISDIR(info.st_mode) && (ends_with(path, ".csv") || ends_with(path, ".tsv"))) {
        out->format = FORMAT_CSV;
        out->width = inputs->width > 0 ? inputs->width : sample->width;
        out->height = inputs->height > 0 ? inputs->height : sample->height;
        out->channels = inputs->channels > 0 ? inputs->channels : sample->channels;
        if (inputs->value_max > 0)
            out->value_max = inputs->value_max;
        out->header = inputs->header;
        out->label_column = inputs->label_column;
    } else if (!S_ISDIR(info.st_mode) && (ends_with(path, "-ubyte") || ends_with(path, ".idx"))) {
        out->format = FORMAT_IDX;
    } else if (!S_ISDIR(info.st_mode) && ends_with(path, ".list")) {
        out->format = FORMAT_LIST;
        out->header = inputs->header;
    }
    return OK;
}

static enum status fill_sources(const struct predict_inputs *inputs, struct job *job,
                                struct error *err)
{
    struct domain_config *domain = &job->data.domains[0];
    enum status status = OK;
    domain->labelled = inputs->labelled;
    for (size_t i = 0; i < inputs->count && status == OK; i++)
        status =
            fill_source(inputs, inputs->paths[i], &job->data.preprocess, &domain->sources[i], err);
    return status;
}

enum status predict_job_create(const char *model, const char *note,
                               const struct predict_inputs *inputs, struct job **out,
                               struct error *err)
{
    struct job *job = NULL;
    enum status status = job_text_open_note(note, inputs->count, &job, err);
    if (status == OK && job_is_text(&job->data.preprocess))
        job->data.preprocess.text.vocabulary = model;
    if (status == OK)
        status = fill_sources(inputs, job, err);
    if (status == OK)
        *out = job;
    else
        job_destroy(&job);
    return status;
}
