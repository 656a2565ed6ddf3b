/* Primitive descriptors with a fused step's post operations and a scratchpad that lies in the
 * arena. */
#ifndef GRAFT_WORKER_ENGINE_TILE_POSTS_H
#define GRAFT_WORKER_ENGINE_TILE_POSTS_H

#include "worker/engine/tile_build.h"

/* A post operation as a function of one element; POST_ADD is none. */
struct onednn_element tile_posts_element(const struct post *post);

/* `what` names the operation in errors. POST_ADD adds what the output's memory
 * holds before (oneDNN's sum): its binary post operation makes convolutions fall back to reference
 * code. Errors: ERR_SUPPORT, ERR_MEMORY. */
enum status tile_posts_describe(struct tile_builder *builder,
                                const struct onednn_operation *operation, const struct post *posts,
                                size_t post_count, dnnl_primitive_desc_t *out,
                                const char *what) MUST_CHECK;

#endif
