/* Primitive descriptors with a fused step's post operations and a scratchpad that lies in the
 * arena. */
#ifndef GRAFT_WORKER_ENGINE_TILE_POSTS_H
#define GRAFT_WORKER_ENGINE_TILE_POSTS_H

#include "worker/engine/tile_build.h"

/* `operation`: a dnnl_…_desc_t; `dst`: layout of the operand of POST_ADD, else NULL; `what` names
 * it in errors. Errors: ERR_SUPPORT, ERR_MEMORY. */
enum status tile_posts_describe(struct tile_builder *builder, const void *operation,
                                const struct post *posts, size_t post_count,
                                const dnnl_memory_desc_t *dst, dnnl_primitive_desc_t *out,
                                const char *what) MUST_CHECK;

#endif
