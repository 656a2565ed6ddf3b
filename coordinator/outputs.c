#include "coordinator/outputs.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/config/job_text.h"
#include "common/model/onnx/writer.h"
#include "common/model/vocabulary.h"
#include "common/tensor/safetensors.h"
#include "coordinator/job/checkpoint.h"
#include "coordinator/job/result.h"
#include "coordinator/watch/picture.h"
#include "coordinator/watch/score_table.h"

struct work {
    const struct outputs *outputs;
    struct controller_outcome outcome;
    struct truth *truth; /* of the evaluated test split */
    float *live;         /* [live_elements] as exported */
    struct score *source_only, *adapted;
    double export_seconds;
    struct result_unreadable unreadable[1024];
    size_t unreadable_count;
};

static const uint32_t *test_ids(const struct work *work)
{
    return work->outputs->manifest->part[work->outcome.domain][SPLIT_TEST];
}

static enum status make_scores(struct work *work, struct error *err)
{
    enum status status = truth_create(work->outputs->job->data.task, work->outputs->manifest,
                                      work->outcome.domain, SPLIT_TEST, &work->truth, err);
    if (status == OK)
        status = score_create(work->outcome.source_only, work->truth, &work->source_only, err);
    if (status == OK)
        status = score_create(work->outcome.adapted, work->truth, &work->adapted, err);
    return status;
}

/* Of output k = w_k·h + b_k: w_k becomes deviation·w_k, b_k deviation·b_k + mean. */
static void scale_head(const struct live_tensor *tensor, const struct target_scale *scale,
                       float *values)
{
    bool bias = tensor->shape.rank == 1;
    size_t row = tensor->elements / (size_t)tensor->shape.dims[0];
    for (size_t i = 0; i < tensor->elements; i++) {
        const struct target_scale *of = &scale[i / row];
        values[i] = (float)(of->deviation * (double)values[i] + (bias ? of->mean : 0.0));
    }
}

/* The trained values; for regression with the new head's rows scaled, so that what leaves the run
 * answers in the targets' own units. */
