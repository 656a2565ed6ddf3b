/* graft-predict: answers of a trained network, as JSON lines. `graft predict` and `graft evaluate`
 * start it (graft help predict: its arguments). One thread of ours (oneDNN may use more); stops at the first error but an unreadable
 * sample. */
#include <cblas.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/base/platform.h"
#include "common/model/model.h"
#include "common/model/onnx/metadata.h"
#include "common/model/plan.h"
#include "common/tensor/softmax.h"
#include "worker/answer_json.h"
#include "worker/data/loader.h"
#include "worker/engine/trunk.h"
#include "worker/predict_job.h"

void omp_set_num_threads(int threads);

#define BATCH ((size_t)32)
#define TOP 5
struct options {
    const char *model;
    struct predict_inputs inputs; /* all of them */
    bool logits;
    int threads;
};

struct predictor {
    const struct options *options;
    char *note;
    struct model *model;
    struct plan *plan;
    struct trunk *trunk;
    float *logits; /* [BATCH, K] */
    size_t unreadable;
};

/* What one group of inputs needs. */
struct group {
    struct job *job;
    struct manifest *manifest;
    struct decoder *decoder;
    struct loader *loader;
};

/* ---- arguments ---- */

/* The value behind an option, *at moved to it; NULL: none there. */
static const char *value_of(int argc, char **argv, int *at)
{
    return *at + 1 < argc ? argv[++*at] : NULL;
}

static bool read_number(const char *text, double least, double most, double *out)
{
    char *end;
    if (text == NULL || (text[0] < '0' || text[0] > '9'))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && *out >= least && *out <= most;
}

/* WIDTHxHEIGHT or WIDTHxHEIGHTxCHANNELS */
static bool read_size(const char *text, struct predict_inputs *out)
{
    int used = 0;
    out->channels = 1;
    if (text == NULL || sscanf(text, "%5ux%5u%n", &out->width, &out->height, &used) != 2)
        return false;
    if (text[used] != '\0') {
        int more = 0;
        if (sscanf(text + used, "x%1u%n", &out->channels, &more) != 1 || text[used + more] != '\0')
            return false;
    }
    return out->width > 0 && out->height > 0 && (out->channels == 1 || out->channels == 3);
}

static bool read_valued(const char *option, const char *value, struct options *out)
{
    double number;
    if (strcmp(option, "--size") == 0)
        return read_size(value, &out->inputs);
    if (strcmp(option, "--value-max") == 0)
        return read_number(value, 1e-9, 1e9, &out->inputs.value_max);
    if (strcmp(option, "--threads") == 0 && read_number(value, 1, 256, &number)) {
        out->threads = (int)number;
        return true;
    }
    if (strcmp(option, "--label-column") == 0 && read_number(value, 0, 1 << 20, &number)) {
        out->inputs.label_column = (int)number;
        return true;
    }
    if (strcmp(option, "--text-column") == 0 && read_number(value, 0, 1 << 20, &number)) {
        out->inputs.text_column = (uint32_t)number;
        return true;
    }
    return false;
}

/* argv[1] is the model; the inputs move to the front of argv. */
static bool read_options(int argc, char **argv, struct options *out)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *out = (struct options){.threads = cores > 0 ? (int)cores : 1,
                            .inputs = {.paths = argv, .label_column = -1}};
    out->model = argc > 1 ? argv[1] : NULL;
    for (int i = 2; i < argc; i++) {
        const char *option = argv[i];
        if (option[0] != '-')
            argv[out->inputs.count++] = argv[i];
        else if (strcmp(option, "--labels") == 0)
            out->inputs.labelled = true;
        else if (strcmp(option, "--header") == 0)
            out->inputs.header = true;
        else if (strcmp(option, "--logits") == 0)
            out->logits = true;
        else if (!read_valued(option, value_of(argc, argv, &i), out))
            return false;
    }
    return out->inputs.count > 0;
}

/* ---- the network ---- */

