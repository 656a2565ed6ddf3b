#include "worker/data/decoder.h"

#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/data/idx_header.h"
#include "worker/data/augment.h"
#include "worker/data/csv_sample.h"
#include "worker/data/image.h"
#include "worker/data/preprocess.h"
#include "worker/data/source_bytes.h"
#include "worker/data/source_file.h"
#include "worker/data/text_sample.h"

#define IDX_FILE_BYTES_MAX ((size_t)1 << 40)

/* An open single-file source; zero for folders and lists. */
struct source {
    struct source_file file;
    struct idx_header idx;
};

struct decoder {
    const struct job *job;
    const struct manifest *manifest;
    struct source sources[JOB_DOMAINS_MAX][JOB_SOURCES_MAX];
    struct preprocess *preprocess;   /* NULL for texts */
    struct text_sample *text_sample; /* NULL for all else */
    struct source_bytes image_file;
    struct image image;
    uint8_t *bytes; /* one IDX picture */
    float *values;  /* one CSV picture */
};

static const char *source_path(const struct decoder *decoder, size_t domain, size_t source)
{
    return decoder->manifest->source_paths[domain * JOB_SOURCES_MAX + source];
}

static enum status open_idx(struct source *source, const char *path, struct error *err)
{
    struct file_map map;
    enum status status = file_map(path, IDX_FILE_BYTES_MAX, &map, err);
    if (status != OK)
        return status;
    status = idx_header_images(path, &map, &source->idx, err);
    file_unmap(&map);
    return status;
}

static enum status open_source(struct decoder *decoder, size_t domain, size_t index,
                               struct error *err)
{
    struct source *source = &decoder->sources[domain][index];
    const char *path = source_path(decoder, domain, index);
    switch (decoder->job->data.domains[domain].sources[index].format) {
    case FORMAT_IDX: {
        enum status status = open_idx(source, path, err);
        return status == OK ? source_file_open(path, &source->file, err) : status;
    }
    case FORMAT_CSV:
    case FORMAT_TEXT:
        return source_file_open(path, &source->file, err);
    case FORMAT_FOLDER:
    case FORMAT_LIST:
        return OK;
    }
    check_failed("a source format", __FILE__, __LINE__);
}

/* Buffers for the largest picture of any source. */
static enum status make_buffers(struct decoder *decoder, struct error *err)
{
    size_t bytes = 0, values = 0;
    for (size_t d = 0; d < decoder->job->data.domain_count; d++) {
        const struct domain_config *domain = &decoder->job->data.domains[d];
        for (size_t i = 0; i < domain->source_count; i++) {
            const struct source_config *config = &domain->sources[i];
            size_t numbers = (size_t)config->width * config->height * config->channels;
            if (config->format == FORMAT_CSV && numbers > values)
                values = numbers;
            if (decoder->sources[d][i].idx.item_bytes > bytes)
                bytes = decoder->sources[d][i].idx.item_bytes;
        }
    }
    decoder->bytes = memory_alloc(bytes, 1);
    decoder->values = memory_alloc(values, sizeof(float));
    if (decoder->bytes == NULL || decoder->values == NULL)
        return error_set(err, ERR_MEMORY, "no memory for decoding");
    return OK;
}

static enum status open_all(struct decoder *decoder, const struct model *model, struct error *err)
{
    const struct preprocess_config *config = &decoder->job->data.preprocess;
    enum status status = job_is_text(config)
                             ? text_sample_create(&config->text, model, &decoder->text_sample, err)
                             : preprocess_create(config, &decoder->preprocess, err);
    for (size_t d = 0; d < decoder->job->data.domain_count; d++) {
        for (size_t i = 0; i < decoder->job->data.domains[d].source_count && status == OK; i++)
            status = open_source(decoder, d, i, err);
    }
    return status == OK ? make_buffers(decoder, err) : status;
}

enum status decoder_open(const struct job *job, const struct manifest *manifest,
                         const struct model *model, struct decoder **out, struct error *err)
{
    struct decoder *decoder = memory_alloc(1, sizeof *decoder);
    if (decoder == NULL)
        return error_set(err, ERR_MEMORY, "no memory for decoding");
    decoder->job = job;
    decoder->manifest = manifest;
    enum status status = open_all(decoder, model, err);
    if (status == OK)
        *out = decoder;
    else
        decoder_close(&decoder);
    return status;
}

