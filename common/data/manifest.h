/* The manifest: the ordered list of all samples, with a digest on which coordinator and workers
 * must agree.
 *
 * Order: domains as configured, in each its sources as configured, in each the file's own order
 * (folders: classes in the configured order, file names sorted bytewise). The digest covers names,
 * splits, order, sizes and the content of the source files; it does NOT cover labels or targets of
 * unlabelled domains as values, so that both sides can compute it. Immutable after building. Building scans
 * (headers, line offsets, directory listings, labels); it does not decode.
 */
#ifndef GRAFT_COMMON_DATA_MANIFEST_H
#define GRAFT_COMMON_DATA_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/config/job.h"

#define MANIFEST_SAMPLES_MAX ((size_t)1 << 28)
#define LABEL_NONE (-1)

struct sample {
    uint16_t domain;
    uint16_t source; /* of the domain */
    uint8_t split;   /* enum split, never SPLIT_DIVIDE */
    int32_t label;   /* class (multilabel, regression: 0, see manifest_targets), or LABEL_NONE */
    uint64_t
        index; /* IDX: image number; CSV, text: byte offset of the line; folder and list: entry number */
};

/* Who builds it: a worker never learns the labels of an unlabelled domain (they are not even
 * parsed). */
enum manifest_reader { MANIFEST_COORDINATOR, MANIFEST_WORKER };

/* How the network sees a value of regression: (target − mean)/deviation, both over the training
 * samples of all labelled domains (population's deviation; 1 where all are equal). */
struct target_scale {
    double mean, deviation;
};

struct manifest {
    struct sample *samples;
    size_t sample_count;
    size_t target_count; /* K for multilabel and regression, else 0 */
    float *targets;      /* [sample_count, target_count]: 0 or 1, or numbers; 0 where the label is
                                   LABEL_NONE */
    struct target_scale *scale; /* [target_count], regression; else NULL */
    /* ids (indices into samples) of each domain and split, in manifest order */
    uint32_t *part[JOB_DOMAINS_MAX][SPLIT_COUNT];
    size_t part_count[JOB_DOMAINS_MAX][SPLIT_COUNT];
    struct digest digest;
    /* Of one domain's samples without labels (content, order, splits, form): what features depend
     * on. Equal for both readers; does not change when other domains come or go. */
    struct digest domain_digest[JOB_DOMAINS_MAX];
    char ***paths; /* [domain * JOB_SOURCES_MAX + source]: entry paths of folder and list sources,
                      else NULL */
    char **source_paths; /* the same index: the source's own resolved path; see manifest_path */
    size_t *path_counts; /* the same index: number of entry paths */
};

/* Errors: ERR_INPUT with file (and line) for a bad header, a label outside the classes, an empty
 * split that a stage needs; ERR_IO. */
enum status manifest_build(const struct job *job, enum manifest_reader reader,
                           struct manifest **out, struct error *err) MUST_CHECK;
void manifest_destroy(struct manifest **manifest);

/* Targets of sample `id`: [target_count]. Borrowed. */
const float *manifest_targets(const struct manifest *manifest, uint32_t id);

/* Path of the file that holds sample `id`: the source file itself, or the entry's own file.
 * Borrowed. */
const char *manifest_path(const struct manifest *manifest, const struct job *job, uint32_t id);

#endif
