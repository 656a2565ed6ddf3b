#include "common/data/manifest.h"

#include <math.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/data/division.h"
#include "common/data/label_table.h"
#include "common/data/scan.h"

#define SOURCE_SLOTS ((size_t)JOB_DOMAINS_MAX * JOB_SOURCES_MAX)

struct build {
    const struct job *job;
    enum manifest_reader reader;
    struct label_table *labels;
    struct manifest *manifest;
    size_t room;
    struct error *err;
};

static size_t slot_of(size_t domain, size_t source)
{
    return domain * JOB_SOURCES_MAX + source;
}

static enum status no_memory(const struct build *build)
{
    return error_set(build->err, ERR_MEMORY, "no memory for the list of samples");
}

static enum status reserve(struct build *build, size_t more)
{
    struct manifest *manifest = build->manifest;
    size_t wanted = manifest->sample_count + more;
    if (wanted > MANIFEST_SAMPLES_MAX)
        return error_set(build->err, ERR_INPUT, "more than %zu samples in all",
                         MANIFEST_SAMPLES_MAX);
    if (wanted <= build->room)
        return OK;
    size_t room = wanted > 2 * build->room ? wanted : 2 * build->room;
    size_t row = manifest->target_count * sizeof(float);
    struct sample *samples = memory_alloc(room, sizeof *samples);
    float *targets = memory_alloc(room, row);
    if (samples == NULL || targets == NULL) {
        memory_free(samples);
        memory_free(targets);
        return no_memory(build);
    }
    if (manifest->sample_count > 0) {
        memcpy(samples, manifest->samples, manifest->sample_count * sizeof *samples);
        memcpy(targets, manifest->targets, manifest->sample_count * row);
    }
    memory_free(manifest->samples);
    memory_free(manifest->targets);
    manifest->samples = samples;
    manifest->targets = targets;
    build->room = room;
    return OK;
}

/* The paths change hands: they belong to the manifest from here on. */
static void take_paths(struct build *build, size_t slot, struct scan *scan)
{
    if (scan->count == 0 || scan->paths[0] == NULL)
        return;
    build->manifest->paths[slot] = scan->paths;
    build->manifest->path_counts[slot] = scan->count;
    scan->paths = NULL;
}

static enum status take_scan(struct build *build, size_t domain, size_t source, struct scan *scan)
{
    const struct source_config *config = &build->job->data.domains[domain].sources[source];
    if (scan->count == 0)
        return error_set(build->err, ERR_INPUT, "%s: holds no samples of domain '%s'",
                         build->manifest->source_paths[slot_of(domain, source)],
                         build->job->data.domains[domain].name);
    enum status status = reserve(build, scan->count);
    if (status != OK)
        return status;
    struct manifest *manifest = build->manifest;
    if (manifest->target_count > 0)
        memcpy(manifest->targets + manifest->sample_count * manifest->target_count, scan->targets,
               scan->count * manifest->target_count * sizeof(float));
    for (size_t i = 0; i < scan->count; i++) {
        manifest->samples[manifest->sample_count++] = (struct sample){
            .domain = (uint16_t)domain,
            .source = (uint16_t)source,
            .split = (uint8_t)config->split,
            .label = scan->entries[i].label,
            .index = scan->entries[i].index,
        };
    }
    take_paths(build, slot_of(domain, source), scan);
    return OK;
}

static enum status run_scanner(const struct scan_request *request, struct scan *scan,
                               struct error *err)
{
    switch (request->source->format) {
    case FORMAT_IDX:
        return scan_idx(request, scan, err);
    case FORMAT_FOLDER:
        return scan_folder(request, scan, err);
    case FORMAT_CSV:
        return scan_csv(request, scan, err);
    case FORMAT_LIST:
        return scan_list(request, scan, err);
    case FORMAT_TEXT:
        return scan_text(request, scan, err);
    }
    check_failed("a source format", __FILE__, __LINE__);
}