/* The file's output becomes the boundary: everything is trunk. The new head behind it is unused. */
static enum status open_network(struct predictor *predictor, const struct job *job,
                                struct error *err)
{
    const struct model_config config = {
        .file = predictor->options->model, .cut = "", .pool = POOL_NONE};
    size_t classes = job->data.class_count;
    enum status status =
        model_open(&config, &job->data.preprocess, classes, &predictor->model, err);
    if (status == OK)
        status = plan_create(predictor->model, &(struct live_config){0}, &predictor->plan, err);
    if (status == OK && predictor->plan->boundary_elements != classes)
        status = error_set(err, ERR_INPUT, "%s: %zu outputs, its note names %zu classes",
                           predictor->options->model, predictor->plan->boundary_elements, classes);
    if (status == OK)
        status = trunk_create(predictor->plan, BATCH, &predictor->trunk, err);
    predictor->logits = memory_alloc(BATCH * classes, sizeof *predictor->logits);
    if (status == OK && predictor->logits == NULL)
        status = error_set(err, ERR_MEMORY, "no memory for answers");
    return status;
}

static void close_network(struct predictor *predictor)
{
    trunk_destroy(&predictor->trunk);
    plan_destroy(&predictor->plan);
    model_destroy(&predictor->model);
    memory_free(predictor->logits);
    memory_free(predictor->note);
}

/* ---- one line an answer ---- */

/* The most probable class of those not yet `taken`; the first of equals. NaN comes last. */
static size_t best_of(const float *logits, const bool *taken, size_t classes)
{
    size_t best = classes;
    for (size_t k = 0; k < classes; k++)
        if (!taken[k] && (best == classes || logits[k] > logits[best]))
            best = k;
    return best;
}

/* The TOP most probable classes, in order. */
static json_t *probabilities_json(const struct data_config *data, const float *logits)
{
    bool taken[JOB_CLASSES_MAX] = {false};
    json_t *object = json_object();
    double normaliser = softmax_log_normaliser(logits, data->class_count);
    for (size_t n = 0; n < TOP && n < data->class_count; n++) {
        size_t best = best_of(logits, taken, data->class_count);
        taken[best] = true;
        json_object_set_new(object, data->classes[best],
                            json_real(exp((double)logits[best] - normaliser)));
    }
    return object;
}

static json_t *logits_json(const float *logits, size_t count)
{
    json_t *list = json_array();
    for (size_t k = 0; k < count; k++)
        json_array_append_new(list, json_real((double)logits[k]));
    return list;
}

/* Names the sample: a picture by its path, a row of a file by its number too. */
static json_t *begin_line(const struct group *group, uint32_t id)
{
    const struct sample *sample = &group->manifest->samples[id];
    enum source_format format = group->job->data.domains[0].sources[sample->source].format;
    json_t *line = json_object();
    const char *path = manifest_path(group->manifest, group->job, id);
    json_t *name = json_string(path);
    json_object_set_new(line, "input", name != NULL ? name : json_string("(not UTF-8)"));
    if (format == FORMAT_IDX || format == FORMAT_CSV || format == FORMAT_TEXT) {
        uint32_t first = id;
        while (first > 0 && group->manifest->samples[first - 1].source == sample->source)
            first--;
        json_object_set_new(line, "row", json_integer((json_int_t)(id - first)));
    }
    return line;
}

static enum status end_line(json_t *line, struct error *err)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    json_decref(line);
    bool written = text != NULL && printf("%s\n", text) > 0;
    free(text);
    return written ? OK : error_set(err, ERR_IO, "the answer could not be written");
}

static enum status print_failure(struct predictor *predictor, const struct group *group,
                                 const struct loader_failure *failure, struct error *err)
{
    json_t *line = begin_line(group, failure->id);
    json_object_set_new(line, "error", json_string(failure->error.text));
    predictor->unreadable++;
    return end_line(line, err);
}

static void add_class(json_t *line, const struct data_config *data, const float *logits)
{
    json_t *probabilities = probabilities_json(data, logits);
    const char *best = json_object_iter_key(json_object_iter(probabilities));
    json_object_set_new(line, "class", best != NULL ? json_string(best) : json_null());
    json_object_set_new(line, "probabilities", probabilities);
}

/* What the input says itself: its class, or its targets in the order of the outputs. */
static void add_label(json_t *line, const struct group *group, uint32_t id)
{
    const struct data_config *data = &group->job->data;
    int32_t label = group->manifest->samples[id].label;
    if (label == LABEL_NONE)
        return;
    if (data->task == DATA_CLASSIFICATION)
        json_object_set_new(line, "label", json_string(data->classes[label]));
    else
        json_object_set_new(line, "targets",
                            logits_json(manifest_targets(group->manifest, id), data->class_count));
}

