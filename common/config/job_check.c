#include "common/config/job_check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/config/job_memory.h"
#include "common/config/key_value.h"
#include "common/config/nearest.h"
#include "common/config/override.h"

#define INPUT_ELEMENTS_MAX ((uint64_t)1 << 24) /* of one sample: 64 MiB as float32 */
#define FRACTION_SLACK 1e-9

struct checked {
    struct job *job;
    const char *file;
    const config_t *tree;
    struct error *err;
};

static enum status refuse(const struct checked *c, const char *format, ...) PRINTF_LIKE(2, 3);

static enum status refuse(const struct checked *c, const char *format, ...)
{
    char sentence[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    return key_value_error(c->err, c->file, override_nearest(c->tree, sentence), "%s", sentence);
}

static enum status check_run(const struct checked *c)
{
    struct run_config *run = &c->job->run;
    const struct cluster_config *cluster = &c->job->cluster;
    if (run->directory[0] == '\0') {
        char directory[PATH_BYTES];
        snprintf(directory, sizeof directory, "runs/%s", run->name);
        run->directory = job_memory_dup_text(c->job, directory);
        if (run->directory == NULL)
            return error_set(c->err, ERR_MEMORY, "%s: no memory for the configuration", c->file);
    }
    if (cluster->bind[0] == '\0')
        return refuse(c, "cluster.bind: empty; \"127.0.0.1\" listens on this machine only");
    if (cluster->security_none && cluster->keys[0] != '\0')
        return refuse(c, "cluster.keys: given, but cluster.security is \"none\"");
    if (cluster->death_ms < 2 * (uint64_t)cluster->heartbeat_ms)
        return refuse(c, "cluster.death_ms: %u is less than two heartbeats of %u ms",
                      cluster->death_ms, cluster->heartbeat_ms);
    return OK;
}

static enum status check_hosts(const struct checked *c)
{
    for (size_t i = 0; i < c->job->cluster.host_count; i++) {
        const struct host_config *host = &c->job->cluster.hosts[i];
        if (host->login[0] == '\0' || host->login[0] == '-')
            return refuse(c, "cluster.hosts.[%zu].login: \"%.80s\" is no name of a host", i,
                          host->login);
        if (host->workers + host->servers == 0)
            return refuse(c, "cluster.hosts.[%zu]: %.80s has neither workers nor servers", i,
                          host->login);
    }
    return OK;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status check_classes(const struct checked *c)
{
    const struct data_config *data = &c->job->data;
    if (data->task == DATA_CLASSIFICATION && data->class_count < 2)
        return refuse(c, "data.classes: one class, and nothing to tell it from");
    const char **sorted = memory_alloc(data->class_count, sizeof *sorted);
    if (sorted == NULL)
        return error_set(c->err, ERR_MEMORY, "%s: no memory for the configuration", c->file);
    memcpy(sorted, data->classes, data->class_count * sizeof *sorted);
    qsort(sorted, data->class_count, sizeof *sorted, compare_text);
    enum status status = OK;
    for (size_t i = 0; i < data->class_count && status == OK; i++) {
        if (sorted[i][0] == '\0')
            status = refuse(c, "data.classes: a class name is empty");
        else if (strchr(sorted[i], '/') != NULL)
            status =
                refuse(c, "data.classes: \"%.80s\" holds '/', which no folder name can", sorted[i]);
        else if (data->task == DATA_MULTILABEL && strchr(sorted[i], '|') != NULL)
            status = refuse(c, "data.classes: \"%.80s\" holds '|', which joins labels in lists",
                            sorted[i]);
        else if (i > 0 && strcmp(sorted[i - 1], sorted[i]) == 0)
            status = refuse(c, "data.classes: \"%.80s\" stands there twice", sorted[i]);
    }
    memory_free(sorted);
    return status;
}

static enum status check_preprocess(const struct checked *c)
{
    const struct preprocess_config *p = &c->job->data.preprocess;
    if (!job_is_text(p) && (p->width == 0 || p->height == 0))
        return refuse(c, "data.preprocess.%s: missing; only texts (data.preprocess.text) need none",
                      p->width == 0 ? "width" : "height");
    if (job_is_text(p) && p->width + p->height > 0)
        return refuse(c, "data.preprocess: texts have no width and height; leave them out");
    if (job_is_text(p) && c->job->model.file[0] == '\0')
        return refuse(c, "data.preprocess.text: texts need a network, but model.file is empty");
    if ((uint64_t)p->width * p->height * p->channels > INPUT_ELEMENTS_MAX)
        return refuse(c, "data.preprocess: %u x %u x %u numbers a sample, the limit is %llu",
                      p->width, p->height, p->channels, (unsigned long long)INPUT_ELEMENTS_MAX);
    if (p->mean_count != 1 && p->mean_count != p->channels)
        return refuse(c, "data.preprocess.mean: %zu numbers for %u channels; give 1 or %u",
                      p->mean_count, p->channels, p->channels);
    if (p->std_count != 1 && p->std_count != p->channels)
        return refuse(c, "data.preprocess.std: %zu numbers for %u channels; give 1 or %u",
                      p->std_count, p->channels, p->channels);
    return OK;
}

static enum status check_augment(const struct checked *c)
{
    const struct augment_config *a = &c->job->data.augment;
    bool changes = a->crop > 0 || a->flip || a->jitter > 0 || a->erase > 0;
    if (a->variants > 1 && job_is_text(&c->job->data.preprocess))
        return refuse(c, "data.augment.variants: %u, but texts are not changed", a->variants);
    if (changes && a->variants == 1)
        return refuse(c, "data.augment: variants is 1, so nothing is ever changed; set it to 2 or "
                         "more");
    if (!changes && a->variants > 1)
        return refuse(c, "data.augment.variants: %u, but crop, flip, jitter and erase are all off",
                      a->variants);
    return OK;
}

static enum status check_csv(const struct checked *c, const struct source_config *s,
                             const char *where)
{
    uint64_t pixels = (uint64_t)s->width * s->height * s->channels;
    uint32_t wanted = c->job->data.preprocess.channels;
    if (pixels == 0)
        return refuse(
            c,
            "%s: csv needs width and height (for plain numbers: width = their count, height = 1)",
            where);
    if (pixels > INPUT_ELEMENTS_MAX)
        return refuse(c, "%s: %llu columns, the limit is %llu", where, (unsigned long long)pixels,
                      (unsigned long long)INPUT_ELEMENTS_MAX);
    if (s->label_column > 0 && (uint64_t)s->label_column > pixels)
        return refuse(c, "%s.label_column: %d, but a line has the columns 0 to %llu", where,
                      s->label_column, (unsigned long long)pixels);
    if (s->channels != wanted && !(s->channels == 1 && wanted == 3) &&
        !(s->channels == 3 && wanted == 1))
        return refuse(c, "%s.channels: %u can't become the %u channels of data.preprocess", where,
                      s->channels, wanted);
    return OK;
}

/* Where the targets of multilabel and regression may come from. */
static enum status check_targets(const struct checked *c, const struct domain_config *domain,
                                 const struct source_config *s, const char *where)
{
    if (c->job->data.task == DATA_CLASSIFICATION || s->format == FORMAT_CSV ||
        s->format == FORMAT_LIST || s->format == FORMAT_TEXT)
        return OK;
    if (domain->labelled)
        return refuse(c,
                      "%s.format: %s of a labelled domain tell one class a sample; for this "
                      "data.task use csv, list or text",
                      where, s->format == FORMAT_IDX ? "idx files" : "folders");
    if (s->labels[0] != '\0')
        return refuse(c, "%s.labels: idx labels are classes, not what this data.task asks for",
                      where);
    return OK;
}

/* All sources are texts, or none. */
static enum status check_text(const struct checked *c, const struct source_config *s,
                              const char *where)
{
    if (s->format != FORMAT_TEXT)
        return refuse(c, "%s.format: data.preprocess.text has a vocabulary: all are \"text\"",
                      where);
    if (!job_is_text(&c->job->data.preprocess))
        return refuse(c, "%s: texts need data.preprocess.text.vocabulary, a vocab.txt", where);
    if (s->label_column == (int32_t)s->text_column)
        return refuse(c, "%s.label_column: %d is the text's column", where, s->label_column);
    return OK;
}

static enum status check_source(const struct checked *c, const struct domain_config *domain,
                                size_t index)
{
    const struct source_config *s = &domain->sources[index];
    uint32_t wanted = c->job->data.preprocess.channels;
    bool texts = job_is_text(&c->job->data.preprocess);
    char where[160];
    snprintf(where, sizeof where, "data.domains.%s.sources.[%zu]", domain->name, index);
    if (s->path[0] == '\0')
        return refuse(c, "%s.path: empty", where);
    if (s->labels[0] != '\0' && s->format != FORMAT_IDX)
        return refuse(c, "%s.labels: only idx has a labels file", where);
    if (s->label_column >= 0 && s->format != FORMAT_CSV && s->format != FORMAT_TEXT)
        return refuse(c, "%s.label_column: only csv and text have label columns", where);
    if (check_targets(c, domain, s, where) != OK)
        return ERR_INPUT;
    if (domain->labelled && s->format == FORMAT_IDX && s->labels[0] == '\0')
        return refuse(c, "%s.labels: missing, and domain '%s' is labelled", where, domain->name);
    if (domain->labelled && (s->format == FORMAT_CSV || s->format == FORMAT_TEXT) &&
        s->label_column < 0)
        return refuse(c, "%s.label_column: missing, and domain '%s' is labelled", where,
                      domain->name);
    if (texts || s->format == FORMAT_TEXT)
        return check_text(c, s, where);
    if (s->format == FORMAT_CSV)
        return check_csv(c, s, where);
    if (wanted != 1 && wanted != 3)
        return refuse(c, "data.preprocess.channels: %u, but pictures (%s) have 1 or 3", wanted,
                      where);
    return OK;
}

static enum status check_domain(const struct checked *c, size_t index)
{
    const struct domain_config *domain = &c->job->data.domains[index];
    double sum = domain->divide[0] + domain->divide[1] + domain->divide[2];
    if (job_domain_index(c->job, domain->name) != (int)index)
        return refuse(c, "data.domains: the name '%s' stands there twice", domain->name);
    if (fabs(sum - 1) > FRACTION_SLACK)
        return refuse(c, "data.domains.%s.divide: the shares sum to %.9g instead of 1",
                      domain->name, sum);
    enum status status = OK;
    for (size_t i = 0; i < domain->source_count && status == OK; i++)
        status = check_source(c, domain, i);
    return status;
}

static enum status unknown_domain(const struct checked *c, const struct stage_config *stage,
                                  const char *name)
{
    const char *names[JOB_DOMAINS_MAX];
    for (size_t i = 0; i < c->job->data.domain_count; i++)
        names[i] = c->job->data.domains[i].name;
    int nearest = nearest_index(name, names, c->job->data.domain_count);
    return refuse(c, "stages.%s.domains: no domain is called '%.80s'; %s '%s'%s", stage->name, name,
                  nearest >= 0 ? "did you mean" : "the first is", names[nearest >= 0 ? nearest : 0],
                  nearest >= 0 ? "?" : "");
}

/* Counts the labelled ones of the stage's domains. */
static enum status check_stage_domains(const struct checked *c, const struct stage_config *stage,
                                       size_t *labelled)
{
    *labelled = 0;
    for (size_t i = 0; i < stage->domain_count; i++) {
        int index = job_domain_index(c->job, stage->domains[i]);
        if (index < 0)
            return unknown_domain(c, stage, stage->domains[i]);
        *labelled += c->job->data.domains[index].labelled;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(stage->domains[k], stage->domains[i]) == 0)
                return refuse(c, "stages.%s.domains: '%s' stands there twice", stage->name,
                              stage->domains[i]);
        }
    }
    return OK;
}