static enum status make_live(struct work *work, struct error *err)
{
    const struct values *values = work->outcome.last;
    const struct plan *plan = values->plan;
    work->live = memory_alloc(plan->live_elements, sizeof *work->live);
    if (work->live == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu values", plan->live_elements);
    memcpy(work->live, values->live, plan->live_elements * sizeof *work->live);
    for (size_t i = 0; i < plan->tensor_count && work->outputs->manifest->scale != NULL; i++)
        if (!plan->tensors[i].pretrained)
            scale_head(&plan->tensors[i], work->outputs->manifest->scale,
                       work->live + plan->tensors[i].offset);
    return OK;
}

static enum status export_tensors(const struct work *work, const char *path, struct error *err)
{
    const struct plan *plan = work->outcome.last->plan;
    struct safetensor *tensors = memory_alloc(plan->tensor_count, sizeof *tensors);
    if (tensors == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu tensors", plan->tensor_count);
    for (size_t i = 0; i < plan->tensor_count; i++)
        tensors[i] = (struct safetensor){plan->tensors[i].name, DTYPE_F32, plan->tensors[i].shape,
                                         work->live + plan->tensors[i].offset};
    enum status status = safetensors_write(path, tensors, plan->tensor_count, NULL, err);
    memory_free(tensors);
    return status;
}

/* Logits (values) of the evaluated test split before and after, in manifest order, and the index that says
 * which sample each is (manifest.h): so that anybody can check the table, or another runtime. */
static enum status export_logits(const struct work *work, const char *path, struct error *err)
{
    size_t count = work->outcome.adapted->count, classes = work->outcome.adapted->classes;
    int64_t *index = memory_alloc(count, sizeof *index);
    if (index == NULL)
        return error_set(err, ERR_MEMORY, "no memory for %zu numbers", count);
    for (size_t i = 0; i < count; i++)
        index[i] = (int64_t)work->outputs->manifest->samples[test_ids(work)[i]].index;
    struct shape matrix = {2, {(int64_t)count, (int64_t)classes}}, vector = {1, {(int64_t)count}};
    struct safetensor tensors[] = {
        {"adapted", DTYPE_F32, matrix, work->outcome.adapted->logits},
        {"index", DTYPE_I64, vector, index},
        {"source_only", DTYPE_F32, matrix, work->outcome.source_only->logits},
    };
    enum status status =
        safetensors_write(path, tensors, sizeof tensors / sizeof *tensors, NULL, err);
    memory_free(index);
    return status;
}

static enum status read_vocabulary(const struct job *job, char **out, struct error *err)
{
    char path[PATH_BYTES];
    if (!job_is_text(&job->data.preprocess))
        return OK;
    enum status status = job_path(job->data.preprocess.text.vocabulary, path, err);
    return status == OK ? vocabulary_read(path, out, err) : status;
}

static enum status export_onnx(const struct work *work, const char *path, struct error *err)
{
    char *note = NULL, *vocabulary = NULL;
    enum status status = job_text_note(work->outputs->job, &note, err);
    if (status == OK)
        status = read_vocabulary(work->outputs->job, &vocabulary, err);
    const struct onnx_saving saving = {.note = note, .vocabulary = vocabulary};
    if (status == OK)
        status = model_export(work->outputs->model, work->outcome.last->plan, work->live, &saving,
                              path, err);
    free(note);
    memory_free(vocabulary);
    return status;
}

static enum status export_model(struct work *work, struct error *err)
{
    char path[PATH_BYTES];
    const struct outputs *outputs = work->outputs;
    double began = clock_seconds();
    enum status status = file_path(path, err, "%s/adapted.onnx", outputs->job->run.directory);
    if (status == OK)
        status = make_live(work, err);
    if (status == OK)
        status = export_onnx(work, path, err);
    if (status == OK)
        status = file_path(path, err, "%s/adapted.safetensors", outputs->job->run.directory);
    if (status == OK)
        status = export_tensors(work, path, err);
    if (status == OK)
        status = file_path(path, err, "%s/test.safetensors", outputs->job->run.directory);
    if (status == OK)
        status = export_logits(work, path, err);
    work->export_seconds = clock_seconds() - began;
    return status;
}

/* Position of a sample in the test split. */
static size_t test_position(const struct work *work, uint32_t id)
{
    size_t i = 0;
    while (test_ids(work)[i] != id)
        i++;
    return i;
}

static enum status draw_changes(const struct work *work, struct error *err)
{
    char path[PATH_BYTES];
    const struct controller_outcome *outcome = &work->outcome;
    struct picture_sample samples[CONTROLLER_SHOWN_MAX];
    if (outcome->shown_count == 0)
        return OK;
    for (size_t i = 0; i < outcome->shown_count; i++) {
        size_t at = test_position(work, outcome->shown[i]);
        samples[i] = (struct picture_sample){(uint32_t)predictions_class(outcome->source_only, at),
                                             (uint32_t)predictions_class(outcome->adapted, at),
                                             work->truth->labels[at]};
    }
    struct picture picture = {
        .pixels = outcome->pixels,
        .width = outcome->pixels_width,
        .height = outcome->pixels_height,
        .samples = samples,
        .count = outcome->shown_count,
        .classes = work->outputs->job->data.classes,
        .class_count = work->outputs->job->data.class_count,
    };
    enum status status = file_path(path, err, "%s/changes.png", work->outputs->job->run.directory);
    return status == OK ? picture_write(path, &picture, err) : status;
}

static void take_unreadable(void *context, uint32_t sample, const char *path, const char *reason)
{
    struct work *work = context;
    (void)path, (void)reason;
    if (work->unreadable_count < sizeof work->unreadable / sizeof *work->unreadable)
        work->unreadable[work->unreadable_count++] = (struct result_unreadable){
            manifest_path(work->outputs->manifest, work->outputs->job, sample),
            "could not be decoded; the workers' logs say why"};
}

static size_t count_ready(const struct membership *members, enum member_role role)
{
    size_t count = 0;
    for (size_t i = 0; i < members->count; i++)
        count += members->members[i].role == role && members->members[i].state != MEMBER_JOINED;
    return count;
}

static enum status write_result(struct work *work, struct error *err)
{
    const struct outputs *outputs = work->outputs;
    const struct controller_outcome *outcome = &work->outcome;
    const struct membership *members = controller_look(outputs->controller).members;
    enum status status = journal_unreadables(outputs->journal, take_unreadable, work, err);
    if (status != OK)
        return status;
    bool labelled = work->adapted->samples > 0;
    struct result result = {
        .job = outputs->job,
        .weights = checkpoint_weights_digest(outcome->last->plan, outcome->last->live),
        .model = outputs->model->digest,
        .domain = outcome->domain,
        .source_only = labelled ? work->source_only : NULL,
        .adapted = labelled ? work->adapted : NULL,
        .prepare_seconds = outcome->prepare_seconds,
        .evaluate_seconds = outcome->evaluate_seconds,
        .export_seconds = work->export_seconds,
        .total_seconds = outputs->total_seconds,
        .epochs = outputs->history->epochs,
        .epoch_count = outputs->history->count,
        .unreadable = work->unreadable,
        .unreadable_count = work->unreadable_count,
        .workers = count_ready(members, ROLE_WORKER),
        .servers = count_ready(members, ROLE_SERVER),
        .platform = members->count > 0 ? members->members[0].platform : "",
        .dropped = outputs->dropped,
    };
    memcpy(result.stage_seconds, outcome->stage_seconds, sizeof result.stage_seconds);
    memcpy(result.selected, outcome->selected, sizeof result.selected);
    memcpy(result.selected_score, outcome->selected_score, sizeof result.selected_score);
    return result_write(outputs->job->run.directory, &result, err);
}

static void print_times(const struct work *work, FILE *to)
{
    const struct controller_outcome *outcome = &work->outcome;
    fprintf(to, "\n");
    for (size_t i = 0; i < work->outputs->job->stage_count; i++)
        fprintf(to, "%-9s %6.1f s, epoch %u selected\n", work->outputs->job->stages[i].name,
                outcome->stage_seconds[i], outcome->selected[i]);
    fprintf(to, "evaluate  %6.1f s\ntotal     %6.1f s, of which %.1f s to prepare features\n",
            outcome->evaluate_seconds, work->outputs->total_seconds, outcome->prepare_seconds);
}

static void print_all(const struct work *work, FILE *to)
{
    const struct job *job = work->outputs->job;
    char hex[DIGEST_HEX_BYTES];
    struct digest weights =
        checkpoint_weights_digest(work->outcome.last->plan, work->outcome.last->live);
    digest_hex(&weights, hex);
    struct score_table table = {
        .domain = job->data.domains[work->outcome.domain].name,
        .classes = job->data.classes,
        .class_count = job->data.class_count,
        .source_only = work->source_only,
        .adapted = work->adapted,
        .unreadable = work->outcome.unreadable,
    };
    if (work->adapted->samples > 0)
        score_table_print(to, &table);
    else
        fprintf(to, "%s: nothing to score.\n",
                work->outcome.adapted->count > 0 ? "The test samples have no labels"
                                                 : "There are no test samples");
    print_times(work, to);
    fprintf(to, "\nweights   %s\nmodel     %s/adapted.onnx\nresult    %s/result.json\n", hex,
            job->run.directory, job->run.directory);
    if (work->outcome.shown_count > 0)
        fprintf(to, "picture   %s/changes.png\n", job->run.directory);
}

enum status outputs_write(const struct outputs *outputs, FILE *to, struct error *err)
{
    struct work *work = memory_alloc(1, sizeof *work);
    if (work == NULL)
        return error_set(err, ERR_MEMORY, "no memory for the results");
    work->outputs = outputs;
    work->outcome = controller_outcome(outputs->controller);
    enum status status = make_scores(work, err);
    if (status == OK)
        status = export_model(work, err);
    if (status == OK)
        status = draw_changes(work, err);
    if (status == OK)
        status = write_result(work, err);
    if (status == OK)
        print_all(work, to);
    score_destroy(&work->source_only);
    score_destroy(&work->adapted);
    truth_destroy(&work->truth);
    memory_free(work->live);
    memory_free(work);
    return status;
}