/* What token ids depend on beside the text; nothing where samples are no texts. */
static enum status digest_text(const struct preprocess_config *preprocess,
                               struct digest_stream *stream, struct error *err)
{
    const struct text_config *text = &preprocess->text;
    char path[PATH_BYTES];
    struct digest vocabulary;
    if (!job_is_text(preprocess))
        return OK;
    enum status status = job_path(text->vocabulary, path, err);
    if (status == OK)
        status = digest_of_file(path, &vocabulary, err);
    if (status != OK)
        return error_prefix(err, "data.preprocess.text.vocabulary");
    digest_add(stream, vocabulary.bytes, sizeof vocabulary.bytes);
    digest_add_u64(stream, text->length);
    digest_add_u64(stream, text->lower_case);
    return OK;
}

/* Everything about a source's form on which pixel values or tokens depend. */
static void digest_form(struct digest_stream *stream, const struct source_config *source)
{
    uint64_t white;
    memcpy(&white, &source->value_max, sizeof white);
    digest_add_u64(stream, source->format);
    if (source->format == FORMAT_CSV) {
        digest_add_u64(stream, (uint64_t)source->label_column);
        digest_add_u64(stream, source->width);
        digest_add_u64(stream, source->height);
        digest_add_u64(stream, source->channels);
        digest_add_u64(stream, white);
    }
    if (source->format == FORMAT_TEXT)
        digest_add_u64(stream, source->text_column);
}

static enum status add_source(struct build *build, size_t domain, size_t source,
                              struct digest_stream *stream)
{
    const struct domain_config *config = &build->job->data.domains[domain];
    struct digest_stream content;
    char path[PATH_BYTES];
    enum status status = job_path(config->sources[source].path, path, build->err);
    if (status != OK)
        return status;
    char *kept = memory_dup_text(path, PATH_BYTES);
    if (kept == NULL)
        return no_memory(build);
    build->manifest->source_paths[slot_of(domain, source)] = kept;
    digest_init(&content);
    struct scan_request request = {
        .data = &build->job->data,
        .domain = config,
        .source = &config->sources[source],
        .path = kept,
        .labels = build->labels,
        .want_labels = config->labelled || build->reader == MANIFEST_COORDINATOR,
        .content = &content,
    };
    struct scan scan = {.width = build->manifest->target_count};
    status = run_scanner(&request, &scan, build->err);
    size_t count = scan.count;
    if (status == OK)
        status = take_scan(build, domain, source, &scan);
    scan_deinit(&scan);
    struct digest digest = digest_end(&content);
    digest_form(stream, request.source);
    digest_add_u64(stream, count);
    digest_add(stream, digest.bytes, sizeof digest.bytes);
    return status;
}

static enum status add_domain(struct build *build, size_t domain)
{
    struct digest_stream stream;
    size_t first = build->manifest->sample_count;
    enum status status = OK;
    digest_init(&stream);
    digest_add_text(&stream, "graft-domain-1");
    status = digest_text(&build->job->data.preprocess, &stream, build->err);
    for (size_t i = 0; i < build->job->data.domains[domain].source_count && status == OK; i++)
        status = add_source(build, domain, i, &stream);
    if (status == OK)
        status =
            division_assign(build->manifest->samples + first, build->manifest->sample_count - first,
                            (uint32_t)domain, build->job->data.domains[domain].divide, build->err);
    if (status != OK)
        return status;
    for (size_t i = first; i < build->manifest->sample_count; i++) {
        digest_add_u64(&stream, build->manifest->samples[i].index);
        digest_add(&stream, &build->manifest->samples[i].split, 1);
    }
    build->manifest->domain_digest[domain] = digest_end(&stream);
    return OK;
}