static const char *labelled_key(const struct checked *c)
{
    return c->job->data.task == DATA_REGRESSION ? "squared_error" : "cross_entropy";
}

/* A weight of a loss that another task has is a mistake; its default is no statement. */
static enum status check_task_losses(const struct checked *c, const struct stage_config *stage)
{
    const struct loss_config *losses = &stage->losses;
    const char *name = stage->name;
    enum data_task task = c->job->data.task;
    if (task == DATA_CLASSIFICATION)
        return losses->squared_error == 1
                   ? OK
                   : refuse(c, "stages.%s.losses.squared_error: only for regression", name);
    if (task == DATA_MULTILABEL && losses->squared_error != 1)
        return refuse(c, "stages.%s.losses.squared_error: only for regression", name);
    if (task == DATA_REGRESSION && losses->cross_entropy != 1)
        return refuse(c,
                      "stages.%s.losses.cross_entropy: not for regression, whose loss is "
                      "squared_error",
                      name);
    if (losses->label_smoothing > 0)
        return refuse(c, "stages.%s.losses.label_smoothing: only for classification", name);
    if (losses->focal_gamma > 0)
        return refuse(c, "stages.%s.losses.focal_gamma: only for classification", name);
    if (losses->self_training > 0)
        return refuse(c,
                      "stages.%s.losses.self_training: guesses one class a sample: only for "
                      "classification",
                      name);
    if (task == DATA_REGRESSION && losses->information > 0)
        return refuse(c,
                      "stages.%s.losses.information: not for regression: numbers have no "
                      "probabilities",
                      name);
    if (task == DATA_REGRESSION &&
        (stage->select == SELECT_INFORMATION || stage->select == SELECT_ENTROPY))
        return refuse(c,
                      "stages.%s.select: regression has no probabilities; use \"last\" or "
                      "\"source_validation\"",
                      name);
    return OK;
}