static enum status print_answer(const struct predictor *predictor, const struct group *group,
                                uint32_t id, const float *logits, struct error *err)
{
    const struct data_config *data = &group->job->data;
    json_t *line = begin_line(group, id);
    if (predictor->options->inputs.labelled)
        add_label(line, group, id);
    if (data->task == DATA_CLASSIFICATION)
        add_class(line, data, logits);
    else if (data->task == DATA_MULTILABEL)
        answer_json_labels(line, data, logits);
    else
        answer_json_values(line, data, logits);
    if (predictor->options->logits)
        json_object_set_new(line, "logits", logits_json(logits, data->class_count));
    return end_line(line, err);
}

/* ---- the inputs, group by group ---- */

static enum status answer_batch(struct predictor *predictor, struct group *group,
                                const struct loader_batch *batch, struct error *err)
{
    enum status status = trunk_run(predictor->trunk, batch->inputs, predictor->logits, err);
    size_t classes = group->job->data.class_count, failed = 0;
    for (size_t i = 0; i < batch->count && status == OK; i++)
        status = batch->valid[i] ? print_answer(predictor, group, batch->ids[i],
                                                predictor->logits + i * classes, err)
                                 : print_failure(predictor, group, &batch->failures[failed++], err);
    return status;
}

static bool submit(struct group *group, size_t from)
{
    const struct manifest *manifest = group->manifest;
    size_t left = manifest->part_count[0][SPLIT_TRAIN] - from;
    return loader_submit(group->loader, manifest->part[0][SPLIT_TRAIN] + from,
                         left < BATCH ? left : BATCH, 0);
}

static enum status answer_all(struct predictor *predictor, struct group *group, struct error *err)
{
    size_t count = group->manifest->part_count[0][SPLIT_TRAIN], submitted = 0;
    enum status status = OK;
    for (size_t at = 0; at < count && status == OK; at += BATCH) {
        struct loader_batch batch;
        while (submitted < count && submit(group, submitted))
            submitted += BATCH;
        status = loader_take(group->loader, &batch, err);
        if (status == OK)
            status = answer_batch(predictor, group, &batch, err);
    }
    return status;
}

static enum status open_group(struct predictor *predictor, const struct predict_inputs *inputs,
                              struct group *group, struct error *err)
{
    enum status status =
        predict_job_create(predictor->options->model, predictor->note, inputs, &group->job, err);
    if (status == OK && predictor->model == NULL)
        status = open_network(predictor, group->job, err);
    if (status == OK)
        status = manifest_build(group->job, MANIFEST_WORKER, &group->manifest, err);
    if (status == OK)
        status = decoder_open(group->job, group->manifest, predictor->model, &group->decoder, err);
    if (status == OK)
        status = loader_create(group->decoder, BATCH, &group->loader, err);
    return status;
}

static enum status answer_group(struct predictor *predictor, const struct predict_inputs *inputs,
                                struct error *err)
{
    struct group group = {0};
    enum status status = open_group(predictor, inputs, &group, err);
    if (status == OK)
        status = answer_all(predictor, &group, err);
    loader_destroy(&group.loader);
    decoder_close(&group.decoder);
    manifest_destroy(&group.manifest);
    job_destroy(&group.job);
    return status;
}

static enum status predict(struct predictor *predictor, struct error *err)
{
    const struct predict_inputs *all = &predictor->options->inputs;
    enum status status = onnx_metadata_read(predictor->options->model, &predictor->note, err);
    for (size_t at = 0; at < all->count && status == OK; at += JOB_SOURCES_MAX) {
        struct predict_inputs some = *all;
        some.paths += at;
        some.count = all->count - at < JOB_SOURCES_MAX ? all->count - at : JOB_SOURCES_MAX;
        status = answer_group(predictor, &some, err);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    struct error err = {0};
    platform_prepare(argv);
    if (!read_options(argc, argv, &options)) {
        fprintf(stderr, "graft predict: what is asked for is not clear; see graft help predict\n");
        return 2;
    }
    omp_set_num_threads(options.threads);
    openblas_set_num_threads(1);
    struct predictor predictor = {.options = &options};
    enum status status = predict(&predictor, &err);
    close_network(&predictor);
    if (status != OK)
        fprintf(stderr, "graft predict: %s\n", err.text);
    else if (predictor.unreadable > 0)
        fprintf(stderr, "graft predict: %zu of the inputs could not be read\n",
                predictor.unreadable);
    return status == OK && predictor.unreadable == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
