/* Writing of result.json; reading it back is in result_summary.c. */
#include "coordinator/job/result.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/platform.h"

/* jansson's *_set_new take the value whatever happens and fail on a NULL one, so a missing piece
 * anywhere surfaces as one `false` at the top. */

/* JSON has neither NAN nor infinity. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *hex(const struct digest *digest)
{
    char text[DIGEST_HEX_BYTES];
    digest_hex(digest, text);
    return json_string(text);
}

/* Paths may hold any bytes; JSON may not. */
static json_t *text_or_replaced(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL)
        return json;
    char copy[PATH_BYTES];
    size_t length = strnlen(text, sizeof copy - 1);
    for (size_t i = 0; i < length; i++)
        copy[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    copy[length] = '\0';
    return json_string(copy);
}

static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

/* By class, label or value. */
static json_t *per_class_json(const struct job *job, const struct score *score)
{
    json_t *object = json_object();
    bool all = object != NULL;
    for (size_t k = 0; k < score->classes && all; k++)
        all = set(object, job->data.classes[k], number(score->per_class[k]));
    if (all)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *confusion_json(const struct score *score)
{
    json_t *rows = json_array();
    bool all = rows != NULL;
    for (size_t i = 0; i < score->classes && all; i++) {
        json_t *row = json_array();
        all = json_array_append_new(rows, row) == 0;
        for (size_t k = 0; k < score->classes && all; k++)
            all = json_array_append_new(row, count(score->confusion[i * score->classes + k])) == 0;
    }
    if (all)
        return rows;
    json_decref(rows);
    return NULL;
}

static json_t *class_score_json(const struct job *job, const struct score *score)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "accuracy",
                     number(score->accuracy), "macro_f1", number(score->macro_f1), "top_5_accuracy",
                     number(score->top_5), "auc", number(score->auc), "calibration_error",
                     number(score->calibration_error), "per_class", per_class_json(job, score),
                     "samples", count(score->samples), "confusion", confusion_json(score));
}

static json_t *label_score_json(const struct job *job, const struct score *score)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "accuracy",
                     number(score->accuracy), "exact_match", number(score->exact_match), "macro_f1",
                     number(score->macro_f1), "micro_f1", number(score->micro_f1), "auc",
                     number(score->auc), "calibration_error", number(score->calibration_error),
                     "f1_per_label", per_class_json(job, score), "samples", count(score->samples));
}

static json_t *value_score_json(const struct job *job, const struct score *score)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "mae", number(score->mae), "rmse",
                     number(score->rmse), "r2", number(score->r2), "mae_per_value",
                     per_class_json(job, score), "samples", count(score->samples));
}

static json_t *score_json(const struct job *job, const struct score *score)
{
    if (score == NULL)
        return json_null();
    CHECK(score->classes == job->data.class_count);
    return score->task == DATA_REGRESSION   ? value_score_json(job, score)
           : score->task == DATA_MULTILABEL ? label_score_json(job, score)
                                            : class_score_json(job, score);
}

static json_t *seconds_json(const struct result *result)
{
    const struct job *job = result->job;
    json_t *stages = json_object();
    bool all = stages != NULL;
    for (size_t i = 0; i < job->stage_count && all; i++)
        all = set(stages, job->stages[i].name, number(result->stage_seconds[i]));
    if (!all) {
        json_decref(stages);
        return NULL;
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "stages", stages, "prepare",
                     number(result->prepare_seconds), "evaluate", number(result->evaluate_seconds),
                     "export", number(result->export_seconds), "total",
                     number(result->total_seconds));
}

static const char *criterion_name(enum select_kind kind)
{
    switch (kind) {
    case SELECT_LAST:
        return "last";
    case SELECT_SOURCE_VALIDATION:
        return "source_validation";
    case SELECT_INFORMATION:
        return "information";
    case SELECT_ENTROPY:
        return "entropy";
    }
    return "unknown";
}

static json_t *selection_json(const struct result *result)
{
    const struct job *job = result->job;
    json_t *object = json_object();
    bool all = object != NULL;
    for (size_t i = 0; i < job->stage_count && all; i++)
        all = set(object, job->stages[i].name,
                  json_pack("{s:s, s:o, s:o}", "criterion", criterion_name(job->stages[i].select),
                            "epoch", count(result->selected[i]), "score",
                            number(result->selected_score[i])));
    if (all)
        return object;
    json_decref(object);
    return NULL;
}

/* Loss per sample and norm of the term's gradient; null for a term without samples. */
static json_t *term_json(const double metrics[METRIC_COUNT])
{
    double samples = metrics[METRIC_SAMPLES];
    if (!(samples > 0))
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "loss", number(metrics[METRIC_LOSS] / samples),
                     "gradient_norm", number(sqrt(metrics[METRIC_GRADIENT_SQUARE])), "samples",
                     number(samples));
}