/* Mixing needs targets to mix, and changes what CORAL compares. */
static enum status check_mix(const struct checked *c, const struct stage_config *stage,
                             size_t labelled)
{
    const char *key = stage->mixup > 0 ? "mixup" : "cutmix";
    if (stage->mixup <= 0 && stage->cutmix <= 0)
        return OK;
    if (labelled == 0)
        return refuse(c, "stages.%s.%s: none of the stage's domains is labelled", stage->name, key);
    if (stage->micro_batch < 2)
        return refuse(c, "stages.%s.%s: a micro_batch of 1 has nothing to mix with", stage->name,
                      key);
    if (stage->losses.coral > 0)
        return refuse(c,
                      "stages.%s.%s: excludes losses.coral: mixed samples scatter less than real "
                      "ones, and CORAL would bring the other domain there",
                      stage->name, key);
    return OK;
}

static enum status check_losses(const struct checked *c, const struct stage_config *stage,
                                size_t labelled)
{
    const struct loss_config *losses = &stage->losses;
    const char *name = stage->name;
    size_t unlabelled = stage->domain_count - labelled;
    /* else data alone move something */
    const bool frozen = stage->live.batch_norm == BATCH_NORM_FROZEN;
    double supervised = job_labelled_loss(&c->job->data, losses);
    if (supervised > 0 && labelled == 0)
        return refuse(c, "stages.%s.losses.%s: none of the stage's domains is labelled", name,
                      labelled_key(c));
    if (losses->focal_gamma > 0 && losses->label_smoothing > 0)
        return refuse(c, "stages.%s.losses: focal_gamma and label_smoothing exclude each other",
                      name);
    if (losses->class_weight_count != 0 && losses->class_weight_count != c->job->data.class_count)
        return refuse(c, "stages.%s.losses.class_weights: %zu numbers for %zu classes", name,
                      losses->class_weight_count, c->job->data.class_count);
    if (losses->self_training > 0 && unlabelled == 0)
        return refuse(
            c, "stages.%s.losses.self_training: none of the stage's domains is unlabelled", name);
    if (losses->information > 0 && unlabelled == 0)
        return refuse(c, "stages.%s.losses.information: none of the stage's domains is unlabelled",
                      name);
    if (losses->coral > 0 && (labelled == 0 || unlabelled == 0))
        return refuse(c, "stages.%s.losses.coral: needs a labelled and an unlabelled domain", name);
    if (supervised + losses->coral + losses->information + losses->self_training <= 0 && frozen)
        return refuse(c, "stages.%s.losses: all are 0, nothing would be learned", name);
    if (unlabelled > 0 && losses->coral + losses->information + losses->self_training <= 0 &&
        frozen)
        return refuse(
            c, "stages.%s.losses: no term uses the unlabelled domains; set coral%s, or batch_norm",
            name,
            c->job->data.task == DATA_CLASSIFICATION ? ", information or self_training"
            : c->job->data.task == DATA_MULTILABEL   ? " or information"
                                                     : "");
    return OK;
}

