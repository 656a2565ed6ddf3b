/* What graft notes in the metadata of the models it writes: how their samples are made and what
 * their outputs mean, as text in the form of a configuration (job_text_note). */
#ifndef GRAFT_COMMON_MODEL_ONNX_METADATA_H
#define GRAFT_COMMON_MODEL_ONNX_METADATA_H

#include "common/base/error.h"

#define ONNX_METADATA_KEY "graft.data"
#define ONNX_METADATA_BYTES_MAX ((size_t)256 << 10)

/* The note of a file, owned by the caller (memory_free). Walks the outermost fields only: no
 * weights are read. Errors: ERR_IO, ERR_INPUT (no ONNX file, no note, longer than the limit),
 * ERR_MEMORY. */
enum status onnx_metadata_read(const char *path, char **out, struct error *err) MUST_CHECK;

#endif