static json_t *terms_json(enum data_task task, const struct journal_epoch *epoch)
{
    static const char *const labelled[] = {[DATA_CLASSIFICATION] = "cross_entropy",
                                           [DATA_MULTILABEL] = "binary_cross_entropy",
                                           [DATA_REGRESSION] = "squared_error"};
    return json_pack("{s:o, s:o, s:o, s:o}", labelled[task], term_json(epoch->terms[TERM_LABELLED]),
                     "coral", term_json(epoch->terms[TERM_CORAL]), "information",
                     term_json(epoch->terms[TERM_INFORMATION]), "self_training",
                     term_json(epoch->terms[TERM_SELF_TRAINING]));
}

static json_t *epoch_json(const struct job *job, const struct journal_epoch *epoch)
{
    char validation[64];
    CHECK(epoch->stage < job->stage_count);
    snprintf(validation, sizeof validation, "source_validation_%s",
             score_main_name(job->data.task));
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "stage",
                     job->stages[epoch->stage].name, "epoch", count(epoch->epoch), "step",
                     count(epoch->step), "seconds", number(epoch->seconds), validation,
                     number(epoch->source_validation), "information", number(epoch->information),
                     "entropy", number(epoch->entropy), "score", number(epoch->score), "best",
                     (int)epoch->best, "pseudo_label_share", number(epoch->pseudo_share), "terms",
                     terms_json(job->data.task, epoch));
}

static json_t *epochs_json(const struct result *result)
{
    json_t *list = json_array();
    bool all = list != NULL;
    for (size_t i = 0; i < result->epoch_count && all; i++)
        all = json_array_append_new(list, epoch_json(result->job, &result->epochs[i])) == 0;
    if (all)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *unreadable_entry_json(const struct result_unreadable *entry)
{
    return json_pack("{s:o, s:o}", "path", text_or_replaced(entry->path), "reason",
                     text_or_replaced(entry->reason));
}

static json_t *unreadable_json(const struct result *result)
{
    json_t *list = json_array();
    bool all = list != NULL;
    for (size_t i = 0; i < result->unreadable_count && all; i++)
        all = json_array_append_new(list, unreadable_entry_json(&result->unreadable[i])) == 0;
    if (all)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *cluster_json(const struct result *result)
{
    const struct cluster_config *cluster = &result->job->cluster;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "workers", count(result->workers), "servers",
                     count(result->servers), "shards", count(cluster->shards), "threads",
                     count(cluster->threads), "platform", text_or_replaced(result->platform),
                     "messages_dropped", count(result->dropped));
}

static json_t *result_json(const struct result *result)
{
    const struct job *job = result->job;
    json_t *object = json_object();
    bool all = object != NULL && set(object, "format", json_string("graft result 1")) &&
               set(object, "version", json_string(GRAFT_VERSION)) &&
               set(object, "name", json_string(job->run.name)) &&
               set(object, "task", json_string(key_choice_name("data.task", job->data.task))) &&
               set(object, "seeds", json_pack("{s:o}", "run", count(job->run.seed))) &&
               set(object, "config_sha256", hex(&job->digest)) &&
               set(object, "weights_sha256", hex(&result->weights)) &&
               set(object, "model_sha256", hex(&result->model)) &&
               set(object, "domain", json_string(job->data.domains[result->domain].name)) &&
               set(object, "source_only", score_json(job, result->source_only)) &&
               set(object, "adapted", score_json(job, result->adapted)) &&
               set(object, "seconds", seconds_json(result)) &&
               set(object, "selection", selection_json(result)) &&
               set(object, "epochs", epochs_json(result)) &&
               set(object, "unreadable", unreadable_json(result)) &&
               set(object, "cluster", cluster_json(result));
    if (all)
        return object;
    json_decref(object);
    return NULL;
}

enum status result_write(const char *run_directory, const struct result *result, struct error *err)
{
    char path[PATH_BYTES];
    CHECK(result->domain < result->job->data.domain_count);
    enum status status = file_path(path, err, "%s/" RESULT_FILE, run_directory);
    if (status != OK)
        return status;
    json_t *json = result_json(result);
    char *text = json != NULL ? json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (text == NULL)
        return error_set(err, ERR_INPUT,
                         "%s: cannot be made: a class or stage name is not UTF-8, or no memory",
                         path);
    status = file_write(path, text, strlen(text), err);
    free(text);
    return status;
}

enum status result_print_score(FILE *to, const struct job *job, const struct score *score,
                               struct error *err)
{
    json_t *json = score_json(job, score);
    if (json == NULL)
        return error_set(err, ERR_INPUT, "a class name is not UTF-8, or no memory");
    bool written =
        json_dumpf(json, to, JSON_INDENT(1) | JSON_SORT_KEYS) == 0 && fputc('\n', to) != EOF;
    json_decref(json);
    return written ? OK : error_set(err, ERR_IO, "the score could not be written");
}
