/* Building blocks for tiles: buffers and their lifetimes, steps, and which layouts of a value exist
 * so far. Used by tile_build.c (bookkeeping) and tile_steps.c (one function a fused kind). */
#ifndef GRAFT_WORKER_ENGINE_TILE_BUILD_H
#define GRAFT_WORKER_ENGINE_TILE_BUILD_H

#include "worker/engine/constants.h"
#include "worker/engine/fuse.h"
#include "worker/engine/tile.h"

/* A value in one layout. The first version of a value is the one its producer wrote, or a view of
 * another value's. */
struct tile_version {
    uint32_t value, buffer;
    const struct onednn_layout *layout;
    bool turned; /* a view whose axes are in another order than its memory's */
};

struct tile_builder {
    struct tile *tile;
    const struct plan *plan;
    const struct program *program;
    const struct constants *constants;
    const struct fusion *fusion;
    size_t position; /* of the fused step in work */
    struct tile_version *versions;
    size_t version_count, version_room;
    struct error *err;
};

/* All answer OK, ERR_MEMORY or ERR_SUPPORT (builder->err set). */

/* A step to be filled; valid until the next one is added. */
enum status tile_build_step(struct tile_builder *builder, enum tile_kind kind,
                            struct tile_step **out);
/* Takes `desc`: a call with its scratchpad. */
enum status tile_build_call(struct tile_builder *builder, dnnl_primitive_desc_t desc,
                            struct tile_step **out);
/* Argument of the last step: a buffer … */
enum status tile_build_bind(struct tile_builder *builder, int arg, uint32_t buffer);
/* … or fixed memory. */
enum status tile_build_fix(struct tile_builder *builder, int arg, void *memory);
/* Marks the buffer as used by the last step. */
void tile_build_touch(struct tile_builder *builder, uint32_t buffer);
/* A new buffer that the next step writes, as the (next) version of `value`. */
enum status tile_build_define(struct tile_builder *builder, uint32_t value,
                              const struct onednn_layout *layout, uint32_t *out);
/* Makes an existing buffer a version of `value`. */
enum status tile_build_adopt(struct tile_builder *builder, uint32_t value,
                             const struct onednn_layout *layout, uint32_t buffer);
/* A step that copies a version into a buffer of another layout. */
enum status tile_build_copy(struct tile_builder *builder, const struct tile_version *from,
                            const struct onednn_layout *layout, uint32_t to);
/* The buffer of `value` in a layout, through a reorder step if it is not there yet. */
enum status tile_build_require(struct tile_builder *builder, uint32_t value,
                               const struct onednn_layout *layout, uint32_t *out);
enum status tile_build_require_plain(struct tile_builder *builder, uint32_t value, uint32_t *out);
/* The layout its producer wrote. */
const struct tile_version *tile_build_first(const struct tile_builder *builder, uint32_t value);
/* The same, row-major where that would be a turned view. */
enum status tile_build_source(struct tile_builder *builder, uint32_t value,
                              struct tile_version *out);
/* May the step in work overwrite the buffer: does neither it nor a later one read it? */
bool tile_build_last_read(const struct tile_builder *builder, uint32_t buffer);
/* Shape with the tile's samples filled in, and its row-major layout. */
struct shape tile_build_shape(const struct tile_builder *builder, uint32_t value);
const struct onednn_layout *tile_build_plain(const struct tile_builder *builder, uint32_t value);
/* The latter with numbers of a type. */
const struct onednn_layout *tile_build_plain_of(const struct tile_builder *builder, uint32_t value,
                                                dnnl_data_type_t type);
/* Of which numbers the step in work should make `value`: float32 for the features and for kernels of
 * ours, which read nothing else. */
dnnl_data_type_t tile_build_type(const struct tile_builder *builder, uint32_t value);
/* Memory that lives as long as the tile, holding `data` (plain `from`) in layout `to`. */
enum status tile_build_weights(struct tile_builder *builder, const struct onednn_layout *from,
                               const float *data, const struct onednn_layout *to, void **out);

/* tile_steps.c: appends the steps of one fused step. */
enum status tile_steps_add(struct tile_builder *builder, const struct fused *fused);
/* Its posts alone, on its input. */
enum status tile_steps_chain(struct tile_builder *builder, const struct fused *fused);
/* Its node alone, by the operator's kernel. */
enum status tile_steps_node(struct tile_builder *builder, const struct fused *fused);

#endif