static enum status fill_parts(struct build *build)
{
    struct manifest *manifest = build->manifest;
    for (size_t i = 0; i < manifest->sample_count; i++) {
        CHECK(manifest->samples[i].split < SPLIT_COUNT);
        manifest->part_count[manifest->samples[i].domain][manifest->samples[i].split]++;
    }
    for (size_t domain = 0; domain < build->job->data.domain_count; domain++) {
        for (size_t split = 0; split < SPLIT_COUNT; split++) {
            size_t count = manifest->part_count[domain][split];
            manifest->part[domain][split] = memory_alloc(count, sizeof(uint32_t));
            if (manifest->part[domain][split] == NULL)
                return no_memory(build);
            manifest->part_count[domain][split] = 0;
        }
    }
    for (size_t i = 0; i < manifest->sample_count; i++) {
        const struct sample *sample = &manifest->samples[i];
        size_t *count = &manifest->part_count[sample->domain][sample->split];
        manifest->part[sample->domain][sample->split][(*count)++] = (uint32_t)i;
    }
    return OK;
}

static enum status check_stage(const struct build *build, const struct stage_config *stage)
{
    for (size_t i = 0; i < stage->domain_count; i++) {
        int domain = job_domain_index(build->job, stage->domains[i]);
        CHECK(domain >= 0);
        const size_t *count = build->manifest->part_count[domain];
        if (count[SPLIT_TRAIN] == 0)
            return error_set(build->err, ERR_INPUT,
                             "domain '%s' has no training samples, but stage '%s' needs some; "
                             "see split and divide of its sources",
                             stage->domains[i], stage->name);
        if (stage->select == SELECT_SOURCE_VALIDATION &&
            build->job->data.domains[domain].labelled && count[SPLIT_VALIDATION] == 0)
            return error_set(build->err, ERR_INPUT,
                             "domain '%s' has no validation samples, but stage '%s' selects by "
                             "\"source_validation\"; see split and divide of its sources",
                             stage->domains[i], stage->name);
    }
    return OK;
}

static void digest_all(const struct build *build)
{
    struct manifest *manifest = build->manifest;
    const struct data_config *data = &build->job->data;
    struct digest_stream stream;
    digest_init(&stream);
    digest_add_text(&stream, "graft-manifest-1");
    digest_add_u64(&stream, data->task);
    digest_add_u64(&stream, data->class_count);
    for (size_t i = 0; i < data->class_count; i++)
        digest_add_text(&stream, data->classes[i]);
    digest_add_u64(&stream, data->domain_count);
    for (size_t i = 0; i < data->domain_count; i++) {
        digest_add_text(&stream, data->domains[i].name);
        digest_add_u64(&stream, data->domains[i].labelled);
        digest_add(&stream, manifest->domain_digest[i].bytes, DIGEST_BYTES);
    }
    /* Labels that a worker must not know stay out, else the two sides could not agree. */
    for (size_t i = 0; i < manifest->sample_count; i++) {
        const struct sample *sample = &manifest->samples[i];
        if (!data->domains[sample->domain].labelled)
            continue;
        digest_add_u64(&stream, (uint64_t)sample->label);
        if (manifest->target_count > 0)
            digest_add(&stream, manifest_targets(manifest, (uint32_t)i),
                       manifest->target_count * sizeof(float));
    }
    manifest->digest = digest_end(&stream);
}

static bool teaches(const struct build *build, size_t i)
{
    const struct sample *sample = &build->manifest->samples[i];
    return build->job->data.domains[sample->domain].labelled && sample->split == SPLIT_TRAIN;
}

static struct target_scale scale_of(const struct build *build, size_t k)
{
    const struct manifest *manifest = build->manifest;
    double sum = 0, squares = 0, count = 0;
    for (size_t i = 0; i < manifest->sample_count; i++)
        if (teaches(build, i)) {
            sum += (double)manifest->targets[i * manifest->target_count + k];
            count++;
        }
    double mean = count > 0 ? sum / count : 0;
    for (size_t i = 0; i < manifest->sample_count; i++)
        if (teaches(build, i))
            squares += pow((double)manifest->targets[i * manifest->target_count + k] - mean, 2);
    return (struct target_scale){mean, squares > 0 ? sqrt(squares / count) : 1};
}