/* What goes with a clock for each shard, and what goes without. */
static enum status check_mode(const struct checked *c, const struct stage_config *stage)
{
    const char *name = stage->name;
    if (stage->mode == MODE_BSP)
        return stage->staleness_scaling || stage->delay_compensation > 0
                   ? refuse(c,
                            "stages.%s.%s: only for mode \"ssp\" or \"asp\"; in \"bsp\" no "
                            "gradient is stale",
                            name,
                            stage->staleness_scaling ? "staleness_scaling" : "delay_compensation")
                   : OK;
    if (stage->clip_norm > 0)
        return refuse(c,
                      "stages.%s.clip_norm: only for mode \"bsp\", where servers have the gradient "
                      "of a step at once",
                      name);
    if (stage->compression.kind != COMPRESSION_NONE)
        return refuse(
            c,
            "stages.%s.compression: only for mode \"bsp\": a shard's errors would be lost "
            "when it changes hands",
            name);
    if (c->job->cluster.replicas > 0)
        return refuse(c,
                      "stages.%s.mode: \"ssp\" and \"asp\" keep no second copy; set "
                      "cluster.replicas = 0 (a dead server costs the epoch)",
                      name);
    return OK;
}

static void choose_followed(const struct checked *c, struct stage_config *stage, size_t labelled)
{
    for (size_t i = 0; i < stage->domain_count; i++) {
        int domain = job_domain_index(c->job, stage->domains[i]);
        stage->followed[i] =
            labelled == stage->domain_count || !c->job->data.domains[domain].labelled;
    }
}

