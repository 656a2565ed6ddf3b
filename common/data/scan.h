/* Scanning one source of a domain: which samples it holds, in which order, with which labels. One
 * scanner a format, each in its file (scan_idx.c …). A scanner opens headers, listings and lines,
 * hashes the content, decodes nothing, and reads labels only if `want_labels`. */
#ifndef GRAFT_COMMON_DATA_SCAN_H
#define GRAFT_COMMON_DATA_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/file.h"
#include "common/config/job.h"
#include "common/data/label_table.h"

#define SCAN_FILE_BYTES_MAX                                                                        \
    ((size_t)1 << 40) /* of one source file: mapped, so only address space is taken */

struct scan_request {
    const struct data_config *data;
    const struct domain_config *domain;
    const struct source_config *source;
    const char *path; /* of the source, resolved */
    const struct label_table *labels;
    bool want_labels;
    struct digest_stream *content; /* receives order and content, never labels */
};

struct scan_entry {
    uint64_t index; /* as in struct sample */
    int32_t label;  /* as in struct sample */
};

struct scan {
    size_t width; /* targets of a sample: 0 for classification, else K; set by the caller */
    struct scan_entry *entries;
    float *targets; /* [count, width]; zeros where a sample has none */
    char **paths;   /* parallel to entries, or all NULL for single-file formats */
    size_t count, room;
};

/* Appends; `path` (copied) may be NULL. Errors: ERR_MEMORY, ERR_INPUT above MANIFEST_SAMPLES_MAX.
 */
enum status scan_add(struct scan *scan, uint64_t index, int32_t label, const char *path,
                     struct error *err) MUST_CHECK;
void scan_deinit(struct scan *scan);

/* Maps a source that is one file, and adds its bytes to the content's digest. */
enum status scan_map(const struct scan_request *request, struct file_map *map,
                     struct error *err) MUST_CHECK;

/* What a text says of the sample added last. `where` ("FILE:LINE") begins the error. */

/* Its class, or (multilabel, regression) its target number k. Empty: not known, which a labelled
 * domain refuses, as it does a sample of which only some targets are known. */
enum status scan_label(const struct scan_request *request, struct scan *scan, size_t k,
                       const char *text, const char *where, struct error *err) MUST_CHECK;
/* All of it in one field: a class; labels by name, joined by '|' (none: an empty text; NULL: not
 * known); K numbers joined by '|'. */
enum status scan_labels(const struct scan_request *request, struct scan *scan, const char *text,
                        const char *where, struct error *err) MUST_CHECK;

/* Each appends to *scan (zeroed by the caller, who calls scan_deinit even after failure).
 * Errors: ERR_INPUT with file (and line), ERR_SUPPORT, ERR_IO, ERR_MEMORY. */
enum status scan_idx(const struct scan_request *request, struct scan *scan,
                     struct error *err) MUST_CHECK;
enum status scan_csv(const struct scan_request *request, struct scan *scan,
                     struct error *err) MUST_CHECK;
enum status scan_folder(const struct scan_request *request, struct scan *scan,
                        struct error *err) MUST_CHECK;
enum status scan_text(const struct scan_request *request, struct scan *scan,
                      struct error *err) MUST_CHECK;
enum status scan_list(const struct scan_request *request, struct scan *scan,
                      struct error *err) MUST_CHECK;

#endif
