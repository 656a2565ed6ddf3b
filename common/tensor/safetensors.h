/* Safetensors files: named tensors in one file that any framework reads.
 *
 *     8 bytes little endian: header length | header: JSON {"__metadata__": {…}, NAME: {dtype,
 * shape, data_offsets}, …} | tensor data, back to back
 *
 * The writer puts tensors with wide elements first (stable otherwise), so that a mapped file needs
 * no copy to be aligned; equal input gives equal bytes. The reader trusts nothing: header length,
 * dtypes, ranks, sizes, offsets, alignment and names are checked before the first tensor is shown.
 * No thread; a reader may be shared read-only. */
#ifndef GRAFT_COMMON_TENSOR_SAFETENSORS_H
#define GRAFT_COMMON_TENSOR_SAFETENSORS_H

#include <stddef.h>

#include "common/base/error.h"
#include "common/tensor/tensor.h"

#define SAFETENSORS_HEADER_BYTES_MAX ((size_t)16 << 20)
#define SAFETENSORS_FILE_BYTES_MAX ((size_t)64 << 30)
#define SAFETENSORS_COUNT_MAX ((size_t)65536)

struct safetensor {
    const char *name;
    enum dtype dtype;
    struct shape shape;
    const void *data; /* dense, row-major; from a reader: inside the mapped file */
};

struct safetensors;

/* Writes aside and renames. `metadata` is key, value, key, value, …, NULL (or NULL: none). Shapes
 * must be known. Errors: ERR_IO; ERR_INPUT for a doubled or empty name, a name or text that is not
 * UTF-8, an unknown dimension. */
enum status safetensors_write(const char *path, const struct safetensor *tensors, size_t count,
                              const char *const *metadata, struct error *err) MUST_CHECK;

/* Maps and checks the whole header. What the functions below return lives until safetensors_close.
 * Errors: ERR_IO; ERR_INPUT naming file and tensor; ERR_SUPPORT for dtypes graft has not. */
enum status safetensors_open(const char *path, struct safetensors **out,
                             struct error *err) MUST_CHECK;
void safetensors_close(struct safetensors **file);

size_t safetensors_count(const struct safetensors *file);
const struct safetensor *safetensors_at(const struct safetensors *file, size_t index);
/* NULL when there is none. */
const struct safetensor *safetensors_find(const struct safetensors *file, const char *name);
const char *safetensors_metadata(const struct safetensors *file, const char *key);

#endif