static enum status check_stage(const struct checked *c, size_t index)
{
    const struct stage_config *stage = &c->job->stages[index];
    size_t labelled;
    for (size_t i = 0; i < index; i++) {
        if (strcmp(c->job->stages[i].name, stage->name) == 0)
            return refuse(c, "stages: the name '%s' stands there twice", stage->name);
    }
    enum status status = check_stage_domains(c, stage, &labelled);
    if (status == OK)
        status = check_losses(c, stage, labelled);
    if (status == OK)
        choose_followed(c, &c->job->stages[index], labelled);
    if (status == OK)
        status = check_task_losses(c, stage);
    if (status == OK)
        status = check_mix(c, stage, labelled);
    if (status == OK)
        status = check_mode(c, stage);
    if (status != OK)
        return status;
    if (index == 0 && job_labelled_loss(&c->job->data, &stage->losses) <= 0)
        return refuse(c,
                      "stages.%s: the first stage needs losses.%s: the new head knows nothing yet",
                      stage->name, labelled_key(c));
    if (stage->select == SELECT_SOURCE_VALIDATION && labelled == 0)
        return refuse(c, "stages.%s.select: \"source_validation\" needs a labelled domain",
                      stage->name);
    if (stage->domain_weight_count != 0 && stage->domain_weight_count != stage->domain_count)
        return refuse(c, "stages.%s.domain_weights: %zu numbers for %zu domains", stage->name,
                      stage->domain_weight_count, stage->domain_count);
    if (c->job->model.file[0] == '\0' && c->job->model.lora.rank > 0)
        return refuse(c, "model.lora: needs a network, but model.file is empty");
    if (c->job->model.file[0] == '\0' &&
        (stage->live.last_blocks > 0 || stage->live.pattern_count > 0))
        return refuse(c, "stages.%s: last_blocks and live need a network, but model.file is empty",
                      stage->name);
    return OK;
}

enum status job_check_all(struct job *job, const char *file, const config_t *tree,
                          struct error *err)
{
    const struct checked c = {job, file, tree, err};
    enum status status = check_run(&c);
    if (status == OK)
        status = check_hosts(&c);
    if (status == OK)
        status = check_classes(&c);
    if (status == OK)
        status = check_preprocess(&c);
    if (status == OK)
        status = check_augment(&c);
    for (size_t i = 0; i < job->data.domain_count && status == OK; i++)
        status = check_domain(&c, i);
    for (size_t i = 0; i < job->stage_count && status == OK; i++)
        status = check_stage(&c, i);
    return status;
}
