/* What graft notes in the metadata of the models it writes: how their samples are made and what
 * their outputs mean, as text in the form of a configuration (job_text_note); and for texts the
 * vocabulary, so that the file is all that a person needs. */
#ifndef GRAFT_COMMON_MODEL_ONNX_METADATA_H
#define GRAFT_COMMON_MODEL_ONNX_METADATA_H

#include "common/base/error.h"

#define ONNX_METADATA_DATA "graft.data"
#define ONNX_METADATA_VOCABULARY "graft.vocabulary"
#define ONNX_METADATA_BYTES_MAX ((size_t)16 << 20) /* of an entry */

/* The entry `key` of a file, owned by the caller (memory_free); NULL when there is none. Walks the
 * outermost fields only: no weights are read. Errors: ERR_IO, ERR_INPUT (no ONNX file), ERR_MEMORY.
 */
enum status onnx_metadata_find(const char *path, const char *key, char **out,
                               struct error *err) MUST_CHECK;

/* The note graft.data; a file without it is ERR_INPUT. */
enum status onnx_metadata_read(const char *path, char **out, struct error *err) MUST_CHECK;

#endif