void decoder_close(struct decoder **decoder)
{
    struct decoder *old = *decoder;
    if (old != NULL) {
        for (size_t d = 0; d < JOB_DOMAINS_MAX; d++) {
            for (size_t i = 0; i < JOB_SOURCES_MAX; i++)
                source_file_close(&old->sources[d][i].file);
        }
        preprocess_destroy(&old->preprocess);
        text_sample_destroy(&old->text_sample);
        source_bytes_deinit(&old->image_file);
        image_deinit(&old->image);
        memory_free(old->bytes);
        memory_free(old->values);
    }
    memory_free(old);
    *decoder = NULL;
}

size_t decoder_elements(const struct decoder *decoder)
{
    return decoder->text_sample != NULL ? text_sample_elements(decoder->text_sample)
                                        : preprocess_elements(decoder->preprocess);
}

static enum status read_idx(struct decoder *decoder, const struct source *source, uint64_t index,
                            struct picture *picture, struct error *err)
{
    const struct idx_header *idx = &source->idx;
    if (index >= idx->count)
        return error_set(
            err, ERR_STATE,
            "%s: changed since the manifest was made (%u pictures, wanted number %llu)",
            source->file.path, idx->count, (unsigned long long)index);
    *picture = (struct picture){.bytes = decoder->bytes,
                                .width = idx->width,
                                .height = idx->height,
                                .channels = idx->channels};
    return source_file_read(&source->file, idx->data_offset + index * idx->item_bytes,
                            decoder->bytes, idx->item_bytes, err);
}

static enum status read_csv(struct decoder *decoder, struct source *source,
                            const struct source_config *config, uint64_t offset,
                            struct picture *picture, struct error *err)
{
    const char *line;
    size_t length;
    enum status status = source_file_line(&source->file, offset, &line, &length, err);
    if (status != OK)
        return status;
    *picture = (struct picture){.values = decoder->values,
                                .width = config->width,
                                .height = config->height,
                                .channels = config->channels};
    status = csv_sample_parse(config, job_label_columns(&decoder->job->data, config), line, length,
                              decoder->values, err);
    if (status != OK)
        error_prefix(err, "%s: line at byte %llu", source->file.path, (unsigned long long)offset);
    return status;
}

static enum status read_image(struct decoder *decoder, const char *path, struct picture *picture,
                              struct error *err)
{
    struct source_bytes *file = &decoder->image_file;
    enum status status = source_bytes_load(file, path, IMAGE_FILE_BYTES_MAX, err);
    if (status != OK)
        return status;
    bool gray = decoder->job->data.preprocess.channels == 1;
    status = image_decode(file->data, file->bytes, gray, &decoder->image, err);
    if (status != OK) {
        error_prefix(err, "%s", path);
        return status;
    }
    *picture = (struct picture){.bytes = decoder->image.pixels,
                                .width = decoder->image.width,
                                .height = decoder->image.height,
                                .channels = decoder->image.channels};
    return OK;
}

static enum status read_text(struct decoder *decoder, struct source *source,
                             const struct source_config *config, uint64_t offset, float *out,
                             struct error *err)
{
    struct text_row row;
    enum text_form form = text_row_form(source->file.path);
    enum status status = source_file_row(&source->file, form, offset, &row, err);
    if (status != OK)
        return status;
    status = text_sample_make(decoder->text_sample, form, &row, config->text_column, out, err);
    if (status != OK)
        error_prefix(err, "%s: row at byte %llu", source->file.path, (unsigned long long)offset);
    return status;
}

enum status decoder_read(struct decoder *decoder, uint32_t sample_id, uint32_t variant, float *out,
                         struct error *err)
{
    CHECK(sample_id < decoder->manifest->sample_count);
    const struct sample *sample = &decoder->manifest->samples[sample_id];
    struct source *source = &decoder->sources[sample->domain][sample->source];
    const struct source_config *config =
        &decoder->job->data.domains[sample->domain].sources[sample->source];
    struct picture picture;
    enum status status;
    if (config->format == FORMAT_TEXT)
        return read_text(decoder, source, config, sample->index, out, err);
    if (config->format == FORMAT_IDX)
        status = read_idx(decoder, source, sample->index, &picture, err);
    else if (config->format == FORMAT_CSV)
        status = read_csv(decoder, source, config, sample->index, &picture, err);
    else
        status = read_image(decoder, manifest_path(decoder->manifest, decoder->job, sample_id),
                            &picture, err);
    struct random_key key = augment_key(decoder->job->run.seed, variant, sample_id);
    const struct data_config *data = &decoder->job->data;
    if (status == OK && variant > 0)
        augment_crop(&data->augment, key, &picture);
    if (status == OK)
        status = preprocess_run(decoder->preprocess, &picture, out, err);
    if (status == OK && variant > 0)
        augment_sample(&data->augment, &data->preprocess, key, out);
    return status;
}