static enum status fill_scale(struct build *build)
{
    struct manifest *manifest = build->manifest;
    if (build->job->data.task != DATA_REGRESSION)
        return OK;
    manifest->scale = memory_alloc(manifest->target_count, sizeof *manifest->scale);
    if (manifest->scale == NULL)
        return no_memory(build);
    for (size_t k = 0; k < manifest->target_count; k++)
        manifest->scale[k] = scale_of(build, k);
    return OK;
}

static enum status fill(struct build *build)
{
    struct manifest *manifest = build->manifest;
    const struct data_config *data = &build->job->data;
    manifest->target_count = data->task == DATA_CLASSIFICATION ? 0 : data->class_count;
    manifest->paths = memory_alloc(SOURCE_SLOTS, sizeof *manifest->paths);
    manifest->source_paths = memory_alloc(SOURCE_SLOTS, sizeof *manifest->source_paths);
    manifest->path_counts = memory_alloc(SOURCE_SLOTS, sizeof *manifest->path_counts);
    enum status status = OK;
    if (manifest->paths == NULL || manifest->source_paths == NULL || manifest->path_counts == NULL)
        status = no_memory(build);
    for (size_t i = 0; i < build->job->data.domain_count && status == OK; i++)
        status = add_domain(build, i);
    if (status == OK)
        status = fill_parts(build);
    if (status == OK)
        status = fill_scale(build);
    for (size_t i = 0; i < build->job->stage_count && status == OK; i++)
        status = check_stage(build, &build->job->stages[i]);
    if (status == OK)
        digest_all(build);
    return status;
}

enum status manifest_build(const struct job *job, enum manifest_reader reader,
                           struct manifest **out, struct error *err)
{
    struct build build = {.job = job, .reader = reader, .err = err};
    enum status status = label_table_create(job, &build.labels, err);
    if (status != OK)
        return status;
    build.manifest = memory_alloc(1, sizeof *build.manifest);
    status = build.manifest == NULL ? no_memory(&build) : fill(&build);
    label_table_destroy(&build.labels);
    if (status == OK)
        *out = build.manifest;
    else
        manifest_destroy(&build.manifest);
    return status;
}

static void free_paths(struct manifest *manifest)
{
    for (size_t slot = 0; slot < SOURCE_SLOTS; slot++) {
        if (manifest->path_counts != NULL && manifest->paths != NULL &&
            manifest->paths[slot] != NULL) {
            for (size_t i = 0; i < manifest->path_counts[slot]; i++)
                memory_free(manifest->paths[slot][i]);
            memory_free(manifest->paths[slot]);
        }
        if (manifest->source_paths != NULL)
            memory_free(manifest->source_paths[slot]);
    }
    memory_free(manifest->paths);
    memory_free(manifest->source_paths);
    memory_free(manifest->path_counts);
}

void manifest_destroy(struct manifest **manifest)
{
    if (*manifest == NULL)
        return;
    free_paths(*manifest);
    for (size_t domain = 0; domain < JOB_DOMAINS_MAX; domain++) {
        for (size_t split = 0; split < SPLIT_COUNT; split++)
            memory_free((*manifest)->part[domain][split]);
    }
    memory_free((*manifest)->samples);
    memory_free((*manifest)->targets);
    memory_free((*manifest)->scale);
    memory_free(*manifest);
    *manifest = NULL;
}

const float *manifest_targets(const struct manifest *manifest, uint32_t id)
{
    CHECK(id < manifest->sample_count);
    return manifest->targets + id * manifest->target_count;
}

const char *manifest_path(const struct manifest *manifest, const struct job *job, uint32_t id)
{
    CHECK(id < manifest->sample_count);
    const struct sample *sample = &manifest->samples[id];
    CHECK(sample->domain < job->data.domain_count);
    size_t slot = slot_of(sample->domain, sample->source);
    if (manifest->paths[slot] == NULL)
        return manifest->source_paths[slot];
    CHECK(sample->index < manifest->path_counts[slot]);
    return manifest->paths[slot][sample->index];
}
